"""The newcomer's way through the README, command by command, on ports of its own."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
PATIENCE_S = 60.0


def commands_below(heading):
    """The lines of the first block of commands below a heading, without remarks."""
    text = README.read_text().split(f"\n## {heading}\n")[1]
    block = re.search(r"\n```\n(.*?)\n```\n", text, re.DOTALL)[1]
    return [shlex.split(line, comments=True) for line in block.splitlines()]


@pytest.fixture
def newcomer(tmp_path):
    """Runs a command as the README has it, in a shell's environment with free ports; servers stay until the end."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "SOJOURN_PORT": "0",
        "SOJOURN_ADMIN_PORT": "0",
        "PYTHONUNBUFFERED": "1",
    }
    servers = []

    def run(words):
        if words[1] in {"dev", "serve"}:
            server = subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
            servers.append(server)
            line = server.stdout.readline()
            environment["SOJOURN_URL"] = re.search(r"inference[ =](\S+)", line)[1]
            environment["SOJOURN_ADMIN_URL"] = re.search(r"admin[ =](\S+)", line)[1]
            if words[1] == "dev":
                assert "serves" in server.stdout.readline()
            return ""
        words = [word.replace("http://127.0.0.1:8080", environment.get("SOJOURN_URL", "")) for word in words]
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        # A busy machine cannot send in time, and `sojourn load` says so.
        good = {0, 1, 3} if words[1] == "load" else {0}
        assert done.returncode in good, f"{shlex.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    yield run, environment
    for server in servers:
        server.send_signal(signal.SIGINT)
        server.wait(PATIENCE_S)
        server.stdout.close()


def test_five_commands_from_a_clone_to_an_answer(newcomer):
    """Setup and PATH are this environment's; the other three are run as they stand."""
    run, _ = newcomer
    commands = commands_below("Serve your own function")
    assert len(commands) <= 5
    assert commands[0] == ["make", "setup"]
    assert commands[1][0] == "export"
    answers = [run(words) for words in commands[2:]]
    assert answers[-1] == '"HELLO!"\n'


def test_a_platform_as_the_readme_runs_it(newcomer):
    """Serve, deploy, load and the Python client; what needs a second version is shown elsewhere."""
    run, environment = newcomer
    commands = commands_below("Run a platform")
    assert [words[1] for words in commands] == ["serve", "deploy", "deploy", "rollback", "load"]
    run(commands_below("Serve your own function")[2])
    run(commands[0])
    assert "live" in run(commands[1])
    load = [word if word != "10s" else "1s" for word in commands[4]]
    run([word if word != "500" else "50" for word in load])
    block = re.search(r"```python\n(with sojourn.Client\(\).*?)\n```", README.read_text(), re.DOTALL)[1]
    program = (
        "import sojourn\n" + block.replace("    list(", "    print(").replace("client.map(", "list(client.map(") + ")\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "['ONE!', 'TWO!', 'THREE!']\n"), done.stderr
