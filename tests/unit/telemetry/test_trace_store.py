"""Kept requests: bounded by kind, found by id, the latest first; and told in order and in words."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.domain.request import Fault, Outcome
from sojourn.domain.trace_context import TraceContext
from sojourn.slo.cause import Cause
from sojourn.telemetry.explain import phases_of, trace_of
from sojourn.telemetry.request_trace import TraceKind
from sojourn.telemetry.trace_store import (
    KEPT_OF_A_KIND,
    MATE_CHARACTERS,
    MATES_KEPT,
    SAMPLES_KEPT,
    KeptBatch,
    KeptRequest,
    TraceStore,
)


def kept(request_id, kind=TraceKind.SLOW, at_s=0.0, function="f", **more):
    """A request that was slow unless said otherwise."""
    figures = {
        "revision": "r", "trace": None, "outcome": Outcome.SERVED, "fault": None, "cause": Cause.QUEUEING,
        "within_slo": False, "objective_s": 0.1, "admission_s": 0.0, "waited_s": 0.2, "cold_wait_s": 0.0,
        "retry_s": 0.0, "latency_s": 0.3, "losses": 0, "ahead": 5, "replicas": 1, "batch": None,
    }  # fmt: skip
    return KeptRequest(request_id=request_id, kind=kind, arrived_at_s=at_s, function=function, **{**figures, **more})


@given(st.lists(st.tuples(st.sampled_from(TraceKind), st.integers(0, 300), st.sampled_from("fg")), max_size=900))
def test_the_store_is_bounded_and_finds_what_it_holds(arrivals):
    """Whatever comes, also ids that come again: by function and kind the last ones, each found by its id."""
    store = TraceStore()
    for at, (kind, number, function) in enumerate(arrivals):
        store.keep(kept(f"r{number}", kind, float(at), function))
    listed = store.latest(None, None, 10_000)
    assert [one.arrived_at_s for one in listed] == sorted((one.arrived_at_s for one in listed), reverse=True)
    for function in "fg":
        for kind in TraceKind:
            wanted = [at for at, one in enumerate(arrivals) if one[0] is kind and one[2] == function]
            room = SAMPLES_KEPT if kind is TraceKind.SAMPLE else KEPT_OF_A_KIND
            found = store.latest(function, kind, 10_000)
            assert [one.arrived_at_s for one in found] == [float(at) for at in wanted[-room:][::-1]]
    for one in listed:
        found = store.find(one.request_id)
        assert found is not None
        assert found.arrived_at_s >= one.arrived_at_s
    assert set(store._by_id) == {one.request_id for one in listed}


def told(**more):
    """The sentences of a request."""
    return trace_of(kept("r", **more), trace_id="t", span_id="s", arrived_at="", events=()).sentences


RAN = KeptBatch(1, 1, 4, 0.2, 0.2, 0.21, 0.22, 0.28, 0.29, expected_s=0.03)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({}, "Served in 300 ms, past the objective of 100 ms."),
        ({"latency_s": 0.05, "within_slo": True}, "within the objective"),
        ({"objective_s": None}, "the function has no objective"),
        ({"outcome": Outcome.SHED, "fault": Fault.OVERLOADED}, "Ended as shed (overloaded) after 300 ms."),
        ({"cold_wait_s": 0.2}, "No replica was ready for 200 ms of that."),
        ({"retry_s": 0.2, "losses": 2}, "2 replicas died with it"),
        ({"retry_s": 0.2}, "its batch failed and was split"),
        ({"batch": KeptBatch(1, 1, 4, 0.0, 0.2)}, "the batch was held 200 ms for more items"),
        ({"batch": KeptBatch(1, 1, 4, 0.2, 0.2)}, "for a busy replica; 5 requests were in flight"),
        (
            {"batch": KeptBatch(1, 1, 4, 0.2, 0.2), "ahead": 1, "was_set_aside": True},
            "busy replica: once it could not be in time any more, requests that could went first; 1 request was in flight",
        ),
        ({"ahead": 1, "replicas": 1}, "; 1 request was in flight when it came, 1 replica was ready when it ended."),
        ({"ahead": 0, "replicas": 2}, "; 0 requests were in flight when it came, 2 replicas were ready when it ended."),
        (
            {"outcome": Outcome.EXPIRED, "fault": Fault.TIMEOUT, "within_slo": None, "latency_s": 0.05},
            "Its client had asked for an answer in less than the objective of 100 ms: so it is left out.",
        ),
        (
            {"outcome": Outcome.CANCELLED, "fault": Fault.CLIENT_GONE, "within_slo": None, "latency_s": 0.05},
            "Its client left within the objective of 100 ms: so it is left out.",
        ),
        (
            {"outcome": Outcome.FAILED, "fault": Fault.ITEM_INVALID, "within_slo": None},
            "That is a fault of the client's: it is left out of the objective of 100 ms.",
        ),
        (
            {"cause": Cause.SERVICE_TIME, "batch": KeptBatch(1, 1, 4, 0.2, 0.2)},
            "Its run, in a batch of 4, took 100 ms.",
        ),
        (
            {"cause": Cause.SERVICE_TIME, "batch": RAN, "objective_s": 0.02},
            "took 100 ms, 60 ms of it in the model; 30 ms was expected, more than the objective of 20 ms allows.",
        ),
        (
            {"cause": Cause.OVERHEAD, "batch": RAN},
            "took 100 ms, 60 ms of it in the model; 30 ms was expected.",
        ),
        ({"cold_wait_s": 0.2, "loss_wait_s": 0.2}, "No replica was ready for 200 ms of that: the last one had died."),
        ({"losses": 1, "retry_s": 0.001}, "1 ms went into runs that came to nothing: 1 replica died with it."),
        ({"message": "boom at app.py:19"}, "Its client was told: boom at app.py:19"),
        (
            {"outcome": Outcome.CANCELLED, "fault": Fault.CLIENT_GONE, "within_slo": False},
            "Its client left after 300 ms, past the objective of 100 ms: that counts as bad.",
        ),
    ],
)
def test_where_the_time_went_is_said_in_words(figures, said):
    """What took a good part of it, and why."""
    assert any(said in sentence for sentence in told(**figures))


def test_a_run_nothing_is_known_of_is_still_part_of_the_latency():
    """Its replica was written off: what is not waiting was service."""
    lengths = {phase.name: phase.duration_s for phase in phases_of(kept("r", waited_s=0.1, latency_s=0.3))}
    assert lengths == {"queue": pytest.approx(0.1), "service": pytest.approx(0.2)}


def test_a_run_that_was_lost_comes_before_the_wait_for_another_replica():
    """The order of the waterfall is that of the request's life."""
    names = [one.name for one in phases_of(kept("r", retry_s=0.05, cold_wait_s=0.1, losses=1, loss_wait_s=0.1))]
    assert names.index("retry") < names.index("cold_wait")
    names = [one.name for one in phases_of(kept("r", retry_s=0.05, cold_wait_s=0.1, losses=1))]
    assert names.index("cold_wait") < names.index("retry")


def test_all_that_is_kept_of_a_function_leaves_room_for_its_counts():
    """Every kind full, each in a batch of its own, with the longest ids and messages: with 0.93 MB of counts below 2 MB."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    store = TraceStore()
    for number in range(150 * len(TraceKind)):
        figure_s = number * 0.1
        mates = " ".join(f"{number}-{mate}-".ljust(MATE_CHARACTERS, "x") for mate in range(MATES_KEPT))
        waits = dict.fromkeys(("admission_s", "cold_wait_s"), figure_s)
        store.keep(
            kept(
                f"{number}".ljust(128, "x"),
                list(TraceKind)[number % len(TraceKind)],
                figure_s + 1,
                trace=TraceContext(f"{number:032x}", "b" * 16, f"{number:016x}", "01"),
                waited_s=figure_s + 2,
                latency_s=figure_s + 3,
                batch=KeptBatch(number, 1, 64, *(figure_s + at for at in range(6)), mates),
                message=f"{number}".ljust(300, "m"),
                **waits,
            )
        )
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken < 1_050_000


def test_the_others_of_a_batch_are_told_by_the_beginning_of_their_ids():
    """And the request itself is none of them, however long its id is."""
    own = "a" * 100
    one = kept(own, batch=KeptBatch(1, 1, 3, 0.0, 0.2, mates=f"{own[:MATE_CHARACTERS]} b c"))
    batch = trace_of(one, trace_id="t", span_id="s", arrived_at="", events=()).batch
    assert batch.mates == ["b", "c"]
