"""The store keeps what it is told, in order and within bounds, and refuses what makes no sense."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import msgspec
import pytest

from sojourn.domain.deployment import ALL_AT_ONCE, RolloutPlan
from sojourn.domain.policy import FixedKeepAlive
from sojourn.errors import ConfigurationError, DeploymentError, StateError, UnknownFunctionError
from sojourn.state import store as store_module
from sojourn.state.record import StoredEvent, StoredFunction, StoredLimits
from sojourn.state.store import EVENTS_KEPT, REVISIONS_KEPT, ROLLOUTS_KEPT, SUPERSEDED, StateStore

sys.path.insert(0, str(Path(__file__).parent))
from state_samples import CANARY_PLAN, WALL_S, all_of, bundle_of, fill, fit, go_live, key, name_of, revision


@pytest.fixture
def store():
    """An empty one; what the disk adds is the business of other tests."""
    made = StateStore.in_memory()
    yield made
    made.close()


def function(store, name="digits"):
    return next(one for one in store.functions() if one.name == name)


def test_a_new_store_is_empty(store):
    """Nothing is there that nobody put there."""
    assert all_of(store) == ([], [[], []], [[], []], set(), {}, [], [], [])


def test_everything_comes_back_from_the_disk_as_it_was_put(tmp_path):
    """Closed and opened again, the store says the same of all there is; nothing but the file is left beside it."""
    store = StateStore.opened_in(tmp_path)
    fill(store)
    before = all_of(store)
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["state.db"]
    again = StateStore.opened_in(tmp_path)
    assert all_of(again) == before
    assert again.faults() == []
    again.close()


def test_a_first_deploy_goes_live_and_has_no_previous(store):
    """From the candidate with its plan to the live revision; the rollout says how it ended."""
    store.put_revision(revision(1))
    assert store.functions() == [StoredFunction(name="digits", created_at_s=WALL_S + 1)]
    store.set_candidate("digits", name_of(1), CANARY_PLAN, WALL_S)
    under_way = function(store)
    assert (under_way.live, under_way.candidate, under_way.plan) == (None, name_of(1), CANARY_PLAN)
    assert store.rollouts("digits")[0].outcome is None
    store.promote("digits", name_of(1), WALL_S + 60, "promoted", {"share": 0.5})
    ended = function(store)
    assert (ended.live, ended.previous, ended.candidate, ended.plan) == (name_of(1), None, None, None)
    (rollout,) = store.rollouts("digits")
    assert (rollout.began_at_s, rollout.ended_at_s) == (WALL_S, WALL_S + 60)
    assert (rollout.strategy, rollout.outcome, rollout.evidence) == ("canary", "promoted", {"share": 0.5})


def test_a_rollback_in_one_step_makes_the_previous_live(store):
    """Without a candidate a kept revision becomes live at once; the two change places; the history has it."""
    go_live(store, 1)
    go_live(store, 2)
    store.promote("digits", name_of(1), WALL_S + 9, "rolled back")
    assert (function(store).live, function(store).previous) == (name_of(1), name_of(2))
    latest = store.rollouts("digits", 1)[0]
    assert (latest.from_revision, latest.to_revision) == (name_of(2), name_of(1))
    assert (latest.strategy, latest.outcome) == (ALL_AT_ONCE, "rolled back")


def test_an_abandoned_candidate_changes_nothing_that_is_live(store):
    """The evidence stays in the history."""
    go_live(store, 1)
    store.put_revision(revision(2))
    store.set_candidate("digits", name_of(2), CANARY_PLAN, WALL_S)
    before = function(store)
    store.abandon_candidate("digits", WALL_S + 3, "worse", {"errors": 9})
    assert function(store) == msgspec.structs.replace(before, candidate=None, plan=None, candidate_since_s=None)
    assert (store.rollouts("digits")[0].outcome, store.rollouts("digits")[0].evidence) == ("worse", {"errors": 9})


def test_a_newer_deploy_supersedes_the_candidate(store):
    """The older rollout ends in the history; the same candidate again only gets another plan."""
    go_live(store, 1)
    for number in (2, 3):
        store.put_revision(revision(number))
        store.set_candidate("digits", name_of(number), CANARY_PLAN, WALL_S + number)
    store.set_candidate("digits", name_of(3), RolloutPlan(), WALL_S + 50)
    assert [one.outcome for one in store.rollouts("digits")] == [None, SUPERSEDED, "promoted"]
    assert function(store).plan == RolloutPlan()
    assert function(store).candidate_since_s == WALL_S + 3


def test_the_same_content_again_is_the_same_revision(store):
    """It keeps when it was deployed first, and counts as the latest."""
    go_live(store, 1)
    go_live(store, 2)
    store.put_revision(msgspec.structs.replace(revision(1), created_at_s=WALL_S + 999))
    assert store.revisions("digits") == [revision(1), revision(2)]


def test_another_content_under_the_same_name_is_refused(store):
    """Revisions never change."""
    store.put_revision(revision(1))
    for other in (
        msgspec.structs.replace(revision(1), bundle=bundle_of(9)),
        msgspec.structs.replace(revision(1), dependencies={}),
        revision(1, max_batch_size=7),
    ):
        with pytest.raises(DeploymentError, match="another content"):
            store.put_revision(other)
    assert store.revisions("digits") == [revision(1)]


def test_what_an_import_tells_otherwise_is_no_other_content(store):
    """Schemas and examples follow from the code, and may not be the same twice: what was told first stays."""
    store.put_revision(revision(1))
    told = msgspec.structs.replace(revision(1).manifest, input_schema={"type": "string"}, examples=[], is_async=True)
    again = msgspec.structs.replace(revision(1), manifest=told)
    assert store.as_kept(again) == revision(1)
    store.put_revision(again)
    assert store.revisions("digits") == [revision(1)]
    assert store.as_kept(revision(2)) == revision(2)
    with pytest.raises(DeploymentError, match="another content"):
        store.as_kept(revision(1, max_batch_size=7))


def test_an_infinite_keep_alive_comes_back(store):
    """JSON has no infinity of its own."""
    store.put_revision(revision(1, keepalive=FixedKeepAlive(idle_s=float("inf"))))
    assert store.revision("digits", name_of(1)).manifest.settings.keepalive.idle_s == float("inf")


def test_old_revisions_go_and_those_in_use_stay(store):
    """Twenty deployed last, besides live, candidate and previous; the bundles of the others are free."""
    go_live(store, 1)
    go_live(store, 2)
    for number in range(3, 40):
        store.put_revision(revision(number))
    kept = {one.revision for one in store.revisions("digits")}
    assert kept == {name_of(number) for number in (1, 2, *range(40 - REVISIONS_KEPT, 40))}
    assert store.referenced_bundles() == {bundle_of(number) for number in (1, 2, *range(40 - REVISIONS_KEPT, 40))}
    go_live(store, 40)
    assert name_of(1) not in {one.revision for one in store.revisions("digits")}


def test_an_old_revision_deployed_again_is_not_the_first_to_go(store):
    """Else it could be forgotten before it becomes the candidate."""
    for number in range(1, REVISIONS_KEPT + 1):
        store.put_revision(revision(number))
    store.put_revision(revision(1))
    store.put_revision(revision(99))
    kept = {one.revision for one in store.revisions("digits")}
    assert name_of(1) in kept
    assert name_of(2) not in kept


def test_rollouts_are_bounded_by_function(store):
    """The newest stay; another function's are not touched."""
    go_live(store, 1, "words")
    go_live(store, 1)
    go_live(store, 2)
    for step in range(ROLLOUTS_KEPT + 5):
        store.promote("digits", name_of(1 + step % 2), WALL_S + 100 + step, "rolled back")
    rollouts = store.rollouts("digits", 10_000)
    assert len(rollouts) == ROLLOUTS_KEPT
    assert rollouts[0].ended_at_s == WALL_S + 100 + ROLLOUTS_KEPT + 4
    assert len(store.rollouts("words")) == 1


def test_a_deleted_function_takes_all_but_events_with_it(store):
    """Its name is free; others stay."""
    fill(store)
    store.delete_function("digits")
    assert [one.name for one in store.functions()] == ["words"]
    assert store.revisions("digits") == store.rollouts("digits") == store.fits() == []
    assert store.limits() == {}
    assert store.referenced_bundles() == {bundle_of(4)}
    assert len(store.events()) == 2
    assert store.faults() == []
    go_live(store, 5)
    assert function(store).live == name_of(5)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda s: s.set_candidate("nobody", name_of(1), RolloutPlan(), 0), UnknownFunctionError, "digits, words"),
        (lambda s: s.promote("nobody", name_of(1), 0, "x"), UnknownFunctionError, "deployed"),
        (lambda s: s.abandon_candidate("nobody", 0, "x"), UnknownFunctionError, "deployed"),
        (lambda s: s.delete_function("nobody"), UnknownFunctionError, "deployed"),
        (lambda s: s.set_limits("nobody", 0, 1), UnknownFunctionError, "deployed"),
        (lambda s: s.set_candidate("digits", name_of(77), RolloutPlan(), 0), DeploymentError, "no revision"),
        (lambda s: s.set_candidate("digits", name_of(2), RolloutPlan(), 0), DeploymentError, "live already"),
        (lambda s: s.promote("digits", name_of(1), 0, "x"), DeploymentError, "is on its way"),
        (lambda s: s.promote("words", name_of(4), 0, "x"), DeploymentError, "live already"),
        (lambda s: s.promote("words", name_of(2), 0, "x"), DeploymentError, "no revision"),
        (lambda s: s.abandon_candidate("words", 0, "x"), DeploymentError, "no revision on its way"),
        (lambda s: s.put_key(key(1)), ConfigurationError, "already"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(store, change, error, words):
    """Each with its own words; the store is as before."""
    fill(store)
    before = all_of(store)
    with pytest.raises(error, match=words):
        change(store)
    assert all_of(store) == before


def test_keys_are_revoked_once(store):
    """The first instant counts; an unknown key is told apart."""
    store.put_key(key(1))
    assert store.revoke_key(key(1).id, WALL_S + 5).revoked_at_s == WALL_S + 5
    assert store.revoke_key(key(1).id, WALL_S + 50).revoked_at_s == WALL_S + 5
    assert store.keys() == [key(1, revoked_at_s=WALL_S + 5)]
    assert store.revoke_key("ffffffff", WALL_S) is None


def test_keys_are_bounded_by_what_is_of_no_use_any_more(store, monkeypatch):
    """The one that ended first makes room; none in force ever does."""
    monkeypatch.setattr(store_module, "KEYS_MAX", 3)
    store.put_key(key(1, expires_at_s=WALL_S - 5))
    store.put_key(key(2, revoked_at_s=WALL_S - 9))
    store.put_key(key(3))
    store.put_key(key(4))
    kept = store.keys()
    assert [one.id for one in kept] == [key(number).id for number in (1, 3, 4)]
    store.put_key(key(5))
    with pytest.raises(ConfigurationError, match="in force"):
        store.put_key(key(6))


def test_limits_are_those_set_last(store):
    """None is no ceiling."""
    go_live(store, 1)
    store.set_limits("digits", 1, 4)
    store.set_limits("digits", 0, None)
    assert store.limits() == {"digits": StoredLimits(0, None)}


def test_service_times_belong_to_a_revision(store):
    """Those saved last; what was deleted meanwhile is no error."""
    go_live(store, 1)
    assert store.put_fit("digits", name_of(1), fit(), WALL_S)
    assert store.put_fit("digits", name_of(1), fit(), WALL_S + 10)
    assert not store.put_fit("digits", name_of(9), fit(), WALL_S)
    (kept,) = store.fits()
    assert (kept.revision, kept.saved_at_s, kept.fit) == (name_of(1), WALL_S + 10, fit())


def test_events_are_the_last_few_thousand_in_order(store):
    """Oldest first; those that are too many go at the other end."""
    with store.transaction():
        for number in range(EVENTS_KEPT + 10):
            store.append_event(StoredEvent(at_s=number, level="info", event="alert.firing", fields={"n": number}))
    events = store.events()
    assert [events[0].fields["n"], events[-1].fields["n"], len(events)] == [10, EVENTS_KEPT + 9, EVENTS_KEPT]
    assert [one.fields["n"] for one in store.events(2)] == [EVENTS_KEPT + 8, EVENTS_KEPT + 9]


def test_what_is_attached_never_stops_a_change(store):
    """Evidence that is too large or no plain data is cut, and the rollback is made."""
    go_live(store, 1)
    go_live(store, 2)
    store.promote("digits", name_of(1), WALL_S, "rolled back", {"text": "x" * 1_000_000})
    assert set(store.rollouts("digits", 1)[0].evidence) == {"cut"}
    store.promote("digits", name_of(2), WALL_S, "rolled back", {"thing": object()})
    assert "object" in store.rollouts("digits", 1)[0].evidence["cut"]


def test_a_transaction_of_several_changes_is_made_whole_or_not(store):
    """A failure undoes what went before it, also where the caller looked past it."""

    def failing():
        with store.transaction():
            store.put_revision(revision(1))
            store.promote("digits", name_of(2), WALL_S, "x")

    def failing_unseen():
        with store.transaction():
            store.put_revision(revision(1))
            with contextlib.suppress(DeploymentError):
                store.promote("digits", name_of(2), WALL_S, "x")

    before = all_of(store)
    with pytest.raises(DeploymentError):
        failing()
    assert all_of(store) == before
    with pytest.raises(StateError, match="part of the change failed"):
        failing_unseen()
    assert all_of(store) == before
    with store.transaction():
        go_live(store, 1)
    assert function(store).live == name_of(1)


def test_a_store_opened_for_reading_is_not_written(tmp_path):
    """It says what is there and refuses the rest."""
    store = StateStore.opened_in(tmp_path)
    fill(store)
    reading = StateStore.read_from(tmp_path)
    assert all_of(reading) == all_of(store)
    with pytest.raises(StateError, match="reading only"):
        reading.put_key(key(9))
    reading.close()
    store.close()
