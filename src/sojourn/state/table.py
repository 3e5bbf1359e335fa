"""A table whose rows carry a checksum each: what the disk changed is noticed when it is read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final
from zlib import crc32

import msgspec

from sojourn.errors import StateError

CHECKSUM: Final = "checksum"
_encoder = msgspec.msgpack.Encoder()


def row_checksum(table: str, *values: Any) -> int:
    """CRC-32 over a row; SQLite itself notices damage to the structure of a file, but not to what values say."""
    return crc32(_encoder.encode((table, *values)))


class Table(msgspec.Struct, frozen=True):
    """One table: what its columns are called and hold, and how its rows are written and read.

    Args:
        name: Its name in the file.
        columns: By name the type, as SQLite declares it, in order; the checksum is not among them.
        key: The columns of the primary key.
    """

    name: str
    columns: dict[str, str]
    key: tuple[str, ...]

    def put(self, connection: sqlite3.Connection, *values: Any) -> None:
        """Insert a row, or let it take the place of the one with its key."""
        kinds = self.columns.values()
        # A float column gives back floats whatever went in; the checksum is over what will be read.
        row = [
            float(value) if kind == "REAL" and value is not None else value
            for kind, value in zip(kinds, values, strict=True)
        ]
        names = [*self.columns, CHECKSUM]
        changed = ", ".join(f"{name} = excluded.{name}" for name in names if name not in self.key)
        connection.execute(
            f"INSERT INTO {self.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "  # noqa: S608 (own names)
            f"ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {changed}",
            [*row, row_checksum(self.name, *row)],
        )

    def rows(
        self, connection: sqlite3.Connection, where: str = "", values: Sequence[object] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Rows in the order of the columns; `where` is whatever follows the table's name in the query.

        Raises:
            StateError: A row is not what was written.
        """
        query = f"SELECT {', '.join(self.columns)}, {CHECKSUM} FROM {self.name} {where}"  # noqa: S608 (own names)
        for *row, checksum in connection.execute(query, values):
            if checksum != row_checksum(self.name, *row):
                raise StateError(f"damaged: a row of table {self.name} ({self._name_of(row)}) is not what was written")
            yield tuple(row)

    def _name_of(self, row: Sequence[object]) -> str:
        by_name = dict(zip(self.columns, row, strict=True))
        return ", ".join(f"{name} {str(by_name[name])[:80]!r}" for name in self.key)
