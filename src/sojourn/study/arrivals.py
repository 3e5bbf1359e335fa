"""The arrivals of a scenario by themselves, for what looks at them without running anything."""

from __future__ import annotations

from random import Random

from sojourn.errors import ConfigurationError
from sojourn.sim.scenario import Scenario


def arrivals_of(scenario: Scenario, name: str) -> list[float]:
    """When the requests of a function arrive that count, in seconds from the start, ascending; those of `simulate`.

    Args:
        scenario: The run.
        name: The function.

    Raises:
        ConfigurationError: Its items are unequal.
    """
    function = next(each for each in scenario.functions if each.settings.name == name)
    if function.traffic.sizes is not None or function.traffic.recorded:
        raise ConfigurationError(f"function {name!r}: what is possible is only known for items that are all alike")
    # The same chance as `simulate` draws them with; tests/unit/study/test_arrivals.py holds the two together.
    rng = Random(f"{scenario.seed} {name} arrivals")  # noqa: S311 - repeatable, not secret
    instants = function.traffic.instants(scenario.duration_s, rng)
    return [at_s for at_s in instants if at_s >= scenario.transient_s]
