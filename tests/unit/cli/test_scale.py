"""`sojourn scale` against a real server."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def scale(sojourn, urls):
    """Scales `echo`, and in the end puts it back to what it was."""
    yield lambda *arguments: sojourn("scale", *arguments, "--admin-url", urls[1])
    assert sojourn("scale", "echo", "1", "--admin-url", urls[1]).returncode == 0
    assert sojourn("scale", "echo", "--min", "0", "--max", "10000", "--admin-url", urls[1]).returncode == 0


def limits(done):
    """The limits a command with `--json` told."""
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["limits"]
    return told["min_replicas"], told["max_replicas"]


def test_a_count_fixes_the_replicas_and_zero_lets_them_go(scale):
    """COUNT sets both; 0 sets the least alone; --min and --max one each or both."""
    assert limits(scale("echo", "2", "--json")) == (2, 2)
    assert limits(scale("echo", "0", "--json")) == (0, 2)
    assert limits(scale("echo", "--max", "3", "--json")) == (0, 3)
    assert limits(scale("echo", "--min", "1", "--json")) == (1, 3)
    assert limits(scale("echo", "--min", "4", "--max", "5", "--json")) == (4, 5)


def test_people_are_told_limits_replicas_and_the_reason(scale):
    """And the same stands in `describe` and `list` from then on."""
    first, second, third = scale("echo", "2").stdout.decode().splitlines()
    assert first == "echo: at least 2 replicas, at most 2"
    assert second.startswith("replicas now (ready +starting -draining): ")
    assert third.startswith("last scaling: ")
    assert " -> 2: " in third


def test_the_reason_stands_in_list_describe_and_events(scale, sojourn, urls):
    """Whoever looks later sees what was decided and why."""
    reason = scale("echo", "2").stdout.decode().splitlines()[2].partition(" -> 2: ")[2]
    listed = sojourn("list", "--admin-url", urls[1]).stdout.decode()
    assert f"-> 2: {reason}" in next(line for line in listed.splitlines() if line.startswith("echo: scaled "))
    described = sojourn("describe", "echo", "--admin-url", urls[1]).stdout.decode()
    assert f"  why: {reason}" in described
    assert "limits:\n  min_replicas: 2\n  max_replicas: 2" in described
    told = sojourn("events", "--function", "echo", "--admin-url", urls[1]).stdout.decode()
    assert f"-> 2: {reason}" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ("echo",),
        (),
        ("echo", "-1"),
        ("echo", "two"),
        ("echo", "2", "--min", "1"),
        ("echo", "--max", "0"),
        ("echo", "--min", "-1"),
        ("echo", "--min", "3", "--max", "2"),
    ],
)
def test_wrong_usage_exits_2(sojourn, arguments):
    """Before any server is asked."""
    done = sojourn("scale", *arguments, "--admin-url", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Usage: sojourn scale" in done.stderr


def test_what_the_server_refuses_exits_1(scale):
    """With its words and no traceback; nothing has changed."""
    assert scale("echo", "2").returncode == 0
    for arguments, told in (
        (("nobody", "1"), b"deployed: double, echo"),
        (("echo", "--min", "3"), b"min_replicas 3 lies above max_replicas 2"),
        (("echo", "10001"), b"must be in [0, 10000]"),
    ):
        done = scale(*arguments)
        assert (done.returncode, done.stdout) == (1, b"")
        assert told in done.stderr
        assert b"Traceback" not in done.stderr
    assert limits(scale("echo", "0", "--json")) == (0, 2)
