"""What a simulated run came to."""

from __future__ import annotations

from array import array
from math import ceil, inf

import msgspec

from sojourn.domain.action import Finish
from sojourn.domain.request import Outcome
from sojourn.domain.scaling import ScalingDecision
from sojourn.sim.timeline import Timeline


def _floats() -> array[float]:
    return array("d")


def _sizes() -> array[int]:
    return array("H")


class SimulationResult(msgspec.Struct):
    """Counts and times of one function's run; the transient at its start is not counted.

    `latencies_s` holds those of served requests, in the order they ended; `misses` the instants at which
    requests ended that were not served in time. `replicas` lists (instant, living replicas) at each change,
    `decisions` what the controller decided and when; `starts` lists (instant, replica) of each start. `busy_s` is replica time
    spent on batches. `timeline` is there if it was asked for.
    """

    sent: int = 0
    outcomes: dict[Outcome, int] = msgspec.field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    within_slo: int = 0
    latencies_s: array[float] = msgspec.field(default_factory=_floats)
    batch_sizes: array[int] = msgspec.field(default_factory=_sizes)
    busy_s: float = 0.0
    duration_s: float = 0.0
    replica_seconds: float = 0.0
    replicas_max: int = 0
    starts: list[tuple[float, int]] = []
    replicas: list[tuple[float, int]] = []
    decisions: list[tuple[float, ScalingDecision]] = []
    misses: array[float] = msgspec.field(default_factory=_floats)
    timeline: Timeline | None = None

    def count(self, end: Finish, latency_s: float, now_s: float) -> None:
        """One request ended; `latency_s` is the objective's, or infinity."""
        outcome = end.outcome
        self.outcomes[outcome] += 1
        if outcome is Outcome.SERVED:
            self.latencies_s.append(end.latency_s)
            if end.latency_s <= latency_s:
                self.within_slo += 1
                return
        self.misses.append(now_s)

    def replica_seconds_until(self, ends_s: float) -> float:
        """Replica time from the start until an instant, whoever lived then or had gone before [s]."""
        total_s = 0.0
        for place, (at_s, living) in enumerate(self.replicas):
            next_s = self.replicas[place + 1][0] if place + 1 < len(self.replicas) else ends_s
            total_s += living * max(min(next_s, ends_s) - at_s, 0.0)
        return total_s

    @property
    def cold_starts(self) -> int:
        """How many replicas were started."""
        return len(self.starts)

    @property
    def within_share(self) -> float:
        """Share of all sent requests that were served inside the objective."""
        return self.within_slo / self.sent if self.sent else 1.0

    @property
    def goodput_per_s(self) -> float:
        """Requests served inside the objective per second."""
        return self.within_slo / self.duration_s if self.duration_s else 0.0

    @property
    def batch_size_mean(self) -> float:
        """Mean size of the model calls."""
        return sum(self.batch_sizes) / len(self.batch_sizes) if self.batch_sizes else 0.0

    def latency_s(self, share: float) -> float:
        """Latency quantile of served requests (nearest rank), `share` in (0, 1]; infinite if none was served."""
        if not self.latencies_s:
            return inf
        ordered = sorted(self.latencies_s)
        return ordered[max(ceil(share * len(ordered)), 1) - 1]
