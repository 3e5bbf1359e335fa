"""Watches and shows how a new revision takes over; what deploy, rollback and rollout have in common."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote

import click

from sojourn.cli.http_call import admin_json
from sojourn.errors import ClientError, ConnectionFailedError

LIVE, ROLLED_BACK, FAILED = "live", "rolled_back", "failed"
_ENDED: Final = {LIVE, ROLLED_BACK, FAILED}
_LOOK_EVERY_S: Final = 0.1
_LOOK_AT_LEAST_EVERY_S: Final = 2.0
_SILENCE_S: Final = 30.0  # a restart is sat out
_REMIND_S: Final = 30.0


def rollout_of(admin_url: str, name: str) -> dict[str, Any]:
    """How far the latest change of a function's revision has come, as the server tells it."""
    told: dict[str, Any] = admin_json(admin_url, f"/api/v1/functions/{quote(name, safe='')}/rollout")
    return told


def watched(
    admin_url: str,
    name: str,
    revision: str,
    within_s: float,
    *,
    is_quiet: bool,
    silence_s: float = _SILENCE_S,
    remind_s: float = _REMIND_S,
) -> dict[str, Any]:
    """Wait until the rollout of a revision has ended, telling each step, and of a long one that it goes on; its end.

    A server that is restarted meanwhile goes on with it, and so does the wait.

    Args:
        admin_url: Where the server is.
        name: The function.
        revision: The revision expected to take over; another one that took its place ends the wait.
        within_s: How long to wait at most, in seconds; what it is then is returned.
        is_quiet: Whether steps are not told.
        silence_s: How long the server may be away, in seconds, >= 0.
        remind_s: How long a step may last before it is told again with what it waits for, in seconds, >= 0.

    Raises:
        ClientError: It was away for longer, or said no.
    """
    give_up_at_s = time.monotonic() + within_s
    before, pause_s, silent_from_s = "", _LOOK_EVERY_S, None
    began_at_s = told_at_s = time.monotonic()  # of the step under way: its beginning, and when it was told last
    while True:
        now_s = time.monotonic()
        try:
            told = rollout_of(admin_url, name)
        except ConnectionFailedError as err:
            cause = str(err).partition("\n")[0].partition(";")[0]
            if silent_from_s is None:
                silent_from_s = now_s
                click.echo(f"  {cause}; waiting for it to come back", err=True)
            if now_s >= min(give_up_at_s, silent_from_s + silence_s):
                raise ClientError(f"{cause}\n{_told_of_silence(name, revision)}") from err
            time.sleep(_LOOK_EVERY_S)
            continue
        silent_from_s = None
        line = step_line(told)
        is_telling = not is_quiet and told["state"] not in _ENDED
        if line != before:
            began_at_s = told_at_s = now_s
            if is_telling:
                click.echo(f"  {line}")
        elif is_telling and now_s - told_at_s >= remind_s:
            told_at_s = now_s
            click.echo(f"  {line}, for {now_s - began_at_s:.0f} s now: {_awaited(told)}")
        before = line
        if told["state"] in _ENDED or told["revision"] != revision or time.monotonic() >= give_up_at_s:
            return told
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.2, _LOOK_AT_LEAST_EVERY_S)


def _awaited(told: dict[str, Any]) -> str:
    """What a step that lasts waits for."""
    if told["state"] == "warming":
        return (
            f"a replica is to load, or there is no room for one; `sojourn events --function {told['function']}` tells"
        )
    evidence = told.get("evidence") or {}
    return str(evidence.get("evidence") or "too little traffic to judge so far")


@contextlib.contextmanager
def interruption_told(names: Sequence[str]) -> Iterator[None]:
    """Whoever ends a wait by Ctrl-C is told that the server does not end with it, and what would."""
    try:
        yield
    except KeyboardInterrupt:
        for name in names:
            click.echo(
                f"\n{name}: the rollout goes on at the server; `sojourn rollout {name} --wait` waits for it, "
                f"`sojourn rollback {name}` ends it",
                err=True,
            )
        raise


def _told_of_silence(name: str, revision: str) -> str:
    return (
        f"how the rollout of {name}@{revision} ends is not known: a server that keeps its state goes on with it once it "
        f"is started again (sojourn serve); `sojourn rollout {name} --wait` then waits for it"
    )


def step_line(told: dict[str, Any]) -> str:
    """A rollout's state in a line."""
    label, state = f"{told['function']}@{told['revision']}", told["state"]
    if state == "warming":
        return f"{label}: warming up"
    if state == "shifting":
        return f"{label}: has {told['share'] * 100:.3g} % of the traffic"
    if state == LIVE:
        return f"{label}: live" + (f" ({told['why']})" if told.get("why") else "")
    told_cause = f": {told['cause']}" if told["cause"] else ""
    return f"{label}: {'rolled back' if state == ROLLED_BACK else 'failed'}{told_cause}"


def show(told: dict[str, Any]) -> None:
    """The state, and the evidence behind it."""
    click.echo(step_line(told))
    if told.get("before"):
        click.echo(
            f"  before: {told['before']}" + (" (has the traffic)" if told["state"] in {ROLLED_BACK, FAILED} else "")
        )
    evidence = told.get("evidence") or {}
    if evidence and evidence["evidence"] not in told["cause"]:
        click.echo(f"  evidence: {evidence['evidence']} (p {evidence['p_value']:.2g})")


def told_of_timeout(told: dict[str, Any], within_s: float) -> str | None:
    """What to say of a rollout that had not ended when the wait was over; None if it had."""
    if told["state"] in _ENDED:
        return None
    return (
        f"{told['function']}@{told['revision']} has not ended within {within_s:g} s and goes on; "
        f"`sojourn rollout {told['function']} --wait` waits for it"
    )
