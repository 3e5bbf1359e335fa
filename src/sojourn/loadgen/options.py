"""How a run of load is made: its bounds, checked once."""

from __future__ import annotations

import msgspec

from sojourn.errors import ConfigurationError


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is made.

    Args:
        timeout_s: Patience for one answer, from its intended instant, in seconds, > 0. It also bounds
            the drain after the last send.
        connections_max: Most connections open at once, >= 1; reaching it makes the run void.
        progress_every_s: How often `on_progress` is called, in seconds, > 0.

    Raises:
        ConfigurationError: A value is out of range.
    """

    timeout_s: float = 10.0
    connections_max: int = 1000
    progress_every_s: float = 0.25

    def __post_init__(self) -> None:
        faults = []
        if not 0 < self.timeout_s < float("inf"):
            faults.append(f"timeout_s must be > 0 seconds, not {self.timeout_s!r}")
        if self.connections_max < 1:
            faults.append(f"connections_max must be >= 1, not {self.connections_max!r}")
        if not 0 < self.progress_every_s < float("inf"):
            faults.append(f"progress_every_s must be > 0 seconds, not {self.progress_every_s!r}")
        if faults:
            raise ConfigurationError("load: " + "; ".join(faults))
