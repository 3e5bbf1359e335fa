"""The Prometheus page, read back by the official parsers."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from sojourn.domain.replica import ReplicaState
from sojourn.domain.request import Outcome
from sojourn.domain.trace_context import own_ids
from sojourn.slo.cause import Cause
from sojourn.telemetry.edges import common_edges_s
from sojourn.telemetry.exposition import RefusalCollector, render
from sojourn.telemetry.meter import FunctionMeter
from sojourn.telemetry.status import FunctionSnapshot, ObjectiveSnapshot

READERS = [("text/plain", read_text), ("application/openmetrics-text; version=1.0.0", read_openmetrics)]


def snapshots():
    """Two functions after a little traffic."""
    found = []
    for function, latency_s in (("digits", 0.08), ("sums", 0.2)):
        meter = FunctionMeter(function, "r1", common_edges_s([0.1]))
        meter.served(latency_s, 0.01, 100.0, None if latency_s <= 0.1 else Cause.QUEUEING)
        meter.ended(Outcome.SHED, 100.0, Cause.REFUSED)
        meter.batch_done(3, 0.05, 100.0)
        meter.cold_start(1.5, 0.5, 0.5, 0.25)
        snapshot = FunctionSnapshot(
            meter=meter.snapshot(),
            queue_depth=7,
            queue_depth_late=2,
            replicas={ReplicaState.READY: 2},
            replica_seconds=12.5,
            scaling_decisions={"policy": 3, "scale_command": 1},
        )
        found.append(snapshot)
    return found


def samples(page, reader):
    """What a parser reads: value by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in reader(page.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(("accept", "reader"), READERS)
def test_every_family_is_read_back_with_its_values(accept, reader):
    """Counters, gauges and histograms arrive with the labels and numbers that were measured."""
    page, content_type = render(snapshots(), accept)
    assert content_type.startswith(accept.partition(";")[0])
    values = samples(page, reader)
    digits = (("function", "digits"), ("revision", "r1"))

    def value(name, **labels):
        return values[(name, *sorted([*digits, *labels.items()]))]

    assert value("sojourn_requests_total", outcome="served") == 1
    assert value("sojourn_requests_total", outcome="shed") == 1
    assert value("sojourn_requests_total", outcome="cancelled") == 0
    assert value("sojourn_slo_good_total") == 1
    assert value("sojourn_slo_events_total") == 2
    assert value("sojourn_replica_seconds_total") == 12.5
    assert value("sojourn_cold_starts_total") == 1
    assert value("sojourn_queue_depth") == 7
    assert value("sojourn_queue_depth_late") == 2
    assert values["sojourn_scaling_decisions_total", ("cause", "policy"), ("function", "digits")] == 3
    assert values["sojourn_scaling_decisions_total", ("cause", "scale_command"), ("function", "sums")] == 1
    assert value("sojourn_replicas", state="ready") == 2
    assert value("sojourn_replicas", state="starting") == 0
    assert value("sojourn_request_duration_seconds_bucket", le="0.1") == 1
    assert value("sojourn_request_duration_seconds_bucket", le="0.075") == 0
    assert value("sojourn_request_duration_seconds_bucket", le="+Inf") == 1
    assert value("sojourn_request_duration_seconds_count") == 1
    assert value("sojourn_request_duration_seconds_sum") == pytest.approx(0.08)
    assert value("sojourn_queue_wait_seconds_sum") == pytest.approx(0.01)
    assert value("sojourn_service_time_seconds_sum") == pytest.approx(0.05)
    assert value("sojourn_batch_size_bucket", le="4.0") == 1
    assert value("sojourn_batch_size_bucket", le="2.0") == 0
    assert value("sojourn_cold_start_seconds_sum", phase="total") == pytest.approx(1.5)
    assert value("sojourn_cold_start_seconds_sum", phase="import") == pytest.approx(0.5)


@pytest.mark.parametrize(("accept", "reader"), READERS)
def test_both_functions_share_one_family(accept, reader):
    """No family is announced twice, whatever the number of functions."""
    names = [family.name for family in reader(render(snapshots(), accept)[0].decode())]
    assert len(names) == len(set(names))
    assert len([name for name in names if name.startswith("sojourn_")]) == 21


@pytest.mark.parametrize(("accept", "reader"), READERS)
def test_without_functions_the_page_is_still_valid(accept, reader):
    """An empty server can be scraped."""
    assert samples(render([], accept)[0], reader) == {}


def test_unknown_accept_header_gets_the_text_format():
    """A browser sees something, and so does a scraper that says nothing."""
    for accept in ("", "*/*", "text/html", "\x00;;q=x"):
        assert render([], accept)[1].startswith("text/plain")


def test_help_says_what_a_time_begins_and_ends_with():
    """Whoever adds the two up must know what lies between them."""
    about = {family.name: family.documentation for family in read_text(render(snapshots(), "")[0].decode())}
    assert "from arrival to dispatch" in about["sojourn_queue_wait_seconds"]
    assert "model call alone" in about["sojourn_service_time_seconds"]


def test_exemplars_are_where_the_format_has_a_place_for_them():
    """OpenMetrics carries the trace of a request in its bucket; the text format goes without."""
    found = snapshots()
    meter = FunctionMeter("digits", "r1", common_edges_s([0.1]), offset_s=1_000.0)
    meter.served(0.08, 0.01, 100.0)
    meter.exemplify(0.08, "request-1", None, 100.0)
    found[0] = FunctionSnapshot(meter=meter.snapshot())
    page = render(found, READERS[1][0])[0].decode()
    exemplars = [
        (sample.labels["le"], sample.exemplar)
        for family in read_openmetrics(page)
        for sample in family.samples
        if sample.exemplar is not None
    ]
    ((edge, exemplar),) = exemplars
    assert (edge, exemplar.value, float(exemplar.timestamp)) == ("0.1", 0.08, 1_100.0)
    assert exemplar.labels == {"trace_id": own_ids("request-1")[0]}
    assert "trace_id" not in render(found, "text/plain")[0].decode()


@pytest.mark.parametrize(("accept", "reader"), READERS)
def test_an_objective_is_shown_with_all_it_has(accept, reader):
    """What is promised, what is left, how fast it burns, what fires, and what spent it."""
    meter = FunctionMeter("digits", "r1", common_edges_s([0.1]))
    for _ in range(3):
        meter.served(0.08, 0.01, 100.0)
    meter.served(0.2, 0.01, 100.0, Cause.COLD_START)
    slo = ObjectiveSnapshot(
        latency_s=0.1, objective=0.9, window_s=3600.0, budget_remaining=-1.5, burn_rates={"5m": 2.5},
        alerts={("page-fast", "page"): True, ("ticket-slow", "ticket"): False},
    )  # fmt: skip
    cells = [cell.packed for cell in meter.monitor.fine_cells(101.0, 300.0)]
    values = samples(
        render([FunctionSnapshot(meter=meter.snapshot(), slo=slo, latency_cells=cells)], accept)[0], reader
    )

    def value(name, **labels):
        return values[(name, *sorted([("function", "digits"), ("revision", "r1"), *labels.items()]))]

    assert value("sojourn_slo_objective_ratio") == 0.9
    assert value("sojourn_slo_latency_seconds") == 0.1
    assert value("sojourn_error_budget_remaining_ratio") == -1.5
    assert value("sojourn_burn_rate", window="5m") == 2.5
    assert value("sojourn_slo_alert_firing", rule="page-fast", severity="page") == 1
    assert value("sojourn_slo_alert_firing", rule="ticket-slow", severity="ticket") == 0
    assert value("sojourn_slo_bad_total", cause="cold_start") == 1
    assert value("sojourn_slo_bad_total", cause="queueing") == 0
    assert value("sojourn_request_duration_quantile_seconds", p="0.5") == pytest.approx(0.08, rel=0.011)
    assert value("sojourn_request_duration_quantile_seconds", p="0.99") == pytest.approx(0.2, rel=0.011)
    assert value("sojourn_request_duration_seconds_bucket", le="0.1") == 3, "the objective is an edge"


@pytest.mark.parametrize(("accept", "reader"), READERS)
def test_refusals_of_the_gateway_are_shown_by_code(accept, reader):
    """Beside the functions' families, also while there are none."""
    page, _ = render([], accept, also=[RefusalCollector({"malformed": 3, "too_slow": 1})])
    assert samples(page, reader) == {
        ("sojourn_gateway_refusals_total", ("code", "malformed")): 3,
        ("sojourn_gateway_refusals_total", ("code", "too_slow")): 1,
    }
