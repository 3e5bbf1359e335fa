"""The text form of item sizes: `equal`, `pareto:shape=1.5,largest=100`, `lognormal:sigma=1`."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from random import Random
from typing import Final

import msgspec

from sojourn.errors import ConfigurationError
from sojourn.workload.sizes import lognormal_sizes, mean_of_lognormal, mean_of_pareto, pareto_sizes
from sojourn.workload.values import number

_PARAMETERS: Final[dict[str, dict[str, float]]] = {
    "equal": {},
    "pareto": {"shape": 1.5, "largest": 1000.0},
    "lognormal": {"sigma": 1.0, "largest": math.inf},
}


class SizeSpec(msgspec.Struct, frozen=True):
    """How unequal items are; their mean is 1, so that service times keep their meaning."""

    kind: str
    values: dict[str, float] = {}

    @property
    def text(self) -> str:
        """As it would be written."""
        values = ",".join(f"{name}={value:g}" for name, value in self.values.items())
        return f"{self.kind}:{values}" if values else self.kind

    def weights(self, rng: Random) -> Iterator[float]:
        """A size per request, without end; their mean is 1.

        Raises:
            ConfigurationError: A value is out of range.
        """
        if self.kind == "equal":
            return iter(lambda: 1.0, None)
        if self.kind == "pareto":
            mean, sizes = mean_of_pareto(**self.values), pareto_sizes(rng, **self.values)
        else:
            mean, sizes = mean_of_lognormal(**self.values), lognormal_sizes(rng, **self.values)
        return (size / mean for size in sizes)


def sizes_listed() -> str:
    """All kinds with their parameters, for people."""
    return ", ".join(
        f"{kind}:{','.join(f'{name}=' for name in parameters)}" if parameters else kind
        for kind, parameters in _PARAMETERS.items()
    )


def parse_sizes(text: str) -> SizeSpec:
    """Read a text form; values left out have their usual value.

    Raises:
        ConfigurationError: A kind or parameter is unknown, or a value is no number or out of range; all faults in one message.
    """
    kind, _, rest = text.strip().partition(":")
    if kind not in _PARAMETERS:
        near = difflib.get_close_matches(kind, _PARAMETERS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigurationError(f"sizes {text!r}: {kind!r} is none of {sizes_listed()}{hint}")
    values, faults = dict(_PARAMETERS[kind]), []
    for part in filter(None, rest.split(",")):
        name, _, value = part.partition("=")
        if name.strip() not in values:
            faults.append(f"{name.strip()!r} is none of {', '.join(values) or 'its parameters: it has none'}")
            continue
        try:
            values[name.strip()] = number(value.strip())
        except ValueError as err:
            faults.append(f"{name.strip()} must be {err}, not {value.strip()!r}")
    if faults:
        raise ConfigurationError(f"sizes {text!r}: {'; '.join(faults)}")
    spec = SizeSpec(kind, values)
    next(spec.weights(Random(0)))  # noqa: S311 - so that values out of range are told now
    return spec
