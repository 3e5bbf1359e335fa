"""The tables of the state file, and how a file of an older version becomes one of this.

A change of what is kept is a new function at the end of `MIGRATIONS`; those that were released are never touched. It is
needed, too (an empty one will do), when a setting of functions is added: an older program could not read it, and
refuses a file by its version in words that help.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from sojourn.state.table import Table

APPLICATION_ID: Final = 0x536F6A6E  # "Sojn": how a SQLite file says whose it is

FUNCTIONS: Final = Table(
    "functions",
    {
        "name": "TEXT",
        "live": "TEXT",
        "previous": "TEXT",
        "candidate": "TEXT",
        "plan": "TEXT",
        "candidate_since_s": "REAL",
        "created_at_s": "REAL",
    },
    ("name",),
)
REVISIONS: Final = Table(
    "revisions",
    {
        "function": "TEXT",
        "revision": "TEXT",
        "bundle": "TEXT",
        "manifest": "TEXT",
        "dependencies": "TEXT",
        "created_at_s": "REAL",
        "turn": "INTEGER",
    },
    ("function", "revision"),
)
ROLLOUTS: Final = Table(
    "rollouts",
    {
        "id": "INTEGER",
        "function": "TEXT",
        "from_revision": "TEXT",
        "to_revision": "TEXT",
        "strategy": "TEXT",
        "began_at_s": "REAL",
        "ended_at_s": "REAL",
        "outcome": "TEXT",
        "evidence": "TEXT",
    },
    ("id",),
)
LIMITS: Final = Table(
    "limits", {"function": "TEXT", "min_replicas": "INTEGER", "max_replicas": "INTEGER"}, ("function",)
)
KEYS: Final = Table(
    "keys",
    {
        "id": "TEXT",
        "digest": "BLOB",
        "label": "TEXT",
        "scopes": "TEXT",
        "created_at_s": "REAL",
        "expires_at_s": "REAL",
        "revoked_at_s": "REAL",
    },
    ("id",),
)
FITS: Final = Table(
    "fits",
    {"function": "TEXT", "revision": "TEXT", "saved_at_s": "REAL", "fit": "TEXT"},
    ("function", "revision"),
)
EVENTS: Final = Table(
    "events",
    {"id": "INTEGER", "at_s": "REAL", "level": "TEXT", "event": "TEXT", "function": "TEXT", "fields": "TEXT"},
    ("id",),
)
TABLES: Final = (FUNCTIONS, REVISIONS, ROLLOUTS, LIMITS, KEYS, FITS, EVENTS)
INDEXES: Final = frozenset({"rollouts_of_function"})

# Which revisions a function has is checked when a transaction ends: the function refers to them and they to it.
_FIRST: Final = (
    """CREATE TABLE functions (
        name TEXT PRIMARY KEY, live TEXT, previous TEXT, candidate TEXT, plan TEXT, candidate_since_s REAL,
        created_at_s REAL NOT NULL, checksum INTEGER NOT NULL,
        FOREIGN KEY (name, live) REFERENCES revisions (function, revision) DEFERRABLE INITIALLY DEFERRED,
        FOREIGN KEY (name, previous) REFERENCES revisions (function, revision) DEFERRABLE INITIALLY DEFERRED,
        FOREIGN KEY (name, candidate) REFERENCES revisions (function, revision) DEFERRABLE INITIALLY DEFERRED
    ) WITHOUT ROWID""",
    """CREATE TABLE revisions (
        function TEXT NOT NULL REFERENCES functions (name) ON DELETE CASCADE, revision TEXT NOT NULL,
        bundle TEXT NOT NULL, manifest TEXT NOT NULL, dependencies TEXT NOT NULL, created_at_s REAL NOT NULL,
        checksum INTEGER NOT NULL, PRIMARY KEY (function, revision)
    ) WITHOUT ROWID""",
    """CREATE TABLE rollouts (
        id INTEGER PRIMARY KEY, function TEXT NOT NULL REFERENCES functions (name) ON DELETE CASCADE,
        from_revision TEXT, to_revision TEXT NOT NULL, strategy TEXT NOT NULL, began_at_s REAL NOT NULL,
        ended_at_s REAL, outcome TEXT, evidence TEXT NOT NULL, checksum INTEGER NOT NULL
    )""",
    """CREATE TABLE limits (
        function TEXT PRIMARY KEY REFERENCES functions (name) ON DELETE CASCADE, min_replicas INTEGER NOT NULL,
        max_replicas INTEGER, checksum INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE keys (
        id TEXT PRIMARY KEY, digest BLOB NOT NULL, label TEXT NOT NULL, scopes TEXT NOT NULL,
        created_at_s REAL NOT NULL, expires_at_s REAL, revoked_at_s REAL, checksum INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE fits (
        function TEXT NOT NULL, revision TEXT NOT NULL, saved_at_s REAL NOT NULL, fit TEXT NOT NULL,
        checksum INTEGER NOT NULL, PRIMARY KEY (function, revision),
        FOREIGN KEY (function, revision) REFERENCES revisions (function, revision) ON DELETE CASCADE
    ) WITHOUT ROWID""",
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY, at_s REAL NOT NULL, level TEXT NOT NULL, event TEXT NOT NULL, function TEXT,
        fields TEXT NOT NULL, checksum INTEGER NOT NULL
    )""",
)


def _first(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in _FIRST:
        connection.execute(statement)


def _second(connection: sqlite3.Connection) -> None:
    """Revisions are kept and listed by when they were deployed last, not first; a function's rollouts are found at once.

    In version 1 an old revision deployed again was still the oldest, and the first to be forgotten.
    """
    connection.execute("ALTER TABLE revisions ADD COLUMN turn INTEGER NOT NULL DEFAULT 0")
    connection.execute("CREATE INDEX rollouts_of_function ON rollouts (function, id)")
    before = Table(
        "revisions", {name: kind for name, kind in REVISIONS.columns.items() if name != "turn"}, REVISIONS.key
    )
    turns: dict[str, int] = {}
    for row in list(before.rows(connection, "ORDER BY created_at_s, revision")):
        turn = turns[row[0]] = turns.get(row[0], 0) + 1
        REVISIONS.put(connection, *row, turn)


MIGRATIONS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (_first, _second)
VERSION: Final = len(MIGRATIONS)
