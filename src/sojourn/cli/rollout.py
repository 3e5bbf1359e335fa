"""`sojourn rollout`: how far the latest change of a function's revision has come; end a canary early."""

from __future__ import annotations

import json
from urllib.parse import quote

import click

from sojourn.cli.completion import function_names
from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option, duration, json_option
from sojourn.cli.rollout_view import FAILED, ROLLED_BACK, interruption_told, rollout_of, show, watched


@click.command()
@click.argument("name", shell_complete=function_names)
@click.option(
    "--promote", is_flag=True, help="Give the new revision all the traffic now, whatever the verdict would be."
)
@click.option("--wait", is_flag=True, help="Wait until it has ended.")
@click.option("--timeout", "timeout_s", type=duration, default="1h", show_default=True, help="How long to wait.")
@json_option
@admin_url_option
def rollout(name: str, *, promote: bool, wait: bool, timeout_s: float, as_json: bool, admin_url: str) -> int:
    """Show how far the function NAME's latest change of revision has come, and the evidence for what was decided.

    Exit codes: 0 live or under way, 1 it failed or was rolled back.
    """
    if promote:
        admin_json(
            admin_url, f"/api/v1/functions/{quote(name, safe='')}/rollout", method="PUT", content={"promote": True}
        )
    told = rollout_of(admin_url, name)
    if wait:
        with interruption_told([name]):
            told = watched(admin_url, name, told["revision"], timeout_s, is_quiet=as_json)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        show(told)
    return 1 if told["state"] in {ROLLED_BACK, FAILED} else 0
