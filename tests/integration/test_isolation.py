"""A real server keeps its replicas apart, says what is in force, and leaves nothing of them behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server import Server, is_alive, wait_until

APP = """
import os, pathlib, sys, tempfile
import sojourn

print("imported")

@sojourn.function(name="probe", min_replicas=1, share={share!r}, memory="64MiB")
class Probe:
    def __call__(self, items: list[str]) -> list[object]:
        return [eval(item) for item in items]
"""
FDS = (
    "[os.readlink('/proc/self/fd/' + n) for n in os.listdir('/proc/self/fd') if os.path.lexists('/proc/self/fd/' + n)]"
)


@pytest.fixture
def source():
    """The app, with replicas that are forked."""
    return APP.format(share=None)


@pytest.mark.parametrize("share", [None, "none"], ids=["forked", "plain"])
def test_isolated_and_told(tmp_path, monkeypatch, share):
    """One server's life: what is in force, no secrets, no descriptors, a limit that is named, log files, and their path."""
    for name in ("SOJOURN_API_KEY", "HUGGING_FACE_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary")
    state = tmp_path / "kept"
    with Server(tmp_path, APP.format(share=share), "--state-dir", str(state)) as server:
        (told,) = server.logged("isolation.in_force")
        assert {"open files", "core dumps", "private directories"} <= set(told["on"].split(", "))
        pid = server.replica_pids()[0]
        for place in (f"/proc/{pid}/environ", f"/proc/{pid}/cmdline"):
            assert b"canary" not in Path(place).read_bytes()
        assert "canary" not in str(server.call("probe", "dict(os.environ)").body)
        found = server.call("probe", FDS).body
        assert sorted(
            target.split(":")[0] for target in found if target.startswith(("/dev/null", "pipe", "socket"))
        ) == [
            "/dev/null",
            "pipe",
            "pipe",
            "socket",
        ]
        assert all(target.startswith(("/dev/null", "pipe", "socket", "/proc/")) for target in found), found
        failed = server.call("probe", "bytes(2**31)")
        assert failed.status == 500
        assert "MiB of memory: raise the function's `memory`" in failed.body["error"]
        place = Path(server.call("probe", "tempfile.mkdtemp()").body)
        server.call("probe", "print('said')")
        log = Path(server.function("probe")["log_path"])
        wait_until(lambda: "said" in _read(log), "the line in the log file")
        assert log.is_relative_to(state / "logs" / "probe")
        shown = _sojourn("logs", "probe", "--path", "--admin-url", server.admin.geturl())
        assert shown.stdout == f"{log}\n"
    assert not place.exists()
    assert list((state / "run").iterdir()) == [] if (state / "run").exists() else True


def test_what_a_killed_server_left_is_swept_at_the_next_start(tmp_path, source):
    """Private directories of its replicas go, its log files stay and are continued."""
    state = tmp_path / "kept"
    with Server(tmp_path, source, "--state-dir", str(state)) as server:
        place = Path(server.call("probe", "tempfile.mkdtemp()").body)
        (place / "weights").write_bytes(bytes(1000))
        replicas = server.replica_pids()
        server.stopped_by_test = True
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in replicas), "the replicas to end with it")
        assert place.exists()
    with Server(tmp_path, source, "--state-dir", str(state)) as server:
        wait_until(lambda: not place.exists(), "the sweep")
        again = Path(server.call("probe", "tempfile.mkdtemp()").body)
        assert again.exists()
    assert not again.exists()


def test_a_server_on_any_port_sweeps_private_directories_of_killed_ones(tmp_path, source):
    """Their state directories, made for one run, go with all that is in them; they hold no log files."""
    with Server(tmp_path, source) as server:
        server.call("probe", "tempfile.mkdtemp()")
        assert server.function("probe")["log_path"] is None
        shown = _sojourn("logs", "probe", "--path", "--admin-url", server.admin.geturl())
        assert "--replica-log-files 0" in shown.stderr
        server.stopped_by_test = True
        (left,) = (tmp_path / "state" / "sojourn").iterdir()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with Server(tmp_path, source):
        assert not left.exists()


def test_log_files_that_cannot_be_written_harm_nobody(tmp_path, source):
    """Serving goes on, and an event says what to do; `sojourn logs` still has the lines."""
    state = tmp_path / "kept"
    state.mkdir(mode=0o700)
    (state / "logs").write_text("in the way")
    with Server(tmp_path, source, "--state-dir", str(state)) as server:
        told = server.wait_log("replica_logs.failed")
        assert "serving goes on" in told["remedy"]
        assert server.call("probe", "1 + 1").body == 2


def test_the_doctor_says_what_would_be_in_force(tmp_path):
    """Each mechanism in its line, on or off, also as data; what is switched off says with which flag."""
    done = _sojourn("doctor", "--json", SOJOURN_REPLICA_LANDLOCK="off", SOJOURN_STATE_DIR=str(tmp_path / "state"))
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert findings["replicas: open files"]["found"] == "on: at most 4096"
    for check in ("replicas: state directory", "replicas: other processes"):
        assert findings[check]["verdict"] == "warn"
        assert findings[check]["found"].startswith("off: ")
        assert findings[check]["remedy"]
    assert "network" in findings["replicas: not isolated"]["found"]


def _read(path: str | Path) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def _sojourn(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sojourn.cli.main", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
