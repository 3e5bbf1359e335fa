"""`sojourn init`: what it writes serves, and it overwrites nothing."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest


def test_what_it_writes_serves(sojourn, start, tmp_path):
    """The first application answers exactly as its README says."""
    done = sojourn("init", "first")
    assert done.returncode == 0
    assert b"next: cd first && " in done.stdout
    assert b" dev app.py" in done.stdout
    readme = (tmp_path / "first" / "README.md").read_text()
    assert "sojourn invoke shout '\"hello\"'" in readme
    server = start("first/app.py")
    inference, _, functions = server.wait_ready()
    assert functions == "shout"
    assert sojourn("invoke", "shout", '"hello"', "--url", inference).stdout == b'"HELLO!"\n'


def test_an_app_that_is_there_is_left_alone(sojourn, tmp_path):
    """Nothing is written: a README about our first function would not be about theirs."""
    (tmp_path / "app.py").write_text("mine")
    done = sojourn("init")
    assert done.returncode == 1
    assert b"app.py is already there and was left alone" in done.stderr
    assert (tmp_path / "app.py").read_text() == "mine"
    assert not (tmp_path / "README.md").exists()


def test_a_readme_that_is_there_does_not_keep_the_app_out(sojourn, tmp_path):
    """A project that has begun has a README.md: it stays, and the answer says so."""
    (tmp_path / "README.md").write_text("mine")
    done = sojourn("init")
    assert done.returncode == 0
    assert b"left alone README.md" in done.stdout
    assert (tmp_path / "README.md").read_text() == "mine"
    assert "@sojourn.function" in (tmp_path / "app.py").read_text()


def test_the_next_command_works_where_the_program_is_not_on_the_path(tmp_path):
    """Called by its place in an environment that is not active, it names itself by that place."""
    script = Path(sys.executable).with_name("sojourn")
    for path, told in (("/usr/bin:/bin", f"next: {script} dev app.py"), (str(script.parent), "next: sojourn dev")):
        directory = tmp_path / str(len(path))
        directory.mkdir()
        done = subprocess.run(
            [script, "init"], cwd=directory, env={"PATH": path}, capture_output=True, text=True, check=True
        )
        assert told in done.stdout


def test_a_place_that_cannot_be_written_is_told(sojourn, tmp_path):
    """A file in the way of the directory ends in a message."""
    (tmp_path / "file").touch()
    assert sojourn("init", "file").returncode == 2
    done = sojourn("init", "file/below")
    assert done.returncode == 1
    assert b"cannot write" in done.stderr


@pytest.mark.parametrize("template", ["minimal", "async"])
def test_a_template_can_be_measured_as_it_is(template, sojourn, tmp_path):
    """It declares examples, so that `sojourn profile` needs no items."""
    assert sojourn("init", "app", "--template", template).returncode == 0
    declared = [
        one.__sojourn__
        for one in runpy.run_path(str(tmp_path / "app" / "app.py")).values()
        if hasattr(one, "__sojourn__")
    ]
    assert [bool(one.examples) for one in declared] == [True]


@pytest.mark.parametrize("template", ["minimal", "async", "sklearn", "torch"])
def test_each_template_comes_with_a_test_that_passes(template, sojourn, tmp_path):
    """What a newcomer gets works as it is, wherever what it needs is installed."""
    for module in {"sklearn": ["sklearn"], "torch": ["torch"]}.get(template, []):
        pytest.importorskip(module)
    assert sojourn("init", "app", "--template", template).returncode == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "test_app.py"],
        cwd=tmp_path / "app",
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
