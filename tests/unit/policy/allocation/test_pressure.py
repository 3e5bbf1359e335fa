"""Sharing a pool that does not hold all that is wanted."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.domain.demand import ServiceTimes
from sojourn.domain.resources import Resources
from sojourn.errors import ConfigurationError
from sojourn.policy.allocation.port import Demand
from sojourn.policy.allocation.pressure import PressurePolicy
from sojourn.policy.allocation.utility import utility

LARGEST = 32


def times(alpha_s=0.001, beta_s=0.010):
    """Batches of b take beta + alpha * b, exactly."""
    table_s = (0.0, *(beta_s + alpha_s * size for size in range(1, LARGEST + 1)))
    return ServiceTimes(1, table_s, table_s, LARGEST, 1000)


# With S = 100 ms and batches of 32 (42 ms) a replica carries about 760/s.
CAPACITY_PER_S = 32 / 0.042


def demand(name, load, **options):
    """A function whose traffic keeps `load` replicas busy and that wants one more than that."""
    defaults = {"wanted": int(load) + 1, "claim": Resources(cpus=1), "latency_s": 0.1, "service": times()}
    return Demand(function=name, arrivals_per_s=load * CAPACITY_PER_S, **{**defaults, **options})


def shared(demands, cpus):
    return PressurePolicy().allocate(demands, Resources(cpus=cpus)).replicas


def test_everybody_gets_what_it_wants_if_it_fits():
    """No arithmetic where there is no scarcity."""
    answer = PressurePolicy().allocate([demand("a", 2.5), demand("b", 0.0, wanted=0)], Resources(cpus=8))
    assert answer.replicas == {"a": 3, "b": 0}
    assert answer.why == {}


def test_one_in_overload_does_not_push_the_other_below_its_need():
    """The flood gets what is left; why it got no more is told with numbers."""
    answer = PressurePolicy().allocate([demand("flood", 40.0), demand("calm", 1.8)], Resources(cpus=6))
    assert answer.replicas == {"flood": 4, "calm": 2}
    assert answer.why["flood"].startswith("4 of 41 wanted: the pool is used up; 67% of it against a fair claim of 50%")


def test_a_steep_gain_does_not_push_another_below_its_fair_claim():
    """Whose objective rises by a fifth with each replica still leaves half of the pool to one that gains a twentieth."""
    assert shared([demand("steep", 4.5), demand("shallow", 0.0, wanted=20, service=None)], 6) == {
        "steep": 3,
        "shallow": 3,
    }


def test_past_its_fair_claim_the_more_useful_replica_wins():
    """Both want more than half of 6; the one nearer to its objective gains more by the odd replica."""
    assert shared([demand("far", 30.0), demand("near", 3.5)], 7) == {"far": 3, "near": 4}


def test_weights_matter():
    """Of two equal floods the one with twice the weight gets twice as much."""
    assert shared([demand("a", 30.0), demand("b", 30.0, weight=2.0)], 9) == {"a": 3, "b": 6}


def test_what_nobody_is_owed_goes_by_weight_too():
    """A heavy function that wants little leaves its claim to equal floods: the heavier one gains more by all of it."""
    demands = [demand("small", 0.5, weight=6.0), demand("a", 30.0), demand("b", 30.0, weight=2.0)]
    assert shared(demands, 8) == {"small": 1, "a": 0, "b": 7}


def test_two_replicas_that_help_only_together_are_given_together():
    """One brings a sixth and two bring all; the rival gains a third by each and gets none of the two that are free."""
    slow = times(alpha_s=0.008, beta_s=0.002)
    lumpy = demand("lumpy", 150 / CAPACITY_PER_S, wanted=2, service=slow)
    assert 0.1 < utility(lumpy, 1) < 0.2
    assert utility(lumpy, 2) == 1.0
    demands = [demand("small", 0.5, weight=6.0), lumpy, demand("rival", 0.0, wanted=3, service=None)]
    assert shared(demands, 3) == {"small": 1, "lumpy": 2, "rival": 0}


def test_a_large_claim_does_not_take_the_room_of_small_ones_that_are_due():
    """Six of eight cores are owed to the one; two are left, and the other's replica of four has to wait."""
    small = demand("small", 0.1, wanted=6, weight=5.0)
    large = demand("large", 0.9, wanted=1, claim=Resources(cpus=4))
    assert shared([small, large], 8) == {"small": 6, "large": 0}
    assert shared([small, large], 10) == {"small": 6, "large": 1}


def test_replicas_that_nobody_gains_by_stay_where_they_are():
    """All is well with one each, nine are wanted, and there are seven: the odd one stays with its holder."""
    for holder, other in (("a", "b"), ("b", "a")):
        demands = [demand(holder, 0.1, wanted=9, current=4), demand(other, 0.1, wanted=9, current=3)]
        assert shared(demands, 7) == {holder: 4, other: 3}


def test_gains_that_differ_in_their_last_bits_are_equal():
    """Two floods under unlike objectives gain alike; one core more takes from neither, whatever the rounding."""
    service = times(alpha_s=0.004)
    demands = [
        demand("f0", 0.0, wanted=0, minimum=1, weight=2.0),
        demand("f1", 9.5, wanted=5, weight=0.5, current=2, latency_s=float("inf"), service=service),
        demand("f2", 9.5, wanted=20, weight=0.5, latency_s=1.0, service=service),
    ]
    counts = [shared(demands, cpus) for cpus in range(1, 26)]
    for before, after in pairwise(counts):
        assert all(after[name] >= before[name] for name in before)


def test_a_replica_does_not_move_for_nothing():
    """Two equal floods: whoever has the odd replica keeps it, whatever the names."""
    for holder, other in (("a", "b"), ("b", "a")):
        counts = shared([demand(holder, 30.0, current=4), demand(other, 30.0, current=3)], 7)
        assert counts == {holder: 4, other: 3}


def test_a_move_has_to_pay_for_its_cold_start():
    """A gain greater by a ninth is worth a start of 1 s (5 % of a minute), not one of 12 s (12 % of two minutes)."""
    for cold_start_s, counts in ((1.0, {"a": 3, "b": 4}), (12.0, {"a": 4, "b": 3})):
        demands = [
            demand("a", 30.0, current=4, wanted=31),
            demand("b", 27.0, current=3, wanted=31, cold_start_s=cold_start_s),
        ]
        assert shared(demands, 7) == counts, cold_start_s


def test_accelerators_and_memory_count_as_well():
    """Of two accelerators each takes one; the pool's many cores do not help."""
    claim = Resources(cpus=1, gpus=1, memory_bytes=2**30)
    pool = Resources(cpus=64, gpus=2, memory_bytes=2**36)
    answer = PressurePolicy().allocate([demand("a", 3.0, claim=claim), demand("b", 3.0, claim=claim)], pool)
    assert answer.replicas == {"a": 1, "b": 1}


def test_a_claim_that_does_not_fit_leaves_the_rest_to_others():
    """Three cores left cannot hold a replica of four; they hold three of one."""
    big = demand("big", 5.0, claim=Resources(cpus=4), weight=100.0)
    assert shared([big, demand("small", 9.0)], 7) == {"big": 1, "small": 3}


def test_what_the_pool_has_none_of_is_not_given_and_disturbs_nobody():
    """An accelerator wanted of a pool without, and a function that would claim one but wants nothing."""
    gpu = Resources(cpus=1, gpus=1)
    demands = [
        demand("a", 1.5, claim=gpu),
        demand("b", 0.0, wanted=0, claim=gpu),
        demand("c", 9.0, service=None),
        demand("d", 9.0, service=None, wanted=20),
    ]
    assert shared(demands, 6) == {"a": 0, "b": 0, "c": 4, "d": 2}


def test_unknown_service_times_count_by_the_share_of_the_want():
    """A function that never ran still gets its part."""
    assert shared([demand("new", 0.0, wanted=4, service=None), demand("old", 30.0)], 4) == {"new": 2, "old": 2}


def test_wants_beyond_what_the_model_sees_are_met_if_there_is_room():
    """Utility 1 at one replica, but three wanted (a backlog, say): given while nobody gains by them."""
    assert shared([demand("a", 0.1, wanted=3), demand("b", 0.1, wanted=9)], 8) == {"a": 3, "b": 5}


def test_minima_that_exceed_the_pool_are_refused_function_by_function():
    """The message adds up who asks for what."""
    demands = [
        demand("a", 0.0, minimum=3, claim=Resources(cpus=2, memory_bytes=2**30)),
        demand("b", 0.0, minimum=2),
        demand("c", 0.0),
    ]
    with pytest.raises(ConfigurationError) as raised:
        PressurePolicy().allocate(demands, Resources(cpus=7, memory_bytes=2**33))
    message = str(raised.value)
    assert "8 cpus, 0 gpus" not in message
    assert "8 cpus, 3 GiB of 7 cpus, 8 GiB (a: 3 x (2 cpus, 1 GiB); b: 2 x (1 cpu))" in message
    assert "lower min_replicas" in message


def test_a_pool_for_many():
    """Forty functions on 64 cores: all cores are given, by weight and traffic."""
    demands = [demand(f"f{number:02}", 1.0 + number % 7, weight=1.0 + number % 3) for number in range(40)]
    counts = shared(demands, 64)
    assert sum(counts.values()) == 64
    assert counts["f02"] > counts["f00"]  # more weight, more traffic


functions = st.builds(
    lambda load, wanted, weight, minimum, current, alpha_ms, slots, cold_start_s, latency_s, is_known: {
        "load": load,
        "wanted": wanted,
        "weight": weight,
        "minimum": minimum,
        "maximum": 40,
        "current": current,
        "slots": slots,
        "cold_start_s": cold_start_s,
        "latency_s": latency_s,
        "service": times(alpha_s=alpha_ms / 1000) if is_known else None,
    },
    load=st.floats(0, 20),
    wanted=st.integers(0, 25),
    weight=st.sampled_from([0.5, 1.0, 2.0, 5.0]),
    minimum=st.integers(0, 3),
    current=st.integers(0, 12),
    alpha_ms=st.floats(0.1, 30),
    slots=st.sampled_from([1, 1, 4]),
    cold_start_s=st.floats(0, 60),
    latency_s=st.sampled_from([0.03, 0.1, 1.0, float("inf")]),
    is_known=st.booleans(),
)
crowds = st.lists(functions, min_size=1, max_size=5)
claims = st.builds(
    Resources,
    cpus=st.sampled_from([0.5, 1.0, 3.0]),
    gpus=st.sampled_from([0.0, 0.0, 0.25, 1.0]),
    memory_bytes=st.sampled_from([0, 1000]),
)
pools = st.builds(
    Resources,
    cpus=st.integers(0, 40).map(float),
    gpus=st.integers(0, 8).map(float),
    memory_bytes=st.integers(0, 30_000),
)


def crowd(options, claims_of):
    return [
        demand(f"f{number}", each["load"], **{key: value for key, value in each.items() if key != "load"}, claim=claim)
        for number, (each, claim) in enumerate(zip(options, claims_of, strict=False))
    ]


def used(demands, counts):
    total = Resources()
    for each in demands:
        total = total.plus(each.claim, counts[each.function])
    return total


@settings(max_examples=150, deadline=None)
@given(crowds, st.lists(claims, min_size=5, max_size=5), pools)
def test_within_the_pool_the_minima_and_the_wants_and_nothing_left_lying(options, claims_of, pool):
    """Whatever is asked: it fits, nobody is below its minimum or above its want, and no open want would still fit."""
    demands = crowd(options, claims_of)
    try:
        counts = PressurePolicy().allocate(demands, pool).replicas
    except ConfigurationError:
        assert not used(demands, {each.function: each.minimum for each in demands}).fits(pool)
        return
    total = used(demands, counts)
    assert total.fits(pool)
    for each in demands:
        assert each.minimum <= counts[each.function] <= max(each.wanted, each.minimum)
        assert counts[each.function] == each.ceiling or not total.plus(each.claim).fits(pool)
    assert PressurePolicy().allocate(list(reversed(demands)), pool).replicas == counts


@settings(max_examples=150, deadline=None)
@given(crowds, st.integers(0, 40))
def test_a_larger_pool_takes_nothing_away(options, cpus):
    """Of equal claims: with one core more nobody has less."""
    demands = crowd(options, [Resources(cpus=1.0)] * 5)
    cpus = max(cpus, sum(each.minimum for each in demands), 1)
    before, after = shared(demands, cpus), shared(demands, cpus + 1)
    assert all(after[name] >= count for name, count in before.items())


@settings(max_examples=150, deadline=None)
@given(crowds, st.lists(claims, min_size=5, max_size=5), pools)
def test_what_is_wanted_inside_the_fair_claim_is_given(options, claims_of, pool):
    """Unless minima of others have taken it, each gets what it wants of its weight's share of the pool."""
    demands = crowd([{**each, "minimum": 0} for each in options], claims_of)
    counts = PressurePolicy().allocate(demands, pool).replicas
    weights = sum(each.weight for each in demands if each.wanted)
    for each in demands:
        share = each.claim.largest_share_of(pool)
        owed = int(each.weight / weights / share + 1e-6) if each.wanted else 0
        assert counts[each.function] >= min(owed, each.wanted)


@settings(max_examples=150, deadline=None)
@given(crowds, st.integers(1, 20), st.integers(0, 4))
def test_more_weight_never_means_less(options, cpus, index):
    """Raising one function's weight takes none of its replicas away."""
    demands = crowd([{**each, "minimum": 0} for each in options], [Resources(cpus=1.0)] * 5)
    index %= len(demands)
    heavier = [*demands]
    heavier[index] = demand(
        f"f{index}", options[index]["load"],
        **{key: value for key, value in options[index].items() if key not in {"load", "weight", "minimum"}},
        weight=options[index]["weight"] * 3,
    )  # fmt: skip
    name = f"f{index}"
    assert shared(heavier, cpus)[name] >= shared(demands, cpus)[name]


@given(functions, st.integers(0, 12))
def test_utility_is_a_share(options, replicas):
    """In [0, 1], and 1 where there is nothing to serve."""
    each = crowd([options], [Resources(cpus=1.0)])[0]
    assert 0.0 <= utility(each, replicas) <= 1.0
    assert utility(demand("f", 0.0), replicas) == 1.0


def test_calls_at_once_serve_as_replicas_do():
    """One replica with four slots is worth four with one."""
    assert utility(demand("f", 3.0, slots=4), 1) == utility(demand("f", 3.0), 4) > utility(demand("f", 3.0), 1)


def test_utility_rises_to_one():
    """Nothing without replicas, the share carried in overload, 1 with enough."""
    overloaded = demand("f", 4.0)
    values = [utility(overloaded, replicas) for replicas in range(8)]
    assert values[0] == 0.0
    assert 0.1 < values[1] < 0.25
    assert values == sorted(values)
    assert values[-1] == 1.0
