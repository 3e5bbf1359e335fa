"""`sojourn logs`: what the replicas of a function wrote to standard output and error."""

from __future__ import annotations

import json
from urllib.parse import quote

import click

from sojourn.cli.completion import function_names
from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option, json_option


@click.command()
@click.argument("name", shell_complete=function_names)
@click.option("--lines", "-n", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many lines.")
@click.option("--path", "only_path", is_flag=True, help="Show where the server keeps older lines, instead of lines.")
@json_option
@admin_url_option
def logs(name: str, lines: int, only_path: bool, as_json: bool, admin_url: str) -> None:  # noqa: FBT001 (click calls by name)
    """Show the last lines the replicas of the function NAME wrote, oldest first."""
    if only_path:
        _show_path(name, admin_json(admin_url, f"/api/v1/functions/{quote(name, safe='')}").get("log_path"), as_json)
        return
    answer = admin_json(admin_url, f"/api/v1/functions/{quote(name, safe='')}/logs?lines={lines}")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if not answer["lines"]:
        click.echo(f"the replicas of {name} have written nothing yet", err=True)
    for line in answer["lines"]:
        click.echo(line)


def _show_path(name: str, path: str | None, as_json: bool) -> None:  # noqa: FBT001 (as above)
    if as_json:
        click.echo(json.dumps({"path": path}))
    elif path is None:
        click.echo(
            f"the server keeps no log files of {name}: it was started with --replica-log-files 0, or for one run only "
            "(--port 0 without --state-dir)",
            err=True,
        )
    else:
        click.echo(path)
