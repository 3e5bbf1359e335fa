"""Keeps what the monitors counted in SQLite, so that budgets outlive the server.

One file, apart from all other state: losing it costs history and nothing else. Every write replaces whole rows, so that
writing twice counts nothing twice, and a killed server loses what was not written yet, ten seconds at most.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from sojourn.slo.alert import AlertState
from sojourn.slo.monitor import HOUR_S, HOURS_KEPT, MINUTE_S, MINUTES_KEPT
from sojourn.slo.rows import Row
from sojourn.telemetry.history_file import HistoryError as HistoryError  # noqa: PLC0414 (whoever uses it catches it)
from sojourn.telemetry.history_file import copied, is_damage, opened

FILE_NAME: Final = "history.db"
RUNS_KEPT: Final = 10_000
_TRUSTED_AHEAD_S: Final = 2 * 24 * HOUR_S
_TRUSTED_FROM_S: Final = 1_704_067_200  # 2024: a clock that shows less has not been set
_LATEST_S: Final = 32_503_680_000  # the year 3000: an instant after it is none
_KEPT_S: Final = {MINUTE_S: MINUTE_S * MINUTES_KEPT, HOUR_S: HOUR_S * HOURS_KEPT}
_RUNS_KEPT_S: Final = _KEPT_S[HOUR_S]


class Run(msgspec.Struct, frozen=True):
    """A run of a server: from when until when its counts were saved, and whether it ended in order.

    Both in seconds since the epoch.
    """

    started_at_s: float
    saved_until_s: float
    is_ended: bool


class KeptAlert(msgspec.Struct, frozen=True):
    """An alert that was not inactive.

    `since_s` is in seconds since the epoch, and so is `clear_since_s`: since when the condition of a firing one has not
    held any more.
    """

    function: str
    rule: str
    state: AlertState
    since_s: float
    clear_since_s: float | None = None


class KeptObjective(msgspec.Struct, frozen=True):
    """An objective and since when it was in force, in seconds since the epoch; "" is none, None is not known."""

    function: str
    since_s: float
    objective: str | None


class History:
    """The file of one state directory. Use from one thread at a time; every call may wait for the disk.

    Nothing that is kept is deleted because of what the clock shows: what lies after now is left out of what is read.

    Args:
        path: The file; made if it does not exist.
        wall_s: Now, in seconds since the epoch.
        started_at_s: When the run began, if that was before now: what it counted since is to be saved.
        is_writable: False takes in what can be read of a file that cannot be written; saving it is refused.

    Attributes:
        starts_at_s: When this run begins: now, or right after the latest thing kept if the clock was set back.
        set_aside: Where a file went that could not be read, or None.
        set_back_s: By how much the clock was set back since the last run, in seconds; 0 if it was not.
        unreadable: Rows that were read over because they cannot be read, until now.

    Raises:
        HistoryError: It cannot be opened, or was written by a later version.
    """

    def __init__(
        self, path: Path, wall_s: float, started_at_s: float | None = None, *, is_writable: bool = True
    ) -> None:
        self.path = path
        self.is_writable = is_writable
        self.unreadable = 0
        self.set_aside: Path | None = None
        if is_writable:
            self._connection, self.set_aside = opened(path, wall_s)
        else:
            self._connection = copied(path)
        try:
            self._identity = self._identify() if is_writable else None
            self._newest_s = self._newest_until(wall_s + _TRUSTED_AHEAD_S if wall_s >= _TRUSTED_FROM_S else _LATEST_S)
            self.set_back_s = max(self._newest_s - wall_s, 0.0)
            self.starts_at_s = max(wall_s, self._newest_s) if started_at_s is None else started_at_s
            self._opened_at_s = max(wall_s, self._newest_s)
            self._run_id = self._begin_run() if is_writable else None
        except BaseException:
            self.close()
            raise

    def _identify(self) -> tuple[int, int]:
        """Which file it is.

        Raises:
            HistoryError: There is none.
        """
        try:
            found = os.stat(self.path)  # noqa: PTH116 (as fast as it gets: before every write)
        except OSError as err:
            raise HistoryError(f"{self.path}: it was removed ({err.strerror})", is_lost=True) from err
        return found.st_dev, found.st_ino

    def _newest_until(self, latest_s: float) -> float:
        """The latest thing kept that is not later than this; 0 if there is none."""
        ((saved,),) = self._read(
            "SELECT MAX(saved_until_s) FROM runs WHERE typeof(saved_until_s) = 'real' AND saved_until_s <= ?",
            (latest_s,),
        )
        ((cell,),) = self._read(
            "SELECT MAX(starts_at_s) FROM cells WHERE cell_s = ? AND typeof(starts_at_s) = 'integer' AND starts_at_s <= ?",
            (MINUTE_S, latest_s),
        )
        return max(saved or 0.0, float(cell or 0))

    def _begin_run(self) -> int | None:
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO runs (started_at_s, saved_until_s, is_ended) VALUES (?, ?, 0)",
                (self.starts_at_s, self.starts_at_s),
            )
            return cursor.lastrowid

    # ---- writing

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; all of it or nothing.

        Raises:
            HistoryError: The disk is full, read-only or broken, or the file has gone.
        """
        connection = self._connection
        if self._identity is None:
            raise HistoryError(f"{self.path}: it cannot be written")
        if self._identify() != self._identity:
            raise HistoryError(f"{self.path}: another file has taken its place", is_lost=True)
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
            raise HistoryError(f"{self.path}: {err}", is_lost=is_damage(err)) from err

    def save(
        self,
        rows: Mapping[str, Sequence[Row]],
        until_s: float,
        alerts: Sequence[KeptAlert] | None = None,
        objectives: Sequence[KeptObjective] = (),
        *,
        is_ended: bool = False,
    ) -> None:
        """Write what was counted until `until_s` (seconds since the epoch), all alerts not inactive, new objectives.

        Without `alerts` those that are kept stay.

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
            if alerts is not None:
                connection.execute("DELETE FROM alerts")
                connection.executemany(
                    "INSERT INTO alerts (function, rule, state, since_s, clear_since_s) VALUES (?, ?, ?, ?, ?)",
                    [(one.function, one.rule, one.state.value, one.since_s, one.clear_since_s) for one in alerts],
                )
            connection.executemany(
                "INSERT OR REPLACE INTO objectives (function, since_s, objective) VALUES (?, ?, ?)",
                [(one.function, one.since_s, one.objective) for one in objectives],
            )

    def prune(self, now_s: float) -> None:
        """Forget minutes older than three days; hours, runs and objectives that ended before ninety; all but 10 000 runs.

        A clock that has leapt ahead since the last run is not believed: old is what is old beside what that kept.

        Raises:
            HistoryError: As `save`.
        """
        if self._newest_s:
            now_s = min(now_s, self._newest_s + _TRUSTED_AHEAD_S + max(now_s - self._opened_at_s, 0.0))
        with self._writing() as connection:
            for cell_s, kept_s in _KEPT_S.items():
                connection.execute("DELETE FROM cells WHERE cell_s = ? AND starts_at_s < ?", (cell_s, now_s - kept_s))
            connection.execute(
                "DELETE FROM runs WHERE saved_until_s < ? OR run_id <= ?",
                (now_s - _RUNS_KEPT_S, (self._run_id or 0) - RUNS_KEPT),
            )
            connection.execute(
                "DELETE FROM objectives WHERE EXISTS (SELECT 1 FROM objectives AS later WHERE "
                "later.function = objectives.function AND later.since_s > objectives.since_s AND later.since_s < ?)",
                (now_s - _RUNS_KEPT_S,),
            )

    # ---- reading

    def rows(self, function: str, cell_s: int, since_s: float, until_s: float) -> list[Row]:
        """The minutes or hours of a function, of all revisions, that end after `since_s` and begin by `until_s`.

        Oldest first; what is not of the types that were written is counted in `unreadable` and left out.

        Raises:
            HistoryError: They cannot be read.
        """
        found = self._read(
            "SELECT revision, cell_s, starts_at_s, packed FROM cells "
            "WHERE function = ? AND cell_s = ? AND (starts_at_s > ? AND starts_at_s <= ? OR typeof(starts_at_s) != 'integer') "
            "ORDER BY starts_at_s",
            (function, cell_s, since_s - cell_s, min(until_s, _LATEST_S)),
        )
        rows = [
            Row(revision=revision, cell_s=length_s, starts_at_s=starts_at_s, packed=packed)
            for revision, length_s, starts_at_s, packed in found
            if isinstance(revision, str)
            and isinstance(starts_at_s, int)
            and starts_at_s >= 0
            and starts_at_s % cell_s == 0
            and isinstance(packed, bytes)
        ]
        self.unreadable += len(found) - len(rows)
        return rows

    def functions(self) -> list[str]:
        """The functions of which anything is kept.

        Raises:
            HistoryError: They cannot be read.
        """
        return [name for (name,) in self._read("SELECT DISTINCT function FROM cells", ()) if isinstance(name, str)]

    def alerts(self) -> list[KeptAlert]:
        """The alerts that were not inactive when last saved.

        Raises:
            HistoryError: They cannot be read.
        """
        found = self._read("SELECT function, rule, state, since_s, clear_since_s FROM alerts", ())
        alerts = [
            KeptAlert(function, rule, AlertState(state), since_s, clear_since_s)
            for function, rule, state, since_s, clear_since_s in found
            if state in set(AlertState)
            and _is_instant(since_s)
            and (clear_since_s is None or _is_instant(clear_since_s))
        ]
        self.unreadable += len(found) - len(alerts)
        return alerts

    def objectives(self) -> list[KeptObjective]:
        """All objectives that came into force by now, by the instant, the oldest first.

        Raises:
            HistoryError: They cannot be read.
        """
        found = self._read(
            "SELECT function, since_s, objective FROM objectives WHERE since_s <= ? ORDER BY since_s",
            (self._opened_at_s,),
        )
        return [
            KeptObjective(function, since_s, objective)
            for function, since_s, objective in found
            if _is_instant(since_s) and (objective is None or isinstance(objective, str))
        ]

    def runs(self) -> list[Run]:
        """All earlier runs that are remembered and began by now, by their beginning.

        Raises:
            HistoryError: They cannot be read.
        """
        found = self._read(
            "SELECT started_at_s, saved_until_s, is_ended FROM runs WHERE started_at_s <= ? AND run_id IS NOT ? "
            "ORDER BY started_at_s, run_id",
            (self._opened_at_s, self._run_id),
        )
        runs = [
            Run(started_at_s, min(saved_until_s, self._opened_at_s), bool(is_ended))
            for started_at_s, saved_until_s, is_ended in found
            if _is_instant(started_at_s) and _is_instant(saved_until_s)
        ]
        self.unreadable += len(found) - len(runs)
        return runs

    def _read(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as err:
            raise HistoryError(f"{self.path}: {err}") from err

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()


def _is_instant(value: object) -> bool:
    return isinstance(value, float | int) and 0 <= value <= _LATEST_S


def open_history(path: Path, wall_s: float) -> tuple[History | None, str]:
    """The history of a file, and why it cannot be written, if so: then what can be read of it is taken in all the same."""
    why_not = ""
    for is_writable in (True, False):
        try:
            return History(path, wall_s, is_writable=is_writable), why_not
        except HistoryError as err:
            why_not = why_not or str(err)
    return None, why_not
