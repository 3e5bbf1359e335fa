"""The study of `docs/study` from end to end, on a grid of seconds."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from random import Random
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """The documents of a small study on stand-ins for the recordings."""
    folder = tmp_path_factory.mktemp("study")
    environment = {**os.environ, "SOJOURN_TRACES": str(folder / "nowhere")}
    command = [sys.executable, str(BENCHMARKS / "study.py"), "--tiny", "--out", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def studied(monkeypatch) -> ModuleType:
    """The modules of the study, importable for one test."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("studied.traces")


def test_readme_has_every_part_and_all_that_it_links_to(written):
    """One command writes README.md with tables of all parts; each plot and each table it links to is there."""
    text = (written / "README.md").read_text()
    for heading in ("## What we learnt", "## Batching", "## Scaling", "## A whole day", "### Twice the capacity"):
        assert heading in text
    links = re.findall(r"\]\(([^)]+)\)", text)
    here = [link for link in links if "/" not in link]
    assert len(here) >= 4
    assert all((written / link).is_file() for link in here)


def test_every_plot_is_a_file_of_its_own_with_its_style(written):
    """Plots are well-formed SVG that names its namespace and brings colours for white and dark pages."""
    plots = sorted(written.glob("*.svg"))
    assert plots
    for plot in plots:
        root = ET.fromstring(plot.read_text())  # noqa: S314 - written a moment ago by this test
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "prefers-color-scheme: dark" in plot.read_text()


def test_stand_ins_are_named_where_recordings_are_not_at_hand(written):
    """Figures say that they come from a synthetic stand-in, and from one for which trace."""
    text = (written / "README.md").read_text()
    assert "synthetic stand-in for azure_functions_2019_10f_14d_per_minute.csv" in text
    facts = json.loads((written / "study.json").read_text())["facts"]
    assert facts["day"]["trace"].startswith("synthetic stand-in")


def test_every_run_of_the_grid_is_kept_and_nothing_is_marked_partial(written):
    """The figures hold each policy with each seed, and the default is judged in every place."""
    kept = json.loads((written / "study.json").read_text())
    assert kept["partial"] == []
    for part in ("batching", "scaling"):
        rows = kept["parts"][part]
        assert all(row["seeds"] == [11, 12] for row in rows)
        assert {tuple(row["place"]) for row in rows} == {
            tuple(row["place"]) for row in rows if row["policy"].startswith("slo")
        }


def test_redrawing_gives_the_same_documents_without_running_anything(written, tmp_path):
    """The documents follow from the kept figures alone."""
    command = [sys.executable, str(BENCHMARKS / "study.py"), "--redraw", "--out", str(tmp_path)]
    results = ["--results", str(written / "study.json")]
    subprocess.run([*command, *results], capture_output=True, check=True, timeout=60)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (written / path.name).read_bytes()


def test_stand_ins_have_the_shapes_of_what_they_stand_for(studied, monkeypatch, tmp_path):
    """Day and night, silence and bursts are there: else the study would say less without the recordings."""
    monkeypatch.setenv("SOJOURN_TRACES", str(tmp_path))
    studied.source.cache_clear()
    ten = studied.source(studied.TEN_FUNCTIONS).trace
    assert len(ten.functions) == 10
    assert 30 < ten.mean_rate_per_s < 120
    silent = [sum(count == 0 for count in one.counts) / len(one.counts) for one in ten.functions.values()]
    assert min(silent) < 0.01
    assert max(silent) > 0.7
    many = studied.source(studied.MANY_FUNCTIONS).trace
    assert len(many.functions) == 500
    assert len(studied.sparse_functions(many, 10, 1).functions) == 10
    llm = list(studied.source(studied.LLM).trace.times(Random(1)))
    gaps = [later - earlier for earlier, later in pairwise(llm)]
    mean = sum(gaps) / len(gaps)
    assert sum((gap - mean) ** 2 for gap in gaps) / len(gaps) > 50 * mean**2  # burstiness; the recording's is 174
    studied.source.cache_clear()
