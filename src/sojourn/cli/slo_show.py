"""`sojourn slo show`: how objectives stand."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import click
import msgspec

from sojourn.cli.completion import function_names
from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option, json_option, report_file
from sojourn.errors import ClientError
from sojourn.slo.status import SLOHistory, SLOStatus

_OBJECTIVE_MISSED = 3

_T = TypeVar("_T")


@click.command("show")
@click.argument("name", required=False, shell_complete=function_names)
@click.option("--html", type=report_file, metavar="FILE", help="Write a report, too.")
@json_option
@admin_url_option
def show(name: str | None, html: Path | None, as_json: bool, admin_url: str) -> int:  # noqa: FBT001 (click calls by name)
    """Show how the objective of the function NAME stands, or those of all functions.

    Exits with 3 if an objective is missed over its window. The report (--html) is one file that opens without a
    network.
    """
    if name is not None:
        names = [name]
    else:
        names = [row["name"] for row in admin_json(admin_url, "/api/v1/functions")["functions"]]
    answers = [admin_json(admin_url, f"/api/v1/functions/{quote(one, safe='')}/slo") for one in names]
    statuses = [_converted(answer, SLOStatus, admin_url) for answer in answers]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(answers[0] if name is not None else {"functions": answers})))
    else:
        _print(statuses, is_one=name is not None)
    if html is not None:
        _write_report(html, statuses, admin_url)
        if not as_json:
            click.echo(f"report: {html}")
    return _OBJECTIVE_MISSED if any(status.is_met is False for status in statuses) else 0


def _converted(answer: object, kind: type[_T], admin_url: str) -> _T:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as err:
        raise ClientError(f"{admin_url}: the server tells objectives in another form ({err}); use its version") from err


def _print(statuses: list[SLOStatus], *, is_one: bool) -> None:
    from sojourn.cli.function_table import output_console  # noqa: PLC0415 (rich takes 30 ms; `--json` does not need it)
    from sojourn.cli.slo_text import overview_of, story_of  # noqa: PLC0415 (as above)

    if not statuses:
        click.echo("no function is deployed")
        return
    console = output_console()
    is_plain = not (console.encoding or "").lower().startswith("utf")
    if is_one:
        console.print(story_of(statuses[0], is_plain=is_plain))
    else:
        console.print(overview_of(statuses, console.width, is_plain=is_plain))


def _write_report(path: Path, statuses: list[SLOStatus], admin_url: str) -> None:
    from sojourn.report.slo_page import render  # noqa: PLC0415 (only a report needs it)

    histories = [
        _converted(
            admin_json(admin_url, f"/api/v1/functions/{quote(status.function, safe='')}/slo/history"),
            SLOHistory,
            admin_url,
        )
        for status in statuses
    ]
    try:
        path.write_text(render(list(zip(statuses, histories, strict=True))), encoding="utf-8")
    except OSError as err:
        raise ClientError(f"{path}: the report cannot be written ({err.strerror})") from err
