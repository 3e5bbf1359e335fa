"""The limits that operators set for deployed functions, kept over rollouts and restarts."""

from __future__ import annotations

from sojourn.errors import ConfigurationError, UnknownFunctionError
from sojourn.runtime.platform import Platform
from sojourn.state.keeper import StateKeeper
from sojourn.state.record import StoredLimits
from sojourn.telemetry.events import PlatformEvents


class KeptLimits:
    """Sets floors and ceilings of replicas, and sets them again wherever another revision takes over.

    Args:
        platform: Runs the functions.
        keeper: Where limits are kept.
        events: Told of limits that cannot be set again.
    """

    def __init__(self, platform: Platform, keeper: StateKeeper, events: PlatformEvents) -> None:
        self._platform = platform
        self._keeper = keeper
        self._events = events
        self._by_name: dict[str, StoredLimits] = {}

    async def load(self) -> None:
        """Read what is kept.

        Raises:
            StateError: It cannot be read.
        """
        self._by_name = await self._keeper.do(lambda store: store.limits())

    def set(self, function: str, min_replicas: int | None, max_replicas: int | None, *, is_kept: bool) -> None:
        """Change the limits of a function's live revision; None leaves one as it is.

        Args:
            function: Its name.
            min_replicas: Floor, >= 0.
            max_replicas: Ceiling, >= 1.
            is_kept: Whether they are to outlive that revision.

        Raises:
            UnknownFunctionError: No such function is served.
            ConfigurationError: These limits cannot be; nothing changes.
            StateError: They cannot be kept; nothing changes.
        """
        if is_kept:
            before = self._by_name.get(function, StoredLimits(0))
            least = self._platform.limits_if(function, min_replicas, max_replicas).min_replicas
            most = before.max_replicas if max_replicas is None else max_replicas
            self._keeper.now(lambda store: store.set_limits(function, least, most))
            self._by_name[function] = StoredLimits(least, most)
        self._platform.scale(function, min_replicas, max_replicas)

    def set_again(self, function: str) -> None:
        """Another revision is live: what was set for the function holds for that one."""
        limits = self._by_name.get(function)
        if limits is None:
            return
        try:
            self._platform.scale(function, limits.min_replicas, limits.max_replicas)
        except (ConfigurationError, UnknownFunctionError) as err:
            self._events.warning("function.limits_dropped", function=function, cause=str(err))

    def forget(self, function: str) -> None:
        """The function is gone; what was kept of it goes with it."""
        self._by_name.pop(function, None)
