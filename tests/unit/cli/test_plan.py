"""`sojourn plan`: pools, rates and growth, end to end on small runs."""

import json
from xml.etree import ElementTree as ET

import pytest

from sojourn.cli.main import run

MODEL = ["--model", "0.001,0.02", "--max-batch-size", "32", "--slo", "99% < 100ms", "--cold-start", "500ms"]
SMALL = [*MODEL, "--duration", "3", "--seeds", "3", "--jobs", "1"]


def test_the_smallest_pool_holds_and_one_less_does_not(capsys):
    """1,000/s where a replica takes 615/s at most: two, on a curve that shows why not one."""
    assert run(["plan", *SMALL, "--rate", "1000", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    answer = result["answers"][0]
    assert answer["plan"]["replicas"] == answer["plan"]["chosen"]["replicas"] == 2
    assert answer["fewest_replicas"] <= 2
    verdicts = {point["replicas"]: point["verdict"] for point in answer["plan"]["curve"]}
    assert verdicts[1] == "missed"
    assert verdicts[2] == verdicts[3] == "held"
    assert not result["is_partial"]
    assert (
        result["transient_s"] == 0.75
    )  # half a second for the start and one more, but no more than a quarter of the run


def test_what_twice_and_five_times_the_traffic_costs(capsys, tmp_path):
    """--times: an answer for each, more replicas for more traffic, and a page that draws it."""
    page = tmp_path / "plan.html"
    assert run(["plan", *SMALL, "--rate", "300", "--times", "5,1,2", "--html", str(page)]) == 0
    said = capsys.readouterr().out
    assert "3 s of arrivals, the first 750 ms not counted" in said
    assert [line.split()[:3] for line in said.splitlines() if line.strip().startswith("x ")] == [
        ["x", "1", "300"],
        ["x", "2", "600"],
        ["x", "5", "1,500"],
    ]
    html = page.read_text()
    ET.fromstring(html.partition("\n")[2])  # noqa: S314 - our own
    assert html.count("<svg") == 7
    assert "http" not in html


def test_the_largest_traffic_of_a_pool(capsys):
    """--find rate: near the capacity of two replicas in full batches, held there, missed a little above."""
    assert run(["plan", *SMALL, "--find", "rate", "--replicas", "2", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["answers"][0]["plan"]
    capacity_per_s = 2 * 32 / 0.052
    assert 0.7 * capacity_per_s < plan["rate_per_s"] < 1.05 * capacity_per_s
    above = [point for point in plan["curve"] if point["rate_per_s"] > plan["rate_per_s"]]
    assert above
    assert all(point["verdict"] != "held" for point in above)


def test_an_objective_nobody_can_hold_is_told_without_a_run(capsys):
    """One item takes 21 ms: 20 ms cannot be promised whatever the pool; exit code 3."""
    asked = [*SMALL, "--slo", "99% < 20ms", "--rate", "100"]
    assert run(["plan", *asked]) == 3
    said = capsys.readouterr().out
    assert "no pool was found" in said
    assert "no policy can hold the objective" in said


def test_a_scaling_policy_plans_its_largest_pool(capsys):
    """With --scaling the pool is an upper end: replica time stays below what it would be if all stood all the time."""
    assert run(["plan", *SMALL, "--rate", "300", "--scaling", "slo", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["answers"][0]["plan"]
    largest = plan["curve"][-1]
    assert largest["replica_seconds"]["mean"] < largest["replicas"] * 3.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*SMALL], "say how much traffic there is"),
        ([*SMALL, "--rate", "10", "--replicas", "3"], "add --find rate"),
        ([*SMALL, "--find", "rate"], "say of which pool"),
        ([*SMALL, "--find", "rate", "--replicas", "2", "--times", "2"], "--times multiplies --rate"),
        ([*SMALL, "--rate", "10", "--times", "1,zero"], "--times: write up to"),
        (["--model", "0.001,0.02", "--rate", "10"], "say what is promised"),
        ([*MODEL, "--rate", "50000", "--duration", "600", "--seeds", "20"], "say --yes to run it"),
    ],
)
def test_bad_options_are_usage_errors(capsys, arguments, said):
    """What is wrong and how to say it right, exit code 2; nothing is run."""
    assert run(["plan", *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
