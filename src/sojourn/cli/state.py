"""`sojourn state`: back up, restore and check what outlives a server."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from sojourn import __version__
from sojourn.cli.options import json_option
from sojourn.config.load import load_settings
from sojourn.config.state_dir import claim
from sojourn.domain.wording import counted
from sojourn.errors import ConfigurationError, SojournError, StateError
from sojourn.state.file import FILE_NAME
from sojourn.telemetry.history import FILE_NAME as HISTORY_NAME

if TYPE_CHECKING:
    from sojourn.state.backup import Backup
    from sojourn.state.check import Checked
    from sojourn.state.restore import Restored

_OTHERS = (HISTORY_NAME,)


@click.group("state")
def state() -> None:
    """Back up, restore and check what outlives a server: functions, revisions, keys, history."""


def _with_directory(command: Callable[..., int]) -> Callable[..., int]:
    """Options that say which state directory is meant, as `sojourn serve` finds it."""
    for option in (
        json_option,
        click.option(
            "--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings file [./sojourn.toml]."
        ),
        click.option("--port", metavar="PORT", help="Inference port of the server whose state is meant [8080]."),
        click.option("--state-dir", metavar="DIR", help="The state directory [that of the port]."),
    ):
        command = option(command)
    return command


def _directory(config: Path | None, port: str | None, state_dir: str | None) -> Path:
    try:
        settings = load_settings({"port": port, "state_dir": state_dir}, os.environ, config=config)
    except ConfigurationError as err:
        raise click.UsageError(str(err)) from err
    if settings.port == 0 and state_dir is None:
        raise click.UsageError("a server on any free port keeps no state; give --port, or --state-dir")
    return settings.state_dir


@state.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", "is_replacing", is_flag=True, help="Write over FILE if it exists.")
@_with_directory
def backup(
    file: Path,
    is_replacing: bool,  # noqa: FBT001 (click calls by name)
    state_dir: str | None,
    port: str | None,
    config: Path | None,
    as_json: bool,  # noqa: FBT001 (as above)
) -> int:
    """Copy the state into FILE, a tar archive; the server may go on.

    It holds code and the hashes of keys: keep it where strangers cannot read it.
    """
    from sojourn.bundle.limits import size_text  # noqa: PLC0415 (only when it runs)
    from sojourn.state.backup import write_backup  # noqa: PLC0415 (as above)

    directory = _directory(config, port, state_dir)
    try:
        made = write_backup(
            directory,
            file,
            time.time(),
            __version__,
            other_databases=_OTHERS,
            verify=_rehashed,
            is_replacing=is_replacing,
        )
    except StateError as err:
        raise StateError(f"{err}{_hint(directory, state_dir)}") from err
    if _printed(made, as_json=as_json):
        return 0
    click.echo(f"{made.file}: {size_text(made.bytes)}: {_counts(made)}, {', '.join(made.databases)}")
    click.echo(f"to bring it back: sojourn state restore {made.file} --state-dir DIR")
    return 0


@state.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_with_directory
def restore(
    file: Path,
    state_dir: str | None,
    port: str | None,
    config: Path | None,
    as_json: bool,  # noqa: FBT001 (click calls by name)
) -> int:
    """Bring back the state from FILE, into an empty state directory or the one named with --state-dir.

    What a named directory holds is replaced, once all of FILE has been verified. No server may run on it.
    """
    from sojourn.state.restore import restore_backup  # noqa: PLC0415 (only when it runs)

    directory = _directory(config, port, state_dir)
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    held = claim(directory, if_held="stop it first, or restore into another directory with --state-dir DIR")
    try:
        restored = restore_backup(
            file, directory, other_databases=_OTHERS, verify=_rehashed, is_replacing=state_dir is not None
        )
    except BaseException:
        held.is_passing = bool(made)  # what was made for a restore that is refused goes with it
        raise
    finally:
        held.release()
        if held.is_passing:
            _remove_empty(made)
    if _printed(restored, as_json=as_json):
        return 0
    made_at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(restored.made_at_s))
    how = "in place of what was there" if restored.has_replaced else "into an empty directory"
    click.echo(f"{restored.state_dir}: restored {how}, as it was at {made_at}")
    names = ", ".join(restored.functions) or "none"
    click.echo(f"functions: {names}; {_counts(restored)}")
    return 0


@state.command()
@_with_directory
def check(
    state_dir: str | None,
    port: str | None,
    config: Path | None,
    as_json: bool,  # noqa: FBT001 (click calls by name)
) -> int:
    """Verify the state: the file, all it says, and the bundles it refers to; exit 1 if something is wrong.

    Nothing is changed, and the server may go on.
    """
    from sojourn.state.check import check_state  # noqa: PLC0415 (only when it runs)

    checked = check_state(_directory(config, port, state_dir), other_databases=_OTHERS, verify=_rehashed)
    if not _printed(checked, as_json=as_json, ok=not checked.faults):
        for line in _lines(checked):
            click.echo(line)
        if checked.faults and (hint := _hint(Path(checked.state_dir), state_dir)):
            click.echo(hint.strip(), err=True)
    return 1 if checked.faults else 0


def _hint(directory: Path, asked: str | None) -> str:
    """Where else the state may be, if it is not where it was looked for without a word of where that is."""
    if asked is not None or (directory / FILE_NAME).exists():
        return ""
    return "\nname the directory as it was named to the server: --state-dir DIR, or --port PORT where it has none of its own"


def _remove_empty(made: list[Path]) -> None:
    """Take away directories that were made in vain, the innermost first; one in which there is something stays."""
    with contextlib.suppress(OSError):
        for path in made:
            if path.exists():
                path.rmdir()


def _rehashed(bundles: Path, digest: str) -> str:
    """What is wrong with a source tree; empty if its content is what its name says."""
    from sojourn.bundle.digest import digest_of  # noqa: PLC0415 (only when it runs)

    try:
        found = digest_of(bundles / digest)
    except (OSError, SojournError) as err:
        return f"it cannot be read: {err}"
    return "" if found == digest else f"its content has changed: its hash is {found[:12]}..."


def _printed(value: msgspec.Struct, *, as_json: bool, **further: Any) -> bool:
    """Whether it was printed as JSON."""
    if as_json:
        click.echo(json.dumps({**further, **msgspec.to_builtins(value)}, indent=2))
    return as_json


def _counts(told: Backup | Restored | Checked) -> str:
    """How much there is of each kind; functions only where they are not named."""
    kinds = {"function": told.functions, "revision": told.revisions, "key": told.keys, "bundle": told.bundles}
    return ", ".join(counted(count, kind) for kind, count in kinds.items() if isinstance(count, int))


def _lines(checked: Checked) -> list[str]:
    head = f"{checked.state_dir}: {_counts(checked)}" if checked.version is not None else checked.state_dir
    verdict = click.style("fail", fg="red") if checked.faults else click.style("ok", fg="green")
    lines = [f"{verdict}  {head}"]
    lines += [f"  {click.style('fault', fg='red')}  {fault}" for fault in checked.faults]
    lines += [f"  note   {note}" for note in checked.notes]
    return lines
