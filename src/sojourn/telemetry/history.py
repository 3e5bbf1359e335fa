"""Keeps what the monitors counted in SQLite, so that budgets outlive the server.

One file, apart from all other state: losing it costs history and nothing else. Every write replaces whole rows, so that
writing twice counts nothing twice, and a killed server loses what was not written yet, ten seconds at most.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from sojourn.slo.alert import AlertState
from sojourn.slo.monitor import HOUR_S, HOURS_KEPT, MINUTE_S, MINUTES_KEPT, Row

FILE_NAME: Final = "history.db"
VERSION: Final = 2
_PATIENCE_S: Final = 2.0
_TRUSTED_AHEAD_S: Final = 2 * 24 * HOUR_S
_KEPT_S: Final = {MINUTE_S: MINUTE_S * MINUTES_KEPT, HOUR_S: HOUR_S * HOURS_KEPT}
_RUNS_KEPT_S: Final = _KEPT_S[HOUR_S]
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


class Run(msgspec.Struct, frozen=True):
    """A run of a server: from when until when its counts were saved, and whether it ended in order.

    Both in seconds since the epoch.
    """

    started_at_s: float
    saved_until_s: float
    is_ended: bool


class KeptAlert(msgspec.Struct, frozen=True):
    """An alert that was not inactive; `since_s` in seconds since the epoch."""

    function: str
    rule: str
    state: AlertState
    since_s: float


class KeptObjective(msgspec.Struct, frozen=True):
    """An objective and since when it was in force, in seconds since the epoch; "" is none, None is not known."""

    function: str
    since_s: float
    objective: str | None


class HistoryError(Exception):
    """The file cannot be used or written now; the message is one line for people."""


class History:
    """The file of one state directory. Use from one thread at a time; every call may wait for the disk.

    Args:
        path: The file; made if it does not exist.
        wall_s: Now, in seconds since the epoch.

    Attributes:
        starts_at_s: When this run begins: now, or right after the latest thing kept if the clock was set back.
        set_aside: Where a file went that could not be read, or None.
        set_back_s: By how much the clock was set back since the last run, in seconds; 0 if it was not.

    Raises:
        HistoryError: It cannot be opened, or was written by a later version.
    """

    def __init__(self, path: Path, wall_s: float) -> None:
        self.path = path
        self.set_aside: Path | None = None
        self._connection = self._open(wall_s)
        newest_s = self._newest_s()
        if newest_s > wall_s + _TRUSTED_AHEAD_S:  # more than a clock that was set right again
            self._forget_after(wall_s)
            newest_s = self._newest_s()
        self.set_back_s = max(newest_s - wall_s, 0.0)
        self.starts_at_s = max(wall_s, newest_s)
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO runs (started_at_s, saved_until_s, is_ended) VALUES (?, ?, 0)",
                (self.starts_at_s, self.starts_at_s),
            )
            self._run_id = cursor.lastrowid

    # ---- opening

    def _open(self, wall_s: float) -> sqlite3.Connection:
        try:
            return self._prepared()
        except sqlite3.DatabaseError as err:
            if isinstance(err, sqlite3.OperationalError) and "malformed" not in str(err):
                raise HistoryError(f"{self.path}: {err}") from err
        aside = self.path.with_name(f"{FILE_NAME}.damaged-{int(wall_s)}")
        try:
            self.path.rename(aside)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            self.set_aside = aside
            return self._prepared()
        except (OSError, sqlite3.Error) as err:
            raise HistoryError(f"{self.path}: it is damaged and cannot be replaced ({err})") from err

    def _prepared(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Check what is there; make what is not."""
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"malformed: {verdict}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise HistoryError(
                f"{self.path} has version {version}, this program knows {VERSION}; "
                "run the version that wrote it, or move the file away"
            )
        missing = (_SCHEMA, _OBJECTIVES)[version:]
        if missing:
            connection.executescript(f"BEGIN; {''.join(missing)} PRAGMA user_version = {VERSION}; COMMIT;")

    def _newest_s(self) -> float:
        (saved,) = self._connection.execute("SELECT MAX(saved_until_s) FROM runs").fetchone()
        (cell,) = self._connection.execute(
            "SELECT MAX(starts_at_s) FROM cells WHERE cell_s = ?", (MINUTE_S,)
        ).fetchone()
        return max(saved or 0.0, cell or 0.0)

    def _forget_after(self, wall_s: float) -> None:
        with self._writing() as connection:
            connection.execute("DELETE FROM cells WHERE starts_at_s > ?", (wall_s,))
            connection.execute("DELETE FROM runs WHERE started_at_s > ?", (wall_s,))
            connection.execute("DELETE FROM objectives WHERE since_s > ?", (wall_s,))
            connection.execute("UPDATE runs SET saved_until_s = ? WHERE saved_until_s > ?", (wall_s, wall_s))

    # ---- writing

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; all of it or nothing.

        Raises:
            HistoryError: The disk is full, read-only or broken.
        """
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as err:
            raise HistoryError(f"{self.path}: {err}") from err

    def save(
        self,
        rows: Mapping[str, Sequence[Row]],
        until_s: float,
        alerts: Sequence[KeptAlert] = (),
        objectives: Sequence[KeptObjective] = (),
        *,
        is_ended: bool = False,
    ) -> None:
        """Write what was counted until `until_s` (seconds since the epoch), all alerts not inactive, new objectives.

        Raises:
            HistoryError: It could not be written; nothing of it was.
        """
        with self._writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO cells (function, revision, cell_s, starts_at_s, packed) VALUES (?, ?, ?, ?, ?)",
                [
                    (function, row.revision, row.cell_s, row.starts_at_s, row.packed)
                    for function, changed in rows.items()
                    for row in changed
                ],
            )
            connection.execute(
                "UPDATE runs SET saved_until_s = ?, is_ended = ? WHERE run_id = ?", (until_s, is_ended, self._run_id)
            )
            connection.execute("DELETE FROM alerts")
            connection.executemany(
                "INSERT INTO alerts (function, rule, state, since_s) VALUES (?, ?, ?, ?)",
                [(alert.function, alert.rule, alert.state.value, alert.since_s) for alert in alerts],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO objectives (function, since_s, objective) VALUES (?, ?, ?)",
                [(one.function, one.since_s, one.objective) for one in objectives],
            )

    def prune(self, now_s: float) -> None:
        """Forget minutes older than three days; hours, runs and objectives that ended before ninety.

        Raises:
            HistoryError: As `save`.
        """
        with self._writing() as connection:
            for cell_s, kept_s in _KEPT_S.items():
                connection.execute("DELETE FROM cells WHERE cell_s = ? AND starts_at_s < ?", (cell_s, now_s - kept_s))
            connection.execute("DELETE FROM runs WHERE saved_until_s < ?", (now_s - _RUNS_KEPT_S,))
            connection.execute(
                "DELETE FROM objectives WHERE EXISTS (SELECT 1 FROM objectives AS later WHERE "
                "later.function = objectives.function AND later.since_s > objectives.since_s AND later.since_s < ?)",
                (now_s - _RUNS_KEPT_S,),
            )

    # ---- reading

    def rows(self, function: str, cell_s: int, since_s: float) -> list[Row]:
        """The minutes or hours of a function, of all revisions, that end after `since_s`; oldest first.

        Raises:
            HistoryError: They cannot be read.
        """
        found = self._read(
            "SELECT revision, cell_s, starts_at_s, packed FROM cells "
            "WHERE function = ? AND cell_s = ? AND starts_at_s > ? ORDER BY starts_at_s",
            (function, cell_s, since_s - cell_s),
        )
        return [
            Row(revision=revision, cell_s=length_s, starts_at_s=starts_at_s, packed=packed)
            for revision, length_s, starts_at_s, packed in found
        ]

    def functions(self) -> list[str]:
        """The functions of which anything is kept.

        Raises:
            HistoryError: They cannot be read.
        """
        return [name for (name,) in self._read("SELECT DISTINCT function FROM cells", ())]

    def alerts(self) -> list[KeptAlert]:
        """The alerts that were not inactive when last saved.

        Raises:
            HistoryError: They cannot be read.
        """
        found = self._read("SELECT function, rule, state, since_s FROM alerts", ())
        return [KeptAlert(function, rule, AlertState(state), since_s) for function, rule, state, since_s in found]

    def objectives(self) -> list[KeptObjective]:
        """All objectives that are remembered, by the instant they came into force, the oldest first.

        Raises:
            HistoryError: They cannot be read.
        """
        found = self._read("SELECT function, since_s, objective FROM objectives ORDER BY since_s", ())
        return [KeptObjective(function, since_s, objective) for function, since_s, objective in found]

    def runs(self) -> list[Run]:
        """All runs that are remembered, oldest first; the last one is this one.

        Raises:
            HistoryError: They cannot be read.
        """
        found = self._read("SELECT started_at_s, saved_until_s, is_ended FROM runs ORDER BY run_id", ())
        return [Run(started_at_s, saved_until_s, bool(is_ended)) for started_at_s, saved_until_s, is_ended in found]

    def _read(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as err:
            raise HistoryError(f"{self.path}: {err}") from err

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
