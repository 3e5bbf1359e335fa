"""`sojourn list`: the functions of a running server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import click

from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option, json_option
from sojourn.report.axis import share_text

_WIDTH_PIPED = 200


@click.command("list")
@json_option
@admin_url_option
def list_functions(as_json: bool, admin_url: str) -> None:  # noqa: FBT001 (click calls by name)
    """List the functions of a running server, with what the last minute was like."""
    answer = admin_json(admin_url, "/api/v1/functions")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    functions = answer["functions"]
    if not functions:
        click.echo("no function is deployed")
        return
    _print_table(functions)


def _print_table(functions: list[dict[str, Any]]) -> None:
    from rich.console import Console  # noqa: PLC0415 (rich takes 30 ms; `--json` does not need it)
    from rich.table import Table  # noqa: PLC0415 (as above)
    from rich.text import Text  # noqa: PLC0415 (as above)

    # Piped output has no width of its own; there nothing is cut.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_PIPED)
    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = [column for column in _COLUMNS if console.width >= column.from_width]
    for column in shown:
        table.add_column(column.heading, justify="right" if column.is_number else "left", no_wrap=True)
    for function in functions:
        table.add_row(*(Text(column.cell(function)) for column in shown))
    console.print(table)
    for function in functions:
        if function.get("infeasible"):
            console.print(Text(f"{function['name']}: the objective cannot be met: {function['infeasible']}"))


def _share(value: float | None) -> str:
    return "-" if value is None else share_text(value)


def _milliseconds(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s * 1000:.1f} ms"


class _Column(NamedTuple):
    heading: str
    cell: Callable[[dict[str, Any]], str]
    is_number: bool = True
    from_width: int = 0  # narrower terminals do without it


_COLUMNS = (
    _Column("function", lambda function: function["name"], is_number=False),
    _Column("revision", lambda function: function["revision"], is_number=False, from_width=110),
    _Column("objective", lambda function: function["slo"] or "-", is_number=False),
    _Column("within", lambda function: _share(function["within_slo"])),
    _Column("ready", lambda function: str(function["replicas"].get("ready", 0))),
    _Column("queued", lambda function: str(function["queue_depth"])),
    _Column("served", lambda function: str(function["requests"].get("served", 0))),
    _Column(
        "not served",
        lambda function: str(sum(count for outcome, count in function["requests"].items() if outcome != "served")),
        from_width=90,
    ),
    _Column("rate/s", lambda function: f"{function['recent']['arrival_rate_per_s']:.1f}"),
    _Column("p50", lambda function: _milliseconds(function["recent"]["latency_s"]["p50"]), from_width=90),
    _Column("p99", lambda function: _milliseconds(function["recent"]["latency_s"]["p99"])),
)
