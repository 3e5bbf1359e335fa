"""A function as users declare it: its settings, and the manifest the server knows it by."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from sojourn.domain.objective import SLO
from sojourn.domain.policy import (
    AdaptiveKeepAlive,
    BatchingSpec,
    FixedReplicas,
    KeepAliveSpec,
    ScalingSpec,
    SLOBatching,
    SLOScaling,
)
from sojourn.errors import ConfigurationError

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
DEFAULT_TIMEOUT_S = 60.0
MAX_BATCH_SIZE = 4096
SHARES = (None, "fork", "none")


class FunctionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of one function, checked at construction.

    Args:
        name: `[a-z0-9-]{1,63}`, not starting or ending with a hyphen.
        slo: Latency objective; without one nothing is promised and latency is only reported.
        max_batch_size: Largest list the function accepts, in [1, 4096].
        batchable: Whether the function takes a list (else one item at a time).
        min_replicas: Replicas kept alive, >= 0.
        max_replicas: Ceiling of replicas, >= 1, or None.
        cpus: Cores a replica claims, > 0.
        gpus: Accelerators a replica claims, >= 0.
        memory_bytes: Memory a replica claims, or None.
        threads: Threads of BLAS and OpenMP pools in a replica, >= 1; None takes `cpus` rounded up.
        concurrency: Calls an `async` function runs at once in one replica, >= 1.
        batching: Batching policy.
        scaling: Scaling policy.
        keepalive: Keep-alive policy.
        timeout_s: After this nothing of a request may start; None takes max(10 x latency, 1 s).
        share: What replicas share: None the imported code, `"fork"` the loaded model too, `"none"` nothing.
        start_timeout_s: How long requests wait while no replica is ready, in seconds.
        retry: Whether a request may run again after its replica was lost.

    Raises:
        ConfigurationError: All options out of range, in one message.
    """

    name: str
    slo: SLO | None = None
    max_batch_size: int = 32
    batchable: bool = True
    min_replicas: int = 0
    max_replicas: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    memory_bytes: int | None = None
    threads: int | None = None
    concurrency: int = 1
    batching: BatchingSpec = msgspec.field(default_factory=SLOBatching)
    scaling: ScalingSpec = msgspec.field(default_factory=SLOScaling)
    keepalive: KeepAliveSpec = msgspec.field(default_factory=AdaptiveKeepAlive)
    share: str | None = None
    weight: float = 1.0
    overload: str = "late"
    timeout_s: float | None = None
    start_timeout_s: float = 60.0
    retry: bool = True

    def __post_init__(self) -> None:
        faults = [text for is_bad, text in self._rules() if is_bad]
        if faults:
            raise ConfigurationError(f"function {self.name!r}: " + "; ".join(faults))

    def _rules(self) -> list[tuple[bool, str]]:
        latency_s = self.slo.latency_s if self.slo else 0.0
        return [
            (
                NAME.fullmatch(self.name) is None,
                f"name must be 1-63 characters of a-z, 0-9 and inner hyphens, not {self.name!r}",
            ),
            (
                not 1 <= self.max_batch_size <= MAX_BATCH_SIZE,
                f"max_batch_size must be in [1, {MAX_BATCH_SIZE}], not {self.max_batch_size}",
            ),
            (self.min_replicas < 0, f"min_replicas must be >= 0, not {self.min_replicas}"),
            (
                self.max_replicas is not None and self.max_replicas < max(self.min_replicas, 1),
                f"max_replicas must be >= 1 and >= min_replicas={self.min_replicas}, not {self.max_replicas}",
            ),
            (not 0 < self.cpus < float("inf"), f"cpus must be > 0, not {self.cpus}"),
            (not 0 <= self.gpus < float("inf"), f"gpus must be >= 0, not {self.gpus}"),
            (self.memory_bytes is not None and self.memory_bytes <= 0, "memory must be > 0 bytes"),
            (self.threads is not None and self.threads < 1, f"threads must be >= 1, not {self.threads}"),
            (not 1 <= self.concurrency <= 10_000, f"concurrency must be in [1, 10000], not {self.concurrency}"),
            (not 0 < self.weight < float("inf"), f"weight must be > 0, not {self.weight}"),
            (self.share not in SHARES, f'share must be None, "fork" or "none", not {self.share!r}'),
            (
                self.share == "fork" and self.gpus > 0,
                'share="fork" is for models in main memory: with gpus, leave share out or set it to "none"',
            ),
            (self.overload not in {"late", "shed"}, f'overload must be "late" or "shed", not {self.overload!r}'),
            (
                self.timeout_s is not None and not latency_s <= self.timeout_s < float("inf"),
                f"timeout_s must be at least the objective's latency ({latency_s} s), not {self.timeout_s}",
            ),
            (
                not 0 < self.start_timeout_s < float("inf"),
                f"start_timeout_s must be > 0 seconds, not {self.start_timeout_s}",
            ),
        ]

    @property
    def effective_timeout_s(self) -> float:
        """Seconds from arrival after which nothing of a request may start."""
        if self.timeout_s is not None:
            return self.timeout_s
        return max(10 * self.slo.latency_s, 1.0) if self.slo else DEFAULT_TIMEOUT_S

    @property
    def floor_replicas(self) -> int:
        """Replicas it must always have: `min_replicas`, or the number of a fixed scaling policy."""
        fixed = self.scaling.replicas if isinstance(self.scaling, FixedReplicas) else 0
        return max(self.min_replicas, fixed)

    @property
    def largest_batch(self) -> int:
        """Most items one call may take."""
        return self.max_batch_size if self.batchable else 1

    @property
    def thread_count(self) -> int:
        """Threads set for BLAS and OpenMP pools of a replica."""
        return self.threads if self.threads is not None else max(1, int(-(-self.cpus // 1)))


class FunctionManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the server knows of a function without ever importing it.

    Args:
        target: What was served: a file path or a module name.
        attribute: Name of the class or function in the target.
        revision: Short content hash of code and settings.
        is_async: Whether calls are coroutines.
        input_schema: JSON schema of one item.
        output_schema: JSON schema of one result.
        examples: A few valid items as JSON text, to warm up with.
        root: Directory the target is relative to, and where relative paths of its code begin; empty for the server's own.
    """

    target: str
    attribute: str
    settings: FunctionSettings
    revision: str
    is_async: bool = False
    input_schema: dict[str, Any] = {}
    output_schema: dict[str, Any] = {}
    examples: list[str] = []
    root: str = ""

    @property
    def name(self) -> str:
        """The name clients address it by."""
        return self.settings.name

    @property
    def slots(self) -> int:
        """Batches one replica runs at once."""
        return self.settings.concurrency if self.is_async else 1
