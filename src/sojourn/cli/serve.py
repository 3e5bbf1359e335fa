"""`sojourn serve`: builds a server from its parts, tells when it is ready, and stops it in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sojourn.cli.output import abandon_stdout, refuse_other_files
from sojourn.config.load import FILE_NAME, default_state_dir, load_settings, unknown_variables
from sojourn.config.objectives import TABLE, waiting, with_objectives
from sojourn.config.quantities import read_switch
from sojourn.config.settings import SETTINGS, ServerSettings, flag_of, variable_of
from sojourn.config.state_dir import StateDir, claim, sweep
from sojourn.errors import ConfigurationError
from sojourn.telemetry.bridge import LoggingBridge
from sojourn.telemetry.log import EventLog

if TYPE_CHECKING:
    from sojourn.cli.composition import Server

# Descriptors besides connections: replicas, their pipes, the ports, files.
_OTHER_DESCRIPTORS = 512
_LINGER_S = 1.0
_REMEDY_OF_WAITING = f"it holds as soon as such a function is deployed; else correct [{TABLE}] in {FILE_NAME}"
_COLLECT_AFTER_ALLOCATIONS = 50_000


def with_settings(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command one flag per setting; values stay texts until all sources are checked together."""
    for name, setting in reversed(SETTINGS.items()):
        about = f"{setting.about} [{variable_of(name)}{_default_of(name)}]"
        kind: dict[str, Any] = {"is_flag": True} if setting.read is read_switch else {"metavar": "VALUE"}
        command = click.option(flag_of(name), name, default=None, help=about, **kind)(command)
    return command


def _default_of(name: str) -> str:
    fields = ServerSettings.__struct_fields__
    defaults = dict(zip(reversed(fields), reversed(ServerSettings.__struct_defaults__), strict=False))
    return f"; default {defaults[name]}" if defaults.get(name) not in {None, (), False} else ""


@click.command()
@click.argument("target", required=False)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings file [./sojourn.toml].")
@with_settings
def serve(target: str | None, config: Path | None, **flags: Any) -> int:
    """Serve every function in TARGET, a Python file (app.py) or module (pkg.module), and what was deployed before.

    Without TARGET it is a platform for `sojourn deploy`, empty the first time.

    Prints one line on standard output when every function has a ready replica, or rests without one until it is called:
    ready inference=http://HOST:PORT admin=http://HOST:PORT functions=a,b

    SIGTERM and SIGINT finish the requests taken in, then exit 0; a second signal does not wait.
    """
    settings, event_log = prepared(flags, config)
    if target is not None:
        refuse_other_files(target)
    state_dir = _claim_state_dir(settings, event_log)
    try:
        return run(_served(target, settings, event_log, state_dir))
    finally:
        state_dir.release()


def prepared(flags: Mapping[str, Any], config: Path | None) -> tuple[ServerSettings, EventLog]:
    """Settings from all sources, checked, and a log by them; the process is made ready to serve.

    Raises:
        click.UsageError: Settings cannot be used; all faults are named.
    """
    try:
        settings = load_settings(flags, os.environ, config=config)
    except ConfigurationError as err:
        raise click.UsageError(str(err)) from err
    event_log = EventLog(log_format=settings.log_format, log_level=settings.log_level)
    if unknown := unknown_variables(os.environ):
        event_log.warning("settings.unknown_variables", names=",".join(unknown), remedy="see sojourn serve --help")
    _join_logging(event_log)
    _raise_descriptor_limit(settings.connections, event_log)
    return settings, event_log


def _claim_state_dir(settings: ServerSettings, event_log: EventLog) -> StateDir:
    """Take the state directory; where it is the default one, clear away what killed servers left beside it."""
    path = settings.state_dir
    is_default = path == default_state_dir(os.environ, settings.port)
    if is_default and (swept := sweep(path.parent)):
        event_log.info("state.swept", directories=len(swept), cause="left by servers that were killed")
    return claim(path, is_passing=is_default and settings.port == 0)


def run(main: Coroutine[Any, Any, None]) -> int:
    """Run a server on the kind of event loop it is made for."""
    import uvloop  # noqa: PLC0415 (`serve --help` must not pay for it)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
    return 0


async def _served(target: str | None, settings: ServerSettings, event_log: EventLog, state_dir: StateDir) -> None:
    """Describe, build, announce, wait for a signal, drain."""
    from sojourn.cli.composition import Server  # noqa: PLC0415 (as above)
    from sojourn.cli.signals import StopSignals, ended_before  # noqa: PLC0415 (as above)
    from sojourn.launcher.describe import describe  # noqa: PLC0415 (as above)

    signals = StopSignals()
    signals.install()
    server = Server(settings, event_log, state_dir.path, keeps_state=not state_dir.is_passing)

    async def start() -> None:
        event_log.info("server.starting", target=target or "", pid=os.getpid())
        described = await describe(target, settings.describe_timeout_s) if target is not None else []
        await server.start(with_objectives(described, settings.objectives))
        for name, cause in waiting(settings.objectives, server.known).items():
            event_log.warning("objective.waits", function=name, cause=cause, remedy=_REMEDY_OF_WAITING)
        _spare_collector()
        _announce(server)
        server.events.info("server.ready", inference=server.inference_url, admin=server.admin_url)

    try:
        if await ended_before(signals.first, start(), "start"):
            await signals.first.wait()
            server.events.info("server.draining", limit_s=settings.drain_s)
            if not await ended_before(signals.second, server.drain(_LINGER_S), "drain"):
                server.events.warning(
                    "server.interrupted", cause="a second signal; requests still running were dropped"
                )
    finally:
        await server.close()
        signals.remove()
    event_log.info("server.stopped")


def _announce(server: Server) -> None:
    names = ",".join(server.functions)
    try:
        click.echo(f"ready inference={server.inference_url} admin={server.admin_url} functions={names}")
    except OSError:  # nobody reads it: serving goes on
        abandon_stdout()


def _spare_collector() -> None:
    """What stands now stays: the garbage collector need not look at it again, nor come by so often.

    Requests leave no cycles behind; at the default thresholds collections cost 3 % of the server's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_ALLOCATIONS, 20, 20)


def _join_logging(event_log: EventLog) -> None:
    """What libraries log goes to the event log."""
    root = logging.getLogger()
    root.handlers[:] = [LoggingBridge(event_log)]


def _raise_descriptor_limit(connections: int, event_log: EventLog) -> None:
    """As many descriptors as connections are allowed, where the hard limit permits."""
    wanted = connections + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    if granted < wanted:
        event_log.warning("server.few_descriptors", granted=granted, wanted=wanted, remedy="raise `ulimit -Hn`")
