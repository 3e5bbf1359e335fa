"""What a bad request owes its end to, and what is kept of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from desk import Desk, answer_all, on_a_loop

from sojourn.domain.event import StartsSuspended, Tick
from sojourn.domain.request import Fault
from sojourn.slo.cause import Cause
from sojourn.telemetry.explain import phases_of
from sojourn.telemetry.request_trace import TraceKind
from sojourn.telemetry.trace_store import KEPT_OF_A_KIND
from sojourn.wire.message import Done, ItemFault


def blamed(desk):
    """Bad requests by cause, of the causes there were."""
    return {cause: count for cause, count in desk.meter.snapshot().bad_by_cause.items() if count}


def latest(desk):
    """The request kept last."""
    return desk.traces.latest(None, None, 1)[0]


@on_a_loop
async def test_a_request_that_waited_for_a_replica_is_blamed_on_the_cold_start():
    """From zero: the wait until the first replica is cold, and the trace says so."""
    desk = Desk(replicas=0)
    desk.submit()
    desk.now_s += 0.5
    desk.lease(1)
    answer_all(desk, desk.links[1], 0.01)
    assert blamed(desk) == {Cause.COLD_START: 1}
    kept = latest(desk)
    assert (kept.kind, kept.cold_wait_s) == (TraceKind.SLOW, pytest.approx(0.5))


@on_a_loop
async def test_a_request_that_waited_for_a_busy_replica_is_blamed_on_queueing():
    """The replica was warm all the time: no cold wait."""
    desk = Desk(batch=1)
    desk.submit()
    desk.submit()
    answer_all(desk, desk.links[1], 0.09)
    answer_all(desk, desk.links[1], 0.05)
    assert blamed(desk) == {Cause.QUEUEING: 1}
    assert latest(desk).cold_wait_s == 0.0


@on_a_loop
async def test_a_call_that_takes_longer_than_such_calls_do_is_blamed():
    """Known to take 10 ms, it takes 300."""
    desk = Desk(batch=1)
    for _ in range(20):
        desk.submit()
        answer_all(desk, desk.links[1], 0.01)
    desk.submit()
    answer_all(desk, desk.links[1], 0.3)
    assert blamed(desk) == {Cause.SERVICE_TIME: 1}


@on_a_loop
async def test_failures_refusals_and_losses_have_their_own_causes():
    """Function errors, a full queue, no replica to be had, a replica that died and may not run it again."""
    desk = Desk(queue=1, batch=1)
    desk.submit()
    desk.submit()
    refused, _ = desk.submit()
    assert refused.heard == [(Fault.QUEUE_FULL, 0)]
    assert blamed(desk) == {Cause.REFUSED: 1}
    desk.answer(desk.links[1], [ItemFault(0, Fault.FUNCTION_RAISED, 0, "boom")])
    assert blamed(desk) == {Cause.REFUSED: 1, Cause.FUNCTION_ERROR: 1}
    desk.service.happened(StartsSuspended())
    desk.service.replica_lost(1)
    assert blamed(desk)[Cause.UNAVAILABLE] == 1
    assert latest(desk).kind is TraceKind.SHED


@on_a_loop
async def test_who_is_late_because_a_replica_died_is_blamed_on_that():
    """It ran in vain for a while, and again elsewhere."""
    desk = Desk(replicas=2, batch=1)
    desk.submit()
    desk.now_s += 0.2
    first = next(link for link in desk.links.values() if link.batches)
    other = next(link for link in desk.links.values() if link is not first)
    desk.service.replica_lost(first.replica_id)
    answer_all(desk, other, 0.01)
    assert blamed(desk) == {Cause.REPLICA_LOSS: 1}
    kept = latest(desk)
    assert (kept.losses, kept.retry_s) == (1, pytest.approx(0.2))
    assert {phase.name for phase in phases_of(kept)} >= {"retry"}


@on_a_loop
async def test_giving_up_in_the_queue_is_blamed_on_what_it_waited_for():
    """Without a replica a cold start, behind a hanging one the queue."""
    cold = Desk(replicas=0)
    cold.submit(client_timeout_s=0.5)
    cold.now_s += 0.6
    cold.service.happened(Tick())
    assert blamed(cold) == {Cause.COLD_START: 1}
    assert latest(cold).kind is TraceKind.EXPIRED
    busy = Desk(batch=1)
    busy.submit()
    busy.submit(client_timeout_s=0.5)
    busy.now_s += 0.6
    busy.service.happened(Tick())
    assert blamed(busy) == {Cause.QUEUEING: 1}


@pytest.mark.parametrize(("waited_s", "counted"), [(0.05, {}), (0.5, {Cause.QUEUEING: 1})])
@on_a_loop
async def test_clients_who_leave_count_only_after_the_deadline(waited_s, counted):
    """Before it they are counted by themselves; kept they are either way."""
    desk = Desk(batch=1)
    desk.submit()
    _, number = desk.submit()
    desk.now_s += waited_s
    desk.service.cancel(number)
    assert blamed(desk) == counted
    assert desk.meter.monitor.counts(desk.now_s, 60.0).cancelled == (not counted)
    assert latest(desk).kind is TraceKind.CANCELLED


@on_a_loop
async def test_faults_of_the_client_are_left_out_and_kept():
    """An invalid item spends no budget; whoever looks for it finds it."""
    desk = Desk()
    desk.submit()
    desk.answer(desk.links[1], [ItemFault(0, Fault.ITEM_INVALID, 0, "no number")])
    assert blamed(desk) == {}
    assert desk.meter.monitor.counts(desk.now_s, 60.0).client_faults == 1
    kept = latest(desk)
    assert (kept.kind, kept.fault, kept.within_slo, kept.cause) == (TraceKind.REJECTED, Fault.ITEM_INVALID, None, None)


@on_a_loop
async def test_who_asked_for_less_than_the_objective_is_left_out_by_itself():
    """An expiry by the client's own timeout is no fault of the client's, and spends no budget."""
    desk = Desk(batch=1)
    desk.submit()
    desk.submit(client_timeout_s=0.05)
    desk.now_s += 0.06
    desk.service.happened(Tick())
    counts = desk.meter.monitor.counts(desk.now_s, 60.0)
    assert (blamed(desk), counts.client_timeouts, counts.client_faults, counts.total) == ({}, 1, 0, 0)
    assert latest(desk).within_slo is None


@pytest.mark.parametrize(
    ("batching", "waited_s", "was_set_aside"), [("slo", 0.05, False), ("slo", 0.2, True), ("latency", 0.2, False)]
)
@on_a_loop
async def test_who_could_not_be_in_time_any_more_let_others_go_first(batching, waited_s, was_set_aside):
    """Its deadline passed in the queue: a policy that heeds it turns to those first that can still be in time."""
    desk = Desk(batch=1, batching=batching)
    desk.submit()
    _, number = desk.submit()
    answer_all(desk, desk.links[1], waited_s)
    answer_all(desk, desk.links[1], 0.3)
    kept = desk.traces.latest(None, TraceKind.SLOW, 1)[0]
    assert (number, kept.waited_s, kept.was_set_aside) == (2, pytest.approx(waited_s), was_set_aside)


@on_a_loop
async def test_one_good_request_in_a_tenth_of_a_second_is_kept():
    """At little traffic all of them; at much traffic no more than that."""
    desk = Desk(batch=1)
    for _ in range(50):
        desk.submit()
        answer_all(desk, desk.links[1], 0.01)
    kept = desk.traces.latest("f", TraceKind.SAMPLE, 100)
    assert 4 <= len(kept) <= 6
    assert all(one.within_slo for one in kept)


@on_a_loop
async def test_mates_are_the_others_of_the_batch():
    """By the names their clients were told."""
    desk = Desk(batch=4)
    desk.submit()
    callers = [desk.submit()[0] for _ in range(3)]
    answer_all(desk, desk.links[1], 0.2)
    answer_all(desk, desk.links[1], 0.01)
    kept = latest(desk)
    assert kept.batch.size == 3
    assert set(kept.batch.mates.split()) == {caller.name() for caller in callers}


@on_a_loop
async def test_without_an_objective_nothing_is_blamed_and_slow_requests_are_samples():
    """Nothing was promised; failures are kept all the same."""
    desk = Desk(slo=None)
    desk.submit()
    answer_all(desk, desk.links[1], 0.9)
    assert latest(desk).kind is TraceKind.SAMPLE
    desk.submit()
    desk.now_s += 0.01
    desk.answer(desk.links[1], [ItemFault(0, Fault.FUNCTION_RAISED, 0, "boom")])
    assert (latest(desk).kind, latest(desk).cause) == (TraceKind.FAILED, None)
    assert desk.objective == (0, 0)


@on_a_loop
async def test_who_is_late_because_a_mate_made_the_batch_raise_is_blamed_on_that():
    """The common call raised, was halved and run again: the innocent one is served late."""
    desk = Desk(batch=2)
    for _ in range(2):
        desk.submit()
    innocent, _ = desk.submit()
    desk.answer(desk.links[1])  # the first ran alone; now the other two run together
    desk.now_s += 0.15
    desk.answer(desk.links[1], [ItemFault(place, Fault.FUNCTION_RAISED, 0, "boom") for place in range(2)])
    desk.answer(desk.links[1])
    assert innocent.heard == []
    desk.answer(desk.links[1])
    assert innocent.heard == [b"r0"]
    assert blamed(desk) == {Cause.FUNCTION_ERROR: 2}
    assert latest(desk).retry_s == pytest.approx(0.15)


@on_a_loop
async def test_faults_of_clients_push_no_failure_out():
    """Each has a ring of its own; what the client was told is kept with either."""
    desk = Desk()
    for _ in range(2):
        desk.submit()
        desk.answer(desk.links[1], [ItemFault(0, Fault.FUNCTION_RAISED, 0, "ValueError at app.py:19")])
    for _ in range(KEPT_OF_A_KIND + 10):
        desk.submit()
        desk.answer(desk.links[1], [ItemFault(0, Fault.ITEM_INVALID, 0, "no number" + "!" * 999)])
    failed = desk.traces.latest("f", TraceKind.FAILED, 10)
    assert [one.message for one in failed] == ["ValueError at app.py:19"] * 2
    rejected = desk.traces.latest("f", TraceKind.REJECTED, 1000)
    assert len(rejected) == KEPT_OF_A_KIND
    assert len(rejected[0].message) == 300


@on_a_loop
async def test_who_waited_because_the_last_replica_died_is_blamed_on_the_loss():
    """Whether it was aboard or came after; the one aboard lost its run first, then waited."""
    desk = Desk(batch=2)
    aboard, _ = desk.submit()
    desk.now_s += 0.01
    desk.service.replica_lost(1)
    later, _ = desk.submit()
    desk.now_s += 0.5
    desk.lease(2)
    answer_all(desk, desk.links[2], 0.01)
    assert blamed(desk) == {Cause.REPLICA_LOSS: 2}
    names = [phase.name for phase in phases_of(desk.traces.find(aboard.name()))]
    assert names.index("retry") < names.index("cold_wait")
    assert desk.traces.find(later.name()).loss_wait_s == pytest.approx(0.5)


@on_a_loop
async def test_a_function_slower_than_its_objective_is_not_blamed_on_the_queue():
    """However long they queued: none of them would have been in time without."""
    desk = Desk(batch=1)
    for _ in range(5):
        desk.submit()
    for _ in range(5):
        answer_all(desk, desk.links[1], 0.15)
    assert blamed(desk) == {Cause.SERVICE_TIME: 5}


@on_a_loop
async def test_time_lost_on_the_way_to_the_replica_is_not_blamed_on_the_model():
    """The model took 1 ms of 200."""
    desk = Desk(batch=1)
    desk.submit()
    desk.now_s += 0.2
    batch_id, _ = desk.links[1].batches[-1]
    at_s = desk.now_s
    desk.service.batch_done(
        desk.links[1], Done(batch_id, at_s - 0.05, at_s - 0.03, at_s - 0.029, at_s, [b"r"], b"", [])
    )
    assert blamed(desk) == {Cause.OVERHEAD: 1}


@on_a_loop
async def test_a_refused_request_says_how_many_replicas_were_there():
    """One was, also for who never came to it."""
    desk = Desk(queue=1, batch=1)
    for _ in range(3):
        refused, _ = desk.submit()
    assert refused.heard == [(Fault.QUEUE_FULL, 0)]
    assert latest(desk).replicas == 1
    desk.service.refused_at_the_door(Fault.QUEUE_FULL, refused, "too many bytes")
    assert latest(desk).replicas == 1
