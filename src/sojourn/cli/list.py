"""`sojourn list`: the functions of a running server."""

from __future__ import annotations

import json
from typing import Any

import click

from sojourn.cli.function_table import (
    Column,
    budget_left,
    budget_style,
    function_table,
    last_scaling,
    output_console,
    rate,
    replicas,
    share_or_dash,
)
from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option, json_option


@click.command("list")
@json_option
@admin_url_option
def list_functions(as_json: bool, admin_url: str) -> None:  # noqa: FBT001 (click calls by name)
    """List the functions of a running server, how they hold their objectives and what the last minute was like.

    "within" and "budget" are over the objective's window, restarts included; served and not served since the server's
    start; rate, p50 and p99 (of served requests) of the last minute, or since the start.
    Replicas are shown as "3 +2 -1": three ready, two starting, one draining.
    """
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
    from rich.text import Text  # noqa: PLC0415 (rich takes 30 ms; `--json` does not need it)

    console = output_console()
    console.print(function_table(console.width, _COLUMNS, functions))
    console.print(Text(_PERIODS, "dim"))
    for function in functions:
        if function.get("last_scaling"):
            console.print(Text(f"{function['name']}: scaled {last_scaling(function)}"))
        if function.get("alerts_firing"):
            console.print(Text(f"{function['name']}: alerts fire: {', '.join(function['alerts_firing'])}", "bold red"))
        if function.get("infeasible"):
            console.print(Text(f"{function['name']}: the objective cannot be met: {function['infeasible']}"))


_PERIODS = (
    "within, budget: over the objective's window, restarts included; served, not served: since the server's start; "
    "rate/s, p50, p99: the last minute, or since the start"
)


def _milliseconds(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s * 1000:.1f} ms"


_COLUMNS = (
    Column("function", lambda function: function["name"], is_number=False),
    Column("revision", lambda function: function["revision"], is_number=False, from_width=110),
    Column("objective", lambda function: function["slo"] or "-", is_number=False),
    Column("within", lambda function: share_or_dash(function.get("attainment", function["within_slo"]))),
    Column("budget", budget_left, from_width=90, style=budget_style),
    Column("replicas", replicas),
    Column("queued", lambda function: str(function["queue_depth"]), from_width=70),
    Column("served", lambda function: str(function["requests"].get("served", 0)), from_width=100),
    Column(
        "not served",
        lambda function: str(sum(count for outcome, count in function["requests"].items() if outcome != "served")),
        from_width=100,
    ),
    Column("rate/s", rate),
    Column("p50", lambda function: _milliseconds(function["recent"]["latency_s"]["p50"]), from_width=100),
    Column("p99", lambda function: _milliseconds(function["recent"]["latency_s"]["p99"])),
)
