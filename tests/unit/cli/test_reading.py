"""`list`, `describe` and `logs` against a real server, and against none."""

from __future__ import annotations

import io
import json
import re
import socket
import threading
from pathlib import Path

import pytest
from rich.console import Console

from sojourn.cli.describe import _shown
from sojourn.cli.function_table import function_table
from sojourn.cli.list import _COLUMNS


def test_list_shows_a_row_per_function(sojourn, urls):
    """The table carries name, objective and readiness, also when piped."""
    done = sojourn("list", "--admin-url", urls[1])
    assert done.returncode == 0
    heading, double, echo, *_ = done.stdout.decode().splitlines()
    assert heading.split()[:3] == ["function", "revision", "objective"]
    assert double.startswith("double ")
    assert "99% < 500ms" in double
    assert echo.startswith("echo ")
    assert b"served, not served: since the server's start" in done.stdout.replace(b"\n", b" ")


def test_list_json_is_what_the_api_said(sojourn, urls):
    """Programs get the API's answer; the URL may come from the environment."""
    done = sojourn("list", "--json", environment={"SOJOURN_ADMIN_URL": urls[1]})
    assert [one["name"] for one in json.loads(done.stdout)["functions"]] == ["double", "echo"]


def test_describe_shows_schemas_and_settings(sojourn, urls):
    """For people and for programs."""
    text = sojourn("describe", "double", "--admin-url", urls[1]).stdout.decode()
    assert "max_batch_size: 8" in text
    assert "input_schema:\n  type: integer" in text
    detail = json.loads(sojourn("describe", "double", "--json", "--admin-url", urls[1]).stdout)
    assert detail["settings"]["max_batch_size"] == 8
    assert detail["output_schema"] == {"type": "integer"}
    assert detail["target"] == "app.py"
    assert Path(detail["working_directory"], "app.py").is_file()


def test_describe_shows_quantities_as_people_read_them(sojourn, urls):
    """Durations with their unit, the objective as it was written, and the timeout in force instead of nothing."""
    lines = sojourn("describe", "double", "--admin-url", urls[1]).stdout.decode().splitlines()
    for line in ("slo: 99% < 500ms", "  timeout: 5 s", "  start_timeout: 60 s", "  threads: 1", "  memory: -"):
        assert line in lines
    assert "null" not in "\n".join(lines)


def test_describe_rounds_what_has_no_unit(sojourn, urls):
    """A mean as people read it; counts as they are, and no core with a fraction of nothing."""
    assert _shown(1.6666666666666667, "") == "1.67"
    assert (_shown(1.0, ""), _shown(4096, ""), _shown(True, "")) == ("1", "4096", "true")
    assert "  cpus: 1" in sojourn("describe", "double", "--admin-url", urls[1]).stdout.decode().splitlines()


def test_describe_shows_each_replica(sojourn, urls):
    """Its memory and the phases of its cold start, which add up; for people on one line."""
    (replica,) = json.loads(sojourn("describe", "double", "--json", "--admin-url", urls[1]).stdout)["replica_details"]
    cold_start = replica["cold_start"]
    total_s = cold_start.pop("total_s")
    assert total_s == pytest.approx(sum(cold_start.values()))
    assert set(cold_start) == {"spawn_s", "import_s", "load_s", "warmup_s"}
    assert replica["memory_bytes"] > 2**20
    text = sojourn("describe", "double", "--admin-url", urls[1]).stdout.decode()
    assert f"replica {replica['replica_id']}: ready, started " in text
    assert " MiB, ready after " in text


def test_an_inference_port_is_recognised(sojourn, urls):
    """Whoever mixes up the two ports is told so."""
    done = sojourn("list", "--admin-url", urls[0])
    assert done.returncode == 1
    assert b"is an inference port" in done.stderr


ROW = {
    "name": "slow",
    "revision": "r1",
    "slo": "99% < 5ms",
    "within_slo": 0.99999,
    "replicas": {"ready": 1},
    "queue_depth": 0,
    "requests": {"served": 1},
    "recent": {"arrival_rate_per_s": 0.0, "latency_s": {"p50": None, "p99": None}},
    "infeasible": "one item takes 21 ms at p95, the objective is 5 ms",
    "settings": {"memory_bytes": 3 * 1024**3},
    "input_schema": {},
}


@pytest.mark.parametrize("command", [("list",), ("describe", "slow")])
def test_an_objective_that_cannot_be_met_is_told(sojourn, command):
    """By name and number; and a share short of everything is never shown as 100 %."""
    body = json.dumps({"functions": [ROW]} if command == ("list",) else ROW).encode()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

        thread = threading.Thread(target=answer)
        thread.start()
        done = sojourn(*command, "--admin-url", f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    said = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert "one item takes 21 ms at p95" in said
    assert "99.999 %" in said
    assert "100" not in said
    if command != ("list",):
        assert "memory: 3 GiB" in said


@pytest.mark.parametrize("width", [80, 90, 100, 110, 120, 140, 200])
def test_no_figure_of_a_list_is_cut(width):
    """A terminal without room for a column does without it; "within" is that of the budget beside it."""
    busy = {
        **ROW, "name": "recommendations", "slo": "99.9% < 250ms over 7d", "attainment": 0.5, "budget_remaining": 0.25,
        "requests": {"served": 1_234_567, "shed": 89_012}, "queue_depth": 12_345,
        "recent": {"arrival_rate_per_s": 12_345.6, "latency_s": {"p50": 1.2345, "p99": 12.3456}},
    }  # fmt: skip
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(function_table(width, _COLUMNS, [busy, ROW]))
    heads, first, _ = console.file.getvalue().splitlines()
    assert "…" not in heads + first
    shown = re.split(r"\s{2,}", first.strip())
    assert len(shown) == len(re.split(r"\s{2,}", heads.strip()))
    assert "50.0 %" in shown
    assert "12345.6 ms" in shown


def test_logs_show_what_the_replica_printed(sojourn, urls):
    """Standard output and error of user code can be read from outside."""
    text = sojourn("logs", "double", "--admin-url", urls[1]).stdout.decode()
    assert "loading the app" in text
    assert "model loaded" in text
    one = sojourn("logs", "double", "-n", "1", "--json", "--admin-url", urls[1])
    assert len(json.loads(one.stdout)["lines"]) == 1


@pytest.mark.parametrize("command", ["describe", "logs"])
def test_an_unknown_function_is_told_with_the_known_ones(sojourn, urls, command):
    """Exit 1, one message, no traceback."""
    done = sojourn(command, "doubel/../x", "--admin-url", urls[1])
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"deployed: double, echo" in done.stderr or b"nothing is at" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "url", ["ftp://x", "nonsense", "http://", "http://127.0.0.1:99999", "http://[::1", "http://:1"]
)
def test_a_url_that_is_none_is_told(sojourn, url):
    """What a URL looks like stands in the message."""
    done = sojourn("list", "--admin-url", url)
    assert done.returncode == 1
    assert b"is not a usable URL" in done.stderr


@pytest.mark.parametrize("command", [["list"], ["deploy", "app.py"], ["events", "--follow"]])
def test_no_server_is_told_with_the_way_out(sojourn, tmp_path, command):
    """The message names the address, how to start a server and how to name another."""
    (tmp_path / "app.py").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = sojourn(*command, "--admin-url", f"http://127.0.0.1:{port}")
    assert done.returncode == 1
    for part in (f"127.0.0.1:{port}", "sojourn serve", "SOJOURN_ADMIN_URL"):
        assert part.encode() in done.stderr


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"SSH-2.0-OpenSSH\r\n", b"not an HTTP answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"not JSON"),
        (b"HTTP/1.1 503 No\r\ncontent-length: 5\r\n\r\nlater", b"status 503: later"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", b"8 bytes of it are missing"),
        (b"", b"error: "),
    ],
)
def test_something_else_on_that_port_is_told(sojourn, said, told):
    """Another program's answer ends in one line, whatever it says."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        done = sojourn("list", "--admin-url", f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert done.returncode == 1
    assert told in done.stderr
    assert b"Traceback" not in done.stderr
