"""`sojourn journal`: the last decisions for a function, to be played again or simulated with."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import quote

import click

from sojourn.cli.completion import function_names
from sojourn.cli.http_call import call, check_admin
from sojourn.cli.options import admin_url_option
from sojourn.domain.wording import counted
from sojourn.errors import SojournError

_TIMEOUT_S = 60.0


@click.command()
@click.argument("name", shell_complete=function_names)
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Write there [standard output].")
@admin_url_option
def journal(name: str, output: Path | None, admin_url: str) -> None:
    """Get the journal of the function NAME: its last events, and what was decided on each, one JSON line per step.

    How many are kept is set by `sojourn serve --journal-steps`. `sojourn replay FILE` plays one again, or takes its traffic
    and service times for new runs.
    """
    answer = call("GET", admin_url, f"/api/v1/functions/{quote(name, safe='')}/journal", timeout_s=_TIMEOUT_S)
    check_admin(answer, admin_url)
    if output is None:
        sys.stdout.buffer.write(answer.body)
        return
    try:
        output.write_bytes(answer.body)
    except OSError as err:
        raise SojournError(f"cannot write the journal to {output}: {err.strerror or err}") from err
    steps = answer.body.count(b"\n") - 1
    click.echo(f"journal: {output} ({counted(steps, 'step')})")
