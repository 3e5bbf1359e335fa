"""`sojourn rollback`: back to an earlier revision."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

import click

from sojourn.cli.completion import earlier_revisions, function_names
from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option, duration, json_option
from sojourn.cli.rollout_view import FAILED, LIVE, ROLLED_BACK, interruption_told, show, watched


@click.command()
@click.argument("name", shell_complete=function_names)
@click.argument("revision", required=False, shell_complete=earlier_revisions)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Whether to wait until it has taken over.")
@click.option("--timeout", "timeout_s", type=duration, default="5m", show_default=True, help="How long to wait.")
@json_option
@admin_url_option
def rollback(name: str, revision: str | None, *, wait: bool, timeout_s: float, as_json: bool, admin_url: str) -> int:
    """Give the function NAME's traffic back to REVISION (a unique beginning will do), or to the one before.

    A rollout that is under way is ended first: without REVISION, that is all that happens.

    Exit codes: 0 live, 1 it could not take over.
    """
    began_at_s = time.monotonic()
    asked = {} if revision is None else {"revision": revision}
    told: dict[str, Any] = admin_json(
        admin_url, f"/api/v1/functions/{quote(name, safe='')}/rollback", method="POST", content=asked
    )
    if wait:
        with interruption_told([name]):
            told = watched(admin_url, name, told["revision"], timeout_s, is_quiet=as_json)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        show(told)
        click.echo(f"after {time.monotonic() - began_at_s:.1f} s")
    # Without a revision, the end of what was under way is all that was asked for.
    wanted = {LIVE} if revision is not None else {LIVE, ROLLED_BACK, FAILED}
    return 0 if told["state"] in wanted or not wait else 1
