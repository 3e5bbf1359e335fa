"""The state file itself: made, opened, checked and brought up to date; what is wrong with it is an error, never a new file."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sojourn.errors import StateError
from sojourn.state.schema import APPLICATION_ID, INDEXES, MIGRATIONS, TABLES, VERSION
from sojourn.state.swap import synced_directory
from sojourn.state.table import CHECKSUM

FILE_NAME: Final = "state.db"
BUNDLES_NAME: Final = "bundles"
MEMORY: Final = ":memory:"
_PATIENCE_S: Final = 2.0
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MAGIC: Final = b"SQLite format 3\0"
_NO_ROOM: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR})


def opened(path: Path) -> sqlite3.Connection:
    """The file, checked and of the present version, for reading and writing; made if it and all that belongs to it is not there.

    The caller holds the state directory.

    Raises:
        StateError: It is damaged, of a later version, not ours or cannot be opened; it stays as it is.
    """
    with told(path):
        if not path.exists():
            _refuse_loss(path)
            _create(path)
        _look_at_head(path)
        path.chmod(0o600)
        connection = _connected(path, "rw")
        try:
            _settle(connection)
            _identify(connection, path)
            connection.execute("PRAGMA synchronous = FULL")
            _bring_up_to_date(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            emptied_log(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def copied(path: Path) -> sqlite3.Connection:
    """A checked copy in memory, of the present version; the file may be in use, and nothing of it is changed.

    Raises:
        StateError: As `opened`, and if there is none.
    """
    with told(path):
        if not path.exists():
            _refuse_loss(path)
            raise StateError(f"{path}: there is no such file; no server has kept its state here")
        _look_at_head(path)
        memory = sqlite3.connect(MEMORY, isolation_level=None, check_same_thread=False)
        try:
            copy_into(path, memory)
            _settle(memory)
            _identify(memory, path)
            _bring_up_to_date(memory)
        except BaseException:
            memory.close()
            raise
        return memory


def new_in_memory() -> sqlite3.Connection:
    """A file of the present version that is on no disk."""
    memory = sqlite3.connect(MEMORY, isolation_level=None, check_same_thread=False)
    _settle(memory)
    _migrate(memory, 0)
    return memory


def copy_into(path: Path, target: sqlite3.Connection) -> None:
    """Copy a SQLite file as it is at one instant, also while another process writes it; nothing is left beside it.

    Raises:
        OSError: There is none.
        sqlite3.Error: It cannot be read.
    """
    # A reader of a log makes one where none is, and may not remove it. Without one nobody writes, unless somebody begins to.
    log = path.with_name(f"{path.name}-wal")
    before = _state_of(path)
    if not log.exists():
        error = None
        try:
            _copy(path, "ro&immutable=1", target)
        except sqlite3.Error as err:
            error = err
        if not log.exists() and _state_of(path) == before:
            if error is not None:
                raise error
            return
    _copy(path, "ro", target)


def _copy(path: Path, mode: str, target: sqlite3.Connection) -> None:
    with contextlib.closing(_connected(path, mode)) as source:
        source.execute("PRAGMA cell_size_check = ON")
        source.backup(target)


def _state_of(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def version_of(path: Path) -> int:
    """The version a file says it has.

    Raises:
        StateError: It cannot be read.
    """
    with told(path), contextlib.closing(sqlite3.connect(MEMORY)) as memory:
        copy_into(path, memory)
        (version,) = memory.execute("PRAGMA user_version").fetchone()
        return int(version)


def emptied_log(connection: sqlite3.Connection) -> None:
    """Bring what was committed from the log into the file, and empty the log, if nobody reads just now.

    What is committed is safe in the log, too; but bytes that change there are not noticed, only left out with all that
    follows.
    """
    with contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the system as `StateError`, in words.

    Raises:
        StateError: Instead of them.
    """
    try:
        yield
    except StateError as err:
        if not str(err).startswith("damaged"):
            raise
        raise damaged(path, str(err).partition(": ")[2]) from err
    except sqlite3.Error as err:
        raise _in_words(path, err) from err
    except UnicodeDecodeError as err:  # of what SQLite says, too: it quotes what it finds
        raise damaged(path, f"a text in it is none ({err.reason})") from err
    except OSError as err:
        raise StateError(f"{path}: {err.strerror or err}; make the state directory readable and writable") from err


def damaged(path: Path, what: str) -> StateError:
    """The error of a file that is not what was written."""
    return StateError(
        f"{path} is damaged: {what}. It was left as it is. Restore a backup into this directory with "
        f"`sojourn state restore FILE --state-dir {path.parent}`; to begin without what it held (functions, keys), move "
        f"{path.name}, {path.name}-wal and {BUNDLES_NAME} away"
    )


def _in_words(path: Path, err: sqlite3.Error) -> StateError:
    code = getattr(err, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in _NO_ROOM:
        return StateError(
            f"{path} cannot be written ({err}): nothing was changed, serving goes on. "
            "Give the disk room or make it writable, and do it again"
        )
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StateError(f"{path} is being written by another process ({err}): nothing was changed; do it again")
    if primary == sqlite3.SQLITE_CANTOPEN:
        return StateError(f"{path} cannot be opened ({err}); make the state directory readable and writable")
    # Queries are ours and fixed: one that fails otherwise met tables or texts that are not ours.
    return damaged(path, str(err))


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_PATIENCE_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _refuse_loss(path: Path) -> None:
    """A directory that has the other parts of a state and not this one has lost it."""
    bundles = path.parent / BUNDLES_NAME
    left = [
        name
        for name, is_left in (
            (f"{path.name}-wal", _has_content(path.with_name(f"{path.name}-wal"))),
            (BUNDLES_NAME, bundles.is_dir() and any(_DIGEST.fullmatch(inner.name) for inner in bundles.iterdir())),
        )
        if is_left
    ]
    if left:
        raise damaged(path, f"it is gone, while {' and '.join(left)} of the same state is there")


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _create(path: Path) -> None:
    """Make it aside and move it into place: a file without tables is never seen under its name."""
    aside = path.with_name(f"{path.name}.new")
    for name in (aside, aside.with_name(f"{aside.name}-journal")):
        name.unlink(missing_ok=True)
    os.close(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.closing(_connected(aside, "rw")) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, 0)
    for suffix in ("-shm", "-wal"):  # of an earlier file, and empty
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
    aside.replace(path)
    synced_directory(path.parent)


def _look_at_head(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
    if head != _MAGIC:
        what = "it is empty" if not head else "it does not begin as a SQLite file does"
        raise damaged(path, what)


def _settle(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def _identify(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse what is not ours and what is newer, before anything is changed."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise damaged(path, "it is a database of something else")
    if version > VERSION:
        raise StateError(
            f"{path} has version {version}; this program reads versions up to {VERSION} and has changed nothing. Run the "
            "version of sojourn that wrote it (or a later one), or restore a backup made by this one"
        )
    if version < 1:
        raise damaged(path, f"it says to be of version {version}")


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise StateError(f"damaged: {verdict}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    _migrate(connection, version)
    _compare_tables(connection)
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise StateError("damaged: a row refers to one that is missing")
    for table in TABLES:
        for _ in table.rows(connection):
            pass


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """One transaction for each version."""
    for number, migration in enumerate(MIGRATIONS[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            migration(connection)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


def _compare_tables(connection: sqlite3.Connection) -> None:
    for table in TABLES:
        found = {name: kind for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table.name})")}
        if found != {**table.columns, CHECKSUM: "INTEGER"}:
            raise StateError(f"damaged: table {table.name} has not the columns it should have")
    indexes = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    if not indexes.issuperset(INDEXES):
        raise StateError(f"damaged: {sorted(INDEXES - indexes)} is missing")
