"""Which replicas are not well: silent for too long, or much slower than the others."""

from __future__ import annotations

from sojourn.core.lease import Lease, Leases
from sojourn.domain.function import FunctionSettings
from sojourn.estimate.service_time import ServiceTimeModel

_KNOWN_FROM_SAMPLES = 30
_SILENCE_FACTOR = 3.0  # times the p99 of its batch size
_SILENCE_MIN_S = 1.0
_SLOW_FACTOR = 3.0  # times the mean of its batch size
_SLOW_STREAK_MAX = 5
FRESH_BATCHES = 2  # first batches of a replica tell of caches and compilers, not of the model


class Health:
    """Judges replicas by how long their batches take.

    Args:
        settings: The function's options.
        model: Learnt service times, shared by all replicas of the function.
        leases: The replicas.
    """

    __slots__ = ("_fresh_s", "_leases", "_model", "_unknown_s")

    def __init__(self, settings: FunctionSettings, model: ServiceTimeModel, leases: Leases) -> None:
        self._model = model
        self._leases = leases
        self._unknown_s = max(settings.effective_timeout_s, _SILENCE_MIN_S)
        self._fresh_s = max(settings.start_timeout_s, self._unknown_s)

    def patience_s(self, lease: Lease, size: int) -> float:
        """How long a batch of `size` may take before its replica counts as hung.

        Three times the p99, at least a second; the function's timeout while too few batches were
        seen; the start timeout for the first batches of a replica, which may still be compiling.
        """
        if lease.completed < FRESH_BATCHES:
            return self._fresh_s
        if self._model.samples < _KNOWN_FROM_SAMPLES:
            return self._unknown_s
        return max(_SILENCE_FACTOR * self._model.p99_s(size), _SILENCE_MIN_S)

    def note(self, lease: Lease, size: int, duration_s: float, now_s: float, own_s: float = 0.0) -> None:
        """Take in how long a batch took; teach the model unless this replica alone is slow.

        Args:
            lease: The replica.
            size: Items in the batch.
            duration_s: From its dispatch until its answer was read, in seconds.
            now_s: When that was.
            own_s: How long the replica had it by its own clock, in seconds; 0 if that is unknown. A server that stood still,
                or a slow link, is not the replica's fault; one that answers nothing is seen by its silence.
        """
        lease.completed += 1
        self._model.has_run(size)
        if lease.completed <= FRESH_BATCHES:
            return
        expected_s = self._model.mean_by_size_s[size]
        if self._model.samples >= _KNOWN_FROM_SAMPLES and (own_s or duration_s) > _SLOW_FACTOR * expected_s:
            lease.slow_streak += 1
            if any(_is_sound(other) for other in self._others(lease)):
                return  # a straggler does not size everybody
        else:
            lease.slow_streak = 0
        self._model.observe(size, duration_s, now_s)

    def is_straggler(self, lease: Lease) -> bool:
        """Whether a replica should be replaced: slow again and again while most others are known not to be."""
        if lease.slow_streak < _SLOW_STREAK_MAX:
            return False
        others = self._others(lease)
        sound = sum(map(_is_sound, others))
        return sound > 0 and sound * 2 >= len(others) + 1

    def _others(self, lease: Lease) -> list[Lease]:
        return [other for other in self._leases.by_id.values() if other is not lease and not other.is_revoked]


def _is_sound(lease: Lease) -> bool:
    """Whether a replica has shown that it is not slow; one that has only just come has shown nothing."""
    return lease.slow_streak == 0 and lease.completed > FRESH_BATCHES
