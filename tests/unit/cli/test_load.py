"""`sojourn load`: what it prints, writes and exits with, against a small server."""

import asyncio
import json
import subprocess
import sys
import threading

import pytest
import uvloop

from sojourn.cli.load import read_bodies
from sojourn.cli.load_report import failure_text
from sojourn.cli.main import run
from sojourn.cli.options import parse_objective
from sojourn.errors import ConfigurationError, ObjectiveError


class Answering(asyncio.Protocol):
    """Answers whatever arrives with a status and a batch size, or not at all."""

    def __init__(self, *, is_silent, status):
        self.is_silent = is_silent
        self.status = status

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if not self.is_silent:
            head = b"HTTP/1.1 %d X\r\nContent-Length: 1\r\n" % self.status
            head += b'Server-Timing: queue;dur=1, batch;desc="4"\r\n\r\n1'
            self.transport.write(head * data.count(b"POST "))


@pytest.fixture
def serve():
    """Starts servers on a loop in a thread of their own; gives their URL."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers = []

    async def listen(is_silent, status):
        return await loop.create_server(lambda: Answering(is_silent=is_silent, status=status), "127.0.0.1", 0)

    def start(*, is_silent=False, status=200):
        server = asyncio.run_coroutine_threadsafe(listen(is_silent, status), loop).result()
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/functions/f"

    yield start
    for server in servers:
        loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


# How late this command sends on a busy machine is not the matter here.
SHORT = ["--rate", "200", "--duration", "0.2", "--body", "1", "--late-share", "1"]


def test_json_has_the_shared_keys(serve, capsys):
    """One line of JSON on standard output, nothing else; exit 0."""
    assert run(["load", serve(), *SHORT, "--arrivals", "constant", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["sent"] == result["outcomes"]["served"] == 40
    assert result["batch_size_mean"] == 4
    assert result["duration_s"] == 0.2
    assert result["within_slo"] is None


def test_an_objective_met_and_an_objective_missed(serve, capsys):
    """A minute is enough for everybody, a microsecond for nobody: exit 0 and exit 3, and the words for people."""
    url = serve()
    assert run(["load", url, *SHORT, "--slo", "60s"]) == 0
    assert "was met" in capsys.readouterr().out
    assert run(["load", url, *SHORT, "--slo", "50% < 1us"]) == 3
    assert "was missed" in capsys.readouterr().out


def test_a_void_run_exits_1_and_says_why(serve, capsys):
    """One connection and a silent server: requests wait in the generator, so nothing is judged."""
    arguments = ["load", serve(is_silent=True), *SHORT, "--connections", "1", "--timeout", "0.3", "--slo", "1s"]
    assert run(arguments) == 1
    said = capsys.readouterr().out
    assert "Void" in said
    assert "connections were taken" in said
    assert "no answer within 0.3 s" in said


def test_a_run_short_of_descriptors_is_void_and_not_the_servers_fault(serve):
    """A process that may open only forty files cannot hold eighty connections to a silent server."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)); "
        "from sojourn.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    arguments = ["load", serve(is_silent=True), "--rate", "400", "--duration", "0.2", "--body", "1", "--timeout", "0.5"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments, "--arrivals", "constant", "--json"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert result["void"]
    assert "ulimit" in result["void_reason"]
    assert result["outcomes"]["failed"] == 80


def test_the_report_is_written_where_told(serve, tmp_path):
    """The plots are in it."""
    path = tmp_path / "report.html"
    assert run(["load", serve(), *SHORT, "--html", str(path), "--slo", "60s"]) == 0
    assert path.read_text().count("<svg") == 4


def test_a_report_that_cannot_be_written_is_an_error(serve, tmp_path, capsys):
    """The path is named before anything is sent; there is no traceback."""
    for place in (tmp_path, tmp_path / "nowhere" / "report.html"):
        assert run(["load", serve(), *SHORT, "--html", str(place)]) == 2
        assert str(tmp_path) in capsys.readouterr().err


def test_same_seed_same_number_of_requests(serve, capsys):
    """The seed alone decides the arrivals."""
    url = serve()
    counts = []
    for seed in ("3", "3", "4"):
        run(["load", url, *SHORT, "--seed", seed, "--json"])
        counts.append(json.loads(capsys.readouterr().out)["sent"])
    assert counts[0] == counts[1] != counts[2]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["http://127.0.0.1:1/f", "--body", "1"], 2, "--rate"),
        (["ftp://x", *SHORT], 2, "http or https"),
        (["http://127.0.0.1:1/f", *SHORT], 1, "is the server running"),
        (["http://127.0.0.1:1/f", *SHORT, "--rate", "-5"], 2, "arrival rate"),
        (["http://127.0.0.1:1/f", *SHORT, "--duration", "0"], 2, "1ms"),
        (["http://127.0.0.1:1/f", *SHORT, "--rate", "0"], 2, "> 0"),
        (["http://127.0.0.1:1/f", *SHORT, "--rate", "nan"], 2, "> 0"),
        (["http://127.0.0.1:1/f", *SHORT, "--timeout", "soon"], 2, "500ms"),
        (["http://127.0.0.1:1/f", *SHORT, "--connections", "0"], 2, "connections"),
        (["http://127.0.0.1:1/f", *SHORT, "--arrivals", "sometimes"], 2, "poisson"),
        (["http://127.0.0.1:1/f", *SHORT, "--admin-url", "http://127.0.0.1:1"], 2, "/functions/NAME"),
        (["http://127.0.0.1:1/f", "--rate", "5", "--data", "/nowhere"], 2, "/nowhere"),
        (["http://127.0.0.1:1/f", *SHORT, "--slo", "fast"], 2, "column"),
        (["http://127.0.0.1:1/f", *SHORT, "--arrivals", "trace:/nowhere"], 2, "/nowhere"),
        (["http://127.0.0.1:1/f", "--rate", "5"], 2, "--data"),
        (["http://127.0.0.1:1/f", *SHORT, "--data", "x"], 2, "not both"),
    ],
)
def test_bad_input_is_told_in_one_message(arguments, code, told, capsys):
    """What, where, how to fix, on standard error."""
    assert run(["load", *arguments]) == code
    captured = capsys.readouterr()
    assert told in captured.err
    assert "Traceback" not in captured.err


def test_data_is_one_item_or_one_per_line(tmp_path):
    """A file that is JSON as a whole is one body; else each line is one."""
    path = tmp_path / "items"
    path.write_text('{\n "a": 1\n}\n')
    assert read_bodies(path, None) == [b'{\n "a": 1\n}']
    path.write_text('{"a": 1}\n\n[2]\n')
    assert read_bodies(path, None) == [b'{"a": 1}', b"[2]"]
    assert read_bodies(None, "text") == [b"text"]


@pytest.mark.parametrize(("content", "told"), [("", "empty"), ("{}\nnot json\n", "item 2")])
def test_bad_data_is_refused_before_anything_is_sent(tmp_path, content, told):
    """The file and the place are named."""
    path = tmp_path / "items"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=told):
        read_bodies(path, None)


def test_a_bare_duration_means_99_percent():
    """`--slo 100ms` is the short form; anything else must be an objective."""
    assert (parse_objective(" 100ms ").latency_s, parse_objective("100ms").objective) == (0.1, 0.99)
    assert parse_objective("90% < 1s").objective == 0.9
    with pytest.raises(ObjectiveError):
        parse_objective("100")


@pytest.mark.parametrize(
    ("status", "told"),
    [(422, "Nothing could count: all 40 requests were faulty (40 x 422)"), (503, "Nothing was served"), (429, "429")],
)
@pytest.mark.parametrize("slo", [(), ("--slo", "1s")])
def test_a_run_in_which_nothing_was_served_is_no_success(serve, capsys, status, told, slo):
    """Exit 1 and the reason, whether or not an objective was given, for people and beside the JSON."""
    arguments = ["load", serve(status=status), *SHORT, "--arrivals", "constant", *slo]
    assert run(arguments) == 1
    assert told in " ".join(capsys.readouterr().out.split())  # lines are as wide as the terminal
    assert run([*arguments, "--json"]) == 1
    captured = capsys.readouterr()
    assert told in captured.err
    assert json.loads(captured.out)["outcomes"]["served"] == 0


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (
            'HTTP 404: {"error":"no function","code":"not_found","request_id":"a-1"}',
            "HTTP 404: no function (not_found, request a-1)",
        ),
        ("HTTP 502: bad gateway", "HTTP 502: bad gateway"),
        ('HTTP 502: {"error":"cut of', 'HTTP 502: {"error":"cut of'),
        ("HTTP 500: [1]", "HTTP 500: [1]"),
        ("the server closed the connection", "the server closed the connection"),
    ],
)
def test_the_first_failure_is_told_as_a_sentence(first, told):
    """Where the server said one; anything else is shown as it came."""
    assert failure_text(first) == told


def test_one_request_is_told_in_the_singular(serve, capsys):
    """Served, and faulty."""
    one = ["--rate", "5", "--duration", "200ms", "--arrivals", "constant", "--body", "1"]
    assert run(["load", serve(), *one]) == 0
    assert "1 of 1 request was served." in capsys.readouterr().out
    assert run(["load", serve(status=422), *one]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "Nothing could count: the request was faulty (1 x 422)" in told


def test_a_run_without_an_arrival_is_no_success(serve, capsys):
    """One request an hour and a fifth of a second: nothing was sent."""
    assert run(["load", serve(), "--rate", "0.0003", "--duration", "200ms", "--body", "1"]) == 1
    assert "Nothing was sent" in capsys.readouterr().out


def test_durations_are_read_as_settings_are(serve, capsys):
    """`200ms` and `0.2` are the same."""
    arguments = ["load", serve(), "--rate", "200", "--duration", "200ms", "--timeout", "10s", "--body", "1", "--json"]
    assert run(arguments) in {0, 1}  # 1 if this machine is too busy for the generator
    assert json.loads(capsys.readouterr().out)["duration_s"] == 0.2


def test_help_lists_every_exit_code(capsys):
    """0, 1, 2 and 3, each with its meaning."""
    run(["load", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "0 good, 1 error, void or nothing served, 2 wrong usage, 3 objective missed" in said


def test_the_admin_port_tells_what_replicas_it_took(urls, capsys):
    """With `--admin-url` the result has the replica time of the run, not of the server's life."""
    inference, admin = urls
    fair = {0, 1}  # 1 if this machine is too busy for the generator
    assert run(["load", f"{inference}/functions/double", *SHORT, "--admin-url", admin, "--json"]) in fair
    result = json.loads(capsys.readouterr().out)
    assert 0.1 < result["replica_seconds"] < 30
    assert (result["replicas_max"], result["cold_starts"]) == (1, 0)
    assert run(["load", f"{inference}/functions/double", *SHORT, "--admin-url", admin]) in fair
    assert "replica time" in capsys.readouterr().out
    assert run(["load", f"{inference}/functions/nobody", *SHORT, "--admin-url", admin]) == 1
    assert "no function is called" in capsys.readouterr().err
