"""`sojourn simulate`: what it prints, writes and exits with, and what it refuses."""

from __future__ import annotations

import json

import msgspec
import pytest

from sojourn.cli.main import run
from sojourn.config.profile import BatchTimes, ColdStarts, Machine, Profile, StartPhases, ThreadProfile
from sojourn.config.profile_file import write_profile

MODEL = ["--model", "0.0005,0.005", "--cold-start", "100ms"]
SHORT = [*MODEL, "--rate", "200", "--duration", "2"]
APP = """
import sojourn

@sojourn.function(slo="99% < 80ms", max_batch_size=16, batching="latency")
def first(items: list[int]) -> list[int]:
    return items

@sojourn.function(slo="90% < 1s", min_replicas=1)
def second(items: list[int]) -> list[int]:
    return items
"""


@pytest.fixture
def app(tmp_path):
    """A file with two functions."""
    path = tmp_path / "app.py"
    path.write_text(APP)
    return str(path)


@pytest.fixture
def profile(tmp_path):
    """A file with what was measured of `first`."""
    rows = [
        BatchTimes(size=size, samples=50, mean_s=mean_s, p50_s=mean_s, p95_s=1.2 * mean_s, p99_s=1.5 * mean_s)
        for size, mean_s in ((1, 0.006), (8, 0.009), (16, 0.013))
    ]
    threads = ThreadProfile(
        threads=1,
        alpha_s=0.0005,
        beta_s=0.0055,
        sigma=0.1,
        sigma_within=0.1,
        ratio_quantiles=[0.8 + 0.004 * step for step in range(101)],
        overhead_s=0.0002,
        sizes=rows,
    )
    measured = Profile(
        name="first",
        revision="r1",
        slo="99% < 80ms",
        max_batch_size=16,
        machine=Machine(cores=2.0),
        by_threads=[threads],
        cold_starts=ColdStarts(first=[StartPhases(spawn_s=0.1, import_s=0.2, load_s=0.3, warmup_s=0.1)]),
    )
    path = tmp_path / "first.profile.json"
    write_profile(path, measured)
    return str(path)


def simulated(capsys, *arguments, code=0):
    """What a run says as JSON."""
    assert run(["simulate", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_fixed_number_is_simulated_whatever_the_function_allows(capsys, tmp_path):
    """Two replicas of a function with a ceiling of one; a ceiling that is given as well holds."""
    path = tmp_path / "app.py"
    path.write_text(APP.replace("max_batch_size=16", "max_batch_size=16, max_replicas=1"))
    asked = [str(path), "--function", "first", *MODEL, "--rate", "3000", "--duration", "2", "--replicas", "2"]
    assert simulated(capsys, *asked, code=3)["replicas_max"] == 2
    assert simulated(capsys, *asked, "--max-replicas", "1", code=3)["replicas_max"] == 1


def test_an_objective_that_nobody_can_meet_is_told(capsys):
    """Served all the same, late; and what to do about it is said."""
    asked = ["--model", "0.001,0.2", "--cold-start", "0.1s", "--rate", "10", "--duration", "10", "--replicas", "1"]
    assert run(["simulate", *asked, "--slo", "50ms"]) == 3
    assert "one item alone takes 201 ms on the mean, and the objective is 99% < 50ms" in "".join(capsys.readouterr())
    assert run(["simulate", *asked, "--slo", "500ms"]) in {0, 3}
    assert "one item alone" not in "".join(capsys.readouterr())


def test_a_profile_of_another_function_is_told(capsys, app, profile):
    """A single one is taken for a single function, with a note that says whose it is."""
    asked = [app, "--profile", profile, "--rate", "20", "--duration", "2"]
    assert run(["simulate", *asked, "--function", "second"]) in {0, 3}
    assert "the profile is that of 'first'; its times are taken for 'second'" in "".join(capsys.readouterr())
    assert run(["simulate", *asked, "--function", "first"]) in {0, 3}
    assert "is that of" not in "".join(capsys.readouterr())


# ---- what it says


def test_json_has_the_shared_keys_and_those_of_a_simulation(capsys):
    """One line of JSON, nothing else; each function has its own numbers and its policies in text."""
    told = simulated(capsys, *SHORT, "--slo", "500ms", "--batching", "fixed:size=4,wait=2ms", "--replicas", "2")
    assert told["sent"] == sum(told["outcomes"].values()) > 300
    assert set(told["outcomes"]) == {"served", "failed", "shed", "expired", "cancelled"}
    assert set(told["latency_s"]) == {"p50", "p90", "p99", "p999", "max"}
    assert told["objective_met"] is True
    assert told["replicas_max"] == told["cold_starts"] == 2
    assert told["partial"] is False
    assert told["seed"] == told["asked"]["seed"] == 1
    assert told["asked"]["model"] == {"alpha_s": 0.0005, "beta_s": 0.005, "sigma": 0.0}
    assert (told["asked"]["arrivals"], told["asked"]["rate_per_s"]) == ("poisson", 200.0)
    (only,) = told["functions"].values()
    assert only["batching"] == "fixed:size=4,wait=2ms"
    assert only["scaling"] == "fixed:replicas=2"
    assert only["decisions"][0]["after"] >= 1
    assert only["sent"] == told["sent"]


def test_the_same_seed_gives_the_same_run(capsys):
    """All but the time it took."""
    runs = [simulated(capsys, *SHORT, "--slo", "500ms", "--seed", seed) for seed in ("3", "3", "4")]
    for told in runs:
        told.pop("wall_s")
    assert runs[0] == runs[1] != runs[2]


def test_an_objective_met_an_objective_missed_and_none(capsys):
    """Exit 0, 3 and 0, with the verdict in words, why it scaled, and how the pool was used."""
    assert run(["simulate", *SHORT, "--slo", "60s"]) == 0
    said = capsys.readouterr().out
    assert "was met" in said
    assert "why it scaled" in said
    assert "utilization" in said
    assert run(["simulate", *SHORT, "--slo", "10us"]) == 3
    assert "was missed" in capsys.readouterr().out
    assert run(["simulate", *SHORT]) == 0
    assert "requests were served" in capsys.readouterr().out


def test_nothing_sent_is_an_error_that_says_why(capsys):
    """No arrival after the transient."""
    arguments = [*MODEL, "--arrivals", "constant", "--rate", "1", "--duration", "2", "--transient", "1.5"]
    assert run(["simulate", *arguments, "--slo", "1s"]) == 1
    assert "Nothing was sent" in capsys.readouterr().out


def test_the_report_is_written_where_told(capsys, tmp_path):
    """One page with its plots; a place that cannot be written is refused before the run, by name."""
    path = tmp_path / "report.html"
    assert run(["simulate", *SHORT, "--slo", "1s", "--html", str(path)]) == 0
    page = path.read_text()
    assert page.count("<svg") == 8
    assert "Objective 99% &lt; 1s was met" in page
    assert run(["simulate", *SHORT, "--html", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def test_starts_that_take_no_time_are_pointed_out(capsys):
    """Whoever gives a model without a cold start is told what that means."""
    told = simulated(capsys, "--model", "0.001,0", "--rate", "50", "--duration", "1")
    assert any("--cold-start" in note for note in told["notes"])
    assert simulated(capsys, *SHORT)["notes"] == []


def test_a_run_without_a_single_answer_is_still_json(capsys):
    """What is not known is null, never a number that JSON does not have; exit 1 says why on standard error."""
    assert run(["simulate", "--model", "0.001,500", "--slo", "10ms", "--rate", "2", "--duration", "2", "--json"]) == 1
    said = capsys.readouterr()
    assert msgspec.json.decode(said.out)["latency_s"]["p50"] is None
    assert "Nothing was served" in said.err


def test_unequal_items_make_for_longer_waits(capsys):
    """With the same mean, items of a heavy tail have a far later p99; a kind nobody knows is told with those there are."""
    asked = ["--model", "0.004,0.02", "--rate", "150", "--duration", "20", "--max-replicas", "1", "--cold-start", "0"]
    alike = simulated(capsys, *asked)
    unequal = simulated(capsys, *asked, "--sizes", "pareto:shape=1.3")
    assert alike["sent"] == unequal["sent"]
    assert unequal["latency_s"]["p99"] > 2 * alike["latency_s"]["p99"]
    assert run(["simulate", *asked, "--sizes", "paretto"]) == 2
    assert "did you mean pareto" in capsys.readouterr().err


# ---- where functions, service times and traffic come from


def test_functions_of_a_file_keep_their_options(capsys, app):
    """The file is read by a process of its own; what is given here replaces its options."""
    told = simulated(capsys, app, *SHORT, "--transient", "1")
    assert set(told["functions"]) == {"first", "second"}
    assert told["functions"]["first"]["slo"] == "99% < 80ms"
    assert told["functions"]["first"]["batching"] == "latency"
    assert told["functions"]["first"]["max_batch_size"] == 16
    changed = simulated(capsys, app, *SHORT, "--function", "second", "--slo", "p90 < 2s", "--max-batch-size", "4")
    (only,) = changed["functions"].values()
    assert only["slo"] == "90% < 2s"
    assert only["max_batch_size"] == 4


def test_each_function_may_have_its_own_rate(capsys, app):
    """One rate for all, another for one of them."""
    rates = ["--rate", "50", "--rate", "second=300", "--arrivals", "constant"]
    told = simulated(capsys, app, *MODEL, *rates, "--slo", "2s", "--duration", "2")
    assert told["functions"]["first"]["sent"] == 100
    assert told["functions"]["second"]["sent"] == 600


def test_a_profile_alone_and_a_profile_with_its_file(capsys, app, profile):
    """It brings name, objective, largest batch, times and cold start; without it the file lacks service times."""
    told = simulated(capsys, "--profile", profile, "--rate", "100", "--duration", "5", code=3)
    (only,) = told["functions"].values()
    assert told["functions"]["first"] is only
    assert only["slo"] == "99% < 80ms"
    assert only["latency_s"]["max"] == pytest.approx(0.7, abs=0.1)  # the first one waits for the cold start
    assert only["latency_s"]["p50"] > 0.006
    simulated(capsys, app, "--function", "first", "--profile", profile, "--rate", "20", "--duration", "2", code=3)
    assert run(["simulate", app, "--profile", profile, "--rate", "20"]) == 2
    told = capsys.readouterr().err
    assert "no service times for second" in told
    assert "sojourn profile" in told
    assert "--model" in told


def test_a_trace_of_many_functions_simulates_each(capsys, tmp_path):
    """Their names become names of functions; those without requests are left out; a rate is that of all together."""
    path = tmp_path / "trace.csv"
    path.write_text("func,trigger,1,2,3\nF_A,http,30,0,60\nF_B,timer,6,6,6\nF_C,http,0,0,0\n")
    told = simulated(capsys, *MODEL, "--slo", "1s", "--arrivals", f"trace:{path}")
    assert {name: one["sent"] for name, one in told["functions"].items()} == {"f-a": 90, "f-b": 18}
    assert told["duration_s"] == pytest.approx(180, abs=20)
    faster = simulated(capsys, *MODEL, "--slo", "1s", "--arrivals", f"trace:{path}", "--rate", "6")
    assert {name: one["sent"] for name, one in faster["functions"].items()} == {"f-a": 90, "f-b": 18}
    assert faster["duration_s"] == pytest.approx(18, abs=2)
    more = simulated(capsys, *MODEL, "--slo", "1s", "--arrivals", f"trace:{path},scale=rate", "--rate", "6")
    assert more["sent"] == pytest.approx(6 * 180, rel=0.1)


def test_a_trace_is_matched_with_the_functions_of_a_file(capsys, tmp_path, app):
    """By name; what has no counterpart is told."""
    path = tmp_path / "trace.csv"
    path.write_text("t_s,function\n0.1,first\n0.2,other\n0.9,first\n")
    told = simulated(capsys, app, *MODEL, "--slo", "2s", "--arrivals", f"trace:{path}")
    assert {name: one["sent"] for name, one in told["functions"].items()} == {"first": 2}
    assert any("second" in note for note in told["notes"])
    assert any("other" in note for note in told["notes"])
    path.write_text("t_s,function\n0.1,a\n0.2,b\n")
    assert run(["simulate", app, *MODEL, "--arrivals", f"trace:{path}"]) == 2
    assert "no function of the trace" in capsys.readouterr().err


def test_a_pool_and_machines_bound_the_replicas(capsys):
    """Three cores hold three replicas, two machines of one core two."""
    heavy = ["--model", "0.05,0.05", "--slo", "1s", "--rate", "100", "--duration", "5", "--cold-start", "100ms"]
    assert simulated(capsys, *heavy, "--cpus", "3", code=3)["replicas_max"] == 3
    assert simulated(capsys, *heavy, "--machines", "2", "--cpus-per-machine", "1", code=3)["replicas_max"] == 2


# ---- bad input


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ([], 2, ["nothing to simulate", "--model", "--profile", "sojourn profile"]),
        (["--rate", "5"], 2, ["nothing to simulate"]),
        ([*MODEL], 2, ["--rate 200"]),
        ([*MODEL, "--rate", "-5"], 2, ["arrival rate"]),
        ([*MODEL, "--rate", "nan"], 2, ["arrival rate"]),
        ([*MODEL, "--rate", "5", "--rate", "6"], 2, ["one rate for all"]),
        ([*MODEL, "--rate", "nobody=5"], 2, ["no such function", "model"]),
        (["--model", "1"], 2, ["ALPHA,BETA"]),
        (["--model", "0.1,-0.1"], 2, [">= 0", "beta_s"]),
        (["--model", "0,0"], 2, ["must take some time"]),
        (["--model", "nan,1"], 2, ["ALPHA,BETA"]),
        ([*SHORT, "--slo", "fast"], 2, ["column"]),
        ([*SHORT, "--batching", "fixd"], 2, ["did you mean 'fixed'", "mlproxy"]),
        ([*SHORT, "--scaling", "hpa"], 2, ["unknown scaling policy", "utilization"]),
        ([*SHORT, "--keepalive", "none"], 2, ["unknown keep-alive policy", "adaptive"]),
        ([*SHORT, "--batching", "fixed:size=0"], 2, ["size must be >= 1"]),
        ([*SHORT, "--batching", "fixed:size=2,wait=inf"], 2, ["size must be >= 1 and wait >= 0 seconds"]),
        ([*SHORT, "--batching", "aimd:increase=0"], 2, ["'aimd:increase=0': increase must be >= 1"]),
        (
            [*SHORT, "--scaling", "concurrency:panic=0"],
            2,
            ["'concurrency:panic=0': target must", "0 < panic <= stable"],
        ),
        ([*SHORT, "--arrivals", "bursty:on=2"], 2, [" on must be in (0, 1]"]),
        ([*SHORT, "--arrivals", "bursty:period=0"], 2, [" period must be > 0 seconds"]),
        ([*SHORT, "--html", "/nowhere/at/all.html"], 2, ["--html", "no folder /nowhere/at"]),
        ([*SHORT, "--html", "/"], 2, ["--html", "is a folder"]),
        ([*SHORT, "--replicas", "2", "--scaling", "slo"], 2, ["give one of them"]),
        ([*SHORT, "--min-replicas", "3", "--max-replicas", "2"], 2, ["max_replicas"]),
        ([*SHORT, "--replicas", "5", "--cpus", "2"], 2, ["cpus=5", "pool"]),
        ([*SHORT, "--machines", "2"], 2, ["--cpus-per-machine"]),
        ([*SHORT, "--machines", "2", "--cpus-per-machine", "1", "--cpus", "4"], 2, ["not both"]),
        ([*SHORT, "--cpus-per-machine", "1"], 2, ["--machines"]),
        ([*SHORT, "--threads", "2", "--function", "x"], 2, ["--threads", "--function"]),
        ([*SHORT, "--duration", "-1"], 2, ["duration"]),
        ([*SHORT, "--duration", "500d"], 2, ["366d"]),
        ([*SHORT, "--transient", "2"], 2, ["shorter than the run"]),
        ([*SHORT, "--arrivals", "sometimes"], 2, ["poisson"]),
        ([*SHORT, "--arrivals", "trace:/nowhere.csv"], 2, ["/nowhere.csv"]),
        ([*SHORT, "--profile", "/nowhere.json"], 2, ["/nowhere.json"]),
        (["/nowhere.py", *SHORT], 1, ["/nowhere.py"]),
        (["/etc/hostname", *SHORT], 1, ["not a Python file"]),
        ([*MODEL, "--rate", "1e9", "--duration", "1h"], 1, ["too large", "GiB", "share"]),
    ],
)
def test_bad_input_is_refused_with_what_to_do(capsys, arguments, code, told):
    """No traceback, nothing on standard output."""
    assert run(["simulate", *arguments]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    for part in told:
        assert part in " ".join(said.err.split())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no rows"),
        ("t_s\n1\nsoon\n", "row 3, column t_s"),
        ("t_s\n5\n1\n", "row 3"),
        ("t_s\n-5\n1\n", "row 2"),
        ("t_s\n0\n3e16\n", "row 3, column t_s: 3e+16 s is no time"),
        ("t_s,function\n0,a\n1,a\n9e9,a\n", "row 4, column t_s: 9e+09 s is more than ten years after"),
        ("f,1,2\na,3,-4\n", "row 2"),
    ],
)
def test_a_broken_trace_is_refused_by_row_and_column(capsys, tmp_path, text, told):
    """Empty, not a number, not in order, negative."""
    path = tmp_path / "trace.csv"
    path.write_text(text)
    assert run(["simulate", *MODEL, "--arrivals", f"trace:{path}"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert str(path) in said
    assert told in said
