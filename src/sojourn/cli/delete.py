"""`sojourn delete`: take a deployed function from the server."""

from __future__ import annotations

import sys
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
    path = f"/api/v1/functions/{quote(name, safe='')}"
    if not yes:
        admin_json(admin_url, f"{path}/revisions")  # nobody is asked about what is not there
        _confirm(name, admin_url)
    admin_json(admin_url, path, method="DELETE")
    click.echo(f"{name}: deleted")


def _confirm(name: str, admin_url: str) -> None:
    """Pass over a yes.

    Raises:
        click.Abort: The answer is no.
        click.UsageError: There is nobody to answer.
    """
    try:
        click.confirm(f"delete {name} and its history from {admin_url}?", abort=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise click.UsageError(
            f"{name} was not deleted: nobody said yes on standard input; --yes deletes without asking"
        ) from None
