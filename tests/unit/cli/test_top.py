"""`sojourn top`: what it draws at several widths, and how it lives with a server that goes away."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import subprocess
import sys

import pytest
from rich.console import Console, ConsoleDimensions

from sojourn.cli.top import _looks
from sojourn.cli.top_view import SORTS, view
from sojourn.errors import ClientError

REASON = "envelope 412/s over 2 s needs 4.6 replicas at b=24"


def row(name, within=None, rate=0.0, queue=0, slo="99% < 100ms", **more):
    """A function as the API tells it."""
    return {
        "name": name,
        "slo": slo,
        "replicas": {"starting": 0, "ready": 1, "draining": 0},
        "queue_depth": queue,
        "recent": {"arrival_rate_per_s": rate, "within_slo": within, "batch_size_mean": None},
        "last_scaling": None,
        **more,
    }


DIGITS = row(
    "digits",
    0.98999,
    412.04,
    12,
    replicas={"starting": 2, "ready": 3, "draining": 1},
    recent={"arrival_rate_per_s": 412.04, "within_slo": 0.98999, "batch_size_mean": 8.449},
    last_scaling={"at": "2026-01-31T12:00:00.250Z", "before": 3, "after": 5, "cause": "policy", "why": REASON},
)
LONG = row("a-function-with-a-name-as-long-as-names-may-be-" + "x" * 16, 1.0, 12_345.6, 99_999)
PLAIN = row("plain", slo=None)


def drawn(functions, width=80, height=40, sort="name", lost_since=None):
    """The lines of a look, without colours."""
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(view(functions, "http://127.0.0.1:8081", ConsoleDimensions(width, height), sort, lost_since))
    return console.file.getvalue().splitlines()


def test_all_that_was_promised_fits_80_columns():
    """Objective, share, rate, replicas by state, queue and batch in a row, the reason below."""
    lines = drawn([DIGITS, LONG, PLAIN])
    assert max(len(line) for line in lines) <= 80
    head, titles, long, digits, plain, reason = lines
    assert "3 functions" in head
    assert titles.split() == ["function", "objective", "within", "rate/s", "replicas", "queued", "batch"]
    assert digits.split("  ")[0] == "digits"
    assert digits.split()[1:] == ["99%", "<", "100ms", "98.9", "%", "412", "3", "+2", "-1", "12", "8.4"]
    assert long.startswith("a-function-with-a-n… ")
    assert long.split()[-5:] == ["%", "12,346", "1", "99999", "-"]
    assert plain.split() == ["plain", "-", "-", "0", "1", "0", "-"]
    assert reason.startswith("digits: ")
    assert reason.endswith(f":00:00 3 -> 5: {REASON}")


def test_a_wide_terminal_has_the_reason_in_the_row():
    """And more of the names."""
    lines = drawn([DIGITS, LONG], 160)
    assert len(lines) == 4
    assert max(len(line) for line in lines) <= 160
    assert lines[3].rstrip().endswith(REASON)
    assert lines[2].startswith(LONG["name"][:31])


def test_an_objective_gives_way_to_figures():
    """With a long one 80 columns do not hold all; it says over which time its figures are."""
    lines = drawn(
        [{**LONG, "slo": "99.9% < 100ms over 30d", "recent": {**DIGITS["recent"], "within_slo": 0.98999}}, DIGITS]
    )
    assert lines[1].split() == ["function", "within", "rate/s", "replicas", "queued", "batch"]
    assert "98.9 %" in lines[2]
    assert lines[0].rstrip().endswith("2 functions, last minute or since start")


@pytest.mark.parametrize("width", [20, 40, 80, 129, 130, 300])
def test_no_width_breaks_it(width):
    """Lines are cut, not wrapped, and nothing is raised."""
    lines = drawn([DIGITS, LONG, PLAIN], width)
    assert max(map(len, lines)) <= width
    assert len(lines) == (6 if width < 130 else 5)


@pytest.mark.parametrize("width", [130, 160, 200, 300])
def test_a_long_reason_takes_no_room_from_the_figures(width):
    """Names, shares and rates are whole; the reason is cut."""
    wordy = {**DIGITS, "last_scaling": {**DIGITS["last_scaling"], "why": "because " * 40}}
    lines = drawn([wordy, LONG], width)
    assert max(map(len, lines)) <= width
    assert lines[1].split()[:7] == ["function", "objective", "within", "rate/s", "replicas", "queued", "batch"]
    digits = next(line for line in lines if line.startswith("digits "))
    assert digits.split()[1:10] == ["99%", "<", "100ms", "98.9", "%", "412", "3", "+2", "-1"]


def test_a_low_window_says_what_it_leaves_out():
    """As many rows as fit, then how many do not."""
    many = [row(f"f{number:03}") for number in range(100)]
    lines = drawn(many, height=24)
    assert len(lines) <= 23
    assert lines[-1].startswith("and 90 more")
    assert len(drawn(many, height=0)) == 102


def test_rows_in_the_order_asked_for():
    """By name, the worst share first, the most traffic first, the longest queue first."""
    functions = [row("b", 0.5, 3.0, 1), row("c", None, 9.0, 5), row("a", 0.995, 1.0, 0), row("d", 0.1, slo=None)]
    orders = {sort: "".join(line[0] for line in drawn(functions, sort=sort)[2:]) for sort in SORTS}
    assert orders == {"name": "abcd", "within": "bacd", "rate": "cbad", "queue": "cbad"}


def test_a_server_that_is_away_is_told_and_found_again():
    """What was seen last stays, with the time since when; the first good answer is new again."""
    answers = iter([{"functions": [DIGITS]}, ClientError("away"), ClientError("away"), {"functions": [PLAIN]}])

    def ask():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    times = map("12:00:0{}".format, itertools.count())
    looks = list(itertools.islice(_looks([PLAIN], 0.0, ask, lambda: next(times)), 5))
    assert [look.functions for look in looks] == [[PLAIN], [DIGITS], [DIGITS], [DIGITS], [PLAIN]]
    assert [look.lost_since for look in looks] == [None, None, "12:00:00", "12:00:00", None]
    assert "not reachable since 12:00:01" in drawn([DIGITS], lost_since="12:00:01")[0]


def test_once_prints_one_table_of_a_real_server(sojourn, urls):
    """Also where there is no terminal; programs get JSON."""
    for environment in ({"TERM": "dumb"}, {"COLUMNS": "80"}, {}):
        done = sojourn("top", "--once", "--admin-url", urls[1], environment=environment)
        assert done.returncode == 0
        lines = done.stdout.decode().splitlines()
        assert [line.split()[0] for line in lines[1:4]] == ["function", "double", "echo"]
        assert "\x1b" not in done.stdout.decode()
    told = json.loads(sojourn("top", "--once", "--json", "--admin-url", urls[1]).stdout)
    assert [one["name"] for one in told["functions"]] == ["double", "echo"]
    assert told["not_reachable_since"] is None


def test_no_server_at_all_is_an_error(sojourn):
    """A wrong URL is told at once instead of waited for."""
    done = sojourn("top", "--admin-url", "http://127.0.0.1:1")
    assert done.returncode == 1
    assert b"sojourn serve" in done.stderr


def test_it_goes_on_until_interrupted(urls):
    """Without a terminal one table follows the other; Ctrl-C ends it well."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sojourn.cli.main", "top", "--interval", "10ms", "--admin-url", urls[1]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    try:
        heads = 0
        while heads < 3:
            heads += urls[1] in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.communicate()


def test_an_alert_that_fires_is_told_below():
    """Whoever watches sees it without asking."""
    lines = drawn([{**DIGITS, "alerts_firing": ["page-fast", "ticket-fast"]}, PLAIN])
    assert lines[-1].rstrip() == "digits: error budget: page-fast, ticket-fast"
    assert max(len(line) for line in lines) <= 80
