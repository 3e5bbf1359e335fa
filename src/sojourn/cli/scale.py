"""`sojourn scale`: how many replicas a function may have, changed while it serves."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import click

from sojourn.cli.completion import function_names
from sojourn.cli.function_table import last_scaling, replicas
from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option, json_option
from sojourn.domain.wording import counted


@click.command("scale")
@click.argument("name", shell_complete=function_names)
@click.argument("count", type=click.IntRange(min=0), required=False, metavar="[COUNT]")
@click.option("--min", "min_replicas", type=click.IntRange(min=0), metavar="N", help="Replicas kept whatever comes.")
@click.option("--max", "max_replicas", type=click.IntRange(min=1), metavar="N", help="Most replicas whatever comes.")
@json_option
@admin_url_option
def scale(
    name: str,
    count: int | None,
    min_replicas: int | None,
    max_replicas: int | None,
    as_json: bool,  # noqa: FBT001 (click calls by name)
    admin_url: str,
) -> None:
    """Set how many replicas the function NAME has at least and at most.

    COUNT sets both, for a fixed number of replicas; 0 sets the least to none and leaves the most as it is.
    Replicas that are too many finish what they have. Of a deployed function it holds until it is deleted, over rollouts and
    restarts; of one that is served from a file until the server ends.
    """
    asked = _asked(count, min_replicas, max_replicas)
    state = admin_json(admin_url, f"/api/v1/functions/{quote(name, safe='')}/scale", method="PUT", content=asked)
    if as_json:
        click.echo(json.dumps(state, indent=2))
        return
    for line in _lines(state):
        click.echo(line)


def _asked(count: int | None, min_replicas: int | None, max_replicas: int | None) -> dict[str, int]:
    if count is not None:
        if min_replicas is not None or max_replicas is not None:
            raise click.UsageError("give COUNT, or --min and --max, not both ways at once")
        min_replicas, max_replicas = count, count or None
    if min_replicas is None and max_replicas is None:
        raise click.UsageError("give COUNT, --min or --max; `sojourn describe` shows what is in force")
    if min_replicas is not None and max_replicas is not None and min_replicas > max_replicas:
        raise click.UsageError(f"--min {min_replicas} lies above --max {max_replicas}")
    asked = {"min_replicas": min_replicas, "max_replicas": max_replicas}
    return {name: value for name, value in asked.items() if value is not None}


def _lines(state: dict[str, Any]) -> list[str]:
    limits = state["limits"]
    most = "as many as fit" if limits["max_replicas"] is None else str(limits["max_replicas"])
    lines = [
        f"{state['name']}: at least {counted(limits['min_replicas'], 'replica')}, at most {most}",
        f"replicas now (ready +starting -draining): {replicas(state)}",
    ]
    if state.get("last_scaling"):
        lines.append(f"last scaling: {last_scaling(state)}")
    return lines
