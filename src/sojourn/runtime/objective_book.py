"""Which objective each function had since when: what was counted was judged against the objective of its time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from sojourn.domain.objective import SLO, parse_slo
from sojourn.errors import ObjectiveError
from sojourn.slo.status import FormerObjective
from sojourn.telemetry.history import KeptObjective
from sojourn.telemetry.log import utc_text


class ObjectiveBook:
    """The objectives of all functions, from the first that is remembered to those in force.

    Call `recall` with what the history keeps, then `watch` for each function; whoever writes the history asks
    `unsaved`, and tells `saved` once that is written.
    """

    __slots__ = ("_by_function", "_unsaved")

    def __init__(self) -> None:
        self._by_function: dict[str, list[KeptObjective]] = {}
        self._unsaved: list[KeptObjective] = []

    def recall(self, kept: Iterable[KeptObjective]) -> None:
        """Take in what the history keeps, the oldest first."""
        for one in kept:
            self._by_function.setdefault(one.function, []).append(one)

    def watch(self, function: str, slo: SLO | None, at_s: float, counted: Collection[str]) -> None:
        """An objective is in force from now on, unless it has been already.

        Args:
            function: Whose.
            slo: The objective; None promises nothing.
            at_s: Now, in seconds since the epoch.
            counted: Functions of which earlier counts are kept.
        """
        known = self._by_function.setdefault(function, [])
        text = "" if slo is None else str(slo)
        if not known and function in counted:  # counted by a version that did not keep objectives
            self._add(KeptObjective(function, 0.0, None))
        if not known or known[-1].objective != text:
            self._add(KeptObjective(function, at_s, text))

    def _add(self, one: KeptObjective) -> None:
        self._by_function[one.function].append(one)
        self._unsaved.append(one)

    def unsaved(self) -> list[KeptObjective]:
        """What the history does not hold yet."""
        return list(self._unsaved)

    def saved(self, written: Sequence[KeptObjective]) -> None:
        """These are in the history now."""
        self._unsaved = [one for one in self._unsaved if one not in written]

    def former(self, function: str, since_s: float) -> list[FormerObjective]:
        """Other objectives than the present one that were in force after `since_s` (seconds since the epoch), oldest first."""
        known = self._by_function.get(function, [])
        present = known[-1].objective if known else None
        return [
            FormerObjective(
                text=one.objective,
                begins_at=utc_text(max(one.since_s, since_s)),
                ends_at=utc_text(following.since_s),
                judges_alike=bool(one.objective) and _latency_s(one.objective) == _latency_s(present),
            )
            for one, following in pairwise(known)
            if following.since_s > since_s and one.objective != present
        ]


def _latency_s(objective: str | None) -> float | None:
    """The latency of an objective as it was written; None without one, or for words of another version."""
    try:
        return parse_slo(objective).latency_s if objective else None
    except ObjectiveError:
        return None
