"""`sojourn trace`: one request told in full, or the requests there are to tell of."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import click
import msgspec

from sojourn.cli.function_table import clock_text, output_console
from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option, json_option
from sojourn.errors import ClientError
from sojourn.report.axis import duration_text
from sojourn.telemetry.log import escaped
from sojourn.telemetry.request_trace import RequestTrace, TraceKind, TraceSummary
from sojourn.telemetry.trace_store import KEPT_OF_A_KIND, SAMPLES_KEPT


@click.command("trace")
@click.argument("request_id", required=False)
@click.option("--function", "name", metavar="NAME", help="Without REQUEST_ID: only of this function.")
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
    from rich.table import Table  # noqa: PLC0415 (as above)
    from rich.text import Text  # noqa: PLC0415 (as above)

    if not listed:
        click.echo(
            f"no request is kept that fits; since the server's start, of each function the last {KEPT_OF_A_KIND} of every "
            f"kind are (slow, failed, ...), and of good ones up to ten a second, the last {SAMPLES_KEPT}"
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("at", "request", "function", "kept as", "latency", "ended", "cause"):
        table.add_column(heading, justify="right" if heading == "latency" else "left", no_wrap=True)
    for one in listed:
        texts = [
            clock_text(one.arrived_at),
            escaped(one.request_id),
            escaped(one.function),
            one.kind.value,
            duration_text(one.latency_s),
            one.code or one.outcome.value,
            one.cause.value.replace("_", " ") if one.cause else "-",
        ]
        table.add_row(*(Text(text) for text in texts))
    output_console().print(table)
