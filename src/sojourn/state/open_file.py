"""The state file while it is open: its transactions, its reading, and that it is still the one under its name."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from sojourn.errors import StateError
from sojourn.state.file import FILE_NAME, MEMORY, copied, emptied_log, new_in_memory, opened, told
from sojourn.state.swap import finish_restore
from sojourn.state.table import Table

_Stored = TypeVar("_Stored")


class OpenFile:
    """The connection behind a `StateStore`: one writer, used from one thread at a time.

    Attributes:
        failure: Why the last change could not be written; empty if it could.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, is_writable: bool) -> None:
        self.path = path
        self._connection = connection
        self._is_writable = is_writable
        self._identity = _identity(path)
        self.failure = ""
        self._depth = 0
        self._is_spoilt = False

    @classmethod
    def opened_in(cls, state_dir: Path) -> Self:
        """The state of a directory this process holds; a restore that was interrupted is ended first.

        Raises:
            StateError: The file is damaged, of a later version or cannot be opened. It is never replaced.
        """
        path = state_dir / FILE_NAME
        with told(path):
            finish_restore(state_dir)
            connection = opened(path)
            try:
                return cls(path, connection, is_writable=True)
            except BaseException:
                connection.close()
                raise

    @classmethod
    def read_from(cls, state_dir: Path) -> Self:
        """The state as it is now, whoever holds the directory; it cannot be changed.

        Raises:
            StateError: As `opened_in`, and if there is none.
        """
        return cls(state_dir / FILE_NAME, copied(state_dir / FILE_NAME), is_writable=False)

    @classmethod
    def in_memory(cls) -> Self:
        """A state of its own that ends with the process, for a server that is meant for one run."""
        return cls(Path(MEMORY), new_in_memory(), is_writable=True)

    def save_as(self, path: Path) -> None:
        """Write all of it into a new file.

        Raises:
            StateError: It cannot be written.
        """
        with told(path), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as target:
            self._connection.backup(target)

    def integrity_faults(self) -> list[str]:
        """What SQLite finds wrong with the file in its thorough check."""
        with told(self.path):
            found = self._connection.execute("PRAGMA integrity_check(20)").fetchall()
            return [line for (line,) in found if line != "ok"]

    def close(self) -> None:
        """Close the file."""
        if self._is_writable:
            emptied_log(self._connection)
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All changes made within are made together or not at all; one that fails undoes the others.

        Raises:
            StateError: They could not be written, or another file has taken this one's place.
        """
        if not self._is_writable:
            raise StateError(f"{self.path} was opened for reading only")
        self._depth += 1
        try:
            if self._depth > 1:
                yield self._connection
            else:
                yield from self._outermost()
        except BaseException:
            self._is_spoilt = True
            raise
        finally:
            self._depth -= 1

    def _outermost(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        if _identity(self.path) != self._identity:
            self.failure = f"{self.path}: another file has taken its place or it was removed; nothing more is kept. Restart the server"
            raise StateError(self.failure)
        self._is_spoilt = False
        try:
            with told(self.path):
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    self._refuse_spoilt()
                    connection.execute("COMMIT")
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    raise
        except StateError as err:
            if isinstance(err.__cause__, sqlite3.Error):
                self.failure = str(err)
            raise
        self.failure = ""
        emptied_log(connection)

    def _refuse_spoilt(self) -> None:
        if self._is_spoilt:
            raise StateError(f"{self.path}: a part of the change failed; nothing of it was made")

    def rows(self, table: Table, where: str = "", values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a table, each as it was written.

        Raises:
            StateError: They cannot be read, or one is damaged.
        """
        with told(self.path):
            return list(table.rows(self._connection, where, values))

    def read(
        self, table: Table, made: Callable[[tuple[Any, ...]], _Stored], where: str = "", values: Sequence[object] = ()
    ) -> list[_Stored]:
        """What `made` makes of those rows.

        Raises:
            StateError: As `rows`, and if a row cannot be understood.
        """
        return [made(row) for row in self.rows(table, where, values)]


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file has that name now; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 (as fast as it gets: before every write)
    except OSError:
        return None
    return found.st_dev, found.st_ino
