"""Backs up a state directory into one tar file, also while a server writes it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sqlite3
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

from sojourn.errors import StateError
from sojourn.state.bundle_files import Verify, bundle_faults, is_present
from sojourn.state.file import BUNDLES_NAME, FILE_NAME, copy_into, told
from sojourn.state.manifest import CHECKSUM_NAME, MANIFEST_BYTES_MAX, MANIFEST_NAME, Entry, Manifest
from sojourn.state.schema import VERSION
from sojourn.state.store import StateStore
from sojourn.state.swap import synced_directory

_ATTEMPTS: Final = 5
_CHUNK_BYTES: Final = 1024 * 1024


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds: counts, and the size of its file in bytes."""

    file: str
    bytes: int
    functions: int
    revisions: int
    keys: int
    bundles: int
    databases: list[str]


class _ChangedError(Exception):
    """What was to be copied was removed or changed meanwhile."""


def write_backup(
    state_dir: Path,
    file: Path,
    wall_s: float,
    written_by: str,
    *,
    other_databases: Sequence[str] = (),
    is_replacing: bool = False,
    verify: Verify = is_present,
) -> Backup:
    """Copy what outlives a server into `file`, which is there whole or not at all.

    The state file and the others are copied as they are at one instant each, then the bundles that the state refers
    to. Should the server remove one of those meanwhile, it begins anew.

    Args:
        state_dir: The directory; a server may hold it.
        file: The tar file to write.
        wall_s: Now, in seconds since the epoch.
        written_by: The version of sojourn, for those who read the manifest.
        other_databases: SQLite files to take along where they exist.
        is_replacing: Whether an existing file may be replaced.
        verify: How a bundle is verified.

    Raises:
        StateError: The state is damaged, a bundle is missing, or the file cannot be written.
    """
    if file.exists() and not is_replacing:
        raise StateError(f"{file} exists; choose another name, or replace it with --replace")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.absolute().parent) as aside:
            for _ in range(_ATTEMPTS):
                with contextlib.suppress(_ChangedError):
                    return _written(state_dir, file, Path(aside), wall_s, written_by, other_databases, verify)
    except OSError as err:
        raise StateError(f"{err.filename or file}: {err.strerror or err}; no backup was written") from err
    raise StateError(f"{state_dir}: bundles were removed while they were copied, {_ATTEMPTS} times; try again")


def _written(
    state_dir: Path,
    file: Path,
    aside: Path,
    wall_s: float,
    written_by: str,
    other_databases: Sequence[str],
    verify: Verify,
) -> Backup:
    store = StateStore.read_from(state_dir)
    try:
        digests = store.referenced_bundles()
        functions = store.functions()
        counts = len(functions), sum(len(store.revisions(one.name)) for one in functions), len(store.keys())
        store.save_as(aside / FILE_NAME)
    finally:
        store.close()
    for name in other_databases:
        if (state_dir / name).exists():
            _copy(state_dir / name, aside / name)
    databases = [name for name in (FILE_NAME, *other_databases) if (aside / name).exists()]
    bundles = state_dir / BUNDLES_NAME
    faults = bundle_faults(bundles, digests, verify)
    if faults:
        _require_unchanged(state_dir, digests)
        raise StateError("\n".join([f"{state_dir} cannot be backed up whole:", *faults, "see `sojourn state check`"]))
    entries = [_file_entry(aside / name, name) for name in databases]
    try:
        entries += _bundle_entries(bundles, sorted(digests))
        partly = aside / "backup.tar"
        manifest = Manifest(written_by=written_by, state_version=VERSION, made_at_s=wall_s, entries=entries)
        _write_tar(partly, manifest, {name: aside / name for name in databases}, state_dir)
    except FileNotFoundError as err:
        raise _ChangedError from err
    _require_unchanged(state_dir, digests)
    partly.replace(file)
    synced_directory(file.absolute().parent)
    return Backup(
        file=str(file),
        bytes=file.stat().st_size,
        functions=counts[0],
        revisions=counts[1],
        keys=counts[2],
        bundles=len(digests),
        databases=databases,
    )


def _require_unchanged(state_dir: Path, digests: set[str]) -> None:
    """Bundles that are no longer referred to may have been removed while they were copied.

    Raises:
        _ChangedError: There are such.
    """
    store = StateStore.read_from(state_dir)
    try:
        if not digests <= store.referenced_bundles():
            raise _ChangedError
    finally:
        store.close()


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with told(source), contextlib.closing(sqlite3.connect(target, isolation_level=None)) as connection:
        copy_into(source, connection)


def _bundle_entries(bundles: Path, digests: Sequence[str]) -> Iterator[Entry]:
    if digests:
        yield Entry(BUNDLES_NAME, 0o700)
    for digest in digests:
        for directory, directories, files in os.walk(bundles / digest, onerror=_raise):
            directories.sort()
            place = Path(directory)
            yield Entry(_name_of(place, bundles), stat.S_IMODE(place.lstat().st_mode))
            for path in (place / name for name in [*directories, *sorted(files)]):
                kind = path.lstat().st_mode
                if stat.S_ISREG(kind):
                    yield _file_entry(path, _name_of(path, bundles))
                elif not stat.S_ISDIR(kind):
                    raise StateError(f"{path} is neither file nor directory; bundles hold nothing else")


def _raise(error: OSError) -> None:
    raise error


def _name_of(path: Path, bundles: Path) -> str:
    return f"{BUNDLES_NAME}/{path.relative_to(bundles)}"


def _file_entry(path: Path, name: str) -> Entry:
    digest, size = hashlib.sha256(), 0
    with _opened(path) as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return Entry(name, mode, size, digest.hexdigest())


def _opened(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


class _Counted:
    """A file that knows the digest of what was read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        chunk = self._file.read(size)
        self.digest.update(chunk)
        return chunk


def _write_tar(path: Path, manifest: Manifest, aside: dict[str, Path], state_dir: Path) -> None:
    content = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    if len(content) > MANIFEST_BYTES_MAX:
        raise StateError(f"the list of its files takes more than {MANIFEST_BYTES_MAX} bytes")
    checksum = f"{hashlib.sha256(content).hexdigest()}  {MANIFEST_NAME}\n".encode()
    path.unlink(missing_ok=True)
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(number, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, text in ((MANIFEST_NAME, content), (CHECKSUM_NAME, checksum)):
                tar.addfile(_member(name, 0o600, len(text), manifest.made_at_s), io.BytesIO(text))
            for entry in manifest.entries:
                member = _member(entry.name, entry.mode, entry.size, manifest.made_at_s)
                if entry.is_directory:
                    member.type = tarfile.DIRTYPE
                    tar.addfile(member)
                else:
                    with _opened(aside.get(entry.name, state_dir / entry.name)) as source:
                        counted = _Counted(source)
                        tar.addfile(member, counted)  # type: ignore[arg-type]  # all it asks for is `read`
                        if counted.digest.hexdigest() != entry.sha256:
                            raise _ChangedError
        file.flush()
        os.fsync(number)


def _member(name: str, mode: int, size: int, made_at_s: float) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode, member.size, member.mtime = mode, size, int(made_at_s)
    return member
