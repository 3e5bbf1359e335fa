"""`sojourn trace`: one request told in full, or the requests there are to tell of."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import click
import msgspec

from sojourn.cli.completion import function_names
from sojourn.cli.function_table import Column, clock_text, function_table, output_console
from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option, json_option
from sojourn.errors import ClientError
from sojourn.report.axis import duration_text
from sojourn.telemetry.log import escaped
from sojourn.telemetry.request_trace import RequestTrace, TraceKind, TraceSummary
from sojourn.telemetry.trace_store import KEPT_OF_A_KIND, SAMPLES_KEPT


@click.command("trace")
@click.argument("request_id", required=False)
@click.option(
    "--function",
    "name",
    metavar="NAME",
    shell_complete=function_names,
    help="Without REQUEST_ID: only of this function.",
)
@click.option("--kind", type=click.Choice([kind.value for kind in TraceKind]), help="Without REQUEST_ID: only these.")
@click.option("--limit", "-n", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many at most.")
@json_option
@admin_url_option
def trace(
    request_id: str | None,
    name: str | None,
    kind: str | None,
    limit: int,
    as_json: bool,  # noqa: FBT001 (click calls by name)
    admin_url: str,
) -> None:
    """Show where the time of a request went, with whom it was batched and what the platform did meanwhile.

    REQUEST_ID is what its answer said in x-request-id. In memory, and so since the server's start, the last 64
    requests of each function that were slow, failed, were rejected and so on are kept, and a sample of the good ones;
    without REQUEST_ID they are listed, the latest first.
    """
    if request_id is not None:
        answer = admin_json(admin_url, f"/api/v1/requests/{quote(request_id, safe='')}")
        if as_json:
            click.echo(json.dumps(answer, indent=2))
        else:
            _print_trace(_converted(answer, admin_url))
        return
    chosen = {"limit": str(limit), **({"function": name} if name else {}), **({"kind": kind} if kind else {})}
    answer = admin_json(admin_url, f"/api/v1/requests?{urlencode(chosen)}")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    _print_list(msgspec.convert(answer["requests"], list[TraceSummary]))


def _converted(answer: object, admin_url: str) -> RequestTrace:
    try:
        return msgspec.convert(answer, RequestTrace)
    except msgspec.ValidationError as err:
        raise ClientError(f"{admin_url}: the server tells requests in another form ({err}); use its version") from err


def _print_trace(told: RequestTrace) -> None:
    from sojourn.cli.waterfall import waterfall_of  # noqa: PLC0415 (rich takes 30 ms; `--json` does not need it)

    console = output_console()
    is_plain = not (console.encoding or "").lower().startswith("utf")
    console.print(waterfall_of(told, min(console.width, 120), is_plain=is_plain))


def _print_list(listed: list[TraceSummary]) -> None:
    if not listed:
        click.echo(
            f"no request is kept that fits; since the server's start, of each function the last {KEPT_OF_A_KIND} of every "
            f"kind are (slow, failed, ...), and of good ones up to ten a second, the last {SAMPLES_KEPT}"
        )
        return
    console = output_console()
    console.print(function_table(console.width, _COLUMNS, listed, has_whole_names=True))


_COLUMNS = (
    Column("request", lambda one: escaped(one.request_id), is_number=False),
    Column("at", lambda one: clock_text(one.arrived_at), is_number=False),
    Column("function", lambda one: escaped(one.function), is_number=False, from_width=1),
    Column("kept as", lambda one: one.kind.value, is_number=False, from_width=3),
    Column("latency", lambda one: duration_text(one.latency_s)),
    Column("ended", lambda one: one.code or one.outcome.value, is_number=False),
    Column("cause", lambda one: one.cause.value.replace("_", " ") if one.cause else "-", is_number=False, from_width=2),
)
