"""Whatever is deployed, promoted, abandoned, deleted and reopened, the store says what a plain dictionary says."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sojourn.domain.deployment import ALL_AT_ONCE, RolloutPlan
from sojourn.errors import ConfigurationError, DeploymentError, SojournError, UnknownFunctionError
from sojourn.state import store as store_module
from sojourn.state.record import StoredEvent, StoredLimits
from sojourn.state.store import SUPERSEDED, StateStore

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "state"))
from state_samples import CANARY_PLAN, bundle_of, fit, key, name_of, revision

NAMES = st.sampled_from(["a", "b"])
NUMBERS = st.integers(1, 12)
PLANS = st.sampled_from([RolloutPlan(), CANARY_PLAN])
FIT = fit()
REVISIONS_KEPT = 4  # so few that some are forgotten


class Model:
    """One function as a plain object."""

    def __init__(self, created_at_s):
        self.created_at_s = created_at_s
        self.live = self.previous = self.candidate = self.plan = None
        self.order = []  # numbers of its revisions, the one deployed last at the end
        self.rollouts = []  # to, outcome; the newest at the end
        self.limits = None
        self.fits = set()

    def forget(self):
        used = {self.live, self.previous, self.candidate}
        latest = set(self.order[-REVISIONS_KEPT:])
        self.order = [number for number in self.order if number in latest or number in used]
        self.fits &= set(self.order)

    def end(self, outcome):
        self.rollouts[-1] = (*self.rollouts[-1][:-1], outcome)


class StoreMachine(RuleBasedStateMachine):
    """The store beside the model; a refusal of the one is a refusal of the other."""

    @initialize()
    def open(self):
        self.kept_before, store_module.REVISIONS_KEPT = store_module.REVISIONS_KEPT, REVISIONS_KEPT
        self.directory = Path(tempfile.mkdtemp())
        self.functions = {}
        self.keys = {}
        self.events = []
        self.now_s = 1.0
        self.store = self.opened()

    def opened(self):
        store = StateStore.opened_in(self.directory)
        store._connection.execute("PRAGMA synchronous = OFF")  # nothing here depends on waiting for the disk
        return store

    def teardown(self):
        if hasattr(self, "store"):
            store_module.REVISIONS_KEPT = self.kept_before
            self.store.close()
            shutil.rmtree(self.directory)

    def expect(self, error, change):
        self.now_s += 1
        if error is None:
            change()
            return True
        with pytest.raises(error):
            change()
        return False

    @rule(name=NAMES, number=NUMBERS)
    def put_revision(self, name, number):
        self.store.put_revision(revision(number, name))
        model = self.functions.setdefault(name, Model(revision(number).created_at_s))
        model.order = [one for one in model.order if one != number] + [number]
        model.forget()

    @rule(name=NAMES, number=NUMBERS)
    def put_other_content(self, name, number):
        model = self.functions.get(name)
        if model is not None and number in model.order:
            with pytest.raises(DeploymentError):
                self.store.put_revision(revision(number, name, max_batch_size=3))

    def chosen(self, name, number):
        """Mostly a revision that is kept."""
        order = self.functions[name].order if name in self.functions else []
        return order[number % len(order)] if order and number % 4 else number

    def fault(self, name, number):
        if name not in self.functions:
            return UnknownFunctionError
        model = self.functions[name]
        return DeploymentError if number not in model.order or number == model.live else None

    @rule(name=NAMES, number=NUMBERS, plan=PLANS)
    def set_candidate(self, name, number, plan):
        self.begin(name, self.chosen(name, number), plan)

    def begin(self, name, number, plan):
        if not self.expect(
            self.fault(name, number), lambda: self.store.set_candidate(name, name_of(number), plan, self.now_s)
        ):
            return
        model = self.functions[name]
        if model.candidate not in {None, number}:
            model.end(SUPERSEDED)
        if model.candidate != number:
            model.rollouts.append((model.live, number, plan.strategy, None))
        model.candidate, model.plan = number, plan

    @rule(name=NAMES, number=NUMBERS, takes_candidate=st.booleans())
    def promote(self, name, number, takes_candidate):
        model = self.functions.get(name)
        if takes_candidate and model is not None and model.candidate is not None:
            number = model.candidate
        else:
            number = self.chosen(name, number)
        fault = self.fault(name, number)
        if fault is None and model.candidate not in {None, number}:
            fault = DeploymentError
        if not self.expect(fault, lambda: self.store.promote(name, name_of(number), self.now_s, "promoted", {"n": 1})):
            return
        if model.candidate is None:
            model.rollouts.append((model.live, number, ALL_AT_ONCE, None))
        model.end("promoted")
        model.live, model.previous, model.candidate, model.plan = number, model.live, None, None
        model.forget()

    @rule(name=NAMES)
    def abandon(self, name):
        model = self.functions.get(name)
        fault = UnknownFunctionError if model is None else DeploymentError if model.candidate is None else None
        if self.expect(fault, lambda: self.store.abandon_candidate(name, self.now_s, "worse")):
            model.end("worse")
            model.candidate = model.plan = None
            model.forget()

    @rule(name=NAMES, number=NUMBERS)
    def put_and_begin(self, name, number):
        self.put_revision(name, number)
        if self.functions[name].live != number:
            self.begin(name, number, CANARY_PLAN)

    @rule(name=NAMES)
    def delete(self, name):
        if self.expect(
            None if name in self.functions else UnknownFunctionError, lambda: self.store.delete_function(name)
        ):
            del self.functions[name]

    @rule(name=NAMES, low=st.integers(0, 3), high=st.none() | st.integers(3, 9))
    def set_limits(self, name, low, high):
        if self.expect(
            None if name in self.functions else UnknownFunctionError, lambda: self.store.set_limits(name, low, high)
        ):
            self.functions[name].limits = StoredLimits(low, high)

    @rule(name=NAMES, number=NUMBERS)
    def put_fit(self, name, number):
        number = self.chosen(name, number)
        is_there = name in self.functions and number in self.functions[name].order
        assert self.store.put_fit(name, name_of(number), FIT, self.now_s) == is_there
        if is_there:
            self.functions[name].fits.add(number)

    @rule(number=st.integers(1, 5), revokes=st.booleans())
    def change_keys(self, number, revokes):
        wanted = key(number)
        if revokes:
            found = self.store.revoke_key(wanted.id, self.now_s)
            if number in self.keys and self.keys[number] is None:
                self.keys[number] = self.now_s
            assert (None if found is None else found.revoked_at_s) == self.keys.get(number)
            self.now_s += 1
        elif self.expect(ConfigurationError if number in self.keys else None, lambda: self.store.put_key(wanted)):
            self.keys[number] = None

    @rule(name=NAMES)
    def append_event(self, name):
        event = StoredEvent(at_s=self.now_s, level="info", event="x", function=name, fields={"n": len(self.events)})
        self.store.append_event(event)
        self.events.append(event)

    @rule(name=NAMES, number=NUMBERS)
    def fail_in_a_transaction(self, name, number):
        def several():
            with self.store.transaction():
                self.store.put_key(key(77))
                self.store.put_revision(revision(number, name))
                raise SojournError("stop")

        with pytest.raises(SojournError, match="stop"):
            several()

    @rule()
    def reopen(self):
        self.store.close()
        self.store = self.opened()

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def says_what_the_model_says(self):
        stored = {one.name: one for one in self.store.functions()}
        assert stored.keys() == self.functions.keys()
        referenced = set()
        for name, model in self.functions.items():
            found = stored[name]
            numbered = [None if one is None else name_of(one) for one in (model.live, model.previous, model.candidate)]
            assert [found.live, found.previous, found.candidate] == numbered
            assert (found.plan, found.created_at_s) == (model.plan, model.created_at_s)
            assert self.store.revisions(name) == [revision(number, name) for number in reversed(model.order)]
            assert [
                (one.from_revision, one.to_revision, one.strategy, one.outcome) for one in self.store.rollouts(name)
            ] == [
                (None if before is None else name_of(before), name_of(after), strategy, outcome)
                for before, after, strategy, outcome in reversed(model.rollouts)
            ]
            assert self.store.limits().get(name) == model.limits
            referenced |= {bundle_of(number) for number in model.order}
        assert self.store.referenced_bundles() == referenced
        assert {(one.function, one.revision) for one in self.store.fits()} == {
            (name, name_of(number)) for name, model in self.functions.items() for number in model.fits
        }
        found = self.store.keys()
        kept = {one.id: one.revoked_at_s for one in found}
        assert kept == {key(number).id: revoked_at_s for number, revoked_at_s in self.keys.items()}
        assert self.store.events() == self.events


StoreMachine.TestCase.settings = settings(max_examples=8, stateful_step_count=40, deadline=None)
TestStore = StoreMachine.TestCase
