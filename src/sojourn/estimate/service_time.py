"""How long a batch of `b` occupies a replica: a learnt line with quantiles around it."""

from __future__ import annotations

from collections import deque
from math import inf, isfinite, log, sqrt
from operator import mul

import msgspec

from sojourn.estimate.sorted_window import SortedWindow

_FORGETTING = 0.99  # weight of the past per batch: about a hundred batches are remembered
_RATIOS_KEPT = 200
_QUANTILES = 8  # in the middle of as many equal shares
_SIZE_SAMPLES_KEPT = 128
_SIZE_KEPT_S = 60.0
_OWN_MEDIAN_FROM = 10
_OWN_P95_FROM = 100
_CAUTIOUS_UNTIL = 30
_CAUTION = 1.1
_OUTLIER = 2.0
_KNOWN_FROM = 3
_DRIFT_SLACK = 0.5  # in standard deviations, as usual for a CUSUM that should see a shift of one
_DRIFT_ALARM = 12.0  # false once in 50,000 batches (8: in 2,300); times half as long again are seen after five to nine
_DRIFT_STEP_MAX = 3.0  # no single outlier may raise the alarm
_DRIFT_SIGMA_MIN = 0.05
_AFTER_DRIFT_S = 5.0
_AFTER_DRIFT_SAMPLES = 10
_AFTER_DRIFT_FEW = 30  # of more ratios the largest is no p95
_REFIT_EVERY = 32
_REFIT_AFTER_S = 0.25
_SIZES_TOLD = 64


class ServiceTimeFit(msgspec.Struct, frozen=True, kw_only=True):
    """What a model has learnt, as plain data: where the next one begins.

    Durations in seconds; of batch sizes with samples of their own the 64 seen last.

    Args:
        alpha_s: Per item.
        beta_s: Per batch.
        samples: Batches seen, >= 0.
        largest_seen: Largest of them, >= 0.
        sums: The weighted sums the line comes from.
        ratios: Measured to fitted times, oldest first.
        by_size: Of each such size: the size, how long ago it was seen last, and its durations, oldest first.
        recent: The last few batches, oldest first: size and duration.
        drift: How far towards an alarm that it has become slower, and faster.
        cautious_s: For how much longer it is cautious after such an alarm.
    """

    alpha_s: float
    beta_s: float
    samples: int
    largest_seen: int
    sums: tuple[float, float, float, float, float]
    ratios: list[float]
    by_size: list[tuple[int, float, list[float]]] = []
    recent: list[tuple[int, float]] = []
    drift: tuple[float, float] = (0.0, 0.0)
    cautious_s: float = 0.0

    def __post_init__(self) -> None:
        numbers = [self.alpha_s, self.beta_s, *self.sums, *self.ratios, *self.drift, self.cautious_s]
        numbers += [duration_s for _, duration_s in self.recent]
        numbers += [value for _, age_s, durations_s in self.by_size for value in (age_s, *durations_s)]
        if not all(isfinite(number) and number >= 0 for number in numbers) or min(self.samples, self.largest_seen) < 0:
            raise ValueError("service times must be numbers >= 0")


class Resumption(msgspec.Struct, frozen=True, kw_only=True):
    """From where a model goes on: what another one had learnt, and when.

    Args:
        fit: What it had learnt.
        now_s: When this one begins, in seconds on its own clock.
        away_s: Seconds since `fit` was told, >= 0.
    """

    fit: ServiceTimeFit
    now_s: float
    away_s: float = 0.0


class ServiceTimeModel:
    """Mean and quantiles of the time a batch takes, by batch size; learnt from completed batches.

    A line `alpha * b + beta` is fitted by least squares with exponential forgetting; quantiles are
    those of the ratio of measured to fitted time. A batch size with enough samples of its own uses
    its own median and p95, for a minute after the last of them. All curves are forced to be monotone in the batch size.

    Args:
        largest_batch: Largest batch size that will be asked for, >= 1.

    Source:
        ALGORITHMS 1; CUSUM: E. S. Page, "Continuous inspection schemes", 1954.
    """

    __slots__ = (
        "_by_size",
        "_by_size_at_s",
        "_cautious_until_s",
        "_drift_down",
        "_drift_up",
        "_fit_at_s",
        "_p99_ratio",
        "_ratio_logs",
        "_ratios",
        "_recent",
        "_sigma",
        "_since_fit",
        "_sums",
        "alpha_s",
        "beta_s",
        "is_known",
        "largest_batch",
        "largest_seen",
        "mean_by_size_s",
        "middle_by_size_s",
        "p95_by_size_s",
        "ratio_quantiles",
        "samples",
        "size_cap",
        "version",
    )

    def __init__(self, largest_batch: int) -> None:
        self.largest_batch = largest_batch
        self.alpha_s = 0.0
        self.beta_s = 0.0
        self.samples = 0
        self.largest_seen = 0
        self.is_known = False  # whether enough batches were seen to predict from
        self.size_cap = 1  # largest batch that may be tried: a quarter past the largest ever measured, plus one
        self.version = 0  # grows with every refit, so that what is derived can be cached
        # Index 0 is unused. While nothing is known a batch costs nothing we could count on.
        self.mean_by_size_s: list[float] = [0.0] * (largest_batch + 1)
        self.p95_by_size_s: list[float] = [0.0] * (largest_batch + 1)
        self.middle_by_size_s: list[float] = [0.0] * (largest_batch + 1)  # half-way between the two
        self.ratio_quantiles = (1.0,) * _QUANTILES  # of measured over fitted time, ascending
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0)  # of w, w*b, w*b*b, w*y, w*b*y
        self._ratios = SortedWindow(_RATIOS_KEPT)
        self._ratio_logs: deque[float] = deque(maxlen=_RATIOS_KEPT)
        self._by_size: dict[int, SortedWindow] = {}
        self._by_size_at_s: dict[int, float] = {}  # when a batch of this size was seen last
        self._recent: deque[tuple[int, float]] = deque(maxlen=_AFTER_DRIFT_SAMPLES)
        self._sigma = 0.0
        self._p99_ratio = 1.0
        self._drift_up = 0.0
        self._drift_down = 0.0
        self._cautious_until_s = -inf
        self._since_fit = 0
        self._fit_at_s = -inf

    @classmethod
    def resumed(cls, fit: ServiceTimeFit, largest_batch: int, now_s: float, away_s: float = 0.0) -> ServiceTimeModel:
        """A model that begins where another ended.

        Args:
            fit: What that one had learnt.
            largest_batch: As for a new one.
            now_s: The present instant.
            away_s: Seconds since `fit` was told, >= 0: samples of single sizes grow stale meanwhile, the line does not.
        """
        model = cls(largest_batch)
        if not fit.samples or fit.sums[0] <= 0:
            return model
        model.alpha_s, model.beta_s = fit.alpha_s, fit.beta_s
        model.samples, model.is_known = fit.samples, fit.samples >= _KNOWN_FROM
        model.has_run(min(fit.largest_seen, largest_batch))
        model._sums = fit.sums
        model._recent.extend((min(size, largest_batch), duration_s) for size, duration_s in fit.recent)
        model._drift_up, model._drift_down = fit.drift
        model._cautious_until_s = now_s + fit.cautious_s
        for ratio in fit.ratios:
            model._add_ratio(ratio)
        for size, age_s, durations_s in fit.by_size:
            if 1 <= size <= largest_batch and age_s + away_s <= _SIZE_KEPT_S and durations_s:
                model._by_size[size] = SortedWindow(_SIZE_SAMPLES_KEPT, durations_s)
                model._by_size_at_s[size] = now_s - age_s - away_s
        model._fit_at_s = now_s
        model._tabulate(now_s)
        return model

    def fit(self, now_s: float) -> ServiceTimeFit:
        """What it has learnt until `now_s`, for `resumed`."""
        latest = sorted(
            (now_s - at_s, size) for size, at_s in self._by_size_at_s.items() if not self._is_stale(size, now_s)
        )
        return ServiceTimeFit(
            alpha_s=self.alpha_s,
            beta_s=self.beta_s,
            samples=self.samples,
            largest_seen=self.largest_seen,
            sums=self._sums,
            ratios=list(self._ratios.in_order),
            by_size=[
                (size, max(age_s, 0.0), list(self._by_size[size].in_order))
                for age_s, size in latest[:_SIZES_TOLD]
                if size in self._by_size
            ],
            recent=list(self._recent),
            drift=(self._drift_up, self._drift_down),
            cautious_s=max(self._cautious_until_s - now_s, 0.0),
        )

    def p99_s(self, size: int) -> float:
        """p99 of the time a batch of `size` takes, never below its p95 [s]."""
        return max(self.mean_by_size_s[size] * self._p99_ratio, self.p95_by_size_s[size])

    def has_run(self, size: int) -> None:
        """Take in that a batch of `size` has run, whatever it took: somewhat larger ones may be tried."""
        if size > self.largest_seen:
            self.largest_seen = size
            self.size_cap = min(self.largest_batch, size + size // 4 + 1)

    def observe(self, size: int, duration_s: float, now_s: float) -> None:
        """Learn from a batch of `size` that occupied a replica for `duration_s` seconds."""
        duration_s = max(duration_s, 1e-6)
        self.samples += 1
        self.is_known = self.samples >= _KNOWN_FROM
        self.has_run(size)
        self._recent.append((size, duration_s))
        if self.samples > _CAUTIOUS_UNTIL and self._has_drifted(size, duration_s):
            self._forget(now_s)
            return
        self._add(size, duration_s, now_s)
        self._since_fit += 1
        few = self.samples <= _CAUTIOUS_UNTIL
        if few or self._since_fit >= _REFIT_EVERY or now_s - self._fit_at_s >= _REFIT_AFTER_S:
            self._fit(now_s)

    def _add(self, size: int, duration_s: float, now_s: float) -> None:
        line_s = self.alpha_s * size + self.beta_s
        if line_s > 0.0:
            self._add_ratio(duration_s / line_s)
        own = self._by_size.get(size)
        if own is None or self._is_stale(size, now_s):
            own = self._by_size[size] = SortedWindow(_SIZE_SAMPLES_KEPT)
        own.append(duration_s)
        self._by_size_at_s[size] = now_s
        if self.samples > _CAUTIOUS_UNTIL and self.p95_by_size_s[size] > 0.0:
            # One outlier must not tilt the line; a lasting change is the drift alarm's to see.
            duration_s = min(duration_s, _OUTLIER * self.p95_by_size_s[size])
        w, wb, wbb, wy, wby = self._sums
        self._sums = (
            w * _FORGETTING + 1.0,
            wb * _FORGETTING + size,
            wbb * _FORGETTING + size * size,
            wy * _FORGETTING + duration_s,
            wby * _FORGETTING + size * duration_s,
        )

    def _add_ratio(self, ratio: float) -> None:
        self._ratios.append(ratio)
        self._ratio_logs.append(log(ratio))

    def _fit(self, now_s: float) -> None:
        w, wb, wbb, wy, wby = self._sums
        variance = wbb / w - (wb / w) ** 2
        mean_b, mean_y = wb / w, wy / w
        if variance > 0.01:  # below, the batch sizes say nothing of the slope: keep what we had
            self.alpha_s = max((wby / w - mean_b * mean_y) / variance, 0.0)
        self.beta_s = mean_y - self.alpha_s * mean_b
        if self.beta_s < 0.0:
            self.beta_s = 0.0
            self.alpha_s = wby / wbb
        self._since_fit = 0
        self._fit_at_s = now_s
        self._tabulate(now_s)

    def _tabulate(self, now_s: float) -> None:
        ratios, logs = self._ratios.ascending or [1.0], self._ratio_logs or (0.0,)
        p50 = ratios[len(ratios) // 2]
        is_few = len(ratios) < _AFTER_DRIFT_FEW and now_s < self._cautious_until_s
        p95 = ratios[-1] if is_few else ratios[min(int(len(ratios) * 0.95), len(ratios) - 1)]
        self.ratio_quantiles = tuple(ratios[int(len(ratios) * (k + 0.5) / _QUANTILES)] for k in range(_QUANTILES))
        self._p99_ratio = max(ratios[min(int(len(ratios) * 0.99), len(ratios) - 1)], 1.0)
        centre = sum(logs) / len(logs)
        self._sigma = sqrt(max(sum(map(mul, logs, logs)) / len(logs) - centre * centre, 0.0))
        caution = _CAUTION if self.samples < _CAUTIOUS_UNTIL else 1.0
        spread = max(p95 / p50, 1.0)
        means_s, p95s_s, weights = [], [], []
        for size in range(1, self.largest_batch + 1):
            mean_s = self.alpha_s * size + self.beta_s
            p95_s = mean_s * max(p95, 1.0)
            weight = 1.0
            own = self._by_size.get(size)
            if own is not None and len(own) >= _OWN_MEDIAN_FROM and not self._is_stale(size, now_s):
                ordered = own.ascending
                weight = float(len(ordered))
                mean_s = ordered[len(ordered) // 2]
                p95_s = ordered[int(weight * 0.95)] if weight >= _OWN_P95_FROM else mean_s * spread
            means_s.append(mean_s)
            p95s_s.append(p95_s * caution)
            weights.append(weight)
        self.mean_by_size_s[1:] = monotone(means_s, weights)
        self.p95_by_size_s[1:] = monotone(p95s_s, weights)
        self.middle_by_size_s = [
            (mean_s + p95_s) / 2 for mean_s, p95_s in zip(self.mean_by_size_s, self.p95_by_size_s, strict=True)
        ]
        self.version += 1

    def _is_stale(self, size: int, now_s: float) -> bool:
        """Whether what batches of this size took is no evidence any more; the line is, with its newer batches."""
        return now_s - self._by_size_at_s[size] > _SIZE_KEPT_S

    def _has_drifted(self, size: int, duration_s: float) -> bool:
        expected_s = self.mean_by_size_s[min(size, self.largest_batch)]
        if expected_s <= 0.0:
            return False
        z = log(duration_s / expected_s) / max(self._sigma, _DRIFT_SIGMA_MIN)
        z = min(max(z, -_DRIFT_STEP_MAX), _DRIFT_STEP_MAX)
        self._drift_up = max(0.0, self._drift_up + z - _DRIFT_SLACK)
        self._drift_down = max(0.0, self._drift_down - z - _DRIFT_SLACK)
        return max(self._drift_up, self._drift_down) > _DRIFT_ALARM

    def _forget(self, now_s: float) -> None:
        """Start again from the last few batches; their worst is the p95 for a while."""
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0)
        self._ratios.clear()
        self._ratio_logs.clear()
        self._by_size.clear()
        self._drift_up = self._drift_down = 0.0
        self._cautious_until_s = now_s + _AFTER_DRIFT_S
        self.p95_by_size_s = [0.0] * (self.largest_batch + 1)
        alpha_before_s = self.alpha_s
        self.alpha_s = self.beta_s = 0.0
        for size, duration_s in self._recent:
            self._add(size, duration_s, now_s)
        self.alpha_s = alpha_before_s  # kept if the last few batches say nothing of the slope
        self._fit(now_s)
        for size, duration_s in self._recent:
            self._add_ratio(duration_s / max(self.alpha_s * size + self.beta_s, 1e-9))
        self._tabulate(now_s)


def monotone(values: list[float], weights: list[float]) -> list[float]:
    """The nearest non-decreasing sequence in weighted least squares (isotonic regression).

    Taking running maxima instead would keep every upward error and lift the whole curve.

    Source:
        Pool adjacent violators: Barlow, Bartholomew, Bremner, Brunk, "Statistical inference under
        order restrictions", 1972.
    """
    blocks: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(values, weights, strict=True):
        mean, total, length = value, weight, 1
        while blocks and blocks[-1][0] > mean:
            before, before_weight, before_length = blocks.pop()
            mean = (before * before_weight + mean * total) / (before_weight + total)
            total += before_weight
            length += before_length
        blocks.append((mean, total, length))
    return [mean for mean, _, length in blocks for _ in range(length)]
