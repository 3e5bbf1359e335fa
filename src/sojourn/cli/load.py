"""`sojourn load`: drive a URL with open-loop load and say honestly how it went."""

from __future__ import annotations

import contextlib
import re
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from urllib.parse import unquote, urlsplit

import click
import msgspec
from rich.console import Console

from sojourn.cli.http_call import api_key, tls_trouble
from sojourn.cli.load_progress import ProgressLine
from sojourn.cli.load_report import nothing_served, print_result, replica_rows, write_report
from sojourn.cli.options import duration as read_duration
from sojourn.cli.options import parse_objective, report_file
from sojourn.cli.options import rate as read_rate
from sojourn.cli.replica_use import ReplicaUse, replica_use
from sojourn.cli.tls_probe import hint_at_https
from sojourn.domain.wording import counted
from sojourn.errors import ClientError, ConfigurationError
from sojourn.loadgen.options import LoadOptions
from sojourn.loadgen.result import LATE_SHARE_MAX, LoadResult, summarize
from sojourn.loadgen.run import run_load
from sojourn.loadgen.target import Target, parse_target
from sojourn.workload.spec import arrivals_listed, parse_arrivals

_JSON_LINES_MAX = 1_000_000
_FUNCTION_PATH = re.compile(r"/functions/([^/@?]+)")
_VOID, _OBJECTIVE_MISSED = 1, 3


@click.command()
@click.argument("url")
@click.option("--rate", type=read_rate, metavar="PER_SECOND", help="Mean arrival rate; a trace may do without.")
@click.option(
    "--duration",
    type=read_duration,
    metavar="DURATION",
    default="30s",
    show_default=True,
    help="Length of the arrivals, such as 30 or 2m.",
)
@click.option(
    "--arrivals",
    default="poisson",
    show_default=True,
    metavar="KIND",
    help=f"One of {arrivals_listed()}, with parameters if need be, such as diurnal:swing=0.6,period=5m; "
    "`sojourn workload kinds` lists them.",
)
@click.option("--data", type=click.Path(path_type=Path), help="File with one JSON item, or one per line, sent in turn.")
@click.option("--body", metavar="TEXT", help="One request body as text.")
@click.option("--content-type", default="application/json", show_default=True, help="Of the request bodies.")
@click.option("--slo", metavar="TEXT", help='Objective: "99% < 100ms", or 100ms (for 99%). Exit code 3 if missed.')
@click.option(
    "--timeout",
    type=read_duration,
    metavar="DURATION",
    default="10s",
    show_default=True,
    help="Patience for one answer.",
)
@click.option("--seed", default=1, show_default=True, help="Seed of the arrivals.")
@click.option(
    "--connections", type=click.IntRange(1, 60_000), default=1000, show_default=True, help="Most connections at once."
)
@click.option(
    "--late-share",
    type=click.FloatRange(0, 1),
    default=LATE_SHARE_MAX,
    show_default=True,
    help="Share of requests this command itself may send more than 5 ms late.",
)
@click.option("--admin-url", metavar="URL", help="Admin port of the server, to report what replicas it took.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--html", type=report_file, metavar="FILE", help="Write a report with plots.")
def load(
    url: str,
    *,
    rate: float | None,
    duration: float,
    arrivals: str,
    data: Path | None,
    body: str | None,
    content_type: str,
    slo: str | None,
    timeout: float,
    seed: int,
    connections: int,
    late_share: float,
    admin_url: str | None,
    as_json: bool,
    html: Path | None,
) -> int:
    """Send requests to URL at a given rate and measure latency, outcomes and goodput.

    The loop is open: each request goes out at its own instant, whatever became of those before it, and its
    latency counts from that instant. If this command itself could not keep up and that may have decided
    the verdict, the run is void.

    Exit codes: 0 good, 1 error, void or nothing served, 2 wrong usage, 3 objective missed.
    """
    try:
        target = parse_target(url, content_type, api_key())
        objective = parse_objective(slo) if slo is not None else None
        spec = parse_arrivals(arrivals)
        if rate is None and spec.needs_rate:
            raise click.UsageError("say how much to send: --rate 200 (requests per second)")
        times = spec.times(rate, duration, Random(seed))  # noqa: S311 - arrivals are no secret
        bodies = read_bodies(data, body)
        options = LoadOptions(timeout_s=timeout, connections_max=connections)
    except ConfigurationError as err:
        raise click.UsageError(str(err)) from err
    use_so_far = _look_at_replicas(admin_url, target)
    with ProgressLine(Console(stderr=True), duration) as progress, _tls_troubles_told(target):
        run = run_load(target, times, bodies, options=options, on_progress=progress.show)
    result = summarize(run, duration_s=duration, slo=objective, late_share_max=late_share)
    use = use_so_far() if use_so_far is not None else None
    extra = replica_rows(use) if use is not None else []
    if html is not None:
        subtitle = _subtitle(result, arrivals)
        write_report(html, run, result, title=f"Load on {url}", subtitle=subtitle, slo=objective, extra=extra)
    if as_json:
        fields = msgspec.to_builtins(result) | (msgspec.to_builtins(use) if use is not None else {})
        sys.stdout.buffer.write(msgspec.json.encode(fields) + b"\n")
        if nothing := nothing_served(result):
            click.echo(nothing, err=True)
    else:
        print_result(Console(), result, extra)
        if html is not None:
            click.echo(f"report: {html}")
    if result.sent and result.failures.connections == result.sent and (hint := hint_at_https(urlsplit(url))):
        click.echo(f"{target.origin}: {hint}", err=True)
    return exit_code(result)


@contextlib.contextmanager
def _tls_troubles_told(target: Target) -> Iterator[None]:
    """Where no TLS connection could be made, say what to do, as all commands do.

    Raises:
        ClientError: No connection could be made.
    """
    try:
        yield
    except ClientError as err:
        if isinstance(err.__cause__, ssl.SSLError):
            raise ClientError(f"{target.origin}: {tls_trouble(err.__cause__)}") from err.__cause__
        raise


def _look_at_replicas(admin_url: str | None, target: Target) -> Callable[[], ReplicaUse | None] | None:
    """A function that tells what replica time went by since now; None without an admin port to ask."""
    if admin_url is None:
        return None
    found = _FUNCTION_PATH.match(target.path)
    if found is None:
        raise click.UsageError(f"--admin-url is for URLs of functions, .../functions/NAME, not {target.path}")
    name = unquote(found[1])
    before = replica_use(admin_url, name)

    def use_so_far() -> ReplicaUse | None:
        try:
            return replica_use(admin_url, name).since(before)
        except ClientError as err:  # the run itself is done, and counts
            click.echo(f"warning: the replicas' use is unknown: {err}", err=True)
            return None

    return use_so_far


def exit_code(result: LoadResult) -> int:
    """0 good, 1 void or nothing served, 3 objective missed."""
    if result.void or nothing_served(result):
        return _VOID
    return _OBJECTIVE_MISSED if result.objective_met is False else 0


def read_bodies(data: Path | None, body: str | None) -> list[bytes]:
    """The request bodies: a text, a file with one JSON item, or a file with one JSON item per line.

    Raises:
        ConfigurationError: Both or neither are given, or the file cannot be read or holds no JSON.
    """
    if data is not None and body is not None:
        raise ConfigurationError("give --data or --body, not both")
    if body is not None:
        return [body.encode()]
    if data is None:
        raise ConfigurationError('say what to send: --data FILE (JSON, or one JSON item per line) or --body "TEXT"')
    try:
        content = data.read_bytes().strip()
    except OSError as err:
        raise ConfigurationError(f"--data {data}: cannot be read: {err.strerror or err}") from err
    if _is_json(content):
        return [content]
    lines = [line.strip() for line in content.split(b"\n", _JSON_LINES_MAX) if line.strip()]
    for number, line in enumerate(lines, start=1):
        if not _is_json(line):
            raise ConfigurationError(f"--data {data}: neither the whole file nor its item {number} is valid JSON")
    if not lines:
        raise ConfigurationError(f"--data {data}: the file is empty")
    return lines


def _is_json(content: bytes) -> bool:
    try:
        msgspec.json.decode(content)
    except msgspec.DecodeError:
        return False
    return True


def _subtitle(result: LoadResult, arrivals: str) -> str:
    return f"{counted(result.sent, 'request')} in {result.duration_s:g} s, {arrivals} arrivals"
