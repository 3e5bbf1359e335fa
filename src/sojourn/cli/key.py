"""`sojourn key`: who may do what on a server, running or not."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec
from rich.markup import escape
from rich.table import Table

from sojourn.access.key_ring import LIFE_S_MAX, KeyRing
from sojourn.cli.function_table import output_console
from sojourn.cli.http_call import admin_json, api_key
from sojourn.cli.key_store import opened_key_store
from sojourn.cli.options import admin_url_option, json_option, read_by
from sojourn.config.quantities import read_duration_s
from sojourn.config.state_dir import claim
from sojourn.control.shapes import key_made, key_shown
from sojourn.domain.access import ADMIN, INVOKE, SCOPES, Scope, parse_scope
from sojourn.errors import ConfigurationError

_KEYS = "/api/v1/keys"
_DAY_S = 86_400.0

state_dir_option = click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="State directory of a server that does not run; without it, the running one is asked.",
)


def life(text: str) -> float:
    """Seconds from a text such as `90d` or `12h` (a click type).

    Raises:
        click.BadParameter: It is none, or not in [1 s, 100 years].
    """
    days = text.strip().lower().removesuffix("d")
    try:
        life_s = float(days) * _DAY_S if days != text.strip().lower() else read_duration_s(text)
    except ValueError as err:
        raise click.BadParameter(f"must be a duration such as 90d, 12h or 30m, not {text!r}") from err
    if not 1 <= life_s <= LIFE_S_MAX:
        raise click.BadParameter(f"must be in [1s, 100 years], not {text!r}")
    return life_s


@click.group("key")
def key() -> None:
    """Make, list and revoke the keys that say who may do what.

    While a server has no key, everybody on its machine may do everything. With the first one, every request
    but those of health needs `authorization: Bearer KEY`. All commands send the key in SOJOURN_API_KEY.
    """


@key.command("create")
@click.option("--label", required=True, metavar="TEXT", help="What the key is for, such as the name of its user.")
@click.option(
    "--scope",
    "scopes",
    type=read_by(parse_scope),
    multiple=True,
    required=True,
    metavar="SCOPE",
    help=f"What it allows, to be repeated: {', '.join(SCOPES)} or {INVOKE}:FUNCTION. {ADMIN} allows everything.",
)
@click.option("--expires", "life_s", type=life, metavar="DURATION", help="Its life, such as 90d  [default: no end].")
@state_dir_option
@json_option
@admin_url_option
def create(
    label: str,
    scopes: tuple[Scope, ...],
    life_s: float | None,
    state_dir: Path | None,
    as_json: bool,  # noqa: FBT001 (click calls by name)
    admin_url: str,
) -> None:
    """Make a key and print its text, on standard output and alone: it is shown this once and kept nowhere."""
    if state_dir is None:
        asked: dict[str, Any] = {"label": label, "scopes": [str(scope) for scope in scopes]}
        if life_s is not None:
            asked["expires_in_s"] = life_s
        made = admin_json(admin_url, _KEYS, method="POST", content=asked)
        # It was made without a key, so it is the first one; and who makes the next?
        locks_out = not api_key() and Scope(ADMIN) not in scopes
    else:
        with _ring(state_dir) as ring:
            now_s = time.time()
            record, secret = ring.create(label, scopes, None if life_s is None else now_s + life_s)
            made = msgspec.to_builtins(key_made(record, secret, now_s))
        locks_out = False
    if as_json:
        click.echo(json.dumps(made, indent=2))
    else:
        end = f", until {made['expires_at']}" if made["expires_at"] else ""
        click.echo(f"key {made['id']} ({', '.join(made['scopes'])}{end}); it is not shown again:", err=True)
        click.echo(made["secret"])
    if locks_out:
        told = f"no key has the scope {ADMIN}: others can only be made while the server is stopped, with --state-dir"
        click.secho(told, fg="yellow", err=True)


@key.command("list")
@state_dir_option
@json_option
@admin_url_option
def list_keys(state_dir: Path | None, as_json: bool, admin_url: str) -> None:  # noqa: FBT001 (click calls by name)
    """List all keys, those that ended included; never their texts."""
    if state_dir is None:
        listed = admin_json(admin_url, _KEYS)["keys"]
    else:
        with _ring(_existing(state_dir)) as ring:
            now_s = time.time()
            listed = [msgspec.to_builtins(key_shown(record, now_s)) for record in ring.records()]
    if as_json:
        click.echo(json.dumps(listed, indent=2))
        return
    if not listed:
        click.echo(
            "no keys: everybody on this machine may do everything; the first to make: "
            f"sojourn key create --label NAME --scope {ADMIN}"
        )
        return
    console = output_console()
    table = Table("id", "label", "scopes", "state", "created", "ends", box=None, pad_edge=False)
    for one in listed:
        ends_at = one["revoked_at"] or one["expires_at"]
        end = "never" if ends_at is None else _second(ends_at)
        table.add_row(*(escape(text) for text in (
            one["id"], one["label"], ", ".join(one["scopes"]), one["state"], _second(one["created_at"]), end
        )))  # fmt: skip
    console.print(table)


@key.command("revoke")
@click.argument("key_id", metavar="ID")
@state_dir_option
@admin_url_option
def revoke(key_id: str, state_dir: Path | None, admin_url: str) -> None:
    """End the key ID, eight hexadecimal digits, for good: within a second it is refused everywhere."""
    if state_dir is None:
        admin_json(admin_url, f"{_KEYS}/{quote(key_id, safe='')}", method="DELETE")
    else:
        with _ring(_existing(state_dir)) as ring:
            if ring.revoke(key_id) is None:
                raise ConfigurationError(f"no key has the id {key_id!r}; `sojourn key list` shows them")
    click.echo(f"key {key_id} is revoked")


def _second(at: str) -> str:
    """A UTC text to the second, for a table: keys may live for seconds."""
    return at[:19].replace("T", " ") + "Z"


def _existing(state_dir: Path) -> Path:
    """The directory, which must be there already."""
    if not state_dir.expanduser().is_dir():
        raise ConfigurationError(f"there is no state directory {state_dir}; name the one the server is started with")
    return state_dir


@contextlib.contextmanager
def _ring(path: Path) -> Iterator[KeyRing]:
    """The keys of a state directory, which is ours meanwhile.

    Raises:
        StartError: A server runs on it, or it cannot be used.
        StateError: Its keys cannot be read or written.
    """
    state_dir = claim(path.expanduser(), if_held="leave out --state-dir, so that it is asked itself (--admin-url)")
    try:
        with opened_key_store(state_dir) as store:
            ring = KeyRing(store)
            ring.load()
            yield ring
    finally:
        state_dir.release()
