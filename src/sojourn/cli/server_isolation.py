"""How a server keeps replicas apart, and where what they print is kept: opened at its start, told in one line."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from sojourn.config.settings import ServerSettings
from sojourn.config.state_dir import RUN_NAME
from sojourn.errors import StartError
from sojourn.launcher.in_force import mechanisms, off_in_words
from sojourn.launcher.isolation import Isolation, IsolationSettings
from sojourn.launcher.scratch import ScratchSpace
from sojourn.replica.confine import be_opaque
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.log_files import DIRECTORY, LogFiles


def opened_isolation(settings: ServerSettings, state_dir: Path, events: PlatformEvents) -> Isolation:
    """What replicas are kept from; to be closed off the loop.

    Raises:
        StartError: Their private directories cannot be made.
    """
    run_dir = state_dir / RUN_NAME
    wanted = IsolationSettings(**{name: getattr(settings, name) for name in IsolationSettings.__struct_fields__})
    try:
        run_dir.mkdir(mode=0o700, exist_ok=True)
        scratch = ScratchSpace(run_dir)
    except OSError as error:
        raise StartError(
            f"no private directories for replicas can be made in {run_dir}: {error.strerror}; "
            "make room there, or choose another --state-dir"
        ) from error
    isolation = Isolation(wanted, state_dir, scratch)
    if not isolation.uses_landlock:
        with contextlib.suppress(OSError):
            be_opaque()
    found = mechanisms(isolation)
    on = ", ".join(mechanism.name for mechanism in found if mechanism.is_on)
    events.info("isolation.in_force", on=on, off=off_in_words(found))
    return isolation


def opened_log_files(settings: ServerSettings, state_dir: Path, events: PlatformEvents) -> LogFiles | None:
    """The files of what replicas print, to be closed off the loop; None if none are wanted."""
    if not settings.replica_log_files:
        return None
    loop, directory = asyncio.get_running_loop(), state_dir / DIRECTORY

    def faulty(fault: str) -> None:
        if fault:
            remedy = f"lines are lost until {directory} can be written; serving goes on"
            events.warning("replica_logs.failed", cause=fault, remedy=remedy)
        else:
            events.info("replica_logs.recovered")

    def told(fault: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(faulty, fault)

    return LogFiles(directory, settings.replica_log_bytes, settings.replica_log_files, told)
