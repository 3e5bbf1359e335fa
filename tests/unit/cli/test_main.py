"""The command itself: help, exit codes, and errors without tracebacks."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from sojourn import __version__
from sojourn.cli.main import _COMMANDS, cli, run
from sojourn.errors import StartError


def test_help_lists_every_command_and_imports_none(sojourn):
    """`sojourn --help` is quick because it loads neither a web framework nor a command."""
    script = (
        "import sys; from sojourn.cli.main import run; code = run(['--help']); "
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('uvicorn', 'starlette', 'uvloop', 'rich', 'prometheus_client', 'numpy') "
        "or m.startswith('sojourn.cli.') and m not in ('sojourn.cli.main', 'sojourn.cli.lazy', 'sojourn.cli.output')], code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"
    for name, (_, about) in _COMMANDS.items():
        assert f"{name} " in done.stdout
        assert about in " ".join(done.stdout.split())
    assert sojourn("--version").stdout.decode().strip().endswith(__version__)


@pytest.mark.parametrize("name", list(_COMMANDS))
def test_every_command_exists_and_explains_itself(name, capsys):
    """What the help lists can be loaded and has a help of its own."""
    assert run([name, "--help"]) == 0
    assert "Usage: sojourn" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["nonsense"], ["list", "--bogus"], ["invoke"], ["logs", "x", "--lines", "0"]])
def test_wrong_usage_exits_2(arguments, capsys):
    """Unknown commands, flags and values are told on standard error."""
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error" in captured.err


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (StartError("the port is taken; choose another"), 1, "error: the port is taken; choose another\n"),
        (click.UsageError("no such thing"), 2, "Error: no such thing\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.Abort(), 130, "interrupted\n"),
    ],
)
def test_how_a_command_ends_decides_the_exit_code(raised, code, told, capsys, monkeypatch):
    """One message and no traceback for every end we foresee."""

    @click.command()
    def failing():
        raise raised

    monkeypatch.setattr(cli, "get_command", lambda _ctx, _name: failing)
    assert run(["failing"]) == code
    assert capsys.readouterr().err.endswith(told)


@pytest.mark.parametrize(("returned", "code"), [(3, 3), (None, 0), (0, 0)])
def test_a_command_may_return_its_exit_code(returned, code, monkeypatch):
    """A missed objective is 3 by a plain return."""

    @click.command()
    def returning():
        return returned

    monkeypatch.setattr(cli, "get_command", lambda _ctx, _name: returning)
    assert run(["returning"]) == code


@pytest.mark.parametrize(
    "arguments",
    [("describe", "double", "--json", "--admin-url", 1), ("invoke", "echo", "abc", "--as", "bytes", "--url", 0)],
)
def test_a_reader_that_leaves_ends_the_command_quietly(urls, arguments):
    """`sojourn describe digits | head -0` prints no traceback, nor does a result written as bytes."""
    words = [urls[word] if isinstance(word, int) else word for word in arguments]
    command = [sys.executable, "-m", "sojourn.cli.main", *words]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}  # where the last flush, and not the write, meets the closed pipe
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1
