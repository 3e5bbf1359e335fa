"""`sojourn key`: on a state directory, and through a server that runs; and which commands send the key along."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

import pytest

from sojourn.cli.main import run

SECRET = re.compile(rb"sj_[0-9a-f]{8}_[0-9A-Za-z]{49}\n")


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: bytes
    stderr: bytes


@pytest.fixture
def sojourn(monkeypatch, capsysbinary, tmp_path):
    """Runs one command to its end, in this process: most of a process's time is Python's start."""
    monkeypatch.chdir(tmp_path)

    def ran(*arguments, environment=None):
        with monkeypatch.context() as patch:
            for name in ("SOJOURN_API_KEY", "SOJOURN_URL", "SOJOURN_ADMIN_URL"):
                patch.delenv(name, raising=False)
            for name, value in (environment or {}).items():
                patch.setenv(name, value)
            code = run(arguments)
        return Done(code, *capsysbinary.readouterr())

    return ran


def made(sojourn, *arguments, **options):
    """The text of a key that is made."""
    done = sojourn("key", "create", *arguments, **options)
    assert done.returncode == 0, done.stderr
    assert SECRET.fullmatch(done.stdout), done.stdout
    assert done.stdout.strip() not in done.stderr
    return done.stdout.strip().decode()


def test_keys_are_made_listed_and_revoked_where_no_server_runs(sojourn):
    """The text is alone on standard output, once; the list has everything else."""
    kept = ("--state-dir", "kept")
    assert b"there is no state directory kept" in sojourn("key", "list", *kept).stderr
    secret = made(
        sojourn, "--label", "ci [bold]", "--scope", "invoke:digits", "--scope", "read", "--expires", "90d", *kept
    )
    made(sojourn, "--label", "root", "--scope", "admin", *kept)
    listed = sojourn("key", "list", "--json", *kept).stdout
    first, second = json.loads(listed)
    assert (first["label"], first["scopes"], first["state"]) == ("ci [bold]", ["invoke:digits", "read"], "valid")
    assert (second["scopes"], second["expires_at"]) == (["admin"], None)
    assert secret.encode() not in listed
    assert b"ci [bold]" in sojourn("key", "list", *kept).stdout
    assert sojourn("key", "revoke", first["id"], *kept).returncode == 0
    assert [one["state"] for one in json.loads(sojourn("key", "list", "--json", *kept).stdout)] == ["revoked", "valid"]
    unknown = sojourn("key", "revoke", "00000000", *kept)
    assert (unknown.returncode, b"sojourn key list" in unknown.stderr) == (1, True)


def test_keys_that_live_for_seconds_show_when_they_end(sojourn):
    """The list tells seconds: made and ended within one minute are not the same."""
    made(sojourn, "--label", "short", "--scope", "read", "--expires", "2s", "--state-dir", "kept")
    (one,) = json.loads(sojourn("key", "list", "--json", "--state-dir", "kept").stdout)
    listed = sojourn("key", "list", "--state-dir", "kept").stdout.decode()
    for at in (one["created_at"], one["expires_at"]):
        assert at[:19].replace("T", " ") + "Z" in listed


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--label", "a"], 2, b"--scope"),
        (["--scope", "read"], 2, b"--label"),
        (["--label", "a", "--scope", "root"], 2, b"'root' is no scope"),
        (["--label", "a", "--scope", "read:digits"], 2, b"is no scope"),
        (["--label", "a", "--scope", "read", "--expires", "soon"], 2, b"90d, 12h or 30m"),
        (["--label", "a", "--scope", "read", "--expires", "0"], 2, b"100 years"),
        (["--label", "a", "--scope", "read", "--expires", "nand"], 2, b"100 years"),
        (["--label", "", "--scope", "read"], 1, b"label must be"),
    ],
)
def test_a_key_that_cannot_be_is_told(sojourn, arguments, code, told):
    """As wrong usage, or with the rule."""
    done = sojourn("key", "create", *arguments, "--state-dir", "kept")
    assert (done.returncode, done.stdout) == (code, b"")
    assert told in done.stderr


def test_a_running_server_is_asked_and_its_directory_is_left_alone(start, sojourn):
    """The first key closes the server for every command without one; the variable opens it again."""
    server = start("app.py", "--state-dir", "kept")
    inference, admin, _ = server.wait_ready()
    at = {"SOJOURN_ADMIN_URL": admin, "SOJOURN_URL": inference}
    taken = sojourn("key", "create", "--label", "a", "--scope", "read", "--state-dir", "kept")
    assert (taken.returncode, b"held by a running server" in taken.stderr) == (1, True)
    assert b"leave out --state-dir" in taken.stderr
    assert b"serve beside it" not in taken.stderr
    told = sojourn("key", "list", environment=at).stdout
    assert b"no keys: everybody" in told
    assert b"sojourn key create --label NAME --scope admin" in told
    secret = made(sojourn, "--label", "root", "--scope", "admin", environment=at)

    for command in (
        ["list"],
        ["invoke", "double", "4"],
        ["key", "list"],
        ["describe", "double"],
        ["events", "--follow"],
    ):
        refused = sojourn(*command, environment=at)
        assert refused.returncode == 1
        assert b"401 unauthenticated" in refused.stderr, command
        assert b"no key was sent: set SOJOURN_API_KEY" in refused.stderr, command
    load = ["load", f"{inference}/functions/double", "--rate", "50", "--duration", "200ms", "--body", "1"]
    refused = sojourn(*load, environment=at)
    assert refused.returncode == 1
    assert b"set SOJOURN_API_KEY" in b" ".join(refused.stdout.split())
    keyed = {**at, "SOJOURN_API_KEY": secret}
    assert sojourn("invoke", "double", "4", environment=keyed).stdout == b"8\n"
    assert sojourn("list", "--json", environment=keyed).returncode == 0
    assert sojourn("key", "list", environment=keyed).returncode == 0
    served = json.loads(sojourn(*load, "--json", "--admin-url", admin, environment=keyed).stdout)
    assert served["outcomes"]["served"] == served["sent"] > 0
    assert served["cold_starts"] == 0

    reader = made(sojourn, "--label", "reader", "--scope", "read", environment=keyed)
    read = {**at, "SOJOURN_API_KEY": reader}
    assert sojourn("list", environment=read).returncode == 0
    assert b"403 scope_missing" in sojourn("key", "list", environment=read).stderr
    assert sojourn("key", "revoke", reader[3:11], environment=keyed).returncode == 0
    gone = sojourn("list", environment=read).stderr
    assert b"401" in gone
    assert b"the key in SOJOURN_API_KEY was sent" in gone
    assert server.end() == 0
    assert b"revoked" in sojourn("key", "list", "--state-dir", "kept").stdout


def test_a_first_key_that_cannot_make_others_is_pointed_out(start, sojourn):
    """It works; but only who stops the server can make another."""
    server = start("app.py")
    _, admin, _ = server.wait_ready()
    done = sojourn("key", "create", "--label", "a", "--scope", "invoke", "--admin-url", admin)
    assert done.returncode == 0
    assert b"no key has the scope admin" in done.stderr


def test_a_variable_that_can_be_no_key_is_told_without_repeating_it(sojourn):
    """Before anything is sent."""
    done = sojourn("list", environment={"SOJOURN_API_KEY": "sj_line\nbreak", "SOJOURN_ADMIN_URL": "http://127.0.0.1:9"})
    assert done.returncode == 1
    assert b"SOJOURN_API_KEY has characters no key has" in done.stderr
    assert b"break" not in done.stderr
