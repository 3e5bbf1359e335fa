"""Policies a user may name in a function's options, as plain data.

The rules themselves live in `sojourn.policy`; the `catalogue` of each kind there makes the rule of a spec.
"""

from __future__ import annotations

import msgspec

from sojourn.errors import ConfigurationError


class SLOBatching(msgspec.Struct, frozen=True, tag="slo", forbid_unknown_fields=True):
    """Learn the batch size from the objective and the measured service times (the default)."""


class Need(msgspec.Struct, frozen=True, tag="need", forbid_unknown_fields=True):
    """Batches as large as the arrival rate of the last second needs them; the default's plainer predecessor."""


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


BatchingSpec = SLOBatching | Need | LatencyBatching | NoBatching | Fixed | Window | Consolidate | AIMD | MLProxy

BATCHING_BY_NAME: dict[str, BatchingSpec] = {
    "slo": SLOBatching(),
    "latency": LatencyBatching(),
    "none": NoBatching(),
    "fixed": Fixed(size=8),
    "window": Window(),
    "need": Need(),
    "consolidate": Consolidate(),
    "aimd": AIMD(),
    "mlproxy": MLProxy(),
}


class SLOScaling(msgspec.Struct, frozen=True, tag="slo", forbid_unknown_fields=True):
    """The fewest replicas that hold the objective, from service times and the traffic's envelope (the default)."""


class ConcurrencyScaling(msgspec.Struct, frozen=True, tag="concurrency", forbid_unknown_fields=True):
    """Knative's autoscaler: in-flight requests per replica, with a panic mode.

    Args:
        target: In-flight requests one replica should have at full use, > 0; 0 takes `max_batch_size`.
        utilization: Share of `target` aimed at, in (0, 1].
        stable_s: Window of the slow average, in seconds, > 0.
        panic_s: Window of the fast average, in seconds, > 0.
        panic_factor: Panic begins when the fast average wants this many times the ready replicas, > 1.
    """

    target: float = 0.0
    utilization: float = 0.7
    stable_s: float = 60.0
    panic_s: float = 6.0
    panic_factor: float = 2.0

    def __post_init__(self) -> None:
        if not (0 <= self.target < float("inf") and _has_good_windows(self)):
            raise ConfigurationError(
                f"{self}: target must be >= 0, utilization in (0, 1], 0 < panic_s <= stable_s, panic_factor > 1"
            )


def _has_good_windows(spec: ConcurrencyScaling | RPSScaling) -> bool:
    return (
        0 < spec.utilization <= 1
        and 0 < spec.panic_s <= spec.stable_s < float("inf")
        and 1 < spec.panic_factor < float("inf")
    )


class OngoingScaling(msgspec.Struct, frozen=True, tag="ongoing", forbid_unknown_fields=True):
    """Ray Serve's autoscaler: total ongoing requests over a target per replica, with delays.

    Args:
        target: Ongoing requests per replica, > 0.
        look_back_s: Window of the average, in seconds, > 0.
        up_delay_s: How long more replicas must be wanted before they are started, in seconds, >= 0.
        down_delay_s: How long fewer must be wanted before some are stopped, in seconds, >= 0.
    """

    target: float = 2.0
    look_back_s: float = 30.0
    up_delay_s: float = 30.0
    down_delay_s: float = 600.0

    def __post_init__(self) -> None:
        if not (
            0 < self.target < float("inf")
            and 0 < self.look_back_s < float("inf")
            and 0 <= self.up_delay_s < float("inf")
            and 0 <= self.down_delay_s < float("inf")
        ):
            raise ConfigurationError(f"{self}: target and look_back_s must be > 0, the delays >= 0 seconds")


class UtilizationScaling(msgspec.Struct, frozen=True, tag="utilization", forbid_unknown_fields=True):
    """Kubernetes' horizontal autoscaler on the replicas' busy share.

    Args:
        target: Busy share aimed at, in (0, 1].
        period_s: Time between decisions and window of the average, in seconds, > 0.
        tolerance: No change while the ratio to the target is within 1 +- this, in [0, 1).
        down_window_s: The largest wish of this long is kept, in seconds, >= 0.
    """

    target: float = 0.7
    period_s: float = 15.0
    tolerance: float = 0.1
    down_window_s: float = 300.0

    def __post_init__(self) -> None:
        if not (
            0 < self.target <= 1
            and 0 < self.period_s < float("inf")
            and 0 <= self.tolerance < 1
            and 0 <= self.down_window_s < float("inf")
        ):
            raise ConfigurationError(
                f"{self}: target must be in (0, 1], period_s > 0, tolerance in [0, 1), down_window_s >= 0"
            )


class RPSScaling(msgspec.Struct, frozen=True, tag="rps", forbid_unknown_fields=True):
    """Requests per second over a target per replica (Knative's `rps` metric, with its windows).

    Args:
        target_per_s: Requests per second one replica should get at full use, > 0.
        utilization: Share of it aimed at, in (0, 1].
        stable_s: Window of the slow average, in seconds, > 0.
        panic_s: Window of the fast average, in seconds, > 0.
        panic_factor: Panic begins when the fast average wants this many times the ready replicas, > 1.
    """

    target_per_s: float = 200.0
    utilization: float = 0.7
    stable_s: float = 60.0
    panic_s: float = 6.0
    panic_factor: float = 2.0

    def __post_init__(self) -> None:
        if not (0 < self.target_per_s < float("inf") and _has_good_windows(self)):
            raise ConfigurationError(
                f"{self}: target_per_s must be > 0, utilization in (0, 1], 0 < panic_s <= stable_s, panic_factor > 1"
            )


class FixedReplicas(msgspec.Struct, frozen=True, tag="fixed", forbid_unknown_fields=True):
    """Always the same number of replicas.

    Args:
        replicas: How many, >= 1.
    """

    replicas: int = 1

    def __post_init__(self) -> None:
        if self.replicas < 1:
            raise ConfigurationError(f"{self}: replicas must be >= 1; a function that is not wanted is removed")


ScalingSpec = SLOScaling | ConcurrencyScaling | OngoingScaling | UtilizationScaling | RPSScaling | FixedReplicas

SCALING_BY_NAME: dict[str, ScalingSpec] = {
    "slo": SLOScaling(),
    "concurrency": ConcurrencyScaling(),
    "ongoing": OngoingScaling(),
    "utilization": UtilizationScaling(),
    "rps": RPSScaling(),
    "fixed": FixedReplicas(),
}


class AdaptiveKeepAlive(msgspec.Struct, frozen=True, tag="adaptive", forbid_unknown_fields=True):
    """Learn from the function's idle times how long its last replica is worth keeping (the default)."""


class FixedKeepAlive(msgspec.Struct, frozen=True, tag="fixed", forbid_unknown_fields=True):
    """Keep the last replica for the same time after each request.

    Args:
        idle_s: How long, in seconds, >= 0; infinity keeps it for ever.
    """

    idle_s: float = 600.0

    def __post_init__(self) -> None:
        if not self.idle_s >= 0:
            raise ConfigurationError(f"{self}: idle_s must be >= 0 seconds")


KeepAliveSpec = AdaptiveKeepAlive | FixedKeepAlive

KEEPALIVE_BY_NAME: dict[str, KeepAliveSpec] = {"adaptive": AdaptiveKeepAlive(), "fixed": FixedKeepAlive()}
