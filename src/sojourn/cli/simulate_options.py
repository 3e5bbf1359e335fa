"""What a simulated run is asked for on the command line: one set of options for all commands that simulate."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from math import isfinite
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from sojourn.cli.options import parse_objective, read_by
from sojourn.cli.options import rate as read_rate
from sojourn.config.policies import policies_listed, read_batching, read_keepalive, read_scaling
from sojourn.config.quantities import read_duration_s
from sojourn.domain.function import MAX_BATCH_SIZE
from sojourn.domain.objective import SLO
from sojourn.domain.policy import (
    BATCHING_BY_NAME,
    KEEPALIVE_BY_NAME,
    SCALING_BY_NAME,
    BatchingSpec,
    KeepAliveSpec,
    ScalingSpec,
)
from sojourn.domain.scaling import REPLICAS_MAX
from sojourn.errors import ConfigurationError
from sojourn.sim.replica import ModelledService
from sojourn.workload.size_spec import SizeSpec, parse_sizes, sizes_listed
from sojourn.workload.spec import ArrivalSpec, arrivals_listed, parse_arrivals

MACHINES_MAX: Final = 10_000
DURATION_S_MAX: Final = 366 * 86_400.0
_LONG: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(d|w)", re.IGNORECASE)
_LONG_S: Final = {"d": 86_400.0, "w": 604_800.0}


_SIGMA_MAX: Final = 3.0  # beyond it hardly any sample shows the mean


class Rates(msgspec.Struct, frozen=True):
    """Mean arrival rates: of every function, and of some by name."""

    each_per_s: float | None = None
    by_name: dict[str, float] = {}

    def of(self, function: str) -> float | None:
        """The rate of a function; None if nothing was said of it."""
        return self.by_name.get(function, self.each_per_s)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a simulated run as they were typed; None is not given. Their help says what they mean."""

    target: str | None
    function: tuple[str, ...]
    model: ModelledService | None
    profile: tuple[Path, ...]
    threads: int | None
    slo: SLO | None
    max_batch_size: int | None
    batching: BatchingSpec | None
    scaling: ScalingSpec | None
    replicas: int | None
    keepalive: KeepAliveSpec | None
    min_replicas: int | None
    max_replicas: int | None
    cold_start: float | None
    cpus: float | None
    gpus: float | None
    machines: int | None
    cpus_per_machine: float | None
    gpus_per_machine: float | None
    arrivals: ArrivalSpec
    arrivals_text: str
    rate: Rates
    duration: float | None
    transient: float
    seed: int
    sizes: SizeSpec | None = None

    def told(self) -> dict[str, Any]:
        """What the run was asked for, for programs: where it came from, its traffic and its chance."""
        service = self.model
        return {
            "target": self.target,
            "model": service and {"alpha_s": service.alpha_s, "beta_s": service.beta_s, "sigma": service.sigma},
            "profiles": [str(path) for path in self.profile],
            "arrivals": self.arrivals_text,
            "rate_per_s": self.rate.by_name or self.rate.each_per_s,
            "sizes": self.sizes.text if self.sizes is not None else None,
            "duration_s": self.duration,
            "transient_s": self.transient,
            "seed": self.seed,
        }


def model(text: str) -> ModelledService:
    """Service times from `ALPHA,BETA[,SIGMA]` (a click type).

    Raises:
        click.BadParameter: These are not two or three numbers, or they are out of range.
    """
    parts = text.split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in {2, 3} or not all(isfinite(one) for one in numbers):
        raise click.BadParameter(
            f"{text!r}: write ALPHA,BETA or ALPHA,BETA,SIGMA: seconds per item, seconds per batch and the spread of the "
            "noise, such as 0.0005,0.005,0.1"
        )
    try:
        service = ModelledService(numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 0.0)
    except ConfigurationError as err:
        raise click.BadParameter(f"{text!r}: {err}") from err
    if service.sigma > _SIGMA_MAX:
        raise click.BadParameter(
            f"{text!r}: SIGMA is the spread of the noise's logarithm and may be {_SIGMA_MAX:g} at most; 0.1 is a tenth"
        )
    if numbers[0] + numbers[1] <= 0.0:
        raise click.BadParameter(f"{text!r}: a batch must take some time: ALPHA or BETA must be > 0 seconds")
    return service


def simulated_duration(text: str) -> float:
    """Seconds of virtual time, such as `90`, `10m`, `6h`, `14d` (a click type).

    Raises:
        click.BadParameter: It is none, or not in [1 ms, 366 d].
    """
    try:
        long = _LONG.fullmatch(str(text).strip())
        duration_s = float(long[1]) * _LONG_S[long[2].lower()] if long else read_duration_s(text)
    except ValueError as err:
        raise click.BadParameter(f"{err}, not {text!r}") from err
    if not 0.001 <= duration_s <= DURATION_S_MAX:
        raise click.BadParameter(f"must be in [1ms, 366d], not {text!r}")
    return duration_s


def start_duration(text: str) -> float:
    """Seconds a start takes, 0 or more (a click type)."""
    return 0.0 if str(text).strip() in {"0", "0s", "0ms"} else simulated_duration(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise click.BadParameter(f"must be a number > 0, not {text!r}")
    return value


def _rates(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> Rates:
    each: float | None = None
    by_name: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.rpartition("=")
        if (not equals and each is not None) or name in by_name:
            raise click.BadParameter("give one rate for all, and at most one NAME=RATE for each function")
        if equals:
            by_name[name] = read_rate(number)
        else:
            each = read_rate(text)
    return Rates(each, by_name)


_OPTIONS: Final = (
    click.argument("target", required=False),
    click.option("--function", multiple=True, metavar="NAME", help="Only this function of TARGET (repeatable)."),
    click.option(
        "--model",
        type=model,
        metavar="ALPHA,BETA[,SIGMA]",
        help="A batch of b takes ALPHA*b + BETA s, with noise SIGMA.",
    ),
    click.option(
        "--profile",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Measured service times and cold starts, from `sojourn profile` (repeatable).",
    ),
    click.option("--threads", type=click.IntRange(1), metavar="N", help="The profile's figures for N threads."),
    click.option("--slo", type=read_by(parse_objective), metavar="TEXT", help='Objective: "99% < 100ms", or 100ms.'),
    click.option("--max-batch-size", type=click.IntRange(1, MAX_BATCH_SIZE), metavar="N", help="Largest batch."),
    click.option(
        "--batching",
        type=read_by(read_batching),
        metavar="POLICY",
        help=f"With parameters if need be, such as fixed:size=8,wait=5ms: {', '.join(BATCHING_BY_NAME)}.",
    ),
    click.option(
        "--scaling",
        type=read_by(read_scaling),
        metavar="POLICY",
        help=f"As above, such as concurrency:target=4: {', '.join(SCALING_BY_NAME)}.",
    ),
    click.option("--replicas", type=click.IntRange(1, REPLICAS_MAX), metavar="N", help="Always N replicas."),
    click.option(
        "--keepalive",
        type=read_by(read_keepalive),
        metavar="POLICY",
        help=f"How long an idle replica is kept: {policies_listed(KEEPALIVE_BY_NAME)}.",
    ),
    click.option("--min-replicas", type=click.IntRange(0, REPLICAS_MAX), metavar="N", help="Replicas always kept."),
    click.option("--max-replicas", type=click.IntRange(1, REPLICAS_MAX), metavar="N", help="Most replicas."),
    click.option(
        "--cold-start", type=start_duration, metavar="DURATION", help="From the decision to start until ready."
    ),
    click.option("--cpus", type=_positive, metavar="N", help="Cores all replicas share [no bound]."),
    click.option("--gpus", type=_positive, metavar="N", help="Accelerators all replicas share."),
    click.option("--machines", type=click.IntRange(1, MACHINES_MAX), metavar="N", help="Place replicas on N machines."),
    click.option("--cpus-per-machine", type=_positive, metavar="N", help="Cores of each."),
    click.option("--gpus-per-machine", type=_positive, metavar="N", help="Accelerators of each."),
    click.option(
        "--arrivals",
        "arrivals_text",
        default="poisson",
        show_default=True,
        metavar="KIND",
        help=f"One of {arrivals_listed()}, with parameters if need be; see `sojourn workload kinds`.",
    ),
    click.option(
        "--sizes",
        metavar="KIND",
        help=f"How unequal items are, around a mean of 1 [all alike]: {sizes_listed()}. An item of size 2 takes twice ALPHA.",
    ),
    click.option(
        "--rate",
        multiple=True,
        callback=_rates,
        metavar="[NAME=]PER_SECOND",
        help="Mean arrival rate of each function, or of one of them; of a trace that of all functions together.",
    ),
    click.option(
        "--duration", type=simulated_duration, metavar="DURATION", help="Length of the arrivals [1m; a trace: its own]."
    ),
    click.option(
        "--transient",
        type=start_duration,
        metavar="DURATION",
        default="0",
        show_default=True,
        help="Requests that arrive before this are served but not counted.",
    ),
    click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same run."),
)


def scenario_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command all options of a scenario; it gets them as one argument `asked`.

    Raises:
        click.UsageError: The arrivals cannot be read (when the command runs).
    """

    @wraps(command)
    def packed(**given: Any) -> int:
        try:
            given["arrivals"] = parse_arrivals(given["arrivals_text"])
        except ConfigurationError as err:
            raise click.UsageError(f"--arrivals: {err}") from err
        try:
            given["sizes"] = None if given["sizes"] is None else parse_sizes(given["sizes"])
        except ConfigurationError as err:
            raise click.UsageError(f"--sizes: {err}") from err
        asked = Asked(**{name: given.pop(name) for name in Asked.__struct_fields__})
        return command(asked=asked, **given)

    result: Callable[..., int] = packed
    for option in reversed(_OPTIONS):
        result = option(result)
    return result
