"""`sojourn doctor`: what it finds on this machine, and on a sick one."""

from __future__ import annotations

import json
import socket

from sojourn.cli.examinations import examine


def verdicts(environment):
    """Findings by check."""
    return {finding.check: finding for finding in examine(environment)}


def test_a_machine_that_runs_these_tests_is_fit(sojourn):
    """No check fails where the server demonstrably runs; each line has its verdict."""
    done = sojourn("doctor", environment={"SOJOURN_PORT": "0", "SOJOURN_ADMIN_PORT": "0"})
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, lines
    assert all(line.split()[0] in {"ok", "warn", "->"} for line in lines)
    for check in ("python", "packages", "event loop", "unix sockets", "file descriptors", "state directory"):
        assert any(f"  {check}  " in line for line in lines), check


def test_json_report(sojourn):
    """Programs get the same findings as data."""
    report = json.loads(sojourn("doctor", "--json").stdout)
    assert report["ok"] is True
    assert {"check", "verdict", "found", "remedy"} == set(report["findings"][0])


def test_a_port_in_use_is_a_warning_with_the_flag():
    """A running server is no fault of the machine."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = verdicts({"HOME": "/", "SOJOURN_PORT": port})["inference port"]
    assert found.verdict == "warn"
    assert "--port" in found.remedy


def test_settings_that_cannot_be_used_fail_with_all_their_faults(sojourn):
    """The doctor reads what a server would read, and exits 1."""
    done = sojourn("doctor", environment={"SOJOURN_PORT": "many", "SOJOURN_QUEUE_BYTES": "lots"})
    assert done.returncode == 1
    assert b"SOJOURN_PORT" in done.stdout
    assert b"SOJOURN_QUEUE_BYTES" in done.stdout


def test_a_state_directory_others_can_write_fails(tmp_path):
    """The remedy is the command to type."""
    tmp_path.chmod(0o777)
    found = verdicts({"SOJOURN_STATE_DIR": str(tmp_path)})["state directory"]
    assert (found.verdict, found.remedy) == ("fail", f"chmod go-w {tmp_path}")


def test_a_state_directory_below_a_file_fails(tmp_path):
    """What can never be made is told before a server tries."""
    (tmp_path / "file").touch()
    found = verdicts({"SOJOURN_STATE_DIR": str(tmp_path / "file" / "state")})["state directory"]
    assert found.verdict == "fail"


def test_nothing_is_created_by_looking(tmp_path):
    """A check-up changes nothing."""
    verdicts({"SOJOURN_STATE_DIR": str(tmp_path / "state")})
    assert list(tmp_path.iterdir()) == []


def test_our_own_running_server_is_named_as_such(urls):
    """Its ports are taken by what should be there; a stranger's port still is a warning."""
    inference, admin = (url.rpartition(":")[2] for url in urls)
    found = verdicts({"HOME": "/", "SOJOURN_PORT": inference, "SOJOURN_ADMIN_PORT": admin})
    for check in ("inference port", "admin port"):
        assert found[check].verdict == "ok"
        assert "running sojourn server" in found[check].found
