"""`sojourn completion`: the scripts of the shells, and what they are told to offer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sojourn.cli.main import cli

SCRIPT = Path(sys.executable).with_name("sojourn")


def offered(words, **environment):
    """What bash would be offered for the last word."""
    asked = {"_SOJOURN_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = subprocess.run(
        [SCRIPT], env={**os.environ, **asked, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell):
    """It names the variable by which click is asked."""
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert f"_SOJOURN_COMPLETE={shell}_complete" in done.output


def test_bash_leaves_a_pinned_name_in_one_piece():
    """Behind name@ it would complete a word of its own otherwise."""
    script = CliRunner().invoke(cli, ["completion", "bash"]).output
    shown = subprocess.run(
        ["bash", "-c", f'COMP_WORDBREAKS=" @="; {script.splitlines()[0]}; echo "[$COMP_WORDBREAKS]"'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout == "[ =]\n"


def test_commands_and_options_are_offered():
    """By their beginnings."""
    assert offered("sojourn roll") == ["rollout", "rollback"]
    assert "--strategy" in offered("sojourn deploy --str")


def test_functions_of_the_server_are_offered(urls):
    """Names come from the admin port that the command would ask; without a server there are none, and no error."""
    assert offered("sojourn describe do", SOJOURN_ADMIN_URL=urls[1]) == ["double"]
    assert offered("sojourn describe do", SOJOURN_ADMIN_URL="http://127.0.0.1:1") == []
