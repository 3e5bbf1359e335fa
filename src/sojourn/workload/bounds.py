"""What a workload's arguments may be, and how a fault in one is told."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sojourn.errors import ConfigurationError


def check_rate(rate_per_s: float) -> None:
    """Refuse a mean arrival rate that is no number of requests per second >= 0."""
    if not 0 <= rate_per_s < math.inf:
        raise ConfigurationError(f"the arrival rate must be a number of requests per second >= 0, not {rate_per_s!r}")


def check_duration(duration_s: float) -> None:
    """Refuse a length that is no number of seconds > 0."""
    if not 0 < duration_s < math.inf:
        raise ConfigurationError(f"the duration must be a number of seconds > 0, not {duration_s!r}")


def refuse_faults(what: str, faults: Sequence[str | None]) -> None:
    """Raise one error with all faults that were found; None stands for a value without fault."""
    found = [fault for fault in faults if fault is not None]
    if found:
        raise ConfigurationError(f"{what}: " + "; ".join(found))


def fault_unless(holds: bool, name: str, wanted: str, value: object) -> str | None:  # noqa: FBT001 (the condition itself)
    """The fault of one value, or None if the condition holds."""
    return None if holds else f"{name} must be {wanted}, not {value!r}"
