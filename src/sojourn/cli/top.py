"""`sojourn top`: the functions of a server, live."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sojourn.cli.function_table import output_console
from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option, duration, json_option
from sojourn.cli.top_view import SORTS, view
from sojourn.errors import ClientError

if TYPE_CHECKING:
    from rich.console import Console

_PATH = "/api/v1/functions"


class Look(NamedTuple):
    """What was seen, and since when the server could not be asked any more (time of day; None: it can be)."""

    functions: list[dict[str, Any]]
    lost_since: str | None = None


@click.command("top")
@click.option("--interval", "interval_s", type=duration, default="1", show_default=True, help="Time between looks.")
@click.option("--once", is_flag=True, help="Look once, print, and end.")
@click.option("--sort", type=click.Choice(list(SORTS)), default="name", show_default=True, help="Order of the rows.")
@json_option
@admin_url_option
def top(interval_s: float, once: bool, sort: str, as_json: bool, admin_url: str) -> None:  # noqa: FBT001 (click calls by name)
    """Watch functions: objective, share within it, traffic, replicas, and why they changed.

    Shares, rates and batches are of the last minute, or since the server's start if that is less.

    Replicas are shown as "3 +2 -1": three ready, two starting, one draining. Ends with Ctrl-C. Where there is
    no terminal to redraw, one table follows the other; with --json one object per line.
    """
    first = admin_json(admin_url, _PATH)["functions"]
    looks = iter([Look(first)]) if once else _looks(first, interval_s, lambda: admin_json(admin_url, _PATH))
    try:
        if as_json:
            for look in looks:
                click.echo(json.dumps({"functions": look.functions, "not_reachable_since": look.lost_since}))
            return
        console = output_console()
        is_live = console.is_terminal and not console.is_dumb_terminal and not once
        (_show_live if is_live else _show_plain)(console, looks, admin_url, sort)
    except KeyboardInterrupt:
        return


def _time_of_day() -> str:
    return time.strftime("%H:%M:%S")


def _looks(
    first: list[dict[str, Any]], interval_s: float, ask: Callable[[], Any], clock: Callable[[], str] = _time_of_day
) -> Iterator[Look]:
    """One look per interval without end; while the server is away, what was seen last."""
    look = Look(first)
    while True:
        yield look
        time.sleep(interval_s)
        try:
            look = Look(ask()["functions"])
        except ClientError:
            look = Look(look.functions, look.lost_since or clock())


def _show_live(console: Console, looks: Iterator[Look], admin_url: str, sort: str) -> None:
    from rich.live import Live  # noqa: PLC0415 (rich takes 30 ms; `--json` does not need it)

    shown = None
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            for look in looks:
                shown = view(look.functions, admin_url, console.size, sort, look.lost_since)
                live.update(shown, refresh=True)
    finally:
        if shown is not None:
            console.print(shown)  # what was seen last stays when the screen is given back


def _show_plain(console: Console, looks: Iterator[Look], admin_url: str, sort: str) -> None:
    for number, look in enumerate(looks):
        if number:
            console.print()
        size = console.size._replace(height=0)
        console.print(view(look.functions, admin_url, size, sort, look.lost_since))
