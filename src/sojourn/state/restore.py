"""Restores a state directory from a backup: all of it is verified before anything is replaced."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

from sojourn.errors import StateError
from sojourn.state.bundle_files import Verify, bundle_faults, is_present
from sojourn.state.file import BUNDLES_NAME, FILE_NAME, copy_into
from sojourn.state.manifest import CHECKSUM_NAME, MANIFEST_BYTES_MAX, MANIFEST_NAME, Entry, Manifest, read_manifest
from sojourn.state.store import StateStore
from sojourn.state.swap import PART_NAME, commit_restore, finish_restore, holds_state, remove_tree, synced_directory

_CHUNK_BYTES: Final = 1024 * 1024


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup brought back, and when it was made (seconds since the epoch)."""

    state_dir: str
    made_at_s: float
    written_by: str
    functions: list[str]
    revisions: int
    keys: int
    bundles: int
    has_replaced: bool


def restore_backup(
    file: Path,
    state_dir: Path,
    *,
    other_databases: Sequence[str] = (),
    is_replacing: bool = False,
    verify: Verify = is_present,
) -> Restored:
    """Put the state of a backup into a directory; one that was there goes when the new one stands.

    The caller holds the directory, so that no server runs on it.

    Args:
        file: What `write_backup` wrote.
        state_dir: The directory.
        other_databases: Further SQLite files a backup may have.
        is_replacing: Whether a state that is there may be replaced.
        verify: How a bundle is verified.

    Raises:
        StateError: The backup is damaged or of a later version, the directory holds a state, or the disk has no room. What was
            there stays as it was.
    """
    part = state_dir / PART_NAME
    try:
        finish_restore(state_dir)
        has_replaced = holds_state(state_dir)
        if has_replaced and not is_replacing:
            raise StateError(
                f"{state_dir} holds a state already, which would be lost; name the directory with --state-dir to replace "
                "it, or restore into an empty one"
            )
        part.mkdir(mode=0o700)
        try:
            manifest = _unpacked(file, part, frozenset({FILE_NAME, *other_databases}))
            restored = _verified(file, part, state_dir, manifest, verify, has_replaced=has_replaced)
        except BaseException:
            remove_tree(part)
            raise
        commit_restore(state_dir)
    except OSError as err:
        raise StateError(f"{err.filename or state_dir}: {err.strerror or err}; what was there is still there") from err
    return restored


def _unpacked(file: Path, part: Path, databases: frozenset[str]) -> Manifest:
    """Write what the manifest names into `part`, in its order and nothing else; all of it is on the disk then."""
    with file.open("rb") as opened:
        try:
            with tarfile.open(fileobj=opened, mode="r:") as tar:
                manifest = _manifest_of(tar, databases)
                for entry in manifest.entries:
                    _unpack(tar, entry, part)
                _require_end(tar)
        except StateError as err:
            raise StateError(f"{file} cannot be restored: {err}") from err
        except (tarfile.TarError, EOFError, ValueError, OverflowError) as err:
            raise StateError(f"{file} cannot be restored: it is no whole backup ({err})") from err
    # What is in a directory that may not be written was written before.
    for entry in reversed(manifest.entries):
        if entry.is_directory:
            synced_directory(part / entry.name)
            (part / entry.name).chmod(0o700 | entry.mode & 0o777 if entry.name == BUNDLES_NAME else entry.mode & 0o777)
    synced_directory(part)
    return manifest


def _manifest_of(tar: tarfile.TarFile, databases: frozenset[str]) -> Manifest:
    content = _small_member(tar, MANIFEST_NAME, MANIFEST_BYTES_MAX)
    checksum = _small_member(tar, CHECKSUM_NAME, 1024)
    if checksum.split(b" ")[0] != hashlib.sha256(content).hexdigest().encode():
        raise StateError("its manifest is damaged")
    return read_manifest(content, databases)


def _require_end(tar: tarfile.TarFile) -> None:
    if tar.next() is not None:
        raise StateError("there is more in it than its manifest names")


def _small_member(tar: tarfile.TarFile, name: str, size_max: int) -> bytes:
    member = tar.next()
    if member is None or member.name != name or not member.isreg() or member.size > size_max:
        raise StateError(f"it is no backup of sojourn: {name} is not where it should be")
    source = tar.extractfile(member)
    assert source is not None, "a regular file has content"
    return source.read()


def _unpack(tar: tarfile.TarFile, entry: Entry, part: Path) -> None:
    member = tar.next()
    if member is None:
        raise StateError(f"it ends before {entry.name}")
    is_as_told = member.isdir() if entry.is_directory else member.isreg() and member.size == entry.size
    if member.name != entry.name or not is_as_told:
        raise StateError(f"it holds {member.name[:200]!r} where its manifest names {entry.name}")
    path = part / entry.name
    if entry.is_directory:
        path.mkdir(mode=0o700)
        return
    source = tar.extractfile(member)
    assert source is not None, "a regular file has content"
    mode = 0o600 if "/" not in entry.name else entry.mode & 0o777
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(number, "wb") as target:
        if _copied(source, target) != entry.sha256:
            raise StateError(f"{entry.name} is damaged in it")
        target.flush()
        os.fchmod(number, mode)
        os.fsync(number)


def _copied(source: IO[bytes], target: IO[bytes]) -> str:
    """The digest of what was copied."""
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def _verified(
    file: Path, part: Path, state_dir: Path, manifest: Manifest, verify: Verify, *, has_replaced: bool
) -> Restored:
    try:
        store = StateStore.read_from(part)
        try:
            faults = store.faults()
            digests = store.referenced_bundles()
            functions = store.functions()
            revisions, keys = sum(len(store.revisions(one.name)) for one in functions), len(store.keys())
        finally:
            store.close()
    except StateError as err:
        raise StateError(f"{file} cannot be restored, nothing was changed: {err}") from err
    faults += bundle_faults(part / BUNDLES_NAME, digests, verify)
    for path in sorted(part.glob("*.db")):
        if path.name != FILE_NAME and (fault := database_fault(path)):
            faults.append(f"{path.name}: {fault}")
    if faults:
        raise StateError("\n".join([f"{file} cannot be restored, nothing was changed:", *faults]))
    return Restored(
        state_dir=str(state_dir),
        made_at_s=manifest.made_at_s,
        written_by=manifest.written_by,
        functions=[one.name for one in functions],
        revisions=revisions,
        keys=keys,
        bundles=len(digests),
        has_replaced=has_replaced,
    )


def database_fault(path: Path) -> str:
    """What SQLite finds wrong with a file; "" if nothing. The file may be in use."""
    try:
        with contextlib.closing(sqlite3.connect(":memory:")) as memory:
            copy_into(path, memory)
            (verdict,) = memory.execute("PRAGMA integrity_check(1)").fetchone()
    except (sqlite3.Error, UnicodeDecodeError, OSError) as err:
        return str(err)
    return "" if verdict == "ok" else str(verdict)
