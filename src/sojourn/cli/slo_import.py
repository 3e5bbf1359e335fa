"""`sojourn slo import`: OpenSLO objectives into the settings file of a server."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import click

from sojourn.config.load import FILE_NAME
from sojourn.config.objectives import merged
from sojourn.errors import ClientError

_FILE_BYTES_MAX = 1024 * 1024


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--write", "is_written", is_flag=True, help=f"Put them into ./{FILE_NAME} instead of printing them.")
@click.option(
    "--replace", "is_replacing", is_flag=True, help="With --write: let them take the place of other ones there."
)
def import_objectives(file: Path, is_written: bool, is_replacing: bool) -> None:  # noqa: FBT001 (click calls by name)
    """Read the latency objectives of FILE (OpenSLO v1, YAML) as a table for sojourn.toml.

    A server started beside that file promises what it says instead of what functions say themselves. The document's
    spec.service names the function. What is not supported is an error with its line; nothing is passed over in silence.
    """
    from sojourn.config.openslo import read_openslo  # noqa: PLC0415 (imports yaml)

    try:
        with file.open("rb") as opened:
            content = opened.read(_FILE_BYTES_MAX + 1)
        text = content.decode("utf-8")
    except OSError as err:
        raise ClientError(f"{file}: cannot be read ({err.strerror})") from err
    except UnicodeDecodeError as err:
        raise ClientError(f"{file}: not UTF-8 text ({err.reason} at byte {err.start})") from err
    if len(content) > _FILE_BYTES_MAX:
        raise ClientError(f"{file}: larger than {_FILE_BYTES_MAX} bytes; is it the right file?")
    imported = read_openslo(text, str(file))
    for line in imported.passed_over:
        click.echo(line, err=True)
    texts = {name: str(slo) for name, slo in imported.objectives.items()}
    if not is_written:
        click.echo(merged("", texts, "the import"), nl=False)
        return
    target = Path(FILE_NAME)
    try:
        before = target.read_bytes().decode("utf-8") if target.exists() else ""
        _write_whole(target, merged(before, texts, FILE_NAME, is_replacing=is_replacing).encode("utf-8"))
    except OSError as err:
        raise ClientError(f"{target}: cannot be written ({err.strerror})") from err
    except UnicodeDecodeError as err:
        raise ClientError(f"{target}: not UTF-8 text ({err.reason} at byte {err.start})") from err
    click.echo(f"{target}: {', '.join(texts)}; a server of a target without these functions will not start beside it")


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there before or after, whatever happens meanwhile: a full disk leaves the old one.

    Raises:
        OSError: It could not be written.
    """
    path = Path(os.path.realpath(path))  # the file itself, if this is a link to it
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    number, aside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(number)
        Path(aside).chmod(0o666 & ~_umask() if mode is None else mode)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
