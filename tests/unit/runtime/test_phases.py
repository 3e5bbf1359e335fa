"""The phases of a latency add up to it, also where it ended badly, and the header tells the same."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from desk import Desk, Listener, answer_all, on_a_loop
from hypothesis import given
from hypothesis import strategies as st

from sojourn.domain.event import Tick
from sojourn.domain.objective import SLO
from sojourn.domain.request import Fault
from sojourn.telemetry.explain import phases_of
from sojourn.telemetry.request_trace import TraceKind
from sojourn.wire.message import Done, ItemFault


@on_a_loop
async def test_latency_ends_when_each_answer_is_handed_over():
    """The last of a batch waits for the others to be written; its phases add up all the same."""
    desk = Desk(batch=4, slo=SLO(1e-6))
    desk.submit()
    for _ in range(4):
        desk.submit()
    answer_all(desk, desk.links[1], 0.01)
    desk.look_s = 0.001
    answer_all(desk, desk.links[1], 0.01)
    kept = desk.traces.latest("f", TraceKind.SLOW, 4)
    assert len(kept) == 4
    assert max(one.latency_s for one in kept) - min(one.latency_s for one in kept) >= 0.003
    for one in kept:
        assert sum(phase.duration_s for phase in phases_of(one)) == pytest.approx(one.latency_s)


GAPS_S = st.lists(st.floats(0, 2), min_size=6, max_size=6)


@given(GAPS_S, st.booleans(), st.booleans())
def test_phases_add_up_to_the_latency(gaps_s, is_cold, is_retried):
    """Whatever the instants: none is negative, their sum is the latency, and the header tells the same."""

    @on_a_loop
    async def story():
        desk = Desk(replicas=0 if is_cold else 2, batch=1, slo=SLO(1e-4))
        caller = Listener()
        if not is_cold:  # both replicas are busy when it comes
            desk.submit()
            desk.submit()
        desk.service.submit(caller, b"1", 0, 1, None)
        desk.now_s += min(gaps_s[0], 0.4)
        if is_cold:
            desk.lease(1)
        else:
            desk.answer(desk.links[1])
            if is_retried:
                desk.now_s += min(gaps_s[1], 0.1)
                desk.service.replica_lost(1)
                desk.answer(desk.links[2])
        link = next(link for link in desk.links.values() if link.batches and link.replica_id in desk.service.links)
        batch_id, size = link.batches[-1]
        stamps = [desk.now_s]
        for gap_s in gaps_s[2:]:
            stamps.append(stamps[-1] + gap_s / 10)
        desk.now_s = stamps[-1] + gaps_s[5]
        desk.service.batch_done(link, Done(batch_id, *stamps[1:5], [b"r"] * size, b"", []))
        if not caller.heard:
            return  # its time was up before: nothing was served
        kept = next((one for one in desk.traces.latest(None, None, 9) if one.request_id == caller.name()), None)
        if kept is None:
            assert caller.timing, "only a good one that comes too soon after another is not kept"
            return
        phases = phases_of(kept)
        assert all(phase.duration_s >= 0 for phase in phases)
        assert sum(phase.duration_s for phase in phases) == pytest.approx(kept.latency_s, abs=1e-9)
        if caller.timing:
            told = [float(text) / 1e3 for text in re.findall(rb"dur=([0-9.]+)", caller.timing)]
            assert sum(told) == pytest.approx(kept.latency_s, abs=len(told) * 0.51e-6)

    story()


def timed(caller):
    """The phases its Server-Timing tells, in seconds."""
    return {name: float(ms) / 1e3 for name, ms in re.findall(r"(\w+);dur=([\d.]+)", caller.timing.decode())}


@on_a_loop
async def test_answers_that_fail_tell_their_phases_too():
    """They add up to the latency: raised, given up in the queue, given up in the model; not what never was taken in."""
    desk = Desk(batch=1, queue=2)
    raised, _ = desk.submit()
    queued, _ = desk.submit(client_timeout_s=0.5)
    desk.submit()
    refused, _ = desk.submit()
    assert (refused.heard, refused.timing) == ([(Fault.QUEUE_FULL, 0)], b"")
    desk.now_s += 0.6
    desk.service.happened(Tick())
    assert timed(queued) == {"queue": pytest.approx(0.6)}
    at_s, (batch_id, _) = desk.now_s, desk.links[1].batches[-1]
    faults = [ItemFault(0, Fault.FUNCTION_RAISED, 0, "boom")]
    desk.service.batch_done(desk.links[1], Done(batch_id, at_s - 0.3, at_s - 0.2, at_s - 0.1, at_s, [b""], b"", faults))
    assert timed(raised)["service"] == pytest.approx(0.1)
    assert sum(timed(raised).values()) == pytest.approx(0.6)
    hanging, _ = desk.submit(client_timeout_s=0.5)
    answer_all(desk, desk.links[1])
    desk.now_s += 0.6
    desk.service.happened(Tick())
    assert timed(hanging) == {"queue": pytest.approx(0.0), "service": pytest.approx(0.6)}
