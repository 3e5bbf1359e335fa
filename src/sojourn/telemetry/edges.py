"""The bucket edges all latency histograms share."""

from __future__ import annotations

from collections.abc import Iterable
from math import isclose

# Three to a doubling where objectives usually lie, fewer at the ends.
_BASE_EDGES_S = (
    *(0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
)
BATCH_SIZE_EDGES = tuple(float(2**power) for power in range(13))
COLD_START_EDGES_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


def common_edges_s(objectives_s: Iterable[float]) -> tuple[float, ...]:
    """One sorted list of upper bucket edges, in seconds, that contains every objective exactly.

    With the objective as an edge, a Prometheus user can check attainment from the buckets alone; with one
    common list, histograms of different functions can be added.

    Args:
        objectives_s: Latency bounds of all functions, in seconds, > 0.
    """
    objectives = set(objectives_s)
    # A base edge that differs from an objective by rounding only would make two buckets of one.
    kept = {edge for edge in _BASE_EDGES_S if not any(isclose(edge, objective) for objective in objectives)}
    return tuple(sorted(kept | objectives))
