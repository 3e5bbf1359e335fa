"""Waiting for a rollout: a server that goes away and comes back, one that stays away, and a wait that is interrupted."""

from __future__ import annotations

import json

import pytest

from sojourn.cli.rollout_view import interruption_told, watched
from sojourn.errors import ClientError, ConnectionFailedError

REVISION = "0123456789ab"


def told(state):
    """How a rollout stands, as the server answers."""
    body = json.dumps({"function": "digits", "revision": REVISION, "state": state, "cause": "", "share": 0.0}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body)


def test_a_restart_is_sat_out(scripted, capsys):
    """The break is told once, and the wait ends with the rollout."""
    # Each connection that breaks is followed by a look whether the port speaks TLS.
    url, _ = scripted(told("warming"), b"", b"", b"", b"", told("live"))
    assert watched(url, "digits", REVISION, 60.0, is_quiet=False)["state"] == "live"
    shown = capsys.readouterr()
    assert shown.out == f"  digits@{REVISION}: warming up\n"
    assert shown.err.count("waiting for it to come back") == 1


def test_a_step_that_lasts_is_told_again_with_what_it_waits_for(scripted, capsys):
    """A full pool and a function without callers look alike from afar, and are not the same."""
    answers = [told(state) for state in ("warming", "warming", "shifting", "shifting", "live")]
    watched(scripted(*answers)[0], "digits", REVISION, 60.0, is_quiet=False, remind_s=0.0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(", for ")[0] for line in lines] == [
        f"  digits@{REVISION}: {step}" for step in ["warming up"] * 2 + ["has 0 % of the traffic"] * 2
    ]
    assert "no room for one; `sojourn events --function digits` tells" in lines[1]
    assert lines[3].endswith("s now: too little traffic to judge so far")
    watched(scripted(*answers[:2], answers[-1])[0], "digits", REVISION, 60.0, is_quiet=False)
    assert capsys.readouterr().out.count("\n") == 1  # not within the first half minute


def test_a_server_that_stays_away_ends_the_wait_with_what_to_do(scripted):
    """Not with the advice to serve a file: what was deployed is kept by the server that has it."""
    url, _ = scripted(told("warming"))
    with pytest.raises(ClientError) as failed:
        watched(url, "digits", REVISION, 60.0, is_quiet=True, silence_s=0.0)
    text = str(failed.value)
    assert not isinstance(failed.value, ConnectionFailedError)
    assert "sojourn serve app.py" not in text
    assert "a server that keeps its state goes on with it" in text
    assert "`sojourn rollout digits --wait`" in text


def test_who_is_interrupted_hears_that_the_rollout_goes_on(capsys):
    """For each function that was waited for, how to see it and how to end it."""
    with pytest.raises(KeyboardInterrupt), interruption_told(["digits", "spam"]):
        raise KeyboardInterrupt
    said = capsys.readouterr().err
    for name in ("digits", "spam"):
        assert f"{name}: the rollout goes on at the server" in said
        assert f"`sojourn rollout {name} --wait`" in said
        assert f"`sojourn rollback {name}`" in said
