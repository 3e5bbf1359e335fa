"""`sojourn delete`: take a deployed function from the server."""

from __future__ import annotations

from urllib.parse import quote

import click

from sojourn.cli.completion import function_names
from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option


@click.command()
@click.argument("name", shell_complete=function_names)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@admin_url_option
def delete(name: str, *, yes: bool, admin_url: str) -> None:
    """Delete the function NAME with all its revisions. Requests taken in are finished; later ones get 404."""
    if not yes:
        click.confirm(f"delete {name} and its history from {admin_url}?", abort=True)
    admin_json(admin_url, f"/api/v1/functions/{quote(name, safe='')}", method="DELETE")
    click.echo(f"{name}: deleted")
