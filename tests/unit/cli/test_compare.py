"""`sojourn compare`: what it prints, writes and refuses, end to end on small runs."""

import json
import os
import signal
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from sojourn.cli.compare_options import split_list
from sojourn.cli.main import run

MODEL = ["--model", "0.001,0.02", "--slo", "99% < 100ms"]
SMALL = [*MODEL, "--rate", "300", "--duration", "3", "--seeds", "3", "--jobs", "1"]


def test_json_says_who_is_best_and_what_is_possible(capsys):
    """Two policies, two workloads, three seeds: figures with intervals, a ranking, limits nobody passes."""
    asked = ["--batching", "slo,none", "--replicas", "1", "--arrivals", "poisson", "--arrivals", "bursty:period=1s"]
    assert run(["compare", *SMALL, *asked, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["slo"] == "99% < 100ms"
    assert not result["is_partial"]
    assert [workload["workload"] for workload in result["workloads"]] == ["poisson 300/s", "bursty:period=1s 300/s"]
    for workload in result["workloads"]:
        assert [row["policy"] for row in workload["policies"]] == ["slo + 1 replica", "none + 1 replica"]
        for row in workload["policies"]:
            assert row["seeds"] == [1, 2, 3]
            assert 0 <= row["attainment"]["low"] <= row["attainment"]["mean"] <= row["attainment"]["high"] <= 1
            assert row["goodput_per_s"]["mean"] <= workload["goodput_bound_per_s"]["mean"] + 1e-9
            assert row["goodput_of_bound"] <= 1 + 1e-9
            assert row["cost_of_bound"] is None or row["cost_of_bound"] >= 1 - 1e-9
    steady = result["workloads"][0]
    assert steady["on_time"]["best"] == "slo + 1 replica"
    assert steady["on_time"]["worse"] == ["none + 1 replica"]  # 300/s of at most 48/s one by one
    assert steady["policies"][0]["batch_size_mean"]["mean"] > 2


def test_the_same_seeds_give_the_same_numbers(capsys):
    """Repeatable to the last digit; another first seed gives others."""
    outputs = []
    for seed in ("1", "1", "7"):
        assert run(["compare", *SMALL, "--batching", "slo,window", "--replicas", "1", "--seed", seed, "--json"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]


def test_the_table_and_the_page_tell_the_same(capsys, tmp_path):
    """A table for people, and one file that opens anywhere: well-formed, nothing from outside, plots with their policies."""
    page = tmp_path / "compare.html"
    asked = ["--batching", "slo,latency", "--scaling", "slo", "--replicas", "1", "--html", str(page)]
    assert run(["compare", *SMALL, *asked]) == 0
    said = capsys.readouterr().out
    assert "slo + 1 replica" in said
    assert "Most on time:" in said
    assert "Limits: no policy exceeds" in said
    html = page.read_text()
    ET.fromstring(html.partition("\n")[2])  # noqa: S314 - our own
    assert "http" not in html
    assert html.count("<svg") == 2
    assert "latency + slo" in html


def test_a_single_policy_is_not_set_against_others_that_were_not_run(capsys):
    """Without options there is nothing but the function as it is declared."""
    assert run(["compare", *SMALL]) == 0
    said = capsys.readouterr().out
    assert "Objective held by as declared." in said


def test_policies_with_parameters_are_lists_too():
    """Commas part policies and their parameters alike."""
    assert split_list(["slo,fixed:size=8,wait=5ms,window", "none"]) == [
        "slo",
        "fixed:size=8,wait=5ms",
        "window",
        "none",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*SMALL, "--batching", "slo,fastest"], "unknown batching policy 'fastest'"),
        ([*SMALL, "--scaling", "magic"], "known: slo"),
        ([*SMALL, "--replicas", "1,x"], "--replicas must be whole numbers"),
        ([*MODEL, "--rate", "0"], "the arrival rate must be a number"),
        (MODEL, "say how much traffic there is"),
        ([*SMALL, "--arrivals", "weekly"], "are not known"),
        ([*MODEL, "--rate", "1", "--seeds", "1000", "--batching", "slo,window,none,latency,aimd,mlproxy,consolidate",
          "--scaling", "slo,rps,ongoing"], "at most 20,000 at a time"),
        ([*MODEL, "--rate", "20000", "--duration", "1h", "--seeds", "50"], "say --yes to run it"),
        (["--rate", "3"], "nothing to simulate"),
    ],
)  # fmt: skip
def test_bad_options_are_usage_errors(capsys, arguments, said):
    """What is wrong, with what is known, and exit code 2; nothing is run."""
    assert run(["compare", *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_ctrl_c_prints_what_is_done(tmp_path):
    """Interrupted after some runs: these are printed, marked as partial, and the exit code says so."""
    command = [sys.executable, "-m", "sojourn.cli.main", "compare", *MODEL, "--rate", "300", "--duration", "4"]
    command += ["--seeds", "200", "--jobs", "2", "--batching", "slo,window", "--replicas", "1", "--yes", "--json"]
    probe = tmp_path / "sitecustomize.py"
    # The signal comes by itself once some runs are done: no clock decides.
    probe.write_text(
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whoever runs the tests may ignore it
        "import sojourn.study.runs as runs\n"
        "shown = runs.Runs.__init__\n"
        "def init(self, jobs, on_progress=None):\n"
        "    def told(share):\n"
        "        if share > 0.01:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "    shown(self, jobs, told)\n"
        "runs.Runs.__init__ = init\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    result = json.loads(ended.stdout)
    assert result["is_partial"]
    seeds = {tuple(row["seeds"]) for row in result["workloads"][0]["policies"]}
    assert seeds == {tuple(result["workloads"][0]["seeds"])}
    assert 0 < result["runs_done"] < result["runs_wanted"] == 400
    assert ended.returncode == 128 + signal.SIGINT
    assert "Traceback" not in ended.stderr
