"""`sojourn history`: the revisions of a function."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.table import Table

from sojourn.cli.completion import function_names
from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option, json_option


@click.command()
@click.argument("name", shell_complete=function_names)
@json_option
@admin_url_option
def history(name: str, *, as_json: bool, admin_url: str) -> None:
    """Show the revisions of the function NAME, the latest first: which is live, and how each rollout ended."""
    told: dict[str, Any] = admin_json(admin_url, f"/api/v1/functions/{quote(name, safe='')}/revisions")
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("revision", "role", "deployed", "target", "bundle", "outcome"):
        table.add_column(heading, overflow="fold")
    for row in told["revisions"]:
        table.add_row(
            row["revision"], row["role"], row["created_at"], row["target"], row["bundle"][:12], row["outcome"]
        )
    Console(soft_wrap=True).print(table)
