"""From what was measured of a function to how its modelled replicas behave."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from statistics import fmean, pstdev

from sojourn.config.profile import ColdStarts, Profile, StartPhases, ThreadProfile
from sojourn.domain.function import FunctionSettings
from sojourn.errors import ConfigurationError
from sojourn.sim.replica import ColdStart, ModelledService


def service_of(profile: Profile, *, threads: int | None = None, largest: int | None = None) -> ModelledService:
    """How replicas behave that were measured.

    Means come from the sizes measured, and from the line where none was; the noise around them has the shape of the
    measured ratios, narrowed to what is noise and not a line that does not fit. Transport and coding are added as they
    were measured. What is not in it: drift, and noise that lasts over several batches.

    Args:
        profile: What was measured.
        threads: With how many BLAS and OpenMP threads; None takes the function's own number.
        largest: Largest batch of the simulation, >= 1; None takes the profile's.

    Raises:
        ConfigurationError: These threads were not measured; the message names those that were.
    """
    measured = profile.at_threads(threads)
    curve_s = measured.mean_by_size_s(largest or profile.max_batch_size)
    overhead_s = min(measured.overhead_s, min(curve_s[1:], default=0.0))
    per_item_s = measured.overhead_per_item_s + measured.decode_per_item_s + measured.encode_per_item_s
    return ModelledService(
        alpha_s=measured.alpha_s + per_item_s,
        beta_s=measured.beta_s,
        overhead_s=overhead_s,
        # The noise multiplies the call and its coding, not the transport.
        mean_by_size_s=(0.0, *(mean_s - overhead_s for mean_s in curve_s[1:])),
        ratios=_noise(measured),
        start_phases=cold_start_of(profile.cold_starts),
    )


def settings_of(profile: Profile) -> FunctionSettings:
    """The options a profile tells of: name, objective, largest batch, calls at once, threads."""
    return FunctionSettings(
        name=profile.name,
        slo=profile.objective,
        max_batch_size=profile.max_batch_size,
        concurrency=profile.slots,
        threads=profile.thread_count,
    )


def cold_start_of(starts: ColdStarts) -> ColdStart | None:
    """The phases of a cold start; None if none was measured.

    Forked starts, if there are some, tell of what each start pays. What the first one on a machine paid beyond that
    is its import: it also had to start an interpreter, and may have loaded what forked ones share.
    """
    measured = starts.first or starts.further
    if not measured:
        return None
    is_forked = bool(starts.further) and starts.are_further_forked
    rest = starts.further if is_forked else measured
    import_s = fmean(start.import_s for start in measured)
    if is_forked:
        once_s = fmean(start.total_s for start in measured) - fmean(start.total_s for start in rest)
        import_s = max(once_s, import_s)
    return ColdStart(
        spawn_s=fmean(start.spawn_s for start in rest),
        import_s=import_s,
        load_s=fmean(start.load_s for start in rest),
        warm_up_s=fmean(start.warmup_s for start in rest),
        sigma=_spread(rest),
    )


def _spread(starts: Sequence[StartPhases]) -> float:
    """Standard deviation of the logarithm of the whole; two starts or fewer tell nothing of it."""
    logs = [log(start.total_s) for start in starts if start.total_s > 0]
    return pstdev(logs) if len(logs) > 2 else 0.0


def _noise(measured: ThreadProfile) -> tuple[float, ...]:
    """Quantiles of a batch's time over the mean of its size; their mean is 1.

    The measured ratios are to the line, so that what the line does not fit widens them: their logarithms are drawn
    together by `sigma_within / sigma`.
    """
    share = min(measured.sigma_within / measured.sigma, 1.0) if measured.sigma > 0 else 0.0
    if not share:
        return ()
    drawn = [exp(log(ratio) * share) for ratio in measured.ratio_quantiles]
    # The mean of what is drawn, linear between the quantiles (trapezoids).
    mean = (sum(drawn) - (drawn[0] + drawn[-1]) / 2) / (len(drawn) - 1)
    if not 0 < mean < float("inf"):
        raise ConfigurationError(f"the ratios of the profile cannot be drawn from: their mean is {mean!r}")
    return tuple(ratio / mean for ratio in drawn)
