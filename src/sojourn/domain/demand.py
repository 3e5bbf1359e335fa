"""What a dispatcher tells the controller of its function's demand, as plain data."""

from __future__ import annotations

import msgspec


class ServiceTimes(msgspec.Struct, frozen=True):
    """What is believed of how long batches take, as of one version of the model.

    Index 0 of the tables is unused; sizes past `size_cap` were never tried.

    Args:
        version: Grows with every change.
        mean_by_size_s: Mean duration of a batch by its size, non-decreasing [s].
        p95_by_size_s: 95th percentile of it [s].
        size_cap: Largest batch that may be tried now, >= 1.
        samples: Batches learnt from.
    """

    version: int
    mean_by_size_s: tuple[float, ...]
    p95_by_size_s: tuple[float, ...]
    size_cap: int
    samples: int


class DemandReport(msgspec.Struct, frozen=True, kw_only=True):
    """Demand of one function at an instant. Counters only grow; whoever wants a rate takes differences.

    Args:
        function: What its deployment is called by: its name, or `name@revision`.
        arrivals: Requests that arrived so far, refused ones included.
        waiting: Requests queued that can still be on time.
        late: Requests queued past saving.
        ongoing: Requests in running batches.
        replicas: Ready replicas this dispatcher may use.
        slots: Batches one of them runs at once.
        batches: Batches completed so far.
        served: Requests served so far.
        busy_s: Time replicas spent on batches so far, summed over slots, in seconds.
        misses: Requests that missed the objective so far: served late, shed, expired, failed by the platform.
        is_quiet: Nothing is in flight and nothing arrived lately; no report comes before the next arrival.
        service: Service times if they changed since the last report, else None.
    """

    function: str
    arrivals: int = 0
    waiting: int = 0
    late: int = 0
    ongoing: int = 0
    replicas: int = 0
    slots: int = 1
    batches: int = 0
    served: int = 0
    busy_s: float = 0.0
    misses: int = 0
    is_quiet: bool = False
    service: ServiceTimes | None = None
