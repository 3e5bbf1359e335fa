"""What a simulated run came to."""

from __future__ import annotations

from math import ceil, inf

import msgspec

from sojourn.domain.action import Finish
from sojourn.domain.request import Outcome
from sojourn.domain.scaling import ScalingDecision


class SimulationResult(msgspec.Struct):
    """Counts and times of one run; the transient at its start is not counted.

    `latencies_s` holds those of served requests, in the order they ended; `misses` the instants at which
    requests ended that were not served in time. `replicas` lists (instant, living replicas) at each change,
    `decisions` what the controller decided and when; `starts` lists (instant, replica) of each start.
    """

    sent: int = 0
    outcomes: dict[Outcome, int] = msgspec.field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    within_slo: int = 0
    latencies_s: list[float] = []
    batch_sizes: list[int] = []
    duration_s: float = 0.0
    replica_seconds: float = 0.0
    replicas_max: int = 0
    starts: list[tuple[float, int]] = []
    replicas: list[tuple[float, int]] = []
    decisions: list[tuple[float, ScalingDecision]] = []
    misses: list[float] = []

    def count(self, end: Finish, latency_s: float, now_s: float) -> None:
        """One request ended; `latency_s` is the objective's, or infinity."""
        self.outcomes[end.outcome] += 1
        if end.outcome is Outcome.SERVED:
            self.latencies_s.append(end.latency_s)
        if end.outcome is Outcome.SERVED and end.latency_s <= latency_s:
            self.within_slo += 1
        else:
            self.misses.append(now_s)

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
        """Latency quantile of served requests (nearest rank), `share` in (0, 1]."""
        if not self.latencies_s:
            return inf
        ordered = sorted(self.latencies_s)
        return ordered[max(ceil(share * len(ordered)), 1) - 1]
