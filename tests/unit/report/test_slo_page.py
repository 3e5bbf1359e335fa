"""The report of objectives: whole, well-formed and true, whatever there is to draw."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from sojourn.report.slo_page import render
from sojourn.slo.alert import AlertState, Severity
from sojourn.slo.budget import Budget
from sojourn.slo.cause import Cause
from sojourn.slo.status import (
    AlertStatus,
    CauseStatus,
    FormerObjective,
    Gap,
    HistoryCell,
    HistoryState,
    HistoryStatus,
    ObjectiveStatus,
    SLOHistory,
    SLOStatus,
    WindowStatus,
)

END_S = 1_795_500_000
OBJECTIVE = ObjectiveStatus(text="99% < 50ms", latency_s=0.05, objective=0.99, window_s=86_400.0)
GAP = Gap(
    begins_at="2026-11-24T01:00:00.000Z", ends_at="2026-11-24T02:00:00.000Z", duration_s=3600.0, was_planned=False
)
CELLS = st.lists(
    st.tuples(
        st.integers(0, 10**6),
        st.floats(0, 1),
        st.floats(0, 1e4),
        st.lists(st.tuples(st.floats(1e-6, 1e6), st.integers(1, 99)), max_size=5),
    ),
    max_size=30,
)


def status_of(name, cells, objective):
    """What the API would say of these cells."""
    total, good = sum(cell.total for cell in cells), sum(cell.good for cell in cells)
    is_met = None if objective is None or not total else good / total >= objective.objective
    allowed = total * 0.01
    return SLOStatus(
        function=name,
        revision="r1",
        objective=objective,
        is_met=is_met,
        known_s=3600.0,
        total=total,
        good=good,
        client_faults=1,
        cancelled=2,
        budget=Budget(
            allowed=allowed, spent=total - good, remaining_ratio=1 - (total - good) / allowed if total else 1.0
        )
        if objective
        else None,
        windows=[
            WindowStatus(
                name="1h",
                window_s=3600.0,
                total=total,
                good=good,
                attainment=good / total if total else None,
                burn_rate=None,
            )
        ],
        alerts=[
            AlertStatus(
                rule="page-fast",
                severity=Severity.PAGE,
                state=AlertState.FIRING,
                since=None,
                long_s=1.0,
                short_s=1.0,
                factor=14.4,
            )
        ],
        causes=[CauseStatus(cause=Cause.QUEUEING, requests=3, share=1.0, sentence="100 % of bad requests <waited>")],
        gaps=[GAP],
        history=HistoryStatus(state=HistoryState.KEPT),
    )


def page_of(figures, objective=OBJECTIVE, name="digits", **more):
    """A report of cells of five minutes with (requests, share good, replica time, latencies)."""
    cells = [
        HistoryCell(
            starts_at_s=END_S - 300 * (len(figures) - number),
            duration_s=300,
            arrivals=total,
            total=total,
            good=int(total * share),
            replica_s=replica_s,
            bad_by_cause={},
            latency=sorted(latency),
        )
        for number, (total, share, replica_s, latency) in enumerate(figures)
    ]
    history = SLOHistory(
        function=name,
        objective=objective,
        begins_at_s=END_S - 300.0 * len(figures),
        ends_at_s=END_S,
        cell_s=300,
        cells=cells,
        gaps=[GAP],
    )
    return render([(structs.replace(status_of(name, cells, objective), **more), history)])


def figures_of(page):
    """The plots by their title, as trees."""
    found = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    return {tree.get("aria-label"): tree for tree in map(ET.fromstring, found)}


@given(CELLS, st.sampled_from([OBJECTIVE, None]))
def test_whatever_happened_the_page_is_whole(figures, objective):
    """Every plot is well-formed XML, nothing is drawn outside it or without a size, nothing is loaded from elsewhere."""
    page = page_of(figures, objective)
    assert page.endswith("</body></html>\n")
    assert "http" not in page.replace("http-equiv", "")
    trees = figures_of(page)
    assert len(trees) == (0 if not figures else 5 if objective else 3)
    for tree in trees.values():
        for rect in tree.iter("rect"):
            x, y, width, height = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
            assert width > 0
            assert height >= 0
            assert -1 <= x <= 921
            assert -1 <= y <= 231


def test_cells_that_missed_are_drawn_as_missed():
    """One of three."""
    page = page_of(
        [(100, 1.0, 300.0, [(0.01, 100)]), (100, 0.5, 300.0, [(0.1, 100)]), (100, 0.99, 300.0, [(0.01, 100)])]
    )
    tree = figures_of(page)["Share of requests within the objective"]
    bars = [(rect.get("class"), float(rect.get("height"))) for rect in tree.iter("rect") if rect.get("class") != "gap"]
    bars = [(kind, height) for kind, height in bars if kind.startswith("cell")]
    assert [kind for kind, _ in bars] == ["cell good", "cell good", "cell lost", "cell good", "cell lost"]
    assert bars[2][1] > 10 * bars[4][1]
    assert "Missed: 83.0 % of 300 requests" in page


def test_the_worst_is_seen_best():
    """A cell in which nothing was in time is a full column, one without requests none; a deep debt stays on the plot."""
    trees = figures_of(page_of([(1000, 0.0, 0.0, []), (0, 1.0, 0.0, []), (10, 1.0, 0.0, [])]))
    bars = [
        rect for rect in trees["Share of requests within the objective"].iter("rect") if "cell" in rect.get("class")
    ]
    assert [rect.get("class") for rect in bars] == ["cell lost", "cell good"]
    assert float(bars[0].get("height")) == pytest.approx(float(bars[1].get("height")))
    labels = [text.text for text in trees["Error budget left"].iter("text")]
    assert not any(label.startswith(("-1,", "-2", "-9")) for label in labels)
    assert "0 %" in labels


def test_the_budget_is_drawn_from_left_to_right():
    """Also in the cell under way, which ends later than now."""
    cell = HistoryCell(
        starts_at_s=END_S - 20, duration_s=60, arrivals=9, total=9, good=9, replica_s=0.0, bad_by_cause={}, latency=[]
    )
    history = SLOHistory(
        function="f", objective=OBJECTIVE, begins_at_s=END_S - 60, ends_at_s=END_S, cell_s=60, cells=[cell], gaps=[]
    )
    tree = figures_of(render([(status_of("f", [cell], OBJECTIVE), history)]))["Error budget left"]
    (line,) = [path for path in tree.iter("path") if "line" in path.get("class")]
    lefts = [float(point.split(",")[0]) for point in line.get("d")[1:].split("L")]
    assert lefts == sorted(lefts)


def line_of(tree):
    """The points of the line of a plot."""
    (line,) = [path for path in tree.iter("path") if "line" in path.get("class")]
    return [tuple(map(float, point.split(","))) for point in line.get("d")[1:].split("L")]


def test_a_cell_shows_the_budget_at_its_end_and_what_is_cut_is_said():
    """Whoever looks at a cell in which all was bad sees no whole budget in it."""
    page = page_of([(1000, 1.0, 0.0, []), (1000, 0.0, 0.0, []), (1000, 1.0, 0.0, [])])
    points = line_of(figures_of(page)["Error budget left"])
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    (falls_at,) = {x for (x, y), (_, after) in itertools.pairwise(points) if y != after}
    assert falls_at == pytest.approx(92 + (920 - 92 - 14) / 3, abs=0.1), "where the second of three cells begins"
    assert (points[0][1], points[-1][1]) == (top, bottom)
    assert "; below -100 % it is cut: -3,233 % now" in page
    assert "it is cut" not in page_of([(1000, 0.99, 0.0, [])])


@pytest.mark.parametrize(("judges_alike", "latency_is_cut"), [(True, False), (False, True)])
def test_the_line_of_an_objective_begins_with_it(judges_alike, latency_is_cut):
    """What lies before was judged by another one; a latency that stayed the same goes all the way."""
    middle = "2026-11-24T05:55:00.000Z"
    former = FormerObjective(text="9", begins_at="2026-11-24T05:50:00.000Z", ends_at=middle, judges_alike=judges_alike)
    page = page_of([(100, 0.9, 0.0, [(0.01, 100)])] * 2, former_objectives=[former])
    begins = {
        title: [float(line.get("x1")) for line in tree.iter("line") if line.get("class") == "objective"]
        for title, tree in figures_of(page).items()
    }
    half = pytest.approx(92 + (920 - 92 - 14) / 2)
    assert begins["Share of requests within the objective"] == [half]
    assert begins["Latency over time"] == [half if latency_is_cut else 92.0]
    assert begins["Error budget left"] == [92.0]
    assert "objective 99 % since 2026-11-24 05:55:00" in page
    assert ("objective 50 ms since" in page) is latency_is_cut


def test_rates_are_those_of_the_time_a_cell_covers():
    """A cell under way is as high as the others at the same traffic; one that has just begun is no thousand a second."""

    def cell(starts_s, duration_s, requests):
        return HistoryCell(
            starts_at_s=END_S - starts_s, duration_s=duration_s, arrivals=requests, total=requests, good=requests,
            replica_s=duration_s, bad_by_cause={}, latency=[],
        )  # fmt: skip

    def heights(*cells):
        history = SLOHistory(
            function="f",
            objective=OBJECTIVE,
            begins_at_s=END_S - 100,
            ends_at_s=END_S,
            cell_s=60,
            cells=list(cells),
            gaps=[],
        )
        trees = figures_of(render([(status_of("f", cells, OBJECTIVE), history)]))
        return [
            [float(rect.get("height")) for rect in trees[title].iter("rect")]
            for title in ("Requests per second over time", "Replicas over time")
        ]

    for whole, part in heights(cell(80, 60, 600), cell(20, 20, 200)):
        assert part == pytest.approx(whole)
    (whole, part), _ = heights(cell(60.01, 60, 600), cell(0.01, 0.01, 1))
    assert part < whole


def test_instants_are_told_with_the_second_they_lie_in():
    """As the event of the same instant is told."""
    alert = AlertStatus(
        rule="page-fast", severity=Severity.PAGE, state=AlertState.FIRING, since="2026-11-24T14:41:56.999Z", long_s=1.0,
        short_s=1.0, factor=14.4,
    )  # fmt: skip
    assert "since 2026-11-24 14:41:56" in page_of([(10, 1.0, 1.0, [])], alerts=[alert])


@pytest.mark.parametrize(("share", "word"), [(1.0, "Held"), (0.5, "Missed")])
def test_the_verdict(share, word):
    """In words and in colour."""
    page = page_of([(1000, share, 1.0, [])])
    assert f"{word}: " in page
    assert f'class="verdict {"met" if share == 1 else "missed"}"' in page


def test_texts_are_escaped_and_gaps_explained():
    """Names and sentences are text, not markup."""
    page = page_of([(10, 1.0, 1.0, [])], name="<script>")
    assert "<script>" not in page
    assert "bad requests &lt;waited&gt;" in page
    assert "the server was killed" in page
    assert "page-fast" in page


def test_without_functions_there_is_still_a_page():
    """An empty server."""
    assert "No function is deployed" in render([])
