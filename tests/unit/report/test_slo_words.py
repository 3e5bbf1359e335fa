"""What is said of objectives: each sentence true word by word."""

from __future__ import annotations

import pytest
from msgspec import structs

from sojourn.report.slo_words import alert_text, alerts_told, burn_text, notes_of, percent_left, verdict_of
from sojourn.slo.alert import AlertState, Severity
from sojourn.slo.status import (
    AlertStatus,
    FormerObjective,
    Gap,
    HistoryState,
    HistoryStatus,
    ObjectiveStatus,
    SLOStatus,
    WindowQuantiles,
    WindowStatus,
)

FORMER = FormerObjective(text="99% < 100ms", begins_at="A", ends_at="B")
STATUS = SLOStatus(
    function="f",
    revision="r",
    objective=ObjectiveStatus(text="99.9% < 300us", latency_s=0.0003, objective=0.999, window_s=7 * 86_400.0),
    is_met=False,
    known_s=3600.0,
    total=3344,
    good=3338,
    client_faults=2,
    cancelled=1,
    budget=None,
    windows=[WindowStatus(name="6h", window_s=21_600.0, total=0, good=0, attainment=None, burn_rate=None)],
    alerts=[],
    causes=[],
    gaps=[],
    history=HistoryStatus(state=HistoryState.KEPT),
)


def with_(**changed):
    """The same with some fields replaced."""
    return structs.replace(STATUS, **changed)


def test_what_was_judged_by_another_objective_is_not_said_to_have_met_this_one():
    """Only without a former objective the latency of today is named."""
    assert verdict_of(STATUS) == (
        "missed", "99.82 % of 3,344 requests were answered within 300 µs; 99.9 % are promised",
    )  # fmt: skip
    kind, said = verdict_of(with_(former_objectives=[FORMER]))
    assert (kind, said) == ("missed", "99.82 % of 3,344 requests met the objective of their time; 99.9 % are promised")
    assert "requests from A to B were judged by the objective of then: 99% < 100ms" in notes(former_objectives=[FORMER])


def notes(**changed):
    """The notes, with instants as they are."""
    return list(notes_of(with_(**changed), str))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "before B there was no objective: requests of that time do not count"),
        (None, "did not keep by which objective"),
    ],
)
def test_times_without_a_known_objective(text, said):
    """Either nothing was promised, or an earlier version did not keep what."""
    former = FormerObjective(text=text, begins_at="A", ends_at="B")
    assert any(said in note for note in notes(former_objectives=[former]))


def test_without_an_objective_served_requests_are_told():
    """Nothing can be held or missed."""
    window = structs.replace(STATUS.windows[0], latency_s=WindowQuantiles(served=40, p50=0.1))
    status = with_(objective=None, is_met=None, total=0, good=0, windows=[window])
    assert verdict_of(status) == ("none", "no objective: nothing is promised; 40 requests served in the last 6 h")
    assert not any("known so far" in note for note in notes_of(status, str))
    assert "no request served" in verdict_of(with_(objective=None, total=0))[1]


def test_notes_tell_what_is_not_known_and_what_cannot_be_met():
    """Gaps by their reason, the known part of the window, what is left out, an objective out of reach."""
    killed = Gap(begins_at="A", ends_at="B", duration_s=13.4, was_planned=False)
    told = notes(gaps=[killed, structs.replace(killed, was_planned=True)], infeasible="one item takes 81 ms")
    assert told == [
        "the objective cannot be met: one item takes 81 ms",
        "left out: 2 requests with a fault of the client's, 1 whose client left within the objective",
        "nothing is known from A to B (13.4 s): the server was killed, and with it went what it had counted last",
        "the server was stopped from A to B (13.4 s)",
        "known so far: 1 h of 7 d",
    ]


def test_of_many_gaps_the_last_are_told():
    """And how many there were before."""
    gap = Gap(begins_at="A", ends_at="B", duration_s=13.4, was_planned=True)
    told = notes(gaps=[gap] * 7, gaps_left_out=1000)
    assert "the server was stopped or killed 1,002 more times before" in told
    assert len([note for note in told if note.startswith("the server was stopped from")]) == 5


def test_alerts_are_told_with_their_figures():
    """Since when, how fast the budget burns over which windows, and the limit."""
    alert = AlertStatus(
        rule="page-fast", severity=Severity.PAGE, state=AlertState.FIRING, since="A", long_s=840.0, short_s=70.0,
        factor=14.4, long_burn=1234.5, short_burn=20.0,
    )  # fmt: skip
    assert alerts_told(with_(alerts=[alert, structs.replace(alert, state=AlertState.INACTIVE)])) == [alert]
    assert (
        alert_text(alert, str) == "(page) since A: budget burns at 1,234x and 20x over 14 min and 1.17 min, limit 14.4x"
    )


def test_large_figures_are_written_out():
    """No powers of ten for people."""
    assert burn_text(1000.4) == "1,000x"
    assert percent_left(-8123.4) == "spent 8,124 times over"
