"""`sojourn dev`: serves a file and, with every save, its latest version that works."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sojourn.cli.output import refuse_other_files
from sojourn.cli.serve import prepared, run, with_settings
from sojourn.domain.function import FunctionManifest
from sojourn.errors import SojournError, TargetError
from sojourn.telemetry.log import EventLog

if TYPE_CHECKING:
    from sojourn.config.settings import ServerSettings
    from sojourn.deploy.reload import Reloaded, Reloader

_LOOK_EVERY_S: Final = 0.2
_DRAIN_S: Final = 5.0


@click.command()
@click.argument("target", default="app.py")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings file [./sojourn.toml].")
@with_settings
def dev(target: str, config: Path | None, **flags: Any) -> int:
    """Serve TARGET (app.py by default) while you write it: every save is imported afresh and served at once.

    A save that cannot be imported or does not load is told with your line, and the last good version serves on. Requests
    that are under way when a version is replaced are finished. Nothing is kept when it ends: `sojourn serve` does.
    """
    refuse_other_files(target)
    flags["log_level"] = flags.get("log_level") or "warning"
    settings, event_log = prepared(flags, config)
    # Bytecode is told from its source by size and second: of two saves within one, the first might be served.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    with tempfile.TemporaryDirectory(prefix="sojourn-dev-") as passing:
        return run(_developed(target, settings, event_log, Path(passing)))


async def _developed(target: str, settings: ServerSettings, event_log: EventLog, state_dir: Path) -> None:
    """Serve, watch, serve anew, until a signal comes."""
    from sojourn.cli.composition import Server  # noqa: PLC0415 (`dev --help` must not pay for it)
    from sojourn.cli.signals import StopSignals, ended_before  # noqa: PLC0415 (as above)
    from sojourn.deploy.reload import Reloader  # noqa: PLC0415 (as above)
    from sojourn.launcher.describe import describe  # noqa: PLC0415 (as above)

    async def described() -> Sequence[FunctionManifest]:
        return await describe(target, settings.describe_timeout_s)

    signals = StopSignals()
    signals.install()
    server = Server(settings, event_log, state_dir, keeps_state=False)
    reloader: Reloader | None = None

    async def serve() -> None:
        nonlocal reloader
        await server.start([])
        reloader = Reloader(server.platform, server.routes, described, _DRAIN_S, server.named)
        click.echo(f"inference {server.inference_url}  admin {server.admin_url}  (Ctrl-C ends it)")
        await _watch(target, reloader)

    try:
        await ended_before(signals.first, serve(), "dev")
        await ended_before(signals.second, server.drain(0.0), "drain")
    finally:
        if reloader is not None:
            await reloader.close()
        await server.close()
        signals.remove()


async def _watch(target: str, reloader: Reloader) -> None:
    """Serve what there is, then whatever is saved."""
    from sojourn.deploy.watch import changed, look  # noqa: PLC0415 (as above)

    path = Path(target)
    root = path.parent if path.suffix == ".py" or os.sep in target else Path()
    seen = await asyncio.to_thread(look, root)
    await _renew(reloader, [])
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        now = await asyncio.to_thread(look, root)
        if paths := changed(seen, now):
            seen = now
            await _renew(reloader, [each.removeprefix(f"{root}{os.sep}") for each in paths])


async def _renew(reloader: Reloader, paths: Sequence[str]) -> None:
    """Serve anew, and say what came of it."""
    began_at_s = time.monotonic()
    if paths:
        click.secho(f"{time.strftime('%H:%M:%S')} {', '.join(paths[:5])}{' ...' if len(paths) > 5 else ''}", bold=True)
    try:
        done = await reloader.reload()
    except TargetError as err:
        click.secho(f"  {err}", fg="red", err=True)
        click.echo(f"  {_what_serves(reloader)}")
        return
    except SojournError as err:
        click.secho(f"  {err}", fg="red", err=True)
        return
    for one in done:
        _tell(one, time.monotonic() - began_at_s)
    if not done and paths:
        click.echo("  nothing that is served has changed")


def _tell(one: Reloaded, took_s: float) -> None:
    if one.failure:
        click.secho(f"  {one.function}@{one.after} does not load: {one.failure}", fg="red", err=True)
        click.echo(f"  {one.function}@{one.before} serves on" if one.before else f"  {one.function} is not served")
    elif not one.after:
        click.echo(f"  {one.function}: gone")
    else:
        with contextlib.suppress(BrokenPipeError):
            click.secho(f"  {one.function}@{one.after} serves, after {took_s:.2f} s", fg="green")


def _what_serves(reloader: Reloader) -> str:
    serving = reloader.serving()
    return f"still serving: {', '.join(serving)}" if serving else "nothing is served yet; save again"
