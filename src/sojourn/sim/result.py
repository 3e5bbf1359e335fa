"""What a simulated run came to."""

from __future__ import annotations

from math import ceil, inf

import msgspec

from sojourn.domain.request import Outcome


class SimulationResult(msgspec.Struct):
    """Counts and times of one run; the transient at its start is not counted.

    `latencies_s` holds those of served requests, in the order they ended. `busy_s` is replica time
    spent in batches, `wasted_busy_s` the part spent on batches none of whose answers was in time.
    """

    sent: int = 0
    outcomes: dict[Outcome, int] = msgspec.field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    within_slo: int = 0
    latencies_s: list[float] = []
    batch_sizes: list[int] = []
    duration_s: float = 0.0
    replica_seconds: float = 0.0

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
