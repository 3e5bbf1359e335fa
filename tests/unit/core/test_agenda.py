"""Which functions are due, among many that are not."""

from __future__ import annotations

from math import inf
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.agenda import Agenda
from sojourn.core.controller import Controller
from sojourn.core.fleet import Deployment
from sojourn.core.scaler import FIRST_WISH, Scaler
from sojourn.core.succession import Succession
from sojourn.domain.event import FunctionDeployed, FunctionRemoved
from sojourn.domain.function import FunctionSettings
from sojourn.domain.resources import Resources, claim_of
from sojourn.policy.keepalive.catalogue import keepalive_policy
from sojourn.policy.scaling.catalogue import scaling_policy


def deployments(count: int) -> dict[str, Deployment]:
    found = {}
    for number in range(count):
        settings = FunctionSettings(name=f"f{number}")
        scaler = Scaler(settings, scaling_policy(settings.scaling, settings), keepalive_policy(settings.keepalive), 9)
        succession = Succession(Random(1))
        found[settings.name] = Deployment(
            settings.name, settings, claim_of(settings), scaler, succession, FIRST_WISH, number, inf
        )
    return found


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 5), st.sampled_from([0.0, 1.0, 2.5, 7.0, 40.0, inf])),
            st.tuples(st.just("remove"), st.integers(0, 5), st.just(0.0)),
            st.tuples(st.just("pass"), st.just(0), st.sampled_from([0.0, 0.5, 3.0, 20.0])),
        ),
        max_size=400,
    )
)
def test_the_due_are_those_a_look_at_all_would_find(story):
    """Whatever is put, put again, removed and passed over: the same functions, in the order of deployment."""
    there = deployments(6)
    agenda = Agenda(there)
    now_s = 0.0
    for what, number, amount_s in story:
        deployment = there[f"f{number}"]
        if what == "put":
            agenda.put(deployment, now_s + amount_s)
        elif what == "remove":
            deployment.is_removed = True
        else:
            now_s += amount_s
            expected = [each for each in there.values() if not each.is_removed and each.look_at_s <= now_s]
            assert agenda.take_due(now_s) == expected
            for each in expected:
                agenda.put(each, inf)
        left = [each.look_at_s for each in there.values() if not each.is_removed]
        assert agenda.next_at_s() == min(left, default=inf)


def test_instants_that_were_set_anew_do_not_pile_up():
    """A function that is put a hundred thousand times leaves a bounded number of entries behind."""
    there = deployments(2)
    agenda = Agenda(there)
    for number in range(100_000):
        agenda.put(there["f0"], 1e6 - number)
    assert len(agenda._heap) < 100
    assert agenda.next_at_s() == 1e6 - 99_999


def test_the_wishes_of_many_functions_are_summed_exactly():
    """Claims of a tenth of a core: after all have come and gone nothing is wanted, and nothing was lost by rounding."""
    controller = Controller(Random(1), Resources(cpus=20.0, memory_bytes=2**40))
    names = [f"f{number}" for number in range(200)]
    for name in names:
        controller.step(FunctionDeployed(FunctionSettings(name=name, cpus=0.1)), 0.0)
    assert not controller._sharing.is_scarce(), "exactly 20 cores"
    controller.step(FunctionDeployed(FunctionSettings(name="more", cpus=0.1)), 0.0)
    assert controller._sharing.is_scarce()
    for name in [*names, "more"]:
        controller.step(FunctionRemoved(name), 1.0)
    assert controller._sharing._wanted == {}
