"""Policies a user may name in a function's options, as plain data.

The rules themselves live in `sojourn.policy`; `sojourn.config.policies` joins the two by name.
"""

from __future__ import annotations

import msgspec

from sojourn.errors import ConfigurationError


class SLOBatching(msgspec.Struct, frozen=True, tag="slo", forbid_unknown_fields=True):
    """Learn the batch size from the objective and the measured service times (the default)."""


class LatencyBatching(msgspec.Struct, frozen=True, tag="latency", forbid_unknown_fields=True):
    """Always eager: whatever is queued goes as soon as a replica is free."""


class NoBatching(msgspec.Struct, frozen=True, tag="none", forbid_unknown_fields=True):
    """One request per model call."""


class Fixed(msgspec.Struct, frozen=True, tag="fixed", forbid_unknown_fields=True):
    """Wait for `size` requests, but never hold the queue's head longer than `wait_s`.

    Args:
        size: Batch size to wait for, >= 1.
        wait_s: Longest linger of the head, in seconds, >= 0.
    """

    size: int
    wait_s: float = 0.005

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.wait_s < float("inf"):
            raise ConfigurationError(
                f"Fixed(size={self.size!r}, wait_s={self.wait_s!r}): size must be >= 1 and wait_s >= 0 seconds"
            )


class Window(msgspec.Struct, frozen=True, tag="window", forbid_unknown_fields=True):
    """Nexus' early drop: slide over the queue to the first full batch that is on time.

    Args:
        size: Window length in requests; 0 takes the largest useful batch of the service-time model.
    """

    size: int = 0

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ConfigurationError(f"Window(size={self.size!r}): size must be >= 0 (0: learnt)")


class Consolidate(msgspec.Struct, frozen=True, tag="consolidate", forbid_unknown_fields=True):
    """Symphony's deferral: hold a batch until the last safe moment of its head, so that few replicas are busy.

    Args:
        guard_s: Safety before that moment, in seconds, >= 0; at least how late a timer may ring.
    """

    guard_s: float = 0.0015

    def __post_init__(self) -> None:
        if not 0 <= self.guard_s < float("inf"):
            raise ConfigurationError(f"Consolidate(guard_s={self.guard_s!r}): guard_s must be >= 0 seconds")


class AIMD(msgspec.Struct, frozen=True, tag="aimd", forbid_unknown_fields=True):
    """Clipper's adaptive batch size: a step up while batches are fast enough, a share down when not; never waits.

    Args:
        increase: Requests added to the largest batch at a time, >= 1.
        decrease: What the largest batch is multiplied with when it takes too long, in (0, 1).
        target: Share of the objective's latency that a batch may take, in (0, 1].
    """

    increase: int = 1
    decrease: float = 0.9
    target: float = 1.0

    def __post_init__(self) -> None:
        _check_adaptation(self, self.increase, self.decrease, self.target)


class MLProxy(msgspec.Struct, frozen=True, tag="mlproxy", forbid_unknown_fields=True):
    """MLProxy's adaptive batches: wait for a full batch as long as the head's latency allows.

    Args:
        increase: Requests added to the largest batch at a time, >= 1.
        decrease: What the largest batch is multiplied with when it takes too long, in (0, 1).
        target: Share of the objective's latency that a batch and the wait for a replica may take, in (0, 1].
        guard_s: Safety before the head's last moment, in seconds, >= 0; at least how late a timer may ring.
    """

    increase: int = 1
    decrease: float = 0.8
    target: float = 0.8
    guard_s: float = 0.0015

    def __post_init__(self) -> None:
        _check_adaptation(self, self.increase, self.decrease, self.target)
        if not 0 <= self.guard_s < float("inf"):
            raise ConfigurationError(f"MLProxy(guard_s={self.guard_s!r}): guard_s must be >= 0 seconds")


def _check_adaptation(spec: AIMD | MLProxy, increase: int, decrease: float, target: float) -> None:
    if increase < 1 or not 0 < decrease < 1 or not 0 < target <= 1:
        raise ConfigurationError(f"{spec}: increase must be >= 1, decrease in (0, 1) and target in (0, 1]")


BatchingSpec = SLOBatching | LatencyBatching | NoBatching | Fixed | Window | Consolidate | AIMD | MLProxy

BATCHING_BY_NAME: dict[str, BatchingSpec] = {
    "slo": SLOBatching(),
    "latency": LatencyBatching(),
    "none": NoBatching(),
    "fixed": Fixed(size=8),
    "window": Window(),
    "consolidate": Consolidate(),
    "aimd": AIMD(),
    "mlproxy": MLProxy(),
}
