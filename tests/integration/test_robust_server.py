"""A whole server under faults of its surroundings: descriptors, log sinks, floods of output, stops and signals."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from hurt_server import HurtServer, Raw
from server import PATIENCE_S, is_alive, wait_until

# ---- descriptors


def test_a_server_out_of_descriptors_serves_who_is_there_starts_replicas_and_recovers(tmp_path):
    """64 descriptors and 200 clients: no spin, the first client is served on, a killed replica comes back."""
    with HurtServer(tmp_path, descriptors=64) as server, ExitStack() as crowd:
        with Raw(server) as first:
            assert first.call("double", 1) == (200, 2)
            others = []
            for _ in range(200):
                other = crowd.enter_context(socket.socket())
                other.setblocking(False)
                other.connect_ex(server.address)
                others.append(other)
            assert first.call("double", 2) == (200, 4)
            wait_until(lambda: any(has_been_turned_away(other) for other in others), "a client to be turned away")

            began_s, used_s = time.monotonic(), server.processor_s()
            assert first.call("pause", 1.0) == (200, "rested")
            assert server.processor_s() - used_s < 0.5 * (time.monotonic() - began_s)

            pid = server.wait_log("replica.ready", function="double")["pid"]
            os.kill(pid, signal.SIGKILL)
            server.wait_log("replica.ready", function="double", count=2)
            assert first.call("double", 3) == (200, 6)
        crowd.close()
        wait_until(lambda: newcomer_is_served(server), "newcomers to be served again")


def has_been_turned_away(client):
    """Whether the server has told or closed this connection."""
    readable, _, _ = select.select([client], [], [], 0)
    return bool(readable)


def newcomer_is_served(server):
    """Whether a fresh connection gets its result."""
    try:
        return server.call("double", 4).body == 8
    except OSError:
        return False


# ---- the log's sink


@contextmanager
def full_pipe():
    """Both ends of a pipe into which nothing fits any more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with ExitStack() as ends:
        for end in (reader, writer):
            ends.callback(os.close, end)
        while True:
            try:
                os.write(writer, b"." * 4096)
            except BlockingIOError:
                break
        os.set_blocking(writer, True)
        yield reader, writer


def test_a_log_that_nobody_reads_delays_no_request_and_the_gap_is_told(tmp_path):
    """Standard error is a full pipe: everything works; once somebody reads, the number of lost events is told."""
    with full_pipe() as (reader, writer), HurtServer(tmp_path, stderr=writer) as server:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda n: server.call("double", n).body, range(100))) == list(range(0, 200, 2))
        assert server.call("flood", 1).body == 1
        os.set_blocking(reader, False)
        seen = b""

        def told():
            nonlocal seen
            server.call("flood", 0)
            server.call("flood", 1)
            try:
                seen += os.read(reader, 1 << 20)
            except BlockingIOError:
                return False
            return b'"log.dropped"' in seen and seen.endswith(b"\n")

        wait_until(told, "the number of dropped events")
        lines = [json.loads(line) for line in seen.lstrip(b".").splitlines() if line.startswith(b"{")]
        assert next(line for line in lines if line["event"] == "log.dropped")["events"] > 5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_log_costs_the_log_only(tmp_path):
    """Every write of the log fails: requests, replacements of replicas and the drain go on."""
    with open("/dev/full", "wb", buffering=0) as full, HurtServer(tmp_path, stderr=full) as server:  # noqa: PTH123
        assert server.call("double", 2).body == 4
        for pid in server.replica_pids():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: newcomer_is_served(server), "new replicas")
        assert server.call("flood", 1).body == 1


def test_a_flood_of_output_is_served_through_in_bounded_memory(tmp_path):
    """A function prints 50 MB: others are served meanwhile, and the server keeps little of it."""
    with Path(os.devnull).open("wb") as nowhere, HurtServer(tmp_path, stderr=nowhere) as server:
        assert server.call("flood", 1).body == 1
        before = server.resident_bytes()
        with ThreadPoolExecutor(1) as pool:
            flooding = pool.submit(server.call, "flood", 50)
            served = 0
            while not flooding.done() or not served:
                assert server.call("double", served).body == 2 * served
                served += 1
            assert flooding.result().body == 50
        assert server.resident_bytes() - before < 16 * 1024**2
        assert len(server.function("flood")["output"]) <= 1000


# ---- the loop


def test_a_server_that_was_stopped_for_a_while_says_so_and_goes_on(tmp_path):
    """SIGSTOP for longer than the watchdog's patience, SIGCONT: its length is told, the request that waited is served."""
    with HurtServer(tmp_path) as server, Raw(server) as client:
        assert client.call("double", 1) == (200, 2)
        os.kill(server.process.pid, signal.SIGSTOP)
        client.send("double", 2)
        ends_at_s = time.monotonic() + 1.5  # the fault itself lasts that long
        while (left_s := ends_at_s - time.monotonic()) > 0:
            select.select([client.socket], [], [], left_s)
        os.kill(server.process.pid, signal.SIGCONT)
        assert client.answer()[::2] == (200, 4)
        assert server.wait_log("loop.resumed")["stood_still_s"] > 1.0


# ---- the end


def held(server, directory, client, name):
    """Send a call that waits in its replica until the file returned here is made."""
    path = directory / name
    client.send("gate", str(path))
    wait_until(Path(f"{path}.in").exists, "the call to begin")
    return Path(f"{path}.out")


def test_sigterm_under_load_answers_what_is_in_flight_and_closes_in_order(tmp_path):
    """Unready first, listener closed, idle clients let go, answers with `connection: close`, exit 0."""
    with HurtServer(tmp_path) as server, Raw(server) as idle, Raw(server) as busy, Raw(server) as asking:
        assert idle.call("double", 1) == (200, 2)
        crowd = [Raw(server) for _ in range(20)]
        outs = [held(server, tmp_path, client, f"held{n}") for n, client in enumerate((busy, asking, *crowd))]
        server.process.send_signal(signal.SIGTERM)
        assert idle.is_at_end()
        with pytest.raises(ConnectionRefusedError):
            Raw(server)
        asking.socket.sendall(b"GET /readyz HTTP/1.1\r\nHost: t\r\n\r\n")
        assert server.function("gate")["queue_depth"] == 0  # the admin port still answers
        for out in outs:
            out.touch()
        status, headers, body = busy.answer()
        assert (status, headers["connection"], body) == (200, "close", "through")
        assert busy.is_at_end()
        assert asking.answer()[::2] == (200, "through")
        status, headers, body = asking.answer()
        assert (status, headers["connection"], body["code"]) == (503, "close", "not_ready")
        assert asking.is_at_end()
        for client in crowd:
            with client:
                assert client.answer()[::2] == (200, "through")
                assert client.is_at_end()
        assert server.process.wait(PATIENCE_S) == 0
    assert "server.drain_incomplete" not in server.log_text()


@pytest.mark.parametrize("is_signalled_twice", [False, True])
def test_requests_that_outlast_the_drain_are_told_not_reset(tmp_path, is_signalled_twice):
    """At the drain limit, or at a second signal, whoever still waits gets 503 `shutting_down`; exit 0, no orphan."""
    options = () if is_signalled_twice else ("--drain", "100ms")
    with HurtServer(tmp_path, *options) as server, Raw(server) as running, Raw(server) as arriving:
        held(server, tmp_path, running, "held")
        arriving.socket.sendall(b"POST /functions/double HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n1")
        replicas = server.replica_pids()
        server.process.send_signal(signal.SIGTERM)
        if is_signalled_twice:
            server.wait_log("server.draining")
            server.process.send_signal(signal.SIGTERM)
        for client in (running, arriving):
            status, headers, body = client.answer()
            assert (status, headers["connection"], body["code"]) == (503, "close", "shutting_down")
            assert client.is_at_end()
        assert server.process.wait(PATIENCE_S) == 0
        wait_until(lambda: not any(is_alive(pid) for pid in replicas), "the replicas to end")
    wanted = "server.interrupted" if is_signalled_twice else "server.drain_incomplete"
    assert wanted in server.log_text()


def test_a_server_killed_in_its_drain_leaves_no_replica(tmp_path):
    """SIGTERM, then SIGKILL while a request is still running: its replicas go with it."""
    with HurtServer(tmp_path) as server, Raw(server) as client:
        held(server, tmp_path, client, "held")
        replicas = server.replica_pids()
        assert replicas
        server.process.send_signal(signal.SIGTERM)
        server.wait_log("server.draining")
        server.process.kill()
        server.stopped_by_test = True
        server.process.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in replicas), "the replicas to end")


def test_a_second_server_on_the_same_state_directory_is_refused(tmp_path):
    """Exit 1 with the reason, while the first serves on."""
    state = str(tmp_path / "mine")
    with HurtServer(tmp_path, "--state-dir", state) as server:
        words = ["-m", "sojourn.cli.main", "serve", "app.py", "--port", "0", "--admin-port", "0", "--state-dir"]
        second = subprocess.run(
            [sys.executable, *words, state],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert second.returncode == 1
        assert state in second.stderr
        assert server.call("double", 3).body == 6


def test_a_server_killed_outright_leaves_nothing_in_the_way_of_the_next(tmp_path):
    """SIGKILL leaves the socket file and the lock's file behind; the next server on the directory starts and serves."""
    state = str(tmp_path / "mine")
    with HurtServer(tmp_path, "--state-dir", state) as first:
        first.process.kill()
        first.stopped_by_test = True
        first.process.wait()
    assert list(Path(state).rglob("*.sock"))
    with HurtServer(tmp_path, "--state-dir", state) as second:
        assert second.call("double", 3).body == 6
