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


def test_another_target_is_told_but_changes_no_verdict_on_a_request():
    """Its latency was the same: all were answered within it."""
    alike = structs.replace(FORMER, judges_alike=True)
    assert verdict_of(with_(former_objectives=[alike])) == verdict_of(STATUS)
    (told,) = [
        note for note in notes(former_objectives=[alike]) if note.startswith("from A to B the objective was 99% <")
    ]
    assert "its latency was the same" in told


def test_windows_of_whole_minutes_are_told_where_that_matters():
    """A minute more is much of five, and nothing of six hours."""
    windows = [
        structs.replace(STATUS.windows[0], window_s=window_s, grain_s=60) for window_s in (300.0, 3600.0, 21_600.0)
    ]
    assert (
        "windows that begin before this server did (5 min, 1 h) are made of whole minutes: they may reach back up to 60 s "
        "further" in notes(windows=windows)
    )
    assert not any("whole minutes" in note for note in notes(windows=[structs.replace(windows[0], grain_s=10)]))


def test_each_reason_to_leave_a_request_out_is_told_by_itself():
    """One of a kind is one request."""
    assert "left out: 1 request whose client asked for less time than the objective" in notes(
        client_faults=0, cancelled=0, client_timeouts=1
    )
    (told,) = [note for note in notes(client_timeouts=3) if note.startswith("left out")]
    assert told.endswith(
        "1 whose client left within the objective, 3 whose client asked for less time than the objective"
    )
    assert any(note.startswith("1 request not ended yet, but past the objective") for note in notes(overdue=1))


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


def test_a_server_that_keeps_no_history_says_so():
    """Whether it was asked to keep none or is one that never does."""
    (told,) = [note for note in notes(history=HistoryStatus(state=HistoryState.OFF)) if note.startswith("history")]
    assert (
        told
        == "history is kept in memory only: this server keeps none (`sojourn dev`, or --port 0 without --state-dir)"
    )


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


def test_an_alert_that_goes_on_says_why():
    """Until when it waits, that it stems from another objective, and that nothing burns where nothing came."""
    alert = AlertStatus(
        rule="page-fast", severity=Severity.PAGE, state=AlertState.FIRING, since="A", long_s=3600.0, short_s=300.0,
        factor=14.4, long_burn=0.56, clear_since="B", resolved_at="C", is_of_former_objective=True,
    )  # fmt: skip
    assert alert_text(alert, str) == (
        "(page) since A: budget burns at 0.56x over 1 h, no requests in the last 5 min, limit 14.4x; its condition has not "
        "held since B, and it is resolved if that stays so until C; it began under the former objective"
    )
    idle = structs.replace(alert, long_burn=None, clear_since=None, is_of_former_objective=False)
    assert alert_text(idle, str) == "(page) since A: no requests in the last 1 h, limit 14.4x"


def test_large_figures_are_written_out():
    """No powers of ten for people."""
    assert burn_text(1000.4) == "1,000x"
    assert percent_left(-8123.4) == "spent 8,124 times over"
