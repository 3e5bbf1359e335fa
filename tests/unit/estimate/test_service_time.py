"""The service-time model learns the line, its spread, and notices when it no longer holds."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.estimate.service_time import ServiceTimeFit, ServiceTimeModel, monotone


def taught(samples, largest_batch=32, start_s=0.0) -> ServiceTimeModel:
    model = ServiceTimeModel(largest_batch)
    for index, (size, duration_s) in enumerate(samples):
        model.observe(size, duration_s, start_s + index * 0.02)
    return model


def test_it_finds_the_line_behind_noiseless_batches():
    """Alpha and beta come out exactly, and the mean of a size never seen lies on the line."""
    rng = Random(1)
    sizes = [rng.randint(1, 20) for _ in range(60)]
    model = taught([(b, 0.005 + 0.0005 * b) for b in sizes])
    assert model.alpha_s == pytest.approx(0.0005, rel=1e-6)
    assert model.beta_s == pytest.approx(0.005, rel=1e-6)
    assert model.mean_by_size_s[32] == pytest.approx(0.021, rel=1e-6)


def test_p95_covers_about_nineteen_of_twenty_noisy_batches():
    """The predicted p95 is exceeded by a few percent of fresh batches, not by none and not by many."""
    rng = Random(2)

    def noisy(size: int) -> float:
        return (0.005 + 0.001 * size) * rng.lognormvariate(0.0, 0.2)

    model = taught([(b, noisy(b)) for b in (rng.randint(1, 16) for _ in range(400))])
    fresh = [(b, noisy(b)) for b in (rng.randint(1, 16) for _ in range(2000))]
    over = sum(duration_s > model.p95_by_size_s[size] for size, duration_s in fresh) / len(fresh)
    assert 0.01 < over < 0.10


def test_with_one_batch_size_only_the_slope_is_not_guessed_from_noise():
    """Batches of one size say nothing of the slope; the time of that size is still right."""
    rng = Random(3)
    model = taught([(4, 0.010 * rng.uniform(0.95, 1.05)) for _ in range(200)])
    assert model.alpha_s == 0.0
    assert model.mean_by_size_s[4] == pytest.approx(0.010, rel=0.05)


def test_the_slope_survives_a_long_quiet_time():
    """After hundreds of lone requests the slope learnt before is still known."""
    rng = Random(4)
    busy = [(b, 0.005 + 0.0005 * b) for b in (rng.randint(1, 32) for _ in range(100))]
    model = taught(busy + [(1, 0.0055)] * 500)
    assert model.mean_by_size_s[32] == pytest.approx(0.021, rel=0.15)


@pytest.mark.parametrize("factor", [3.0, 0.3])
def test_a_change_of_speed_is_learnt_within_tens_of_batches(factor: float):
    """CUSUM drift: thirty batches after the model became slower or faster, the prediction follows."""
    rng = Random(5)

    def batch(scale: float) -> tuple[int, float]:
        size = rng.randint(1, 16)
        return size, scale * (0.005 + 0.001 * size) * rng.lognormvariate(0.0, 0.05)

    model = taught([batch(1.0) for _ in range(300)])
    for index in range(30):
        model.observe(*batch(factor), 6.0 + index * 0.02)
    assert model.mean_by_size_s[8] == pytest.approx(factor * 0.013, rel=0.2)


def test_one_outlier_changes_little():
    """A single batch fifty times slower neither raises the alarm nor moves the median-based curve much."""
    model = taught([(8, 0.013), (4, 0.009)] * 100)
    model.observe(8, 0.65, 10.0)
    model.observe(8, 0.013, 10.3)
    assert model.mean_by_size_s[8] == pytest.approx(0.013, rel=0.05)


def test_one_outlier_does_not_tilt_the_line():
    """Sizes without batches of their own are predicted by the line: one batch fifty times slower leaves it nearly as it was."""
    model = taught([(b, 0.005 + 0.001 * b) for b in (1, 2, 4, 8) * 30])
    model.observe(8, 50 * 0.013, 10.0)
    model.observe(4, 0.009, 10.3)
    assert model.mean_by_size_s[32] == pytest.approx(0.037, rel=0.15)


def test_what_a_size_took_a_minute_ago_gives_way_to_the_line():
    """Batches of eight were odd once; none came for a minute, and others say what eight should take."""
    model = taught([(4, 0.009), (16, 0.021)] * 30 + [(8, 0.020)] * 12)
    assert model.mean_by_size_s[8] > 0.0155
    for index in range(400):
        model.observe(*((4, 0.009), (16, 0.021))[index % 2], 2.0 + index * 0.2)
    assert model.mean_by_size_s[8] == pytest.approx(0.013, rel=0.03)


def test_a_change_of_speed_seen_at_one_size_keeps_the_slope():
    """Everything takes 20 ms longer; only batches of eight were seen since: larger ones are still the slower."""
    model = taught([(b, 0.005 + 0.001 * b) for b in (*(1, 2, 4, 8, 16) * 20, *[8] * 12)])
    for index in range(30):
        model.observe(8, 0.033, 6.0 + index * 0.02)
    assert model.mean_by_size_s[8] == pytest.approx(0.033, rel=0.05)
    assert model.mean_by_size_s[32] == pytest.approx(0.033 + 0.024, rel=0.1)


def test_after_a_change_of_speed_the_worst_seen_is_the_p95_while_few_are_known():
    """Few batches are known of the new speed: the slowest of them is counted with, until there are thirty."""
    model = taught([(8, 0.010)] * 60)
    for index, duration_s in enumerate([0.05] * 9 + [0.08] + [0.05] * 10):
        model.observe(8, duration_s, 6.0 + index * 0.05)
    assert model.mean_by_size_s[8] == pytest.approx(0.05, rel=0.1)
    assert model.p95_by_size_s[8] >= 0.075
    for index in range(220):
        model.observe(8, 0.05, 7.0 + index * 0.01)
    assert model.p95_by_size_s[8] == pytest.approx(0.05, rel=0.02)


def drifted() -> tuple[ServiceTimeModel, float]:
    """A model that has just noticed that batches of 8 take 50 ms instead of 10, and when that was."""
    model, now_s = taught([(8, 0.010)] * 60), 6.0
    while model._cautious_until_s < now_s:
        now_s += 0.05
        model.observe(8, 0.05, now_s)
        assert now_s < 8.0, "a change of five times is noticed within a few batches"
    return model, now_s


def test_the_caution_after_a_change_lasts_for_five_seconds():
    """A creeping change, noticed when the last ten batches are all of the new speed: the worst of them is the p95 till then."""
    model, now_s, seen = taught([(8, 0.010)] * 60), 6.0, 0
    while model._cautious_until_s < now_s:
        now_s, seen = now_s + 0.05, seen + 1
        model.observe(8, 0.0118 if seen % 8 == 0 else 0.0105, now_s)
        assert seen < 60, "a lasting change of five percent is noticed"
    assert seen >= 10
    for index in range(8):
        model.observe(8, 0.0105, now_s + 0.55 * index)
    assert model.p95_by_size_s[8] == pytest.approx(0.0118, rel=0.02)
    for index in range(20):
        model.observe(8, 0.0105, now_s + 5.3 + 0.3 * index)
    assert model.p95_by_size_s[8] == pytest.approx(0.0105, rel=0.02)


def test_noise_alone_hardly_ever_raises_an_alarm():
    """Fifty thousand batches with a noise of a tenth, nothing has changed: one alarm or so, not one a minute."""
    alarms = 0
    for seed in range(5):
        model, rng = ServiceTimeModel(8), Random(seed)
        until_s = model._cautious_until_s
        for index in range(10_000):
            model.observe(8, 0.01 * rng.lognormvariate(0.0, 0.1), index * 0.01)
            alarms += model._cautious_until_s != until_s
            until_s = model._cautious_until_s
    assert alarms <= 4


def test_an_alarm_is_raised_once_for_a_change():
    """The sums begin anew with it: batches at the new speed raise no other."""
    model, now_s = drifted()
    assert (model._drift_up, model._drift_down) == (0.0, 0.0)
    for index in range(20):
        model.observe(8, 0.05, now_s + 0.05 * (index + 1))
    until_s = model._cautious_until_s
    for index in range(20, 60):
        model.observe(8, 0.05, now_s + 0.05 * (index + 1))
    assert model._cautious_until_s == until_s


def test_each_refit_has_a_version_of_its_own():
    """What others derived from the curves is derived again when they change."""
    model, versions = ServiceTimeModel(4), [0]
    for index in range(20):
        model.observe(1 + index % 4, 0.01, index * 1.0)
        versions.append(model.version)
    assert all(a < b for a, b in pairwise(versions))


def test_batch_sizes_grow_step_by_step():
    """No batch may be tried that is far larger than any measured: 1, 2, 3, 4, 6, 8, ... up to the limit."""
    model = ServiceTimeModel(32)
    caps = []
    for _ in range(20):
        caps.append(model.size_cap)
        model.observe(model.size_cap, 0.01, 0.0)
    assert caps[:6] == [1, 2, 3, 4, 6, 8]
    assert caps[-1] == 32
    assert all(b <= a + a // 4 + 1 for a, b in pairwise(caps))


def test_it_is_cautious_until_thirty_batches():
    """The p95 is inflated by a tenth while few batches were seen."""
    early = taught([(4, 0.010)] * 10)
    late = taught([(4, 0.010)] * 40)
    assert early.p95_by_size_s[4] == pytest.approx(0.011)
    assert late.p95_by_size_s[4] == pytest.approx(0.010)


@given(samples=st.lists(st.tuples(st.integers(1, 32), st.floats(0, 1e3, allow_nan=False)), min_size=1, max_size=120))
@settings(max_examples=60, deadline=None)
def test_curves_are_finite_monotone_and_ordered_whatever_was_measured(samples):
    """Both curves rise with the batch size, are never negative, and alpha and beta are at least zero."""
    model = taught(samples)
    assert model.alpha_s >= 0.0
    assert model.beta_s >= 0.0
    for curve in (model.mean_by_size_s, model.p95_by_size_s):
        assert all(0.0 <= a <= b < float("inf") for a, b in pairwise(curve[1:]))


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 5)), min_size=1, max_size=30))
def test_monotone_keeps_the_weighted_mean_and_leaves_sorted_sequences_alone(pairs):
    """Isotonic regression: non-decreasing, same weighted sum, and the identity on what rises already."""
    values, weights = [v for v, _ in pairs], [w for _, w in pairs]
    result = monotone(values, weights)
    assert all(a <= b + 1e-9 for a, b in pairwise(result))
    assert sum(r * w for r, w in zip(result, weights, strict=True)) == pytest.approx(
        sum(v * w for v, w in zip(values, weights, strict=True)), abs=1e-6
    )
    assert monotone(sorted(values), weights) == sorted(values)


def noisy_samples(seed: int, count: int, largest: int = 16) -> list[tuple[int, float]]:
    rng = Random(seed)
    sizes = [rng.randint(1, largest) for _ in range(count)]
    return [(size, (0.005 + 0.001 * size) * rng.lognormvariate(0.0, 0.1)) for size in sizes]


@given(st.integers(0, 300), st.integers(1, 40), st.integers(0, 1000))
@settings(max_examples=12)
def test_a_resumed_model_says_what_the_one_before_said(count: int, more: int, seed: int):
    """Told as JSON and taken up at another instant, it predicts the same, and goes on learning as if nothing had been."""
    samples = noisy_samples(seed, count)
    before = taught(samples)
    ended_s = len(samples) * 0.02
    before._tabulate(ended_s)
    text = msgspec.json.encode(before.fit(ended_s))
    after = ServiceTimeModel.resumed(msgspec.json.decode(text, type=ServiceTimeFit), 32, 5000.0)
    told, again = before.fit(ended_s), after.fit(5000.0)
    assert msgspec.structs.replace(again, by_size=[], cautious_s=0.0) == msgspec.structs.replace(
        told, by_size=[], cautious_s=0.0
    )
    assert again.cautious_s == pytest.approx(told.cautious_s)
    assert [(size, durations_s) for size, _, durations_s in again.by_size] == [
        (size, durations_s) for size, _, durations_s in told.by_size
    ]
    assert after.is_known == before.is_known
    if count:
        assert after.mean_by_size_s == pytest.approx(before.mean_by_size_s)
        assert after.p95_by_size_s == pytest.approx(before.p95_by_size_s)
        assert [after.p99_s(size) for size in (1, 8, 32)] == pytest.approx([before.p99_s(size) for size in (1, 8, 32)])
    for index, (size, duration_s) in enumerate(noisy_samples(seed + 1, more)):
        before.observe(size, duration_s, ended_s + (index + 1) * 0.3)
        after.observe(size, duration_s, 5000.0 + (index + 1) * 0.3)
    assert after.mean_by_size_s == pytest.approx(before.mean_by_size_s)


def test_after_a_long_absence_the_line_is_kept_and_samples_of_single_sizes_are_not():
    """As after the same time of quiet in one run."""
    model = taught([(4, 0.010), (8, 0.020), (16, 0.022)] * 20)
    model._tabulate(1.2)
    fit = model.fit(1.2)
    near = ServiceTimeModel.resumed(fit, 32, 100.0, away_s=5.0)
    far = ServiceTimeModel.resumed(fit, 32, 100.0, away_s=600.0)
    assert near.mean_by_size_s[16] == pytest.approx(model.mean_by_size_s[16])
    assert near.mean_by_size_s[16] != pytest.approx(16 * near.alpha_s + near.beta_s)
    assert far.mean_by_size_s[16] == pytest.approx(16 * far.alpha_s + far.beta_s)
    assert (far.alpha_s, far.samples) == (model.alpha_s, 60)


def test_a_model_for_smaller_batches_resumes_from_one_for_larger():
    """A revision may lower its largest batch; what was learnt of larger ones stays in the line."""
    model = taught([(b, 0.005 + 0.0005 * b) for b in range(1, 33)] * 3)
    after = ServiceTimeModel.resumed(model.fit(2.0), 8, 0.0)
    assert after.size_cap == 8
    assert after.mean_by_size_s[8] == pytest.approx(0.009, rel=1e-3)


@pytest.mark.parametrize(
    "change",
    [{"alpha_s": -1.0}, {"beta_s": float("inf")}, {"sums": (float("nan"),) * 5}, {"ratios": [-1.0]}, {"samples": -1}],
)
def test_a_fit_that_cannot_be_is_refused(change: dict):
    """Whoever read it from somewhere hears of it before a model does."""
    plain = {**msgspec.to_builtins(taught([(1, 0.01)] * 5).fit(1.0)), **change}
    with pytest.raises(msgspec.ValidationError, match="numbers"):
        msgspec.convert(plain, ServiceTimeFit)
