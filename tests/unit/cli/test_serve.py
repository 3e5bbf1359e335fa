"""`sojourn serve` as a real process: coming up, refusing to come up, and going down in order."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading

import pytest

from sojourn.cli.http_call import call
from sojourn.config.settings import SETTINGS, flag_of, variable_of
from sojourn.errors import ClientError

# A function that tells when it is in a call and stays there until told otherwise, by named pipes.
GATED = """
import sojourn


@sojourn.function(slo="99% < 100s")
def gated(items: list[int]) -> list[int]:
    open("entered", "w").close()
    open("leave").close()
    return items
"""

STUCK_IN_LOADING = """
import sojourn


@sojourn.function
class Stuck:
    def __init__(self) -> None:
        open("entered", "w").close()
        open("leave").close()

    def __call__(self, items: list[int]) -> list[int]:
        return items
"""

NO_MODEL = STUCK_IN_LOADING.replace('open("entered", "w").close()', 'raise OSError("no model.bin")')


def gates(directory):
    """The two named pipes."""
    for name in ("entered", "leave"):
        os.mkfifo(directory / name)


class Call(threading.Thread):
    """One request in a thread of its own; `answer` or `error` when it ended."""

    def __init__(self, url, name, body):
        super().__init__()
        self.answer = self.error = None
        self._arguments = (url, f"/functions/{name}", body)
        self.start()

    def run(self):
        """Call and keep how it ended."""
        url, path, body = self._arguments
        try:
            self.answer = call("POST", url, path, timeout_s=60, body=body)
        except ClientError as err:
            self.error = err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_is_ready_and_leaves_nothing_behind(start, tmp_path, number):
    """One line when every function answers; exit 0 and an empty state directory after the signal."""
    server = start()
    inference, admin, functions = server.wait_ready()
    assert functions == "double,echo"
    assert call("GET", inference, "/readyz", timeout_s=20).status == 200
    assert call("GET", admin, "/healthz", timeout_s=20).status == 200
    assert server.end(number) == 0
    assert list((tmp_path / "state" / "sojourn").iterdir()) == []


def test_a_request_in_flight_is_answered_before_the_end(start, tmp_path):
    """SIGTERM waits for what was taken in."""
    (tmp_path / "app.py").write_text(GATED)
    gates(tmp_path)
    server = start()
    inference, _, _ = server.wait_ready()
    request = Call(inference, "gated", b"7")
    (tmp_path / "entered").open().close()
    server.process.send_signal(signal.SIGTERM)
    server.wait_event("server.draining")
    (tmp_path / "leave").open("w").close()
    request.join()
    assert (request.answer.status, request.answer.body) == (200, b"7")
    assert server.wait() == 0


def test_a_second_signal_does_not_wait(start, tmp_path):
    """The impatient operator gets the prompt back; the log says what was dropped."""
    (tmp_path / "app.py").write_text(GATED)
    gates(tmp_path)
    server = start()
    inference, _, _ = server.wait_ready()
    request = Call(inference, "gated", b"7")
    (tmp_path / "entered").open().close()
    server.process.send_signal(signal.SIGTERM)
    server.wait_event("server.draining")
    server.process.send_signal(signal.SIGTERM)
    assert "second signal" in server.wait_event("server.interrupted")
    assert server.wait() == 0
    request.join()
    assert request.answer is None or request.answer.status >= 500


def test_a_drain_that_takes_too_long_is_cut_off(start, tmp_path):
    """`--drain` bounds the wait, and the log names it."""
    (tmp_path / "app.py").write_text(GATED)
    gates(tmp_path)
    server = start("app.py", "--drain", "10ms")
    inference, _, _ = server.wait_ready()
    request = Call(inference, "gated", b"7")
    (tmp_path / "entered").open().close()
    server.process.send_signal(signal.SIGTERM)
    assert "--drain" in server.wait_event("server.drain_incomplete")
    assert server.wait() == 0
    request.join()


def test_a_signal_while_starting_ends_it(start, tmp_path):
    """A model that never finishes loading does not hold the server up."""
    (tmp_path / "app.py").write_text(STUCK_IN_LOADING)
    gates(tmp_path)
    server = start()
    (tmp_path / "entered").open().close()
    assert server.end() == 0


@pytest.mark.parametrize(
    ("app", "told"),
    [
        ("import sojourn\n", "app.py"),
        ("import nothing_of_that_name\n", "nothing_of_that_name"),
        (
            "import sojourn\n@sojourn.function(slo='99% > 1ms')\ndef f(a: list[int]) -> list[int]: return a\n",
            "expected '<'",
        ),
        (
            NO_MODEL,
            "no model.bin",
        ),
        ("raise SystemExit(0)\n", "app.py"),
    ],
)
def test_an_app_that_cannot_be_served_is_told(start, tmp_path, app, told):
    """Exit 1 with the cause: nothing declared, no import, a bad objective, a model that does not load."""
    (tmp_path / "app.py").write_text(app)
    code, errors = start().refusal()
    assert code == 1
    assert told in errors
    assert any(line.startswith("error: ") for line in errors.splitlines())


def test_a_missing_file_is_told(start):
    """The name that was looked for stands in the message."""
    code, errors = start("nowhere.py").refusal()
    assert code == 1
    assert "nowhere.py" in errors


def test_a_file_that_is_no_python_is_told(start, tmp_path):
    """`serve README.md` is not answered with an import path."""
    (tmp_path / "README.md").write_text("# About")
    code, errors = start("README.md").refusal()
    assert code == 1
    assert "README.md: not a Python file" in errors


def test_a_variable_nobody_reads_is_mentioned_once(start, monkeypatch):
    """A misspelt name too far from any setting would otherwise be ignored in silence."""
    monkeypatch.setenv("SOJOURN_BANANA", "1")
    monkeypatch.setenv("SOJOURN_FN_MODEL", "small")  # the functions' own
    server = start()
    server.wait_ready()
    line = server.wait_event("settings.unknown_variables")
    assert "names=SOJOURN_BANANA " in line
    assert server.end() == 0


def test_what_killed_servers_left_is_swept_at_the_next_start(start, tmp_path):
    """A server on any port that was killed leaves its directory; the next start removes it, and no live one's."""
    killed, alive = start(), start()
    killed.wait_ready()
    alive.wait_ready()
    root = tmp_path / "state" / "sojourn"
    killed.end(signal.SIGKILL)
    assert (root / f"any-{killed.process.pid}").exists()
    server = start()
    assert "directories=1" in server.wait_event("state.swept")
    server.wait_ready()
    assert {path.name for path in root.iterdir()} == {f"any-{one.process.pid}" for one in (alive, server)}
    assert (alive.end(), server.end()) == (0, 0)


@pytest.mark.parametrize("flag", ["--port", "--admin-port"])
def test_a_port_in_use_is_told_with_its_flag(start, flag):
    """Exit 1 and the flag that helps, for either port."""
    other = "--admin-port" if flag == "--port" else "--port"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, errors = start("app.py", flag, str(port), other, "0").refusal()
    assert code == 1
    assert str(port) in errors
    assert flag in errors
    assert "in use" in errors


def test_settings_that_cannot_be_used_are_wrong_usage(start):
    """Exit 2 with every fault and its place, before the app is even looked at."""
    code, errors = start("nowhere.py", "--port", "many", "--queue-bytes", "lots", "--drain", "soon").refusal()
    assert code == 2
    assert "--port: must be a whole number, not 'many'" in errors
    assert "--queue-bytes: " in errors


@pytest.mark.parametrize("flag", ["--host", "--admin-host"])
def test_strangers_are_kept_out_while_there_is_no_key(start, flag):
    """An address other machines reach needs a key or a word of consent; the message says how to make one."""
    everywhere = "0.0.0.0"  # noqa: S104 (refused, never bound)
    code, errors = start("app.py", flag, everywhere, "--state-dir", "kept").refusal()
    assert code == 1
    assert "sojourn key create --state-dir kept" in errors
    assert f"{flag} 127.0.0.1" in errors
    assert "--allow-anonymous" in errors


def test_one_server_per_state_directory(start, tmp_path):
    """The second is told which process holds it."""
    first = start("app.py", "--state-dir", "mine")
    first.wait_ready()
    code, errors = start("app.py", "--state-dir", "mine").refusal()
    assert code == 1
    assert f"process {first.process.pid}" in errors
    assert first.end() == 0
    assert (tmp_path / "mine").is_dir()


def test_the_log_can_be_json(start):
    """With `--log-format json` every line of standard error is an object."""
    server = start("app.py", "--log-format", "json")
    server.wait_ready()
    assert json.loads(server.wait_event("server.ready"))["inference"].startswith("http://127.0.0.1:")
    server.process.send_signal(signal.SIGTERM)
    events = [json.loads(line)["event"] for line in server.process.stderr]
    assert events[-1] == "server.stopped"
    assert server.wait() == 0


def test_nobody_has_to_read_the_ready_line(start):
    """A closed standard output neither stops the server nor spoils its exit code."""
    server = start()
    server.process.stdout.close()
    server.wait_event("server.ready")
    assert server.end() == 0


def test_a_very_long_state_path_still_serves(start, tmp_path):
    """The replicas' socket moves where its name fits; no 108-byte surprise."""
    server = start("app.py", "--state-dir", str(tmp_path / ("x" * 120)))
    server.wait_ready()
    assert server.end() == 0


def test_help_names_every_setting(sojourn):
    """Each setting has its flag, its variable and its default in `--help`."""
    text = " ".join(sojourn("serve", "--help").stdout.decode().split())
    for name in SETTINGS:
        assert f"{flag_of(name)} " in text
        assert variable_of(name) in text
    assert "default 8080" in text
