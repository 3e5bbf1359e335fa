"""A change of a function's replicas as people are told of it, and the bounds an operator may set."""

from __future__ import annotations

from typing import Final

import msgspec

from sojourn.errors import ConfigurationError

# What may lead to a change; also the values of the metric label `cause`.
SCALING_CAUSES: Final = ("policy", "keep_alive", "start", "request", "pool", "replace", "scale_command")
REPLICAS_MAX: Final = 10_000


class ScalingDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The controller changed how many replicas a function is to have.

    Args:
        function: The function's name.
        before: Replicas it was to have until now, >= 0.
        after: Replicas it is to have from now on, >= 0.
        cause: Who or what asked for it, one of `SCALING_CAUSES`.
        why: The figures behind it, in one line for people.
        terms: The same figures by name, in base units, for programs.
    """

    function: str
    before: int
    after: int
    cause: str
    why: str
    terms: dict[str, float] = {}

    def sentence(self) -> str:
        """The whole of it in one line, such as `3 -> 5: envelope 412/s over 2 s needs 4.6 replicas at b=24`."""
        return f"{self.before} -> {self.after}: {self.why}"


class ReplicaLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The floor and the ceiling of a function's replicas that are in force now.

    Args:
        min_replicas: Replicas kept whatever the demand, in [0, 10000].
        max_replicas: Most replicas whatever the demand, in [1, 10000]; None leaves it to the platform's resources.

    Raises:
        ConfigurationError: A value is out of range, or the floor lies above the ceiling.
    """

    min_replicas: int = 0
    max_replicas: int | None = None

    def __post_init__(self) -> None:
        faults: list[str] = []
        if not 0 <= self.min_replicas <= REPLICAS_MAX:
            faults.append(f"min_replicas must be in [0, {REPLICAS_MAX}], not {self.min_replicas}")
        if self.max_replicas is not None:
            if not 1 <= self.max_replicas <= REPLICAS_MAX:
                faults.append(f"max_replicas must be in [1, {REPLICAS_MAX}], not {self.max_replicas}")
            elif self.min_replicas > self.max_replicas:
                faults.append(
                    f"min_replicas {self.min_replicas} lies above max_replicas {self.max_replicas}; change both at once"
                )
        if faults:
            raise ConfigurationError("; ".join(faults))

    def changed(self, min_replicas: int | None, max_replicas: int | None) -> ReplicaLimits:
        """These limits with one or both replaced; None leaves a limit as it is.

        Raises:
            ConfigurationError: What comes out cannot be; these limits stay as they are.
        """
        return ReplicaLimits(
            min_replicas=self.min_replicas if min_replicas is None else min_replicas,
            max_replicas=self.max_replicas if max_replicas is None else max_replicas,
        )
