"""`sojourn workload`: fits and twins from the command line, and the list of kinds."""

import json

import pytest

from sojourn.cli.main import run
from sojourn.workload.kinds import KINDS
from sojourn.workload.spec import parse_arrivals
from sojourn.workload.trace_file import read_trace


@pytest.fixture
def trace(tmp_path):
    """Two functions over four hours: one by the clock, one now and then."""
    path = tmp_path / "trace.csv"
    rows = "".join(f"{minute},{6 * (minute % 10 == 0)},{minute * minute * 7919 % 241 % 5}\n" for minute in range(240))
    path.write_text(f"minute,clock,people\n{rows}")
    return path


def test_a_fit_shows_the_sum_and_each_function(trace, capsys):
    """With what to give to --arrivals; the function called most comes first."""
    assert run(["workload", "fit", str(trace)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["2", "functions,", "4", "h", "recorded"]
    assert any(line.startswith("fits: --arrivals") for line in lines)
    assert [line.split()[0] for line in lines[-2:]] == ["people", "clock"]
    assert "timer:period=600s,calls=6" in lines[-1]


def test_one_function_alone(trace, capsys):
    """Is told by name, without a table of functions."""
    assert run(["workload", "fit", str(trace), "--function", "clock"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("clock, 4 h")
    assert "people" not in out


def test_few_functions_are_shown_of_many(trace, capsys):
    """And how to see the rest."""
    assert run(["workload", "fit", str(trace), "--top", "1"]) == 0
    assert "1 more function; --top 2 shows all" in capsys.readouterr().out


def test_json_has_each_figure_and_texts_that_can_be_used(trace, capsys):
    """All of a shape's fields, per function and in sum; no twin was asked for."""
    assert run(["workload", "fit", str(trace), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["duration_s"] == 14_400
    assert told["twin"] is None
    assert [shape["function"] for shape in told["functions"]] == ["clock", "people"]
    assert told["functions"][0]["requests"] == 144
    assert told["functions"][0]["empty_minutes"] == 0.9
    assert told["functions"][0]["kind"] == "timer"
    for shape in (*told["functions"], told["total"]):
        assert not parse_arrivals(shape["arrivals"]).needs_rate


def test_a_twin_is_written_and_shown_beside_the_recording(trace, tmp_path, capsys):
    """As a trace that reads again; the seed decides it."""
    twin = tmp_path / "twin.csv"
    assert run(["workload", "fit", str(trace), "--twin", str(twin)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[-2:] == ["recorded", "twin"]
    assert f"twin: {twin} (seed 1)" in out
    assert list(read_trace(twin).functions) == ["clock", "people"]
    first = twin.read_bytes()
    run(["workload", "fit", str(trace), "--twin", str(twin), "--json"])
    told = json.loads(capsys.readouterr().out)["twin"]
    assert (told["file"], told["seed"], told["total"]["requests"]) == (str(twin), 1, read_trace(twin).requests)
    assert twin.read_bytes() == first
    run(["workload", "fit", str(trace), "--twin", str(twin), "--seed", "2"])
    assert twin.read_bytes() != first


def test_names_from_a_file_cannot_control_the_terminal(tmp_path, capsys):
    """Escape sequences and markup of a function's name are shown, not obeyed."""
    path = tmp_path / "trace.csv"
    path.write_text("minute,\x1b[2Jf,[red]g\n0,1,2\n1,3,4\n")
    assert run(["workload", "fit", str(path)]) == 0
    out = capsys.readouterr().out
    assert "\x1b[2J" not in out
    assert "[red]g" in out


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["/nowhere.csv"], 1, "/nowhere.csv"),
        (["{trace}", "--function", "clocks"], 1, "no function 'clocks'; among its 2 are clock"),
        (["{trace}", "--twin", "{trace}"], 2, "would overwrite the recording"),
        (["{trace}", "--twin", "{trace}/twin.csv"], 2, "there is no folder"),
        (["{trace}", "--top", "0"], 2, "--top"),
    ],
)
def test_faults_are_one_message(trace, capsys, arguments, code, what):
    """No traceback; the exit code tells a wrong command line from a wrong file."""
    assert run(["workload", "fit", *(argument.format(trace=trace) for argument in arguments)]) == code
    assert what in capsys.readouterr().err


def test_kinds_lists_the_table(capsys):
    """Every kind with every parameter, for people and for programs."""
    assert run(["workload", "kinds"]) == 0
    out = capsys.readouterr().out
    for kind in KINDS.values():
        assert f"{kind.written}: " in out
        assert all(f"    {parameter.name}" in out for parameter in kind.parameters)
    assert run(["workload", "kinds", "--json"]) == 0
    told = {kind["kind"]: kind for kind in json.loads(capsys.readouterr().out)["kinds"]}
    assert list(told) == list(KINDS)
    assert {parameter["name"]: parameter["default"] for parameter in told["flash"]["parameters"]}["peak"] == "10"
