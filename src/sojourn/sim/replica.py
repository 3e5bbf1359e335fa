"""A modelled replica: how long its batches take, how long it needs to start, and what may become of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from math import exp, inf
from random import Random

import msgspec

from sojourn.errors import ConfigurationError


class ModelledStart(msgspec.Struct, frozen=True):
    """How one start goes: ready after `duration_s`, or gone then if there is a `cause`.

    Args:
        duration_s: From the decision to start until ready or gone, in seconds, >= 0.
        cause: Why it fails, one line; empty if it succeeds.
    """

    duration_s: float
    cause: str = ""


class ColdStart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The phases of a cold start. A replica that is forked on a machine that has imported the code skips the import.

    Args:
        spawn_s: From the decision until a process that has the code runs, in seconds, >= 0.
        import_s: Starting an interpreter and importing the code, in seconds, >= 0; paid once per machine while a fork
            server is kept there.
        load_s: Loading the model, in seconds, >= 0.
        warm_up_s: Warming up, in seconds, >= 0.
        sigma: Standard deviation of the logarithm of the whole, >= 0.
    """

    spawn_s: float = 0.0
    import_s: float = 0.0
    load_s: float = 0.0
    warm_up_s: float = 0.0
    sigma: float = 0.0

    def __post_init__(self) -> None:
        faults = [f"{name} must be >= 0" for name in self.__struct_fields__ if not 0.0 <= getattr(self, name) < inf]
        if faults:
            raise ConfigurationError(f"cold start: {'; '.join(faults)}")

    def duration_s(self, rng: Random, *, is_forked: bool) -> float:
        """Time of one start."""
        mean_s = self.spawn_s + (0.0 if is_forked else self.import_s) + self.load_s + self.warm_up_s
        return mean_s * _lognormal(self.sigma, rng) if self.sigma else mean_s


class ModelledService(msgspec.Struct, frozen=True):
    """Service time `(alpha * w + beta) * noise * drift * pace`, the noise with mean 1; `w` is the batch's size.

    Args:
        alpha_s: Time per item, in seconds, >= 0. Items with a weight count as that many.
        beta_s: Time per batch, in seconds, >= 0.
        sigma: Standard deviation of the noise's logarithm (lognormal), >= 0.
        cold_start_s: From the decision to start until ready, in seconds, >= 0; `start_phases` takes its place.
        overhead_s: Transport and bookkeeping per batch, in seconds, >= 0.
        starts: Tells of each start by its number, from 1, how it goes; None lets `start_phases` and `start_failure` say.
        mean_by_size_s: Measured mean by batch size, index 0 unused, in seconds; sizes past its end follow the line.
        ratios: Quantiles of measured over expected time, evenly spaced from 0 to 1; they take the place of `sigma`.
        jitter_s: Mean of an exponential delay added to the transport of each batch, in seconds, >= 0.
        drift: (instant, factor) pairs, ascending: from each instant on service times are multiplied by the factor.
        straggler_share: Share of replicas that are slow all their life, in [0, 1].
        straggler_factor: How many times slower these are, >= 1.
        start_phases: The phases of a start.
        start_failure: Share of starts that fail halfway, in [0, 1).
        lifetime_s: Mean time a ready replica lives before it dies by itself (exponential), in seconds, > 0.
        item_failure: Share of items for which the function raises, in [0, 1].
    """

    alpha_s: float
    beta_s: float
    sigma: float = 0.0
    cold_start_s: float = 0.0
    overhead_s: float = 0.0
    starts: Callable[[int], ModelledStart] | None = None
    mean_by_size_s: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()
    jitter_s: float = 0.0
    drift: tuple[tuple[float, float], ...] = ()
    straggler_share: float = 0.0
    straggler_factor: float = 3.0
    start_phases: ColdStart | None = None
    start_failure: float = 0.0
    lifetime_s: float = inf
    item_failure: float = 0.0

    def __post_init__(self) -> None:
        faults = [f"{name} must be {rule}, not {getattr(self, name)!r}" for name, rule in self._broken_rules()]
        if faults:
            raise ConfigurationError(f"modelled service: {'; '.join(faults)}")

    def _broken_rules(self) -> list[tuple[str, str]]:
        shares = ("straggler_share", "start_failure", "item_failure")
        amounts = ("alpha_s", "beta_s", "sigma", "cold_start_s", "overhead_s", "jitter_s")
        broken = [(name, ">= 0 and finite") for name in amounts if not 0.0 <= getattr(self, name) < inf]
        broken += [(name, "in [0, 1]") for name in shares if not 0.0 <= getattr(self, name) <= 1.0]
        if not 1.0 <= self.straggler_factor < inf:
            broken.append(("straggler_factor", ">= 1"))
        if not self.lifetime_s > 0.0:
            broken.append(("lifetime_s", "> 0 seconds"))
        if len(self.ratios) == 1 or any(not 0.0 <= ratio < inf for ratio in self.ratios):
            broken.append(("ratios", "none, or two or more numbers >= 0"))
        instants_s = [at_s for at_s, _ in self.drift]
        if instants_s != sorted(instants_s) or any(not 0.0 < factor < inf for _, factor in self.drift):
            broken.append(("drift", "ascending instants with factors > 0"))
        return broken

    def mean_s(self, size: float) -> float:
        """Mean service time of a batch of this size (or weight)."""
        table = self.mean_by_size_s
        if size < len(table) and size == int(size):
            return table[int(size)]
        return self.alpha_s * size + self.beta_s

    def duration_s(self, size: float, rng: Random) -> float:
        """Time a batch of `size` occupies a replica of ordinary pace, transport included."""
        mean_s = self.mean_s(size) if self.mean_by_size_s else self.alpha_s * size + self.beta_s
        if self.ratios:
            mean_s *= _drawn(self.ratios, rng)
        elif self.sigma:
            mean_s *= _lognormal(self.sigma, rng)
        return mean_s + self.overhead_s

    def pace_of_new(self, rng: Random) -> float:
        """By what a new replica's times are multiplied all its life."""
        return self.straggler_factor if self.straggler_share and rng.random() < self.straggler_share else 1.0

    def drift_at(self, now_s: float) -> float:
        """By what all service times are multiplied at an instant."""
        place = bisect_right(self.drift, now_s, key=lambda step: step[0])
        return self.drift[place - 1][1] if place else 1.0

    def start(self, number: int, rng: Random | None = None, *, is_forked: bool = False) -> ModelledStart:
        """How the function's start of this number, from 1, goes."""
        if self.starts is not None:
            return self.starts(number)
        duration_s = self.cold_start_s
        if rng is not None and self.start_phases is not None:
            duration_s = self.start_phases.duration_s(rng, is_forked=is_forked)
        if rng is not None and self.start_failure and rng.random() < self.start_failure:
            return ModelledStart(duration_s * rng.random(), "RuntimeError: the model could not be loaded")
        return ModelledStart(duration_s)

    @property
    def imported_share(self) -> float:
        """Which share of a start without a fork server has passed when the code is imported."""
        phases = self.start_phases
        if phases is None:
            return 1.0
        whole_s = phases.spawn_s + phases.import_s + phases.load_s + phases.warm_up_s
        return (phases.spawn_s + phases.import_s) / whole_s if whole_s > 0.0 else 1.0

    def capacity_per_s(self, largest_batch: int, replicas: int = 1) -> float:
        """Requests per second in full batches."""
        return replicas * largest_batch / (self.alpha_s * largest_batch + self.beta_s)


def _lognormal(sigma: float, rng: Random) -> float:
    """A lognormal number with mean 1."""
    return exp(sigma * rng.gauss(0.0, 1.0) - sigma * sigma / 2)


def _drawn(quantiles: tuple[float, ...], rng: Random) -> float:
    """A number from the distribution with these quantiles, linear between them (inverse transform)."""
    place = rng.random() * (len(quantiles) - 1)
    low = int(place)
    return quantiles[low] + (place - low) * (quantiles[low + 1] - quantiles[low])
