"""Which functions are to be looked at now, and when the next one is due."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from math import inf

from sojourn.core.fleet import Deployment

_STALE_PER_FUNCTION = 4
_STALE_MIN = 64


class Agenda:
    """Instants of functions in a heap, so that a thousand idle ones cost nothing while one is busy.

    A function has one instant, `look_at_s`; setting another leaves the former entry in the heap, where it is passed
    over. When most entries are such leftovers the heap is made anew.

    Args:
        deployments: By key.
    """

    def __init__(self, deployments: Mapping[str, Deployment]) -> None:
        self._deployments = deployments
        self._heap: list[tuple[float, int, str]] = []

    def put(self, deployment: Deployment, at_s: float) -> None:
        """Look at this function at `at_s`, and not before unless it is put again; infinity: only then."""
        deployment.look_at_s = at_s
        if at_s == inf:
            return
        heappush(self._heap, (at_s, deployment.number, deployment.key))
        if len(self._heap) > _STALE_PER_FUNCTION * len(self._deployments) + _STALE_MIN:
            self._heap = [
                (each.look_at_s, each.number, name)
                for name, each in self._deployments.items()
                if each.look_at_s < inf and not each.is_removed
            ]
            heapify(self._heap)

    def take_due(self, now_s: float) -> list[Deployment]:
        """The functions due by now, in the order they were deployed."""
        due: dict[int, Deployment] = {}
        while self._heap and self._heap[0][0] <= now_s:
            entry = heappop(self._heap)
            deployment = self._live(entry)
            if deployment is not None:
                due[deployment.number] = deployment
        return [due[number] for number in sorted(due)]

    def next_at_s(self) -> float:
        """When the next function is due, or infinity."""
        while self._heap and self._live(self._heap[0]) is None:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else inf

    def _live(self, entry: tuple[float, int, str]) -> Deployment | None:
        """Whose entry this is, if it still holds."""
        at_s, number, name = entry
        deployment = self._deployments.get(name)
        if deployment is None or deployment.number != number or deployment.is_removed:
            return None
        return deployment if deployment.look_at_s == at_s else None
