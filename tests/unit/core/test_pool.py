"""The pool: claims held by living replicas, and which accelerators each sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.pool import UNBOUNDED, Pool, impossible_claims
from sojourn.domain.function import FunctionSettings
from sojourn.domain.resources import Resources

HALF_GPU = Resources(cpus=1, gpus=0.5)


def test_there_is_room_until_the_pool_is_used_up_and_again_after_a_release():
    """Two of two cores; the third replica must wait for one to go."""
    pool = Pool(Resources(cpus=2))
    one = Resources(cpus=1)
    for replica_id in (1, 2):
        assert pool.has_room(one)
        pool.take(replica_id, one)
    assert not pool.has_room(one)
    with pytest.raises(ValueError, match=r"no room for .*cpus=1.* of which .*cpus=2"):
        pool.take(3, one)
    pool.release(1)
    assert pool.held == one
    pool.take(3, one)
    pool.check([2, 3])


def test_whole_accelerators_are_given_one_to_one_and_come_back():
    """Two, then one; what was released is given again."""
    pool = Pool(Resources(cpus=9, gpus=3))
    assert pool.take(1, Resources(1, 2)) == (0, 1)
    assert pool.take(2, Resources(1, 1)) == (2,)
    assert not pool.has_room(Resources(1, 1))
    pool.release(1)
    assert pool.take(3, Resources(1, 1)) == (0,)
    pool.check([2, 3])


def test_shares_of_an_accelerator_fill_the_first_with_room():
    """Two halves share one; a third opens the next, and a whole one is then not to be had."""
    pool = Pool(Resources(cpus=9, gpus=2))
    assert [pool.take(replica_id, HALF_GPU) for replica_id in (1, 2, 3)] == [(0,), (0,), (1,)]
    assert not pool.has_room(Resources(1, 1))
    pool.release(1)
    pool.release(2)
    assert pool.take(4, Resources(1, 1)) == (0,)


def test_what_is_free_in_pieces_is_not_one_piece():
    """Two accelerators with 0.4 left each hold no 0.6, though 0.8 is left in sum."""
    pool = Pool(Resources(cpus=9, gpus=2))
    share = Resources(1, 0.6)
    assert (pool.take(1, share), pool.take(2, share)) == ((0,), (1,))
    assert not pool.has_room(share)


def test_no_accelerator_is_seen_without_a_claim():
    """A replica of cores alone gets no number, also where there are some."""
    assert Pool(Resources(cpus=1, gpus=4)).take(1, Resources(cpus=1)) == ()


@pytest.mark.parametrize(
    ("claim", "most"),
    [(Resources(cpus=0.1), 40), (Resources(cpus=3), 1), (Resources(cpus=5), 0), (Resources(1, 1), 2)],
)
def test_how_many_the_empty_pool_holds(claim, most):
    """Tenths are not lost to rounding; what is larger than the pool fits no time."""
    assert Pool(Resources(cpus=4, gpus=2)).most_of(claim) == most


def test_beside_others_only_what_is_left_is_held():
    """Four cores, one and a half of them claimed: two of the three wanted."""
    pool = Pool(Resources(cpus=4))
    assert pool.most_beside(Resources(cpus=1.5), Resources(cpus=1), 3) == 2
    assert pool.most_beside(Resources(cpus=5), Resources(cpus=1), 3) == 0
    assert Pool(UNBOUNDED).most_beside(Resources(cpus=5), Resources(cpus=1), 3) == 3


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.3, 0.5, 0.7, 1.0, 2.0])), max_size=60))
def test_accelerators_are_never_given_twice(history):
    """Whatever comes and goes, `check` holds and the shares on each accelerator sum to at most one."""
    pool = Pool(Resources(cpus=1000, gpus=3))
    living: dict[int, tuple[float, tuple[int, ...]]] = {}
    for number, (leaves, gpus) in enumerate(history):
        if leaves and living:
            replica_id = min(living)
            pool.release(replica_id)
            del living[replica_id]
        elif pool.has_room(Resources(1, gpus)):
            living[number] = (gpus, pool.take(number, Resources(1, gpus)))
        pool.check(living)
        for accelerator in range(3):
            used = sum(min(share, 1.0) for share, seen in living.values() if accelerator in seen)
            assert used <= 1.0 + 1e-9


def function(name="f", **options):
    return FunctionSettings(name=name, **options)


def test_a_claim_larger_than_the_server_is_told_with_the_remedy():
    """Function, what it claims, what there is, what to do; each resource of its own."""
    faults = impossible_claims([function(cpus=8, gpus=1)], Resources(4, 0, 2**30))
    assert faults == [
        "function 'f': a replica claims cpus=8, the server has 4; claim less, or serve with a larger --cpus",
        "function 'f': a replica claims gpus=1, the server has 0; claim less, or serve with a larger --gpus",
    ]


def test_minima_that_do_not_fit_together_are_told_with_each_part():
    """Three and two of one core each on four cores; by themselves both would fit."""
    [fault] = impossible_claims(
        [function("a", min_replicas=3), function("b", min_replicas=2), function("c")], Resources(4, 0, 2**30)
    )
    assert "claim cpus=5, gpus=0" in fault
    assert "the server has cpus=4" in fault
    assert "a 3 x (cpus=1, gpus=0); b 2 x (cpus=1, gpus=0)" in fault
    assert "Lower min_replicas or the claims" in fault
    assert "c " not in fault


def test_memory_is_told_in_the_units_people_write():
    """What is claimed, what there is, and each part of the sum."""
    [fault] = impossible_claims([function(memory_bytes=25 * 10**9)], Resources(4, 0, 16 * 2**30))
    assert "a replica claims memory=25 GB, the server has 16 GiB; claim less" in fault
    [fault] = impossible_claims([function(memory_bytes=10 * 2**30, min_replicas=2)], Resources(4, 0, 16 * 2**30))
    assert "claim cpus=2, gpus=0, memory=20 GiB, the server has cpus=4, gpus=0, memory=16 GiB: " in fault
    assert "f 2 x (cpus=1, gpus=0, memory=10 GiB)" in fault


def test_what_fits_has_no_faults():
    """Exactly the whole pool is not too much."""
    assert impossible_claims([function(min_replicas=4), function("b")], Resources(4, 0, 2**30)) == []


@pytest.mark.parametrize(
    ("share", "devices", "most"), [(0.6, 2, 2), (0.5, 2, 4), (0.3, 1, 3), (1.5, 4, 2), (1.0, 3, 3)]
)
def test_shares_of_accelerators_do_not_spread_over_two(share, devices, most):
    """Three times 0.6 is less than two, and yet the third has no place."""
    assert Pool(Resources(cpus=64, gpus=devices)).most_of(Resources(cpus=1, gpus=share)) == most


@given(st.lists(st.sampled_from([0.2, 0.34, 0.5, 0.6, 1.0, 1.5, 2.0]), max_size=8), st.integers(1, 4))
def test_minima_that_are_not_refused_can_all_start(shares, devices):
    """Whatever is let in, the pool holds all of it at once, the largest first."""
    capacity = Resources(cpus=64, gpus=devices)
    functions = [FunctionSettings(name=f"f{n}", gpus=share, min_replicas=1) for n, share in enumerate(shares)]
    faults = impossible_claims(functions, capacity)
    pool = Pool(capacity)
    fit = True
    for number, share in enumerate(sorted(shares, reverse=True)):
        claim = Resources(cpus=1, gpus=share)
        fit = fit and pool.has_room(claim)
        if fit:
            pool.take(number, claim)
    assert fit == (not faults)


def test_minima_that_fit_in_sum_but_on_no_device_are_told():
    """Which function, and what would do."""
    functions = [FunctionSettings(name="f", gpus=0.6, min_replicas=3)]
    (fault,) = impossible_claims(functions, Resources(cpus=64, gpus=2))
    assert "no single accelerator has room" in fault
    assert "claim shares that fill an accelerator" in fault
