"""`sojourn deploy`: give a source tree to a running server."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import click

from sojourn.cli.http_call import another_named, call, check_admin
from sojourn.cli.options import admin_url_option, duration, json_option
from sojourn.cli.rollout_view import LIVE, interruption_told, show, told_of_timeout, watched
from sojourn.domain.deployment import ALL_AT_ONCE, CANARY, RolloutPlan
from sojourn.errors import ConfigurationError

_UPLOAD_S: Final = 600.0


def shares(text: str) -> tuple[float, ...]:
    """Shares of the traffic from a text such as `5%,25%,50%` or `0.05,0.25` (a click type).

    Raises:
        click.BadParameter: It is none.
    """
    found = []
    for word in text.split(","):
        number = word.strip()
        try:
            found.append(float(number[:-1]) / 100 if number.endswith("%") else float(number))
        except ValueError:
            raise click.BadParameter(f"must be shares such as 5%,25%,50%, not {text!r}") from None
    return tuple(found)


@click.command()
@click.argument("path", metavar="PATH|MODULE")
@click.option("--name", metavar="NAME", help="Another name for its only function.")
@click.option(
    "--strategy",
    type=click.Choice([ALL_AT_ONCE, CANARY]),
    default=ALL_AT_ONCE,
    show_default=True,
    help="How the new revision takes over once it is warm.",
)
@click.option("--shares", type=shares, metavar="SHARES", help="Steps of a canary  [5%,25%,50%].")
@click.option(
    "--step",
    "step_s",
    type=duration,
    metavar="DURATION",
    help="How long each step lasts at least; three times as long while there is too little traffic to judge  [60s].",
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Whether to wait until it has taken over.")
@click.option(
    "--timeout", "timeout_s", type=duration, metavar="DURATION", help="How long to wait  [5m, and the canary's steps]."
)
@json_option
@admin_url_option
def deploy(
    path: str,
    *,
    name: str | None,
    strategy: str,
    shares: tuple[float, ...] | None,
    step_s: float | None,
    wait: bool,
    timeout_s: float | None,
    as_json: bool,
    admin_url: str,
) -> int:
    """Deploy every function of PATH, a Python file, a directory with an app.py, or a module, to a running server.

    The source tree beside it goes along; .sojournignore names what is left out. What it imports must be installed where
    the server runs. The new revision warms up first; then it takes the traffic at once, or share by share (canary), and a
    canary that does worse than the revision before is rolled back by itself.

    Exit codes: 0 live, 1 it failed, was rolled back or has not ended within --timeout, 2 wrong usage.
    """
    given: dict[str, Any] = {"shares": shares, "step_s": step_s}
    try:
        plan = RolloutPlan(strategy=strategy, **{key: value for key, value in given.items() if value is not None})
    except ConfigurationError as err:
        raise click.UsageError(str(err)) from err
    if strategy != CANARY and any(value is not None for value in given.values()):
        raise click.UsageError(f"--shares and --step belong to --strategy {CANARY}")
    began_at_s = time.monotonic()
    deployed = _sent(path, name, plan, admin_url, is_quiet=as_json)
    within_s = timeout_s or 300.0 + (plan.step_s * 10 * len(plan.shares) if strategy == CANARY else 0.0)
    ended = []
    with interruption_told([one["function"] for one in deployed]):
        for one in deployed:
            if not as_json:
                state = "new" if one["created"] else "known already: the same code, settings and dependencies"
                click.echo(f"{one['function']}@{one['revision']} ({state})")
            if wait:
                ended.append(watched(admin_url, one["function"], one["revision"], within_s, is_quiet=as_json))
    if as_json:
        click.echo(json.dumps({"functions": deployed, "rollouts": ended}, indent=2))
    _report(ended, within_s, time.monotonic() - began_at_s, is_quiet=as_json)
    return 0 if all(told["state"] == LIVE for told in ended) else 1


@contextlib.contextmanager
def _interruption_told() -> Iterator[None]:
    """Whoever ends the sending by Ctrl-C is told that the server may have had all of it."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(
            "\nit was being sent: a server that had all of it deploys it; `sojourn list` and `sojourn history NAME` show that",
            err=True,
        )
        raise


def _report(ended: list[dict[str, Any]], within_s: float, took_s: float, *, is_quiet: bool) -> None:
    """Say how each rollout ended, or that it has not."""
    for told in ended:
        if not is_quiet:
            show(told)
        if (late := told_of_timeout(told, within_s)) is not None:
            click.echo(late, err=True)
    if ended and not is_quiet:
        click.echo(f"after {took_s:.1f} s")


def _sent(path: str, name: str | None, plan: RolloutPlan, admin_url: str, *, is_quiet: bool) -> list[dict[str, Any]]:
    """Pack and upload; what the server made of it."""
    from sojourn.bundle.limits import size_text  # noqa: PLC0415 (`deploy --help` must not pay for it)
    from sojourn.bundle.pack import pack  # noqa: PLC0415 (as above)

    with tempfile.TemporaryFile(prefix="sojourn-") as archive:
        packed = pack(Path.cwd(), path, archive)
        size = packed.archive_bytes
        archive.seek(0)
        if not is_quiet:
            many = f"{packed.files} file{'' if packed.files == 1 else 's'}"
            click.echo(f"packed {many}, {size_text(packed.bytes)} ({size_text(size)} to send)")
        asked = {"target": packed.target, "strategy": plan.strategy}
        if name is not None:
            asked["name"] = name
        if plan.strategy == CANARY:
            asked |= {"shares": ",".join(f"{share:g}" for share in plan.shares), "step_s": f"{plan.step_s:g}"}
        headers = {"content-type": "application/gzip", "content-length": str(size)}
        path = f"/api/v1/deployments?{urlencode(asked)}"
        with another_named(), _interruption_told():
            answer = call("POST", admin_url, path, timeout_s=_UPLOAD_S, body=archive, headers=headers)
    check_admin(answer, admin_url)
    functions: list[dict[str, Any]] = json.loads(answer.body)["functions"]
    return functions
