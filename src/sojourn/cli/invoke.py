"""`sojourn invoke`: call a function once, from the shell."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from urllib.parse import quote

import click

from sojourn.cli.completion import called_names
from sojourn.cli.http_call import DEFAULT_URL, Answer, another_named, call
from sojourn.cli.options import duration
from sojourn.errors import ClientError

_CONTENT_TYPE = {
    "json": "application/json",
    "msgpack": "application/msgpack",
    "bytes": "application/octet-stream",
}
# The server ends the request by itself at the timeout; its answer still has to travel.
_MARGIN_S = 5.0


@click.command()
@click.argument("name", shell_complete=called_names)
@click.argument("data", required=False)
@click.option("--url", envvar="SOJOURN_URL", default=DEFAULT_URL, show_default=True, help="Server (SOJOURN_URL).")
@click.option(
    "--timeout",
    "timeout_s",
    type=duration,
    metavar="DURATION",
    help="Longest wait, such as 2 (seconds) or 500ms.",
)
@click.option(
    "--as", "kind", type=click.Choice(list(_CONTENT_TYPE)), default="json", show_default=True, help="What DATA is."
)
@click.option("--json", "as_json", is_flag=True, help="Print status, result, id and time as JSON.")
def invoke(name: str, data: str | None, url: str, timeout_s: float | None, kind: str, as_json: bool) -> int:  # noqa: FBT001 (click calls by name)
    """Call the function NAME with one item and print its result.

    DATA is the item itself (JSON unless --as says otherwise), @FILE to read it from a file, or - (also when
    left out) to read it from standard input.
    """
    body = _body(data)
    headers = {"content-type": _CONTENT_TYPE[kind]}
    if timeout_s is not None:
        headers["x-request-timeout-seconds"] = f"{timeout_s:.6f}".rstrip("0").rstrip(".")
    wait_s = (timeout_s if timeout_s is not None else 3600.0) + _MARGIN_S
    began_at_s = time.monotonic()
    path = f"/functions/{quote(name, safe='@')}"
    with another_named("--url or SOJOURN_URL"):
        answer = call("POST", url, path, timeout_s=wait_s, body=body, headers=headers)
    took_s = time.monotonic() - began_at_s
    if as_json:
        click.echo(json.dumps(_report(answer, took_s), indent=2))
        return 0 if answer.is_good else 1
    if not answer.is_good:
        raise ClientError(answer.message)
    if answer.headers.get("content-type") == "application/json":
        click.echo(answer.body.decode("utf-8", "replace"))
    else:
        sys.stdout.buffer.write(answer.body)
    return 0


def _body(data: str | None) -> bytes:
    if data is None:
        if sys.stdin.isatty():
            raise click.UsageError("give the item as DATA, as @FILE, or on standard input")
        data = "-"
    if data == "-":
        return sys.stdin.buffer.read()
    if data.startswith("@"):
        try:
            return Path(data[1:]).read_bytes()
        except OSError as err:
            raise click.UsageError(f"cannot read {data[1:]!r}: {err.strerror}") from err
    return data.encode("utf-8", "surrogateescape")


def _report(answer: Answer, took_s: float) -> dict[str, object]:
    is_json = answer.headers.get("content-type", "").startswith("application/json")
    try:
        content: object = json.loads(answer.body) if is_json else answer.body.decode("latin-1")
    except ValueError:
        content = answer.body.decode("latin-1")
    return {
        "status": answer.status,
        "result" if answer.is_good else "error": content,
        "request_id": answer.headers.get("x-request-id"),
        "server_timing": answer.headers.get("server-timing"),
        "took_s": round(took_s, 6),
    }
