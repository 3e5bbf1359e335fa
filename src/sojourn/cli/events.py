"""`sojourn events`: what happened on a server lately, and what happens now."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

import click

from sojourn.cli.completion import function_names
from sojourn.cli.event_follow import follow
from sojourn.cli.function_table import clock_text
from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option, json_option
from sojourn.domain.wording import counted
from sojourn.telemetry.log import escaped, shown

_COLOUR_OF_LEVEL = {"warning": "yellow", "error": "red"}
_SCALED = "function.scaled"
_SCALED_FIELDS = {"before", "after", "why", "terms"}


@click.command("events")
@click.option("--follow", "-f", "is_followed", is_flag=True, help="Go on with what happens from now on.")
@click.option("--function", "name", metavar="NAME", shell_complete=function_names, help="Only of this function.")
@click.option("--lines", "-n", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many past ones.")
@json_option
@admin_url_option
def events(is_followed: bool, name: str | None, lines: int, as_json: bool, admin_url: str) -> None:  # noqa: FBT001 (click calls by name)
    """Show what happened to functions and replicas, oldest first: starts, exits, scaling and why, failures.

    With --follow it goes on until Ctrl-C, also when the server is restarted; with --json it then prints
    one object per line.
    """
    query = {"limit": str(lines), **({"function": name} if name else {})}
    if is_followed:
        try:
            _follow(admin_url, f"/api/v1/events?{urlencode({**query, 'follow': '1'})}", as_json=as_json)
        except KeyboardInterrupt:
            return
    answer = admin_json(admin_url, f"/api/v1/events?{urlencode(query)}")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    _print(answer["events"])


def _follow(admin_url: str, path: str, *, as_json: bool) -> None:
    for kind, told in follow(admin_url, path, _tell_break):
        if as_json:
            click.echo(json.dumps(told if kind != "dropped" else {"dropped": told["count"]}))
        elif kind == "dropped":
            click.secho(f"{counted(told['count'], 'event was', 'events were')} missed", fg="yellow", err=True)
        else:
            _print([told])


def _tell_break(cause: str) -> None:
    click.secho(f"{cause}; trying again until it is back", fg="yellow", err=True)


def _print(listed: Iterable[dict[str, Any]]) -> None:
    for event in listed:
        level = click.style(f"{event['level']:<7}", fg=_COLOUR_OF_LEVEL.get(event["level"]))
        click.echo(f"{clock_text(event['at'])} {level} {escaped(event['event']):<20} {_told(event)}".rstrip())


def _told(event: dict[str, Any]) -> str:
    """The function's name first, then what is known; a scaling decision as the sentence it is."""
    fields = dict(event["fields"])
    words = [escaped(event["function"])] if event["function"] else []
    if event["event"] == _SCALED and fields.keys() >= _SCALED_FIELDS - {"terms"}:
        words.append(escaped(f"{fields['before']} -> {fields['after']}: {fields['why']}"))
        fields = {name: value for name, value in fields.items() if name not in _SCALED_FIELDS}
    return " ".join([*words, *(f"{escaped(name)}={shown(value)}" for name, value in fields.items())])
