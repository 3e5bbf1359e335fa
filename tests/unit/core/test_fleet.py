"""The fleet: who lives, in which state, and that indexes agree with the pool."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.core.fleet import Deployment, Fleet
from sojourn.core.pool import Pool
from sojourn.core.scaler import FIRST_WISH, Scaler
from sojourn.core.succession import Succession
from sojourn.domain.function import FunctionSettings
from sojourn.domain.replica import ReplicaSignal, ReplicaState
from sojourn.domain.resources import Resources, claim_of
from sojourn.policy.keepalive.catalogue import keepalive_policy
from sojourn.policy.scaling.catalogue import scaling_policy


def deployment(name: str, **options) -> Deployment:
    settings = FunctionSettings(name=name, **options)
    scaler = Scaler(settings, scaling_policy(settings.scaling, settings), keepalive_policy(settings.keepalive), 9)
    return Deployment(name, settings, claim_of(settings), scaler, Succession(Random(1)), FIRST_WISH)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(Pool(Resources(cpus=3, gpus=2)))


def test_each_replica_has_a_number_of_its_own_and_its_accelerators(fleet):
    """Numbers grow over all functions and are never used again."""
    a, b = deployment("a"), deployment("b", gpus=2)
    first, _ = fleet.start(a, 1.0)
    second, gpus = fleet.start(b, 2.0)
    assert (first.replica_id, second.replica_id, gpus) == (1, 2, (0, 1))
    fleet.remove(2)
    third, gpus = fleet.start(b, 3.0)
    assert (third.replica_id, third.started_at_s, gpus) == (3, 3.0, (0, 1))
    fleet.check()


def test_what_drains_holds_its_claim_until_it_is_gone(fleet):
    """A replica that was told to go takes no work, but its cores are free only when its process has ended."""
    a = deployment("a")
    members = [fleet.start(a, 0.0)[0] for _ in range(3)]
    fleet.signal(members[0], ReplicaSignal.BECAME_READY)
    members[0].is_leased = True
    fleet.signal(members[1], ReplicaSignal.WAS_TOLD_TO_DRAIN)
    assert [m.replica_id for m in fleet.living("a")] == [1, 3]
    assert [m.replica_id for m in fleet.starting()] == [3]
    assert [m.replica_id for m in fleet.of("a", ReplicaState.DRAINING)] == [2]
    assert not fleet.pool.has_room(a.claim)
    assert fleet.remove(2) is members[1]
    assert fleet.pool.has_room(a.claim)
    fleet.check()


def test_an_unknown_replica_is_gone_already(fleet):
    """Exits may be told twice."""
    fleet.start(deployment("a"), 0.0)
    assert fleet.remove(1) is not None
    assert fleet.remove(1) is None
    assert fleet.of("a") == []
    fleet.check()


def test_check_sees_a_replica_that_serves_without_a_lease(fleet):
    """The invariant can fail: ready and not leased is nobody's."""
    member, _ = fleet.start(deployment("a"), 0.0)
    fleet.signal(member, ReplicaSignal.BECAME_READY)
    with pytest.raises(AssertionError):
        fleet.check()
