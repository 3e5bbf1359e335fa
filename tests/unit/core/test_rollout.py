"""A rollout: what each event leads to, and that every wait ends."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sojourn.core.rollout import Rollout, replicas_for
from sojourn.domain.deployment import ALL_AT_ONCE, CANARY, RolloutPlan
from sojourn.domain.rollout import (
    ROLLOUT_TRANSITIONS,
    ArmCounts,
    CandidateFailed,
    CandidateWarm,
    CountsSeen,
    Fail,
    FunctionDeleted,
    Promote,
    PromoteAsked,
    ReplicaFailed,
    RollBack,
    RollbackAsked,
    RolloutBegan,
    RolloutState,
    RolloutStatus,
    RolloutTick,
    SetShare,
    Superseded,
)

PLAN = RolloutPlan(strategy=CANARY, shares=(0.05, 0.5), step_s=60.0)


def counts(total, bad=0, errors=0):
    return ArmCounts(total=total, bad=bad, errors=errors)


def shifting(plan=PLAN, **options):
    """A canary that was warm after two seconds."""
    rollout = Rollout(plan, 0.99, **options)
    assert rollout.step(RolloutBegan(), 0.0) == []
    actions = rollout.step(CandidateWarm(), 2.0)
    assert [action.share for action in actions] == [plan.shares[0]]
    return rollout


def watch(rollout, stable, candidate, *, until_s):
    """Bring the counters whenever they are wanted: per second as much as given. All that was ordered, with its time."""
    ordered = []
    while not rollout.is_over and rollout.next_wake_at_s <= until_s:
        now_s = rollout.next_wake_at_s
        seconds = round(now_s)
        seen = CountsSeen(*(counts(*(seconds * number for number in arm)) for arm in (stable, candidate)))
        ordered += [(now_s, action) for action in rollout.step(seen, now_s)]
        rollout.check(now_s)
    return ordered


def test_all_at_once_takes_all_traffic_as_soon_as_the_candidate_is_warm():
    """One order to route, one to make it the live revision."""
    rollout = Rollout(RolloutPlan(strategy=ALL_AT_ONCE), 0.99)
    rollout.step(RolloutBegan(), 10.0)
    assert rollout.status().state is RolloutState.WARMING
    actions = rollout.step(CandidateWarm(), 13.5)
    why = "the candidate is warm after 3.5 s"
    assert actions == [SetShare(1.0, why), Promote(why)]
    assert rollout.status().state is RolloutState.LIVE
    assert rollout.next_wake_at_s is None


def test_a_canary_without_a_stable_revision_has_nothing_to_be_compared_with():
    """The first revision of a function is live once it is warm."""
    rollout = Rollout(PLAN, 0.99, has_stable=False)
    rollout.step(RolloutBegan(), 0.0)
    assert [type(action) for action in rollout.step(CandidateWarm(), 1.0)] == [SetShare, Promote]


def test_a_canary_that_is_no_worse_goes_through_its_shares():
    """Each for its time, with why it went on."""
    rollout = shifting()
    ordered = watch(rollout, (190, 1, 0), (10, 0, 0), until_s=1000.0)
    assert [(at_s, type(action), getattr(action, "share", None)) for at_s, action in ordered] == [
        (62.0, SetShare, 0.5),
        (122.0, SetShare, 1.0),
        (122.0, Promote, None),
    ]
    assert "requests compared with" in ordered[0][1].why
    assert rollout.status().state is RolloutState.LIVE


def test_a_canary_that_fails_is_taken_back_with_its_evidence():
    """Its share goes to zero first; the verdict goes with the order."""
    rollout = shifting()
    ordered = watch(rollout, (19, 0, 0), (1, 1, 1), until_s=60.0)
    assert [type(action) for _, action in ordered] == [SetShare, RollBack]
    assert ordered[0][1].share == 0.0
    assert ordered[1][1].verdict.is_worse
    assert ordered[0][0] <= 6.0
    status = rollout.status()
    assert (status.state, status.share) == (RolloutState.ROLLED_BACK, 0.0)
    assert status.cause.startswith("the candidate is worse: 100.0 % of")
    assert rollout.step(PromoteAsked(), 61.0) == []  # an end is for good


def test_a_candidate_that_starts_slowly_is_not_condemned_for_its_first_requests():
    """It took 20 s to be warm: what is late in the first 25 s of a new share is not compared, what is later is."""
    for late_s, is_kept in ((25, True), (60, False)):
        rollout = Rollout(PLAN, 0.99)
        rollout.step(RolloutBegan(), 0.0)
        rollout.step(CandidateWarm(), 20.0)
        for second in range(1, 60):
            seen = CountsSeen(counts(190 * second), counts(10 * second, 10 * min(second, late_s)))
            rollout.step(seen, 20.0 + second)
            rollout.check(20.0 + second)
        assert (rollout.status().state is RolloutState.SHIFTING) is is_kept


def test_a_slow_start_takes_no_more_than_half_of_a_step_out_of_the_comparison():
    """It took 100 s to be warm: what is late all the time is seen in the second half of a step of 60 s."""
    rollout = Rollout(PLAN, 0.99)
    rollout.step(RolloutBegan(), 0.0)
    rollout.step(CandidateWarm(), 100.0)
    for second in range(1, 60):
        rollout.step(CountsSeen(counts(190 * second), counts(10 * second, 10 * second)), 100.0 + second)
        assert second > 30 or rollout.status().state is RolloutState.SHIFTING
    assert rollout.status().state is RolloutState.ROLLED_BACK


def test_each_share_is_judged_by_requests_of_its_own_and_of_both_revisions():
    """The candidate had hundreds at the share before; at this one it has one in two seconds, and the step waits."""
    rollout = shifting()
    for second in range(3, 200):
        of_candidate = 10 * min(second, 62) + max(second - 62, 0) // 2
        rollout.step(CountsSeen(counts(190 * second), counts(of_candidate)), float(second))
        rollout.check(float(second))
        if second == 130:
            assert (rollout.status().state, rollout.status().step) == (RolloutState.SHIFTING, 2)
            assert rollout.status().why.startswith("waiting for more traffic")
    assert rollout.status().state is RolloutState.LIVE


def test_with_too_little_traffic_a_step_waits_for_more_and_then_goes_on_and_says_so():
    """Three times its length at most, with traffic or without any."""
    for stable, candidate in (((20, 0, 0), (0, 0, 0)), ((0, 0, 0), (0, 0, 0))):
        rollout = shifting()
        ordered = watch(rollout, stable, candidate, until_s=1000.0)
        assert [at_s for at_s, _ in ordered] == [182.0, 362.0, 362.0]
        assert ordered[0][1].why.startswith("too little traffic to judge in this step (0 requests compared with")


def test_while_it_waits_for_more_traffic_it_says_so():
    """The step's time is up, its share stays."""
    rollout = shifting()
    assert watch(rollout, (20, 0, 0), (0, 0, 0), until_s=100.0) == []
    assert rollout.status().why.startswith("waiting for more traffic")
    assert rollout.status().step_ends_s == 62.0


def test_a_candidate_that_cannot_be_started_fails_without_having_had_a_request():
    """The cause is that of its replicas."""
    rollout = Rollout(PLAN, 0.99)
    rollout.step(RolloutBegan(), 0.0)
    cause = "the candidate does not start: ImportError: no module named torch"
    assert rollout.step(CandidateFailed("ImportError: no module named torch"), 5.0) == [Fail(cause)]
    assert rollout.status().state is RolloutState.FAILED


def test_a_candidate_that_does_not_become_warm_in_time_fails():
    """The machine wakes up for that by itself."""
    rollout = Rollout(PLAN, 0.99, warm_limit_s=90.0)
    rollout.step(RolloutBegan(), 10.0)
    assert rollout.next_wake_at_s == 100.0
    (action,) = rollout.step(RolloutTick(), 100.0)
    assert isinstance(action, Fail)
    assert "not warm within 90 s" in action.cause


def test_a_crash_loop_of_the_candidate_takes_it_back_at_once():
    """No counts are waited for."""
    actions = shifting().step(CandidateFailed("exit code 1"), 9.0)
    assert actions[0] == SetShare(0.0, "replicas of the candidate fail one after the other: exit code 1")
    assert isinstance(actions[1], RollBack)


def test_three_failing_replicas_take_it_back_unless_those_of_the_stable_revision_fail_as_often():
    """One that dies may be chance, and what kills both is not the candidate's fault."""
    rollout = shifting()
    for second, is_candidate in enumerate((True, True, False, True, False, True), start=3):
        assert rollout.step(ReplicaFailed(is_candidate, "killed"), float(second)) == []
    actions = rollout.step(ReplicaFailed(is_candidate=True, cause="out of memory"), 20.0)
    assert isinstance(actions[1], RollBack)
    assert actions[1].cause.endswith("the last: out of memory")
    assert actions[1].verdict is None


def test_replicas_of_the_stable_revision_that_failed_before_excuse_nothing():
    """What is counted is how many more of the candidate's failed, and never less than none."""
    rollout = shifting()
    for is_candidate in (False, False, False, False, True, True):
        assert rollout.step(ReplicaFailed(is_candidate, "killed"), 9.0) == []
    assert [type(action) for action in rollout.step(ReplicaFailed(True, "killed"), 9.0)] == [SetShare, RollBack]


def test_an_operator_promotes_now_or_as_soon_as_it_is_warm():
    """While it warms up the wish is remembered."""
    assert [type(action) for action in shifting().step(PromoteAsked(), 9.0)] == [SetShare, Promote]
    early = Rollout(PLAN, 0.99)
    early.step(RolloutBegan(), 0.0)
    assert early.step(PromoteAsked(), 1.0) == []
    assert early.next_share == 1.0
    assert [type(action) for action in early.step(CandidateWarm(), 2.0)] == [SetShare, Promote]


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        (RollbackAsked(), "an operator rolled it back"),
        (Superseded("0123456789ab"), "revision 0123456789ab was deployed meanwhile"),
    ],
)
def test_what_ends_a_rollout_early(event, cause):
    """With a share of the traffic it is rolled back, before that it has failed."""
    assert shifting().step(event, 9.0) == [SetShare(0.0, cause), RollBack(cause)]
    warming = Rollout(PLAN, 0.99)
    warming.step(RolloutBegan(), 0.0)
    assert warming.step(event, 1.0) == [Fail(cause)]


def test_a_deleted_function_ends_it():
    """There is nothing to go back to."""
    assert shifting().step(FunctionDeleted(), 9.0) == [Fail("the function was deleted")]


def test_the_candidate_has_replicas_for_its_next_share_one_step_ahead():
    """So that a share is not raised before there is something to serve it."""
    rollout = Rollout(PLAN, 0.99)
    assert rollout.next_share == 0.05
    rollout.step(RolloutBegan(), 0.0)
    rollout.step(CandidateWarm(), 1.0)
    assert rollout.next_share == 0.5
    watch(rollout, (190, 0, 0), (10, 0, 0), until_s=70.0)
    assert rollout.next_share == 1.0


@pytest.mark.parametrize(
    ("share", "stable", "replicas"),
    [(0.05, 20, 5), (0.25, 20, 10), (0.25, 1, 1), (1.0, 7, 7), (0.5, 0, 1), (0.0, 9, 1)],
)
def test_small_shares_need_more_than_their_part_of_the_replicas(share, stable, replicas):
    """The square root of the share, rounded up; one at least."""
    assert replicas_for(share, stable) == replicas


def test_a_status_is_plain_data():
    """It goes through JSON and comes back the same."""
    rollout = shifting()
    watch(rollout, (19, 0, 0), (1, 1, 1), until_s=60.0)
    status = rollout.status()
    assert msgspec.json.decode(msgspec.json.encode(status), type=RolloutStatus) == status


def test_no_state_is_left_that_is_an_end_and_all_are_reached():
    """The table of the life cycle: three ends, each reachable."""
    ends = {RolloutState.LIVE, RolloutState.ROLLED_BACK, RolloutState.FAILED}
    assert ends.isdisjoint(state for state, _ in ROLLOUT_TRANSITIONS)
    assert set(ROLLOUT_TRANSITIONS.values()) | {RolloutState.WARMING} == set(RolloutState)


events = st.one_of(
    st.sampled_from(
        [
            CandidateWarm(),
            CandidateFailed("no"),
            ReplicaFailed(is_candidate=True),
            ReplicaFailed(is_candidate=False),
            PromoteAsked(),
            RollbackAsked(),
            FunctionDeleted(),
            Superseded("0123456789ab"),
            RolloutTick(),
            RolloutBegan(),
        ]
    ),
    st.tuples(st.integers(0, 99), st.integers(0, 99)).map(
        lambda bad: CountsSeen(counts(99, bad[0]), counts(99, bad[1]))
    ),
)


@example(
    happenings=[(CandidateWarm(), 1.6727224991962686)], plan=PLAN, has_stable=True
)  # a step's end that rounding moves
@given(
    st.lists(st.tuples(events, st.floats(0.0, 50.0)), max_size=20),
    st.sampled_from([PLAN, RolloutPlan(), RolloutPlan(strategy=CANARY, shares=(0.5,), step_s=0.5)]),
    st.booleans(),
)
def test_whatever_happens_it_ends_in_bounded_time_and_in_one_way(happenings, plan, has_stable):
    """Invariants after every step; left alone, it ends by its wake-ups; one end is ordered, once."""
    rollout = Rollout(plan, 0.99, has_stable=has_stable)
    now_s, ordered = 0.0, [*rollout.step(RolloutBegan(), 0.0)]
    for event, later_s in happenings:
        now_s += later_s
        wake_at_s = rollout.next_wake_at_s
        if wake_at_s is not None and wake_at_s <= now_s:  # a driver does not sleep past a wake-up
            now_s = wake_at_s
        ordered += rollout.step(event, now_s)
        rollout.check(now_s)
    left_s = 600.0 + 3 * plan.step_s * len(plan.shares) + len(plan.shares)
    give_up_at_s = now_s + left_s + 1.0
    while (wake_at_s := rollout.next_wake_at_s) is not None:
        assert wake_at_s <= give_up_at_s
        now_s = wake_at_s
        ordered += rollout.step(RolloutTick(), now_s)
        rollout.check(now_s)
    assert rollout.is_over
    assert [type(action) for action in ordered if not isinstance(action, SetShare)].count(Promote) <= 1
    assert sum(isinstance(action, Promote | RollBack | Fail) for action in ordered) == 1
    assert isinstance(ordered[-1], Promote | RollBack | Fail)
