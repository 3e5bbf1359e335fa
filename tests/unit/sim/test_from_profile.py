"""From a profile to a modelled replica: means, noise and cold starts are those that were measured."""

from __future__ import annotations

from math import exp, log
from random import Random
from statistics import fmean, pstdev

import pytest

from sojourn.config.profile import BatchTimes, ColdStarts, Machine, Profile, StartPhases, ThreadProfile
from sojourn.errors import ConfigurationError
from sojourn.sim.from_profile import cold_start_of, service_of, settings_of

RNG = Random(5)
NOISE = sorted(exp(RNG.gauss(0.0, 0.2)) for _ in range(101))


def row(size, mean_s):
    return BatchTimes(size=size, samples=100, mean_s=mean_s, p50_s=mean_s, p95_s=1.3 * mean_s, p99_s=1.6 * mean_s)


def profile(**changes):
    fields = {
        "threads": 2,
        "alpha_s": 0.001,
        "beta_s": 0.004,
        "sigma": 0.2,
        "sigma_within": 0.2,
        "ratio_quantiles": NOISE,
        "overhead_s": 0.0003,
        "decode_per_item_s": 0.0001,
        "sizes": [row(1, 0.005), row(4, 0.008), row(8, 0.012)],
    }
    return Profile(
        name="digits",
        revision="r",
        slo="99% < 50ms",
        max_batch_size=16,
        slots=4,
        thread_count=2,
        machine=Machine(cores=2.0),
        by_threads=[ThreadProfile(**(fields | changes))],
    )


def test_means_are_those_measured_with_transport_and_coding():
    """Each size measured, those between, and those beyond along the line."""
    service = service_of(profile())
    for size, mean_s in ((1, 0.005), (2, 0.006), (4, 0.008), (8, 0.012), (16, 0.020)):
        assert service.mean_s(size) + service.overhead_s == pytest.approx(mean_s + 0.0003 + 0.0001 * size, rel=0.01)
    rng = Random(1)
    drawn = [service.duration_s(4, rng) for _ in range(20_000)]
    assert fmean(drawn) == pytest.approx(0.008 + 0.0003 + 0.0004, rel=0.01)


def test_the_noise_is_that_of_one_size():
    """What the line does not fit widens the measured ratios: it is taken out, and the rest keeps its shape."""
    plain = service_of(profile()).ratios
    assert plain == pytest.approx([ratio / fmean_of(NOISE) for ratio in NOISE])
    narrowed = service_of(profile(sigma_within=0.1)).ratios
    assert pstdev([log(ratio) for ratio in narrowed]) == pytest.approx(pstdev([log(ratio) for ratio in NOISE]) / 2)
    assert service_of(profile(sigma_within=0.0)).ratios == ()
    assert service_of(profile(sigma=0.0)).ratios == ()


def fmean_of(quantiles):
    return (sum(quantiles) - (quantiles[0] + quantiles[-1]) / 2) / (len(quantiles) - 1)


def test_a_small_largest_batch_and_other_threads():
    """Sizes past the largest one follow the line; threads that were not measured are refused by name."""
    assert len(service_of(profile(), largest=2).mean_by_size_s) == 3
    with pytest.raises(ConfigurationError, match="only for 2"):
        service_of(profile(), threads=3)


def test_a_forked_start_does_without_the_import():
    """The first start tells of what is paid once on a machine, further ones of the rest if they were forked."""
    first = [StartPhases(spawn_s=0.3, import_s=1.0, load_s=0.5, warmup_s=0.2)]
    further = [StartPhases(spawn_s=0.02, import_s=0.0, load_s=0.4, warmup_s=0.1)] * 3
    start = cold_start_of(ColdStarts(first=first, further=further, are_further_forked=True))
    rng = Random(1)
    assert start.duration_s(rng, is_forked=False) == pytest.approx(2.0)
    assert start.duration_s(rng, is_forked=True) == pytest.approx(0.52)
    plain = cold_start_of(ColdStarts(first=first, further=first, are_further_forked=False))
    assert plain.duration_s(rng, is_forked=False) == pytest.approx(2.0)
    assert cold_start_of(ColdStarts()) is None


def test_a_profile_tells_the_options_it_was_measured_with():
    """Name, objective, largest batch, calls at once."""
    settings = settings_of(profile())
    assert (settings.name, str(settings.slo)) == ("digits", "99% < 50ms")
    assert (settings.max_batch_size, settings.concurrency, settings.threads) == (16, 4, 2)
