"""The floors and ceilings of replicas that were asked for: changed by operators, refused where the pool cannot hold them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from sojourn.core.pool import refuse_impossible
from sojourn.domain.event import ScaleRequested
from sojourn.domain.function import FunctionSettings
from sojourn.domain.resources import Resources
from sojourn.domain.scaling import ReplicaLimits
from sojourn.runtime.controller_driver import ControllerDriver
from sojourn.runtime.service import FunctionService


class FloorsAskedFor:
    """What must be able to run side by side: of each function one revision, with the floor it has now.

    Args:
        services: The live revision of each function, by name.
        running: All revisions that run, by key.
        driver: Has the limits in force, and the controller.
        capacity: What all replicas share.
    """

    def __init__(
        self,
        services: Mapping[str, FunctionService],
        running: Mapping[str, FunctionService],
        driver: ControllerDriver,
        capacity: Resources,
    ) -> None:
        self._services = services
        self._running = running
        self._driver = driver
        self._capacity = capacity

    def set(self, service: FunctionService, min_replicas: int | None, max_replicas: int | None) -> None:
        """Change the floor, the ceiling or both of a live revision's replicas; None leaves one as it is.

        Raises:
            ConfigurationError: A limit is out of range, the floor would lie above the ceiling, or the floors of all
                functions would not fit the pool; nothing changes.
        """
        limits = self.check(service, min_replicas, max_replicas)
        self._driver.scaling.limit(service.key, limits)
        self._driver.post(ScaleRequested(service.key, min_replicas, max_replicas))

    def check(self, service: FunctionService, min_replicas: int | None, max_replicas: int | None) -> ReplicaLimits:
        """The limits as they would be; refuses what `set` would refuse, and changes nothing.

        Raises:
            ConfigurationError: As `set`.
        """
        limits = self._driver.scaling[service.key].limits.changed(min_replicas, max_replicas)
        floored = structs.replace(service.manifest.settings, min_replicas=limits.min_replicas, max_replicas=None)
        self.refuse_impossible({service.name: floored})
        return limits

    def refuse_impossible(self, asked: Mapping[str, FunctionSettings]) -> None:
        """Refuse what cannot run beside the other functions' floors; of each function one revision counts.

        While two run, the pool may hold less than both want: what they share then is the controller's to say.

        Raises:
            ConfigurationError: It cannot; the message names what claims how much.
        """
        present: dict[str, FunctionSettings] = {}
        staying = (service for service in self._running.values() if not service.is_retiring)
        for service in [*staying, *self._services.values()]:  # the live ones have the last word
            floor = self._driver.scaling[service.key].limits.min_replicas
            present[service.name] = structs.replace(service.manifest.settings, min_replicas=floor, max_replicas=None)
        refuse_impossible({**present, **asked}.values(), self._capacity)
