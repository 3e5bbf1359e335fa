"""The report of a simulated run: well-formed, self-contained, escaped, and true, whatever there is to draw."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.report.plot import HEIGHT_PX, WIDTH_PX
from sojourn.report.sim_chart import attainment_chart, replica_chart
from sojourn.report.sim_page import render
from sojourn.report.sim_series import FUNCTION_HEADS, Course, FunctionReport, SimReport, Stretch, joined, together

COUNTS = st.integers(0, 10**6)
STRETCHES = st.lists(
    st.builds(
        Stretch,
        arrivals=COUNTS,
        good=COUNTS,
        late=COUNTS,
        lost=COUNTS,
        latency=st.lists(st.tuples(st.floats(1e-6, 1e5), st.integers(1, 99)), max_size=4).map(sorted),
        batches=st.integers(0, 50),
        items=COUNTS,
        queued_max=st.none() | COUNTS,
        ready=st.none() | st.floats(0, 1e4),
        living=st.integers(0, 10**4),
        starts=st.integers(0, 100),
        demand=st.floats(0, 1e6),
    ),
    max_size=60,
)


def function(name="digits", *, course=None, objective=0.99, is_met=True):
    return FunctionReport(
        name=name,
        slo="99% < 50ms" if objective else None,
        objective_s=0.05 if objective else None,
        objective=objective,
        is_met=is_met,
        verdict_text="<b>well</b>",
        numbers=[[("sent", "1 < 2")], []],
        row=[name, *("x" for _ in FUNCTION_HEADS[1:])],
        course=course,
        full_batch=32,
        batch_sizes={1: 5, 32: 1},
        decisions=[(1.5, "0 -> 1: it <began>")],
    )


def report(*functions, total=None):
    return SimReport(
        title="<script>",
        subtitle="s",
        verdict="met",
        verdict_text="v",
        remarks=["interrupted & partial"],
        numbers=[[("a", "b")]],
        functions=functions,
        total=total,
    )


def plots(page):
    """The plots by their title, as trees."""
    return {tree.get("aria-label"): tree for tree in map(ET.fromstring, re.findall(r"<svg.*?</svg>", page, re.DOTALL))}


@settings(max_examples=60)
@given(STRETCHES, st.floats(1e-3, 1e6), st.sampled_from([0.99, None]), st.floats(0, 0.99))
def test_whatever_happened_the_page_is_whole(stretches, stretch_s, objective, transient):
    """Every plot is well-formed, nothing in it is drawn outside or without a size, nothing is loaded from elsewhere."""
    duration_s = stretch_s * max(len(stretches), 1)
    course = Course(stretch_s=stretch_s, stretches=stretches, duration_s=duration_s, transient_s=transient * duration_s)
    page = render(report(function(course=course, objective=objective)))
    assert "http" not in page
    assert "<script" not in page
    assert "nan" not in page
    trees = plots(page)
    assert ("Share within the objective" in trees) is (bool(stretches) and objective is not None)
    for tree in trees.values():
        for rect in tree.iter("rect"):
            x, y, width, height = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
            assert width >= 0
            assert height >= 0
            assert -1 <= x <= WIDTH_PX
            assert -1 <= y <= y + height <= HEIGHT_PX
        for path in tree.iter("path"):
            numbers = [float(text) for text in re.findall(r"-?\d+\.?\d*", path.attrib["d"])]
            assert all(0 <= number <= WIDTH_PX for number in numbers[::2])
            assert all(0 <= number <= HEIGHT_PX for number in numbers[1::2])


def test_texts_are_escaped_and_remarks_shown():
    """Names, verdicts, numbers and reasons are text, not markup."""
    course = Course(stretch_s=1.0, stretches=[Stretch(arrivals=1, good=1)], duration_s=1.0)
    page = render(report(function("<i>", course=course), function("other")))
    assert "<i>" not in page
    assert "<b>" not in page
    assert "it &lt;began&gt;" in page
    assert "interrupted &amp; partial" in page


def test_stretches_that_missed_are_drawn_as_missed():
    """One of three; one without requests has no bar; the transient is not what the axis is made for."""
    course = Course(
        stretch_s=1.0,
        duration_s=4.0,
        stretches=[Stretch(lost=9, good=1), Stretch(good=100), Stretch(), Stretch(good=95, late=5)],
        transient_s=1.0,
    )
    tree = ET.fromstring(attainment_chart(course, 0.99))  # noqa: S314 - our own text
    kinds = [rect.get("class") for rect in tree.iter("rect")]
    assert kinds == ["transient", "cell lost", "cell good", "cell lost"]
    labels = [text.text for text in tree.iter("text") if text.text.endswith("%")]
    assert min(float(label[:-1]) for label in labels) > 50


def test_what_was_not_looked_at_is_held():
    """Ready replicas are known at reports only: between them the last number stands."""
    stretches = [Stretch(ready=2.0, living=2), Stretch(living=2), Stretch(ready=1.0, living=1)]
    course = Course(stretch_s=1.0, stretches=stretches, duration_s=3.0)
    svg = replica_chart(course)
    ready = re.search(r'class="line p50" d="([^"]*)"', svg)[1]
    heights = [float(pair.split()[1]) for pair in ready[1:].split("L")]
    assert heights[0] == heights[1] == heights[2] == heights[3] < heights[4]


def test_functions_at_one_time_add_up_and_stretches_in_a_row_do_not():
    """Replicas of two functions are a sum, those of two stretches the larger number."""
    one, other = Stretch(arrivals=3, living=2, ready=1.0, queued_max=5), Stretch(arrivals=4, living=3, queued_max=7)
    side = joined([one, other], in_a_row=False)
    assert (side.arrivals, side.living, side.ready, side.queued_max) == (7, 5, 1.0, 12)
    row = joined([one, other], in_a_row=True)
    assert (row.arrivals, row.living, row.ready, row.queued_max) == (7, 3, 1.0, 7)


def test_courses_of_different_stretches_are_brought_together():
    """At the longer ones; nothing is lost."""
    fine = Course(stretch_s=1.0, stretches=[Stretch(arrivals=number, living=1) for number in range(5)], duration_s=5.0)
    coarse = Course(stretch_s=2.0, stretches=[Stretch(arrivals=10, living=2)] * 2, duration_s=5.0)
    total = together([fine, coarse])
    assert total.stretch_s == 2.0
    assert [stretch.arrivals for stretch in total.stretches] == [11, 15, 4]
    assert [stretch.living for stretch in total.stretches] == [3, 3, 1]


@pytest.mark.parametrize(("arrivals", "count"), [(100, 200), (10, 50), (1, 25)])
def test_few_requests_are_drawn_in_long_stretches(arrivals, count):
    """So that a p99 of each says something; never fewer than two dozen."""
    course = Course(stretch_s=1.0, stretches=[Stretch(arrivals=arrivals)] * 200, duration_s=200.0)
    readable = course.readable()
    assert len(readable.stretches) == count
    assert sum(stretch.arrivals for stretch in readable.stretches) == 200 * arrivals


def test_quantiles_of_a_stretch():
    """Nearest rank over its counted latencies; none without any."""
    stretch = Stretch(latency=[(0.01, 98), (0.5, 2)])
    assert (stretch.latency_s(0.5), stretch.latency_s(0.98), stretch.latency_s(0.99)) == (0.01, 0.01, 0.5)
    assert Stretch().latency_s(0.5) is None
    assert msgspec.structs.replace(stretch, batches=2, items=5).batch_size_mean == 2.5


@pytest.mark.parametrize(
    ("duration_s", "unit"), [(300.0, "seconds"), (3600.0, "minutes"), (86_400.0, "hours"), (14 * 86_400.0, "days")]
)
def test_the_axis_of_time_has_the_unit_that_suits(duration_s, unit):
    """Ticks are round in it, whatever the length of the run."""
    course = Course(stretch_s=duration_s / 4, stretches=[Stretch(living=1)] * 4, duration_s=duration_s)
    texts = [text.text for text in ET.fromstring(replica_chart(course)).iter("text")]  # noqa: S314 - our own text
    assert f"{unit} since the start" in texts
