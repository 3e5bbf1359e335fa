"""What is known of the functions' scaling, for people: limits in force, the last decision, how many there were."""

from __future__ import annotations

from sojourn.domain.function import FunctionSettings
from sojourn.domain.scaling import SCALING_CAUSES, ReplicaLimits, ScalingDecision
from sojourn.errors import UnknownFunctionError
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.status import LastScaling

_NAMES_SHOWN = 20


class ScalingRecord:
    """One function's.

    Args:
        limits: What it was deployed with.
    """

    __slots__ = ("decisions", "last", "limits")

    def __init__(self, limits: ReplicaLimits) -> None:
        self.limits = limits
        self.last: LastScaling | None = None
        self.decisions = dict.fromkeys(SCALING_CAUSES, 0)  # since start, by cause


class ScalingRecords:
    """All functions'; filled by the platform, read by its overview.

    Args:
        events: Told of each change.
    """

    def __init__(self, events: PlatformEvents) -> None:
        self._events = events
        self._by_function: dict[str, ScalingRecord] = {}

    def __getitem__(self, function: str) -> ScalingRecord:
        return self._by_function[function]

    def deployed(self, settings: FunctionSettings) -> None:
        """A function is served from now on, within the limits of its settings."""
        limits = ReplicaLimits(min_replicas=settings.min_replicas, max_replicas=settings.max_replicas)
        self._by_function[settings.name] = ScalingRecord(limits)

    def floors(self) -> dict[str, int]:
        """The floors in force, by function."""
        return {name: record.limits.min_replicas for name, record in self._by_function.items()}

    def changed(self, function: str, min_replicas: int | None, max_replicas: int | None) -> ReplicaLimits:
        """What a function's limits would be with one or both replaced; None leaves one as it is.

        Raises:
            UnknownFunctionError: No such function is deployed.
            ConfigurationError: A limit is out of range, or the floor would lie above the ceiling.
        """
        record = self._by_function.get(function)
        if record is None:
            known = ", ".join(sorted(self._by_function)[:_NAMES_SHOWN]) or "none"
            raise UnknownFunctionError(f"no function is called {function[:100]!r}; deployed: {known}")
        return record.limits.changed(min_replicas, max_replicas)

    def limit(self, function: str, limits: ReplicaLimits) -> None:
        """An operator changed a function's limits."""
        self._by_function[function].limits = limits
        self._events.info(
            "function.limits",
            function=function,
            min_replicas=limits.min_replicas,
            max_replicas=limits.max_replicas,
        )

    def decided(self, decision: ScalingDecision) -> None:
        """The controller changed how many replicas a function is to have."""
        told = self._events.info(
            "function.scaled",
            {"terms": decision.terms} if decision.terms else None,
            function=decision.function,
            before=decision.before,
            after=decision.after,
            cause=decision.cause,
            why=decision.why,
        )
        record = self._by_function[decision.function]
        record.decisions[decision.cause] = record.decisions.get(decision.cause, 0) + 1
        record.last = LastScaling(
            at=told.at, before=decision.before, after=decision.after, cause=decision.cause, why=decision.why
        )
