"""The file behind the history: its tables, older forms brought up to date, and what is wrong with it found at once."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

VERSION: Final = 3
_PATIENCE_S: Final = 2.0
_ASIDE_MAX: Final = 100
_SCHEMA: Final = """
CREATE TABLE cells (
    function TEXT NOT NULL, revision TEXT NOT NULL, cell_s INTEGER NOT NULL, starts_at_s INTEGER NOT NULL,
    packed BLOB NOT NULL, PRIMARY KEY (function, cell_s, starts_at_s, revision)
) WITHOUT ROWID;
CREATE TABLE runs (
    run_id INTEGER PRIMARY KEY, started_at_s REAL NOT NULL, saved_until_s REAL NOT NULL, is_ended INTEGER NOT NULL
);
CREATE TABLE alerts (
    function TEXT NOT NULL, rule TEXT NOT NULL, state TEXT NOT NULL, since_s REAL NOT NULL,
    PRIMARY KEY (function, rule)
) WITHOUT ROWID;
"""
# Since version 2; `objective` is NULL for counts of version 1, whose objective is not known.
_OBJECTIVES: Final = """
CREATE TABLE objectives (
    function TEXT NOT NULL, since_s REAL NOT NULL, objective TEXT, PRIMARY KEY (function, since_s)
) WITHOUT ROWID;
"""
# Since version 3; NULL while the condition of the alert holds.
_CLEAR_SINCE: Final = "ALTER TABLE alerts ADD COLUMN clear_since_s REAL;"
_STEPS: Final = (_SCHEMA, _OBJECTIVES, _CLEAR_SINCE)
_COLUMNS: Final = {
    "cells": ("function", "revision", "cell_s", "starts_at_s", "packed"),
    "runs": ("run_id", "started_at_s", "saved_until_s", "is_ended"),
    "alerts": ("function", "rule", "state", "since_s", "clear_since_s"),
    "objectives": ("function", "since_s", "objective"),
}


class HistoryError(Exception):
    """The file cannot be used or written now; the message is one line for people.

    `is_lost` says that what it held is not there any more, or cannot be read.
    """

    def __init__(self, message: str, *, is_lost: bool = False) -> None:
        super().__init__(message)
        self.is_lost = is_lost


def opened(path: Path, wall_s: float) -> tuple[sqlite3.Connection, Path | None]:
    """The file ready for reading and writing; one that is no history is set aside, and where to.

    Args:
        path: The file; made if it does not exist.
        wall_s: Now, in seconds since the epoch, for the name of what is set aside.

    Raises:
        HistoryError: It cannot be opened or written, or was written by a later version.
    """
    try:
        return _prepared(path), None
    except sqlite3.DatabaseError as err:
        if not is_damage(err):
            raise HistoryError(f"{path}: {err}") from err
    try:
        aside = _unused(path, wall_s)
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _prepared(path), aside
    except (OSError, sqlite3.Error) as err:
        raise HistoryError(f"{path}: it is damaged and cannot be replaced ({err})") from err


def copied(path: Path) -> sqlite3.Connection:
    """A copy of the file in memory, of the present version: all that can be had where nothing can be written.

    Raises:
        HistoryError: It cannot be read.
    """
    name = path.absolute().as_uri()
    fault: sqlite3.Error | None = None
    # Where not even a lock can be made the second way works; it does not see what is in the log beside the file.
    for how in ("mode=ro", "mode=ro&immutable=1"):
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        try:
            with contextlib.closing(sqlite3.connect(f"{name}?{how}", uri=True, timeout=_PATIENCE_S)) as source:
                source.backup(memory)
            _bring_up_to_date(memory, path)
        except sqlite3.Error as err:
            memory.close()
            fault = err
        except BaseException:
            memory.close()
            raise
        else:
            return memory
    raise HistoryError(f"{path}: {fault}") from fault


def is_damage(err: sqlite3.Error) -> bool:
    """Whether the file's content is the fault, not that it cannot be reached, locked or written now."""
    return isinstance(err, sqlite3.DatabaseError) and (
        not isinstance(err, sqlite3.OperationalError) or "malformed" in str(err)
    )


def _unused(path: Path, wall_s: float) -> Path:
    """A name beside it that nothing has."""
    for number in range(_ASIDE_MAX):
        aside = path.with_name(f"{path.name}.damaged-{int(wall_s)}" + (f"-{number}" if number else ""))
        if not aside.exists():
            return aside
    raise OSError(f"{_ASIDE_MAX} damaged files lie beside it")


def _prepared(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False, cached_statements=32
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        _bring_up_to_date(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Check what is there; make what is not."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise HistoryError(
            f"{path} has version {version}, this program knows {VERSION}; "
            "run the version that wrote it, or move the file away"
        )
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"malformed: {verdict}")
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if version < 0 or (version == 0 and tables):
        raise sqlite3.DatabaseError("malformed: it is a database of something else")
    missing = _STEPS[version:]
    if missing:
        try:
            connection.executescript(f"BEGIN; {''.join(missing)} PRAGMA user_version = {VERSION}; COMMIT;")
        except sqlite3.OperationalError as err:
            if "no such table" in str(err) or "already exists" in str(err) or "duplicate column" in str(err):
                raise sqlite3.DatabaseError(f"malformed: it is a database of something else ({err})") from err
            raise
    for table, columns in _COLUMNS.items():
        found = {column for _, column, *_ in connection.execute(f"PRAGMA table_info({table})")}
        if not found.issuperset(columns):
            raise sqlite3.DatabaseError(f"malformed: table {table} lacks {sorted(set(columns) - found)}")
