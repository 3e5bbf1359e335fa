"""What is known of the functions' scaling, for people: limits in force, the last decision, how many there were."""

from __future__ import annotations

from sojourn.domain.function import FunctionSettings
from sojourn.domain.scaling import SCALING_CAUSES, ReplicaLimits, ScalingDecision
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.status import LastScaling


class ScalingRecord:
    """One revision's.

    Args:
        function: Its function's name.
        limits: What it was deployed with.
        decisions: Of all revisions of the function since the start, by cause.
    """

    __slots__ = ("decisions", "function", "last", "limits")

    def __init__(self, function: str, limits: ReplicaLimits, decisions: dict[str, int]) -> None:
        self.function = function
        self.limits = limits
        self.decisions = decisions
        self.last: LastScaling | None = None


class ScalingRecords:
    """All revisions', by key; filled by the platform, read by its overview.

    Args:
        events: Told of each change.
    """

    def __init__(self, events: PlatformEvents) -> None:
        self._events = events
        self._by_key: dict[str, ScalingRecord] = {}
        self._decisions: dict[str, dict[str, int]] = {}  # by function: a counter of one revision would come and go

    def __getitem__(self, key: str) -> ScalingRecord:
        return self._by_key[key]

    def deployed(self, settings: FunctionSettings, key: str = "") -> None:
        """A revision runs from now on, within the limits of its settings; `key` is the function's name by default."""
        limits = ReplicaLimits(min_replicas=settings.min_replicas, max_replicas=settings.max_replicas)
        decisions = self._decisions.setdefault(settings.name, dict.fromkeys(SCALING_CAUSES, 0))
        self._by_key[key or settings.name] = ScalingRecord(settings.name, limits, decisions)

    def gone(self, key: str) -> None:
        """A revision runs no more; with the last one of a function its counts go."""
        function = self._by_key.pop(key).function
        if not any(record.function == function for record in self._by_key.values()):
            del self._decisions[function]

    def limit(self, key: str, limits: ReplicaLimits) -> None:
        """An operator changed the limits of a revision."""
        record = self._by_key[key]
        record.limits = limits
        self._events.info(
            "function.limits",
            function=record.function,
            min_replicas=limits.min_replicas,
            max_replicas=limits.max_replicas,
        )

    def decided(self, key: str, decision: ScalingDecision) -> None:
        """The controller changed how many replicas a revision is to have; the event names it, since two may run."""
        told = self._events.info(
            "function.scaled",
            {"terms": decision.terms} if decision.terms else None,
            function=decision.function,
            revision=key.partition("@")[2],
            before=decision.before,
            after=decision.after,
            cause=decision.cause,
            why=decision.why,
        )
        record = self._by_key[key]
        record.decisions[decision.cause] = record.decisions.get(decision.cause, 0) + 1
        record.last = LastScaling(
            at=told.at, before=decision.before, after=decision.after, cause=decision.cause, why=decision.why
        )
