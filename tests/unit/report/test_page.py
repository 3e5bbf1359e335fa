"""The report page and its plots: well-formed, self-contained, escaped, and showing what happened."""

import re
from random import Random
from xml.etree import ElementTree as ET

import pytest

from sojourn.domain.request import Outcome
from sojourn.report.chart import batch_chart, batch_histogram, latency_chart, rate_chart
from sojourn.report.page import RunReport, render
from sojourn.report.plot import HEIGHT_PX, WIDTH_PX
from sojourn.report.series import RunSeries, intervals_of
from sojourn.workload.arrivals import poisson


def series(count=500, duration_s=10.0, outcome=Outcome.SERVED, latency_s=0.02, batch=8):
    times_s = list(poisson(count / duration_s, duration_s, Random(1))) if count else []
    return RunSeries(
        arrival_at_s=times_s,
        latency_s=[latency_s] * len(times_s),
        outcome=[outcome] * len(times_s),
        batch_size=[batch] * len(times_s),
        duration_s=duration_s,
    )


def charts(run, objective_s=0.05):
    intervals = intervals_of(run, objective_s)
    return [
        latency_chart(run, intervals, objective_s),
        rate_chart(run, intervals),
        batch_chart(run, intervals),
        batch_histogram(run),
    ]


SHAPES = {
    "usual": series(),
    "nothing sent": series(count=0),
    "one request": RunSeries(
        arrival_at_s=[0.0], latency_s=[0.001], outcome=[Outcome.SERVED], batch_size=[1], duration_s=0.1
    ),
    "nothing served": series(outcome=Outcome.FAILED, batch=0),
    "hours": series(duration_s=20_000.0),
    "large batches": series(batch=1000),
    "microseconds": series(latency_s=3e-6),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("objective_s", [0.05, None])
def test_every_plot_is_well_formed_and_inside_its_frame(name, objective_s):
    """Each is one XML element without NaN, and no coordinate of a path leaves the picture."""
    for svg in charts(SHAPES[name], objective_s):
        root = ET.fromstring(svg)  # noqa: S314 - our own text
        assert root.tag == "svg"
        assert "nan" not in svg.lower().replace("finance", "")
        assert "inf" not in re.sub(r"<title>.*?</title>", "", svg)
        for path in root.iter("path"):
            numbers = [float(text) for text in re.findall(r"-?\d+\.?\d*", path.attrib["d"].replace("h0", ""))]
            assert all(0 <= number <= WIDTH_PX for number in numbers[::2])
            assert all(0 <= number <= HEIGHT_PX for number in numbers[1::2])


def test_each_outcome_has_its_own_dots():
    """Within, late and not served are told apart, and only if they occurred."""
    run = RunSeries(
        arrival_at_s=[1.0, 2.0, 3.0],
        latency_s=[0.01, 0.2, 0.001],
        outcome=[Outcome.SERVED, Outcome.SERVED, Outcome.SHED],
        batch_size=[1, 1, 0],
        duration_s=4.0,
    )
    svg = charts(run)[0]
    assert [kind for kind in ("good", "late", "lost") if f"dots {kind}" in svg] == ["good", "late", "lost"]
    assert "dots late" not in charts(series())[0]


def test_a_million_requests_make_a_small_picture():
    """Dots that would hide one another are drawn once, so the file stays small."""
    rng = Random(3)
    count = 100_000
    run = RunSeries(
        arrival_at_s=[number / 1000 for number in range(count)],
        latency_s=[rng.random() / 10 for _ in range(count)],
        outcome=[Outcome.SERVED] * count,
        batch_size=[1 + number % 64 for number in range(count)],
        duration_s=100.0,
    )
    assert sum(len(svg) for svg in charts(run)) < 600_000


def test_a_line_pauses_where_nothing_was_served():
    """Two stretches of served requests with silence between: the p50 line has two pieces."""
    run = RunSeries(
        arrival_at_s=[number / 100 for number in (*range(100), *range(300, 400))],
        latency_s=[0.01] * 200,
        outcome=[Outcome.SERVED] * 200,
        batch_size=[1] * 200,
        duration_s=4.0,
    )
    line = re.search(r'class="line p50" d="([^"]*)"', charts(run)[0])[1]
    assert line.count("M") == 2


def report(**changes):
    fields = {
        "title": "Load on <server> & co",
        "subtitle": "10 requests",
        "verdict": "met",
        "verdict_text": "Objective 99% < 50ms was met.",
        "numbers": [[("latency p50", "20 ms")], [("sent", "<script>alert(1)</script>")]],
        "objective_s": 0.05,
        "series": series(),
    }
    return render(RunReport(**(fields | changes)))


def test_the_page_is_one_file_that_needs_no_network_and_no_script():
    """No address, import, script or event handler anywhere; the document parses as XML after its doctype."""
    page = report()
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script|<link|<img|\son\w+=", page)
    body = ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))  # noqa: S314 - our own text
    assert len(list(body.iter("svg"))) == 4


def test_texts_are_escaped():
    """Whatever stands in a URL or a label is shown, not run."""
    page = report()
    assert "Load on &lt;server&gt; &amp; co" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_without_batches_there_are_no_batch_plots():
    """A server that tells nothing of batches gets a report of latency and rate alone."""
    assert report(series=series(batch=0)).count("<svg") == 2


def test_the_key_names_each_line_once_and_the_objective():
    """The objective stands in the key, where no curve can run over it."""
    page = report()
    key = re.search(r"<figcaption>(.*?)</figcaption>", page)[1]
    texts = re.findall(r"</span>([^<]+)", key)
    assert texts[3:] == ["p50 per 1 s", "p99 per 1 s", "objective 50 ms"]
    assert "objective 50 ms" not in re.search(r"<svg.*?</svg>", page)[0]
    assert "objective" not in re.search(r"<figcaption>(.*?)</figcaption>", report(objective_s=None))[1]


def test_long_tick_labels_do_not_reach_the_title():
    """Six digits and their comma end right of the rotated title, at about seven pixels a character."""
    svg = rate_chart(SHAPES["usual"], intervals_of(series(count=200_000, duration_s=1.0), 0.05))
    root = ET.fromstring(svg)  # noqa: S314 - our own text
    ticks = [text for text in root.iter("text") if text.attrib.get("text-anchor") == "end"]
    left_px = min(float(text.attrib["x"]) - 7 * len(text.text) for text in ticks)
    title_px = next(
        float(re.search(r"translate\((\d+)", text.attrib["transform"])[1])
        for text in root.iter("text")
        if "transform" in text.attrib
    )
    assert max(len(text.text) for text in ticks) >= 7
    assert left_px > title_px + 4
