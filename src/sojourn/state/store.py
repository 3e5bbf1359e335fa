"""Reads and writes what outlives the server; a change that returned is on the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final

import msgspec

from sojourn.domain.access import KEYS_MAX, KeyRecord, longest_ended
from sojourn.domain.deployment import ALL_AT_ONCE, Revision, RolloutPlan
from sojourn.errors import ConfigurationError, DeploymentError, StateError, UnknownFunctionError
from sojourn.estimate.service_time import ServiceTimeFit
from sojourn.state import record, schema
from sojourn.state.open_file import OpenFile
from sojourn.state.record import StoredEvent, StoredFit, StoredFunction, StoredLimits, StoredRollout
from sojourn.state.table import Table

REVISIONS_KEPT: Final = 20
ROLLOUTS_KEPT: Final = 100
EVENTS_KEPT: Final = 5000
SUPERSEDED: Final = "superseded"  # outcome of a rollout that a newer deploy ended


class StateStore(OpenFile):
    """The state file of one directory. One writer; use from one thread at a time; every call may wait for the disk.

    Make one with `opened_in`, holding the directory, with `read_from`, or with `in_memory`. Each method that changes
    something is one transaction, which is on the disk when it returns; `transaction` makes one of several.

    Raises:
        StateError: From every method: the file cannot be read or written now. Nothing was changed then.
    """

    # ---- functions and their revisions

    def functions(self) -> list[StoredFunction]:
        """All functions, by name."""
        return self.read(schema.FUNCTIONS, record.function_of, "ORDER BY name")

    def revisions(self, function: str) -> list[Revision]:
        """The revisions of a function that are kept, those deployed last first; none of an unknown one."""
        return self.read(
            schema.REVISIONS, record.revision_of, "WHERE function = ? ORDER BY turn DESC, revision", (function,)
        )

    def revision(self, function: str, revision: str) -> Revision | None:
        """One revision, or None if it is not kept."""
        found = self.read(
            schema.REVISIONS, record.revision_of, "WHERE function = ? AND revision = ?", (function, revision)
        )
        return found[0] if found else None

    def as_kept(self, revision: Revision) -> Revision:
        """A revision as it was described when it was deployed first; itself, if it is not kept.

        Raises:
            DeploymentError: Something else is kept under its name.
        """
        known = self.revision(revision.function, revision.revision)
        return revision if known is None else _same(known, revision)

    def rollouts(self, function: str, limit: int = ROLLOUTS_KEPT) -> list[StoredRollout]:
        """The last rollouts of a function, newest first; one under way has no outcome."""
        return self.read(
            schema.ROLLOUTS, record.rollout_of, "WHERE function = ? ORDER BY id DESC LIMIT ?", (function, limit)
        )

    def referenced_bundles(self) -> set[str]:
        """Digests of the bundles that some revision runs from; all others may be swept."""
        return {row[2] for row in self.rows(schema.REVISIONS)}

    def put_revision(self, revision: Revision) -> None:
        """Keep a revision, and its function if it is new; one that is kept already counts as deployed again.

        Of each function the twenty deployed last stay, and those that are live, candidate or previous.

        Raises:
            DeploymentError: Something else is kept under its name.
        """
        with self.transaction() as connection:
            known = self.revision(revision.function, revision.revision)
            if known is not None:
                revision = _same(known, revision)
            elif self._function(revision.function) is None:
                self._put_function(StoredFunction(name=revision.function, created_at_s=revision.created_at_s))
            ((latest,),) = connection.execute(
                "SELECT COALESCE(MAX(turn), 0) FROM revisions WHERE function = ?", (revision.function,)
            ).fetchall()
            schema.REVISIONS.put(connection, *record.row_of_revision(revision, latest + 1))
            self._forget_revisions(revision.function)

    def set_candidate(self, function: str, revision: str, plan: RolloutPlan, wall_s: float) -> None:
        """Begin to roll out a revision that is kept; another that was on its way is superseded.

        Args:
            function: Of which function.
            revision: The candidate.
            plan: How it takes over. For the candidate there is, only the plan changes.
            wall_s: Now, in seconds since the epoch.

        Raises:
            UnknownFunctionError: There is no such function.
            DeploymentError: There is no such revision, or it is live.
        """
        with self.transaction():
            stored = self._known(function)
            self._require_revision(function, revision)
            if stored.live == revision:
                raise DeploymentError(f"revision {revision} of function {function!r} is live already")
            since_s = wall_s
            if stored.candidate == revision and stored.candidate_since_s is not None:
                since_s = stored.candidate_since_s
            elif stored.candidate is not None:
                self._end_rollout(function, wall_s, SUPERSEDED, {"by": revision})
            if stored.candidate != revision:
                self._begin_rollout(function, stored.live, revision, plan.strategy, wall_s)
            self._put_function(
                msgspec.structs.replace(stored, candidate=revision, plan=plan, candidate_since_s=since_s)
            )

    def promote(
        self, function: str, revision: str, wall_s: float, outcome: str, evidence: dict[str, Any] | None = None
    ) -> None:
        """Make a revision the live one; what was live is then the previous.

        Args:
            function: Of which function.
            revision: The candidate, or while there is none any other that is kept (a rollback in one step).
            wall_s: Now, in seconds since the epoch.
            outcome: How the rollout ended.
            evidence: What it was judged by, as plain data.

        Raises:
            UnknownFunctionError: There is no such function.
            DeploymentError: There is no such revision, it is live, or another is on its way.
        """
        with self.transaction():
            stored = self._known(function)
            self._require_revision(function, revision)
            if stored.candidate not in {None, revision}:
                raise DeploymentError(
                    f"revision {revision} of function {function!r} cannot become live: {stored.candidate} is on its way; "
                    "abandon that first"
                )
            if stored.live == revision:
                raise DeploymentError(f"revision {revision} of function {function!r} is live already")
            if stored.candidate is None:
                self._begin_rollout(function, stored.live, revision, ALL_AT_ONCE, wall_s)
            self._end_rollout(function, wall_s, outcome, evidence or {})
            self._put_function(
                msgspec.structs.replace(
                    stored,
                    live=revision,
                    previous=stored.live,
                    candidate=None,
                    plan=None,
                    candidate_since_s=None,
                )
            )
            self._forget_revisions(function)

    def abandon_candidate(
        self, function: str, wall_s: float, outcome: str, evidence: dict[str, Any] | None = None
    ) -> None:
        """End the rollout under way; what is live stays.

        Raises:
            UnknownFunctionError: There is no such function.
            DeploymentError: No rollout is under way.
        """
        with self.transaction():
            stored = self._known(function)
            if stored.candidate is None:
                raise DeploymentError(f"function {function!r} has no revision on its way")
            self._end_rollout(function, wall_s, outcome, evidence or {})
            self._put_function(msgspec.structs.replace(stored, candidate=None, plan=None, candidate_since_s=None))
            self._forget_revisions(function)

    def delete_function(self, name: str) -> None:
        """Forget a function with its revisions, rollouts, limits and service times; events stay.

        Raises:
            UnknownFunctionError: There is no such function.
        """
        with self.transaction() as connection:
            self._known(name)
            connection.execute("DELETE FROM functions WHERE name = ?", (name,))

    # ---- what operators set

    def limits(self) -> dict[str, StoredLimits]:
        """The limits that operators set, by function."""
        return {
            function: StoredLimits(min_replicas, max_replicas)
            for function, min_replicas, max_replicas in self.rows(schema.LIMITS)
        }

    def set_limits(self, function: str, min_replicas: int, max_replicas: int | None) -> None:
        """Keep the limits an operator set, for as long as the function is deployed.

        Raises:
            UnknownFunctionError: There is no such function.
        """
        with self.transaction() as connection:
            self._known(function)
            schema.LIMITS.put(connection, function, min_replicas, max_replicas)

    def keys(self) -> list[KeyRecord]:
        """All keys, the oldest first, revoked and expired ones, too."""
        return self.read(schema.KEYS, record.key_of, "ORDER BY created_at_s, id")

    def put_key(self, key: KeyRecord) -> None:
        """Keep a new key. Where ten thousand are kept, the one that has been of no use for longest makes room.

        Raises:
            ConfigurationError: Its id is taken, or all of those that are kept are in force.
        """
        with self.transaction() as connection:
            known = self.keys()
            if any(one.id == key.id for one in known):
                raise ConfigurationError(f"there is a key {key.id} already; make another")
            if len(known) >= KEYS_MAX:
                ended = longest_ended(known, key.created_at_s)
                if ended is None:
                    raise ConfigurationError(f"there are {KEYS_MAX} keys in force; revoke some that nobody needs")
                connection.execute("DELETE FROM keys WHERE id = ?", (ended.id,))
            schema.KEYS.put(connection, *record.row_of_key(key))

    def revoke_key(self, key_id: str, wall_s: float) -> KeyRecord | None:
        """Revoke a key from now (seconds since the epoch); as it is kept then, or None if there is no such key.

        One that was revoked before stays as it is.
        """
        with self.transaction() as connection:
            known = self.read(schema.KEYS, record.key_of, "WHERE id = ?", (key_id,))
            if not known or known[0].revoked_at_s is not None:
                return known[0] if known else None
            revoked = msgspec.structs.replace(known[0], revoked_at_s=wall_s)
            schema.KEYS.put(connection, *record.row_of_key(revoked))
            return revoked

    # ---- what was learnt, what happened

    def fits(self) -> list[StoredFit]:
        """The service times of revisions, as they were saved last."""
        return self.read(schema.FITS, record.fit_of, "ORDER BY function, revision")

    def put_fit(self, function: str, revision: str, fit: ServiceTimeFit, wall_s: float) -> bool:
        """Keep the service times of a revision; False if it is not kept itself (deleted meanwhile)."""
        with self.transaction() as connection:
            if self.revision(function, revision) is None:
                return False
            schema.FITS.put(connection, function, revision, wall_s, record.json_text(fit))
            return True

    def append_event(self, event: StoredEvent) -> None:
        """Keep an event; the oldest of more than five thousand go."""
        fields = record.bounded_text(event.fields)
        with self.transaction() as connection:
            number = _next_id(connection, "events")
            schema.EVENTS.put(connection, number, event.at_s, event.level, event.event, event.function, fields)
            connection.execute("DELETE FROM events WHERE id <= ?", (number - EVENTS_KEPT,))

    def events(self, limit: int = EVENTS_KEPT) -> list[StoredEvent]:
        """The last events, oldest first."""
        return self.read(schema.EVENTS, record.event_of, "ORDER BY id DESC LIMIT ?", (limit,))[::-1]

    # ---- all of it

    def faults(self) -> list[str]:
        """What is wrong with the file or with what it says, a line each; everything in it is read."""
        faults = self.integrity_faults()
        readings: list[tuple[Table, Callable[[tuple[Any, ...]], object]]] = [
            (schema.FUNCTIONS, record.function_of),
            (schema.REVISIONS, record.revision_of),
            (schema.ROLLOUTS, record.rollout_of),
            (schema.LIMITS, lambda row: StoredLimits(*row[1:])),
            (schema.KEYS, record.key_of),
            (schema.FITS, record.fit_of),
            (schema.EVENTS, record.event_of),
        ]
        for table, made in readings:
            try:
                self.read(table, made)
            except StateError as err:
                faults.append(str(err))
        return faults

    # ---- parts of changes

    def _function(self, name: str) -> StoredFunction | None:
        found = self.read(schema.FUNCTIONS, record.function_of, "WHERE name = ?", (name,))
        return found[0] if found else None

    def _known(self, name: str) -> StoredFunction:
        found = self._function(name)
        if found is None:
            names = ", ".join(one.name for one in self.functions()) or "none"
            raise UnknownFunctionError(f"no function {name!r} is deployed; deployed are: {names}")
        return found

    def _require_revision(self, function: str, revision: str) -> None:
        if self.revision(function, revision) is None:
            kept = ", ".join(one.revision for one in self.revisions(function)) or "none"
            raise DeploymentError(f"function {function!r} has no revision {revision}; kept are: {kept}")

    def _put_function(self, function: StoredFunction) -> None:
        schema.FUNCTIONS.put(self._connection, *record.row_of_function(function))

    def _begin_rollout(self, function: str, before: str | None, after: str, strategy: str, wall_s: float) -> None:
        number = _next_id(self._connection, "rollouts")
        schema.ROLLOUTS.put(self._connection, number, function, before, after, strategy, wall_s, None, None, "{}")
        self._connection.execute(
            "DELETE FROM rollouts WHERE function = ? AND id NOT IN "
            "(SELECT id FROM rollouts WHERE function = ? ORDER BY id DESC LIMIT ?)",
            (function, function, ROLLOUTS_KEPT),
        )

    def _end_rollout(self, function: str, wall_s: float, outcome: str, evidence: dict[str, Any]) -> None:
        text = record.bounded_text(evidence)
        for row in self.rows(schema.ROLLOUTS, "WHERE function = ? AND outcome IS NULL", (function,)):
            schema.ROLLOUTS.put(self._connection, *row[:6], wall_s, outcome, text)

    def _forget_revisions(self, function: str) -> None:
        stored = self._known(function)
        self._connection.execute(
            "DELETE FROM revisions WHERE function = ? AND revision NOT IN (?, ?, ?) AND revision NOT IN "
            "(SELECT revision FROM revisions WHERE function = ? ORDER BY turn DESC LIMIT ?)",
            (
                function,
                *(one or "" for one in (stored.live, stored.candidate, stored.previous)),
                function,
                REVISIONS_KEPT,
            ),
        )


def _next_id(connection: sqlite3.Connection, table: str) -> int:
    ((latest,),) = connection.execute(f"SELECT COALESCE(MAX(id), 0) FROM {table}").fetchall()  # noqa: S608 (own names)
    return int(latest) + 1


def _same(known: Revision, given: Revision) -> Revision:
    """The one that is kept, if the other has its content.

    Schemas and examples are no part of that: they come from the import, which may tell them otherwise the next time (a
    default that is the present time), or in another version of this program.

    Raises:
        DeploymentError: It has not.
    """
    if _content(given) != _content(known):
        raise DeploymentError(
            f"function {given.function!r} has a revision {given.revision} with another content; revisions never change. "
            "Deploy it again, so that it gets the name of its content"
        )
    return known


def _content(revision: Revision) -> tuple[Any, ...]:
    """What a revision is named after."""
    manifest = revision.manifest
    return revision.bundle, manifest.target, manifest.attribute, manifest.settings, revision.dependencies
