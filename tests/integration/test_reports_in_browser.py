"""The reports in a real browser: no error on the console, nothing loaded from elsewhere, readable in light and dark."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from browser import PATIENCE_S, Browser, reason_to_skip
from server import Server

from sojourn.cli.main import run
from sojourn.domain.request import Outcome
from sojourn.report.page import RunReport, render
from sojourn.report.series import RunSeries

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "there is a browser")

APP = """
import sojourn

@sojourn.function(slo="99% < 500ms over 1h", min_replicas=1)
def echo(items: list[int]) -> list[int]:
    return items
"""

# What a reader sees. Text must lie in its plot, labels of an axis must not touch, and all of it must stand out.
FACTS = """
(() => {
  const rgb = text => text.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const linear = [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const paper = rgb(getComputedStyle(document.body).backgroundColor);
  const outside = [], touching = [], faint = [];
  for (const svg of document.querySelectorAll('svg')) {
    const frame = svg.getBoundingClientRect(), boxes = [];
    for (const text of svg.querySelectorAll('text')) {
      const box = text.getBoundingClientRect(), said = svg.getAttribute('aria-label') + ': ' + text.textContent;
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        outside.push(said);
      for (const [other, name] of boxes)
        if (box.left < other.right && other.left < box.right && box.top + 3 < other.bottom && other.top + 3 < box.bottom)
          touching.push(said + ' / ' + name);
      boxes.push([box, text.textContent]);
      if (contrast(rgb(getComputedStyle(text).fill), paper) < 4.5) faint.push(said);
    }
  }
  for (const element of document.querySelectorAll('h1, h2, p, td, th, figcaption, footer, .verdict, a'))
    if (contrast(rgb(getComputedStyle(element).color), paper) < 4.5) faint.push(element.textContent);
  const marks = [...document.querySelectorAll('svg path, svg rect')].filter(one => {
    const style = getComputedStyle(one), box = one.getBoundingClientRect();
    return ['rgb(0, 0, 0)', 'none'].includes(style.fill) && style.stroke === 'none' && box.width > 3;
  }).map(one => one.getAttribute('class'));
  return {title: document.title, plots: document.querySelectorAll('svg').length, outside, touching, faint, unstyled: marks,
    keys: [...document.querySelectorAll('.key')].filter(one => getComputedStyle(one).backgroundColor === 'rgba(0, 0, 0, 0)' &&
      getComputedStyle(one).borderTopStyle === 'none').map(one => one.className),
    overflows: document.documentElement.scrollWidth > document.documentElement.clientWidth, paper};
})()
"""


@pytest.fixture(scope="module")
def browser():
    with Browser() as one:
        yield one


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A load report and a page of objectives, as commands write them from a real server."""
    directory = tmp_path_factory.mktemp("live")
    with Server(directory, APP) as server:
        url = f"{server.inference.geturl()}/functions/echo"
        loaded = ["load", url, "--rate", "200", "--duration", "1", "--body", "1", "--slo", "500ms", "--late-share", "1"]
        _sojourn(directory, *loaded, "--html", "load.html")
        _sojourn(directory, "slo", "show", "echo", "--admin-url", server.admin.geturl(), "--html", "slo.html")
    return directory


def _sojourn(directory, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "sojourn.cli.main", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode in {0, 3}, done.stderr


def written_by_simulate(path, *arguments):
    """A report that `sojourn simulate` writes; whether the objective was held is not the matter."""
    assert run(["simulate", *arguments, "--html", str(path), "--json"]) in {0, 1, 3}
    return path


def judge(browser, path, *, plots):
    """Open a page light, dark and on a telephone, and hold it to all that is promised."""
    for is_dark, width in ((False, 1060), (True, 1060), (False, 390)):
        opened = browser.open(path, facts=FACTS, is_dark=is_dark, width=width)
        facts = opened.facts
        assert opened.complaints == []
        assert opened.requests == [path.resolve().as_uri()]  # it refers to nothing outside itself
        assert facts["plots"] == plots
        for kind in ("outside", "touching", "faint", "unstyled", "keys"):
            assert facts[kind] == [], (kind, is_dark, width)
        assert not facts["overflows"]
        assert (sum(facts["paper"][:3]) < 150) is is_dark


# ---- is the judge awake?


@pytest.mark.parametrize(
    ("inside", "told"),
    [
        ("<script>undefinedFunction();</script>", "undefinedFunction is not defined"),
        ("<script>console.error('alas')</script>", "alas"),
        ("<img src='missing.png'>", "ERR_FILE_NOT_FOUND"),
        ("<link rel='stylesheet' href='missing.css'>", "ERR_FILE_NOT_FOUND"),
        ("<svg viewBox='0 0 9 9'><path d='M1 nan'/></svg>", "Expected number"),
        ("<svg viewBox='0 0 9 9'><rect width='-3' height='2'/></svg>", "negative value"),
    ],
)
def test_a_page_with_a_fault_is_noticed(browser, tmp_path, inside, told):
    """Scripts that fail, files that are missing, shapes that cannot be drawn: the browser complains, and we hear it."""
    path = tmp_path / "bad.html"
    path.write_text(f"<!DOCTYPE html><html><body>{inside}</body></html>")
    assert told in " ".join(browser.open(path).complaints)


def test_a_page_that_cannot_be_read_is_noticed(browser, tmp_path):
    """Text outside its plot, over other text, or in the colour of the paper; a reference to another place."""
    path = tmp_path / "unreadable.html"
    text = "<text x='{}' y='30' style='fill:{}'>words</text>"
    path.write_text(
        "<!DOCTYPE html><html><body style='background:#fff'><svg viewBox='0 0 100 50' width='100' height='50' "
        f"aria-label='plot'>{text.format(95, '#000')}{text.format(5, '#000')}{text.format(7, '#eee')}"
        "<rect class='forgotten' width='9' height='9'/></svg>"
        "<span class='key nothing'></span><div style='width:3000px'>x</div><img src='other.svg'></body></html>"
    )
    opened = browser.open(path, facts=FACTS)
    assert opened.facts["outside"] == ["plot: words"]
    assert opened.facts["touching"] == ["plot: words / words"]
    assert opened.facts["faint"] == ["plot: words"]
    assert opened.facts["unstyled"] == ["forgotten"]
    assert opened.facts["keys"] == ["key nothing"]
    assert opened.facts["overflows"]
    assert len(opened.requests) == 2


# ---- the reports


MODEL = ("--model", "0.0005,0.005,0.1", "--slo", "50ms")
SIMULATED = {
    "one function": (8, (*MODEL, "--rate", "400", "--duration", "4", "--cold-start", "1s")),
    "transient": (8, (*MODEL, "--rate", "300", "--duration", "4", "--transient", "1s", "--cold-start", "500ms")),
    "nothing promised": (7, ("--model", "0.001,0.01", "--rate", "50", "--duration", "5")),
    "overload": (8, (*MODEL, "--rate", "3000", "--duration", "2", "--max-replicas", "1")),
    "hours": (8, (*MODEL, "--rate", "0.05", "--duration", "200m", "--cold-start", "30s")),
    "a single request": (8, (*MODEL, "--arrivals", "constant", "--rate", "1", "--duration", "1")),
    "nothing sent": (6, (*MODEL, "--arrivals", "constant", "--rate", "1", "--duration", "2", "--transient", "1.5")),
    "unbatched": (
        8,
        ("--model", "0.00001,0.00001", "--slo", "1ms", "--max-batch-size", "1", "--rate", "500", "--duration", "4"),
    ),
    "many replicas": (
        8,
        ("--model", "0.1,0.5", "--slo", "2s", "--rate", "100", "--duration", "3", "--replicas", "120"),
    ),
}


@pytest.mark.parametrize("name", SIMULATED)
def test_a_simulated_run(browser, tmp_path, capsys, name):
    """From microseconds to hours, from one request to overload: all plots are there and can be read."""
    plots, arguments = SIMULATED[name]
    path = written_by_simulate(tmp_path / "simulated.html", *arguments)
    capsys.readouterr()
    judge(browser, path, plots=plots)


def test_a_simulated_run_of_many_functions(browser, tmp_path, capsys):
    """A trace with twelve functions: a table of all, a section for the ten with the most traffic."""
    rng = Random(7)
    rows = ["t_s,function"]
    rows += [f"{at / 20:.3f},fn-{min(int(rng.expovariate(0.3)), 11)}" for at in range(1200)]
    rows += [f"60.{number:02},fn-{number}" for number in range(12)]
    trace = tmp_path / "trace.csv"
    trace.write_text("\n".join(rows) + "\n")
    path = written_by_simulate(tmp_path / "many.html", *MODEL, "--arrivals", f"trace:{trace}", "--cold-start", "500ms")
    told = json.loads(capsys.readouterr().out)
    assert len(told["functions"]) == 12
    judge(browser, path, plots=2 + 10 * 8)
    facts = browser.open(
        path, facts="document.querySelectorAll('.wide tr').length + ' ' + document.querySelectorAll('section').length"
    )
    assert facts.facts == "13 10"


def test_a_page_of_load_and_a_page_of_objectives(browser, live):
    """What `sojourn load` and `sojourn slo show` write of a real server."""
    judge(browser, live / "load.html", plots=4)
    judge(browser, live / "slo.html", plots=5)


@pytest.mark.parametrize("kind", ["usual", "all lost", "nothing"])
def test_the_page_of_a_run(browser, tmp_path, kind):
    """The page that load and demo write, whatever there is to show; names are text, not markup."""
    rng = Random(3)
    count = 0 if kind == "nothing" else 2000
    series = RunSeries(
        arrival_at_s=[number / 100 for number in range(count)],
        latency_s=[rng.lognormvariate(-3.5, 0.7) for _ in range(count)],
        outcome=[Outcome.FAILED if kind == "all lost" else Outcome.SERVED] * count,
        batch_size=[0 if kind == "all lost" else rng.randint(1, 16) for _ in range(count)],
        duration_s=20.0,
    )
    report = RunReport(
        title="<script>alert(1)</script> & co",
        subtitle="a 'test'",
        verdict="void",
        verdict_text="Void: <b>nothing</b>",
        numbers=[[("label", "1 < 2")], []],
        objective_s=0.05,
        series=series,
        footer="end",
    )
    path = tmp_path / "run.html"
    path.write_text(render(report))
    judge(browser, path, plots=4 if kind == "usual" else 2)
    assert browser.open(path, facts="document.title").facts == "<script>alert(1)</script> & co"


QUICK = (
    "--model",
    "0.001,0.02,0.1",
    "--max-batch-size",
    "32",
    "--slo",
    "99% < 100ms",
    "--duration",
    "3",
    "--seeds",
    "3",
)
STUDIED = {
    "compare": ("--batching", "slo,latency,none", "--scaling", "slo,concurrency", "--cold-start", "500ms",
                "--arrivals", "poisson", "--arrivals", "bursty:period=1s", "--rate", "300"),
    "plan": ("--rate", "300", "--times", "1,2,5", "--cold-start", "500ms"),
    "plan a rate": ("--find", "rate", "--replicas", "2"),
}  # fmt: skip


@pytest.mark.parametrize("name", STUDIED)
def test_a_comparison_and_plans(browser, tmp_path, capsys, name):
    """What `sojourn compare` and `sojourn plan` write: plots and tables of several policies, pools and rates."""
    path = tmp_path / "studied.html"
    assert run([name.split()[0], *QUICK, *STUDIED[name], "--jobs", "1", "--html", str(path), "--yes"]) in {0, 3}
    capsys.readouterr()
    plots = path.read_text().count("<svg")
    assert plots >= 1
    judge(browser, path, plots=plots)
