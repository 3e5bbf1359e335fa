"""Bars and texts of `slo show` and `trace`: they never say more than is so, and stay within their width."""

from __future__ import annotations

import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sojourn.cli.function_table import clock_text, function_table, instant_text
from sojourn.cli.slo_text import budget_bar, overview_of
from sojourn.cli.trace import _COLUMNS
from sojourn.cli.waterfall import bar_of, waterfall_of
from sojourn.domain.request import Outcome
from sojourn.report.slo_words import long_text, percent_left
from sojourn.slo.alert import AlertState, Severity
from sojourn.slo.budget import Budget
from sojourn.slo.cause import Cause
from sojourn.slo.status import (
    AlertStatus,
    CauseStatus,
    HistoryState,
    HistoryStatus,
    ObjectiveStatus,
    SLOStatus,
    WindowStatus,
)
from sojourn.telemetry.request_trace import BatchTrace, Phase, RequestTrace, TraceKind, TraceSummary


@given(st.floats(-1e6, 1), st.integers(2, 60))
def test_a_bar_is_empty_only_if_nothing_is_left_and_full_only_if_all_is(remaining, width):
    """And always as wide as it should be."""
    bar = budget_bar(remaining, width, is_plain=True)
    assert len(bar) == width
    assert ("#" in bar) == (remaining > 0)
    assert ("-" in bar) == (remaining < 1)


@pytest.mark.parametrize(
    ("remaining", "text"),
    [
        (1.0, "100 % left"),
        (0.256, "25.6 % left"),
        (0.0, "0 % left"),
        (-0.5, "overspent by 50 %"),
        (-2.0, "spent 3 times over"),
    ],
)
def test_what_is_left(remaining, text):
    """Small overspending in percent, large in multiples."""
    assert percent_left(remaining) == text


@pytest.mark.parametrize(
    ("value_s", "text"), [(5.0, "5 s"), (90.0, "1.5 min"), (7200.0, "2 h"), (3.2 * 86_400, "3.2 d")]
)
def test_long_durations(value_s, text):
    """The unit that suits them."""
    assert long_text(value_s) == text


PHASES = st.lists(st.floats(1e-6, 10), min_size=1, max_size=10)


@given(PHASES, st.integers(5, 120))
def test_bars_of_phases_stay_in_their_line_and_in_their_order(lengths_s, width):
    """None is invisible, none begins before the one it follows."""
    phases, at_s = [], 0.0
    for length_s in lengths_s:
        phases.append(Phase(name="queue", begins_s=at_s, duration_s=length_s))
        at_s += length_s
    bars = [bar_of(phase, at_s, width) for phase in phases]
    assert all(length >= 1 and begin + length <= width for begin, length in bars)
    assert [begin for begin, _ in bars] == sorted(begin for begin, _ in bars)


@pytest.mark.parametrize("width", [50, 80, 200])
@pytest.mark.parametrize("is_plain", [True, False])
def test_a_waterfall_fits_its_terminal(width, is_plain):
    """Every line, also with many mates and the objective marked."""
    told = RequestTrace(
        request_id="r1", function="f", revision="abc", trace_id="0" * 32, span_id="1" * 16, parent_span_id=None,
        kind=TraceKind.SLOW, outcome=Outcome.SERVED, code=None, arrived_at="2026-01-31T12:00:00.250Z", latency_s=0.3,
        objective_s=0.1, within_slo=False, cause=None, ahead=3, replicas=1, losses=0,
        phases=[Phase(name="queue", begins_s=0.0, duration_s=0.2), Phase(name="service", begins_s=0.2, duration_s=0.1)],
        batch=BatchTrace(batch_id=1, replica_id=2, size=9, held_s=0.0, mates=["m1", "m2"]),
    )  # fmt: skip
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(waterfall_of(told, width, is_plain=is_plain))
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    queue = next(line for line in lines if line.startswith("queue"))
    service = next(line for line in lines if line.startswith("service"))
    bar = "#" if is_plain else "█"
    assert queue.rindex(bar) < service.index(bar)
    assert queue.count(bar) == pytest.approx(2 * service.count(bar), abs=2)
    assert any("objective 100 ms" in line for line in lines)
    refused = msgspec.structs.replace(told, phases=[], batch=None)
    console.print(waterfall_of(refused, width, is_plain=is_plain))
    assert "\n\n\n" not in console.file.getvalue()  # without bars there is one blank line, not two


def status_of(name, objective="99.9% < 250ms over 7d", *, is_firing=True):
    """A function in trouble."""
    rules = ("page-fast", "page-slow", "ticket-fast", "ticket-slow")
    return SLOStatus(
        function=name, revision="r", is_met=False, known_s=3600.0, total=1000, good=123, client_faults=0, cancelled=0,
        objective=ObjectiveStatus(text=objective, latency_s=0.25, objective=0.999, window_s=7 * 86_400.0),
        budget=Budget(allowed=1.0, spent=877, remaining_ratio=-8123.4),
        windows=[WindowStatus(name="1h", window_s=1.0, total=1, good=1, attainment=0.5, burn_rate=1234.5)],
        alerts=[
            AlertStatus(
                rule=rule, severity=Severity.PAGE, state=AlertState.FIRING if is_firing else AlertState.INACTIVE,
                since=None, long_s=1.0, short_s=1.0, factor=1.0,
            )
            for rule in rules
        ],
        causes=[CauseStatus(cause=Cause.QUEUEING, requests=3, share=0.62, sentence="62 % of bad requests waited")],
        gaps=[], history=HistoryStatus(state=HistoryState.KEPT),
    )  # fmt: skip


def printed(what, width):
    """The lines in a terminal of this width, without what only fills them up."""
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(what)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_an_overview_cuts_neither_names_nor_figures(width):
    """The words go below where they have no room; the least budget comes first."""
    lines = printed(overview_of([status_of("tokens-of-many-things"), status_of("b")], width, is_plain=True), width)
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    for line, name in zip(lines[1:3], ("tokens-of-many-things", "b"), strict=True):
        for wanted in (name, "12.3 %", "1,234x", "spent 8,124 times over"):
            assert wanted in line
        assert ("99.9% < 250ms over 7d" in line) is (width > 80)
    said = " ".join(lines)
    assert "page-fast, page-slow, ticket-fast, ticket-slow" in said
    assert "62 % of bad requests waited" in said
    assert ("mostly" in lines[0]) is (width == 200)


def test_a_name_as_long_as_can_be_goes_on_in_the_next_line():
    """All of it can be read."""
    name = "n" * 30 + "m" * 33
    lines = printed(overview_of([status_of(name, is_firing=False)], 80, is_plain=True), 80)
    assert "".join(line.split(" ")[0] for line in lines[1:] if line[0] in "nm")[:63] == name
    assert "spent 8,124 times over" in lines[1]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_list_of_requests_cuts_neither_ids_nor_times(width):
    """What it has no room for it leaves out: why it was kept, the cause, the function."""
    one = TraceSummary(
        request_id="c4ebbd608a14-132456", function="recommendations-for-customers", kind=TraceKind.REJECTED,
        outcome=Outcome.FAILED, code="function_raised", arrived_at="2026-01-31T12:00:00.250Z", latency_s=0.1234,
        cause=Cause.FUNCTION_ERROR,
    )  # fmt: skip
    lines = printed(function_table(width, _COLUMNS, [one], has_whole_names=True), width)
    assert len(lines) == 2
    for wanted in ("c4ebbd608a14-132456", ":00:00", "123 ms", "function_raised"):
        assert wanted in lines[1]
    assert "…" not in lines[1]
    assert ("rejected" in lines[1]) is (width == 120)


@pytest.mark.parametrize(
    ("at", "told"), [("2026-01-31T14:41:56.999Z", ":41:56"), ("2026-01-31T14:41:56.000Z", ":41:56"), ("odd", "odd")]
)
def test_instants_are_told_with_the_second_they_lie_in(at, told):
    """So that nothing is shown later than it happened, and an alert and its event have the same time."""
    assert clock_text(at).endswith(told)
    assert instant_text(at).endswith(told)
