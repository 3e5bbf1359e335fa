"""A synthetic twin of a recorded workload: same mean, profile, dispersion and memory, other chance.

A twin can be published and lengthened in number where the recording cannot. It is drawn in three steps:

1. The distribution of the counts is taken apart by time of day (or minute of the hour, or whichever rhythm
   explains most), so that profile, silence and peaks are kept.
2. A process with memory, a mixture of autoregressions from two intervals to some thousands, says whether a
   minute ranks low or high among those of its time of day. The mixture is fitted to the autocorrelation.
3. Each rank is turned into a count between the recorded ones next to it, so that none is simply repeated.

Instants are treated alike: their gaps, with daily profile taken out, take the place of the counts.

Source:
    Counts from a transformed Gaussian process: Cario and Nelson (1996), "Autoregressive to anything"; the
    correction of its autocorrelation by trial: Schreiber and Schmitz (1996), "Improved surrogate data".
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, combinations, groupby
from operator import mul
from random import Random
from statistics import NormalDist

from sojourn.workload.recorded import COUNT_MAX, Counts, Instants, Recorded
from sojourn.workload.statistics import autocorrelations, gaps_of
from sojourn.workload.trace import Trace

_DAY_S, _HOUR_S = 86_400.0, 3600.0
# Steps in which an autoregression forgets 63 %, and whether it is smoothed once more: what goes on and off needs
# levels that do not tremble around the threshold.
_MEMORIES = (
    (2.0, False),
    (10.0, False),
    (60.0, False),
    (360.0, False),
    (1440.0, False),
    (7200.0, False),
    (2.0, True),
    (5.0, True),
    (15.0, True),
    (60.0, True),
    (360.0, True),
)
_LAGS = (1, 2, 5, 15, 60, 360, 1440)
_ROUNDS, _ATTEMPTS = 8, 3
_GOOD, _EXCELLENT = 0.08, 0.04  # greatest fault of an autocorrelation that is let pass, that ends the search
_SWEEPS = 60
_BETTER = 0.05  # adjusted share of variance a finer rhythm must add: long bursts alone seem to have a little
_CYCLES_MIN = 8
_PERIODS_SHORT, _PARTS_OF_HOUR = 60, (1, 2, 3, 4, 6, 12, 30)
_LITTLE = 1e-3  # share of the variance below which a path is left out
_NEAR = 0.25  # a twin's count is at most this share of the gap away from the recorded one
_BLOCK = 100_000
_BATCHED = 0.8  # with fewer distinct instants than this share of the requests, they come in batches
_UNIFORM = math.sqrt(12.0)  # a uniform number of this width has variance 1
_NORMAL = NormalDist()


def twin_of(trace: Trace, rng: Random, *, on_function: Callable[[str], None] | None = None) -> Trace:
    """Draw a twin of a trace, function by function.

    Args:
        trace: What was recorded.
        rng: Source of chance.
        on_function: Told each function's name when it is done: a second may pass for 14 days of minutes.
    """
    functions: dict[str, Recorded] = {}
    for name, recorded in trace.functions.items():
        own = Random(rng.getrandbits(64))  # noqa: S311 - arrivals are no secret
        if isinstance(recorded, Counts):
            functions[name] = _twin_of_counts(recorded, own)
        else:
            functions[name] = _twin_of_instants(recorded, own)
        if on_function is not None:
            on_function(name)
    return Trace(functions, trace.duration_s)


def _twin_of_counts(recorded: Counts, rng: Random) -> Counts:
    counts = recorded.counts
    slots = _slots(counts, recorded.interval_s)
    drawn = _Surrogate(counts, slots, rng).drawn([lag for lag in _LAGS if 1.5 * lag <= len(counts)])
    return Counts(array("I", (min(_rounded(value, rng), COUNT_MAX) for value in drawn)), recorded.interval_s)


def _twin_of_instants(recorded: Instants, rng: Random) -> Instants:
    batches = [(at_s, sum(1 for _ in same)) for at_s, same in groupby(recorded.times_s)]
    if len(batches) > _BATCHED * recorded.requests:  # what falls together does so by chance
        return Instants(_twin_of_times(recorded.times_s, rng))
    sizes = array("d", (size for _, size in batches))
    times_s = _twin_of_times(array("d", (at_s for at_s, _ in batches)), rng)
    twin = array("d")
    for at_s, size in zip(times_s, _in_blocks(sizes, _LAGS, rng), strict=True):
        twin.extend([at_s] * max(_rounded(size, rng), 1))
    return Instants(twin)


def _twin_of_times(times_s: Sequence[float], rng: Random) -> array[float]:
    if len(times_s) < 3 or times_s[-1] <= times_s[0]:
        return array("d", times_s)
    clock = _DailyClock(times_s)
    gaps = gaps_of([clock.passed(at_s) for at_s in times_s])
    per_minute = max(round(60.0 * len(gaps) / (times_s[-1] - times_s[0])), 1)
    twin = _in_blocks(gaps, sorted({1, 2, 5, 20, per_minute, 2 * per_minute}), rng)
    scale, began = sum(gaps) / sum(twin), clock.passed(times_s[0])
    return array("d", (max(clock.at(began + gone * scale), 0.0) for gone in accumulate(twin, initial=0.0)))


def _in_blocks(values: Sequence[float], lags: Sequence[int], rng: Random) -> list[float]:
    """A surrogate of a long series, piece by piece: memory stays bounded, and what drifts slowly is kept."""
    twin: list[float] = []
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        usable = [lag for lag in lags if 1.5 * lag <= len(block)]
        twin += _Surrogate(block, [0] * len(block), rng).drawn(usable)
    return twin


class _Surrogate:
    """Draws a series with the distribution of another one, slot by slot, and nearly its autocorrelation."""

    def __init__(self, values: Sequence[float], slots: Sequence[int], rng: Random) -> None:
        self._values = values
        self._rng = rng
        members: dict[int, list[int]] = {}
        for place, slot in enumerate(slots):
            members.setdefault(slot, []).append(place)
        self._members = list(members.values())
        self._ordered = [self._blurred(sorted(values[place] for place in slot)) for slot in self._members]

    def drawn(self, lags: Sequence[int]) -> list[float]:
        """One series; its autocorrelation is fitted at these lags, with new chance if the first is no good."""
        wanted = [value or 0.0 for value in autocorrelations(self._values, lags)]
        aim = [value or 0.0 for value in autocorrelations(self._scores(), lags)]
        best, least = self._fitted(lags, wanted, aim)
        for _ in range(_ATTEMPTS - 1):
            if least <= _GOOD:
                break
            series, fault = self._fitted(lags, wanted, aim)
            if fault < least:
                best, least = series, fault
        return best

    def _fitted(self, lags: Sequence[int], wanted: Sequence[float], aim: Sequence[float]) -> tuple[list[float], float]:
        """One series and how far its autocorrelation is off; that of the levels is corrected by what came of it."""
        paths = _Paths(len(self._values), self._rng)
        best, least = self._by_rank(paths.mixed(_weights([], []))), math.inf if lags else 0.0
        for _ in range(_ROUNDS if lags else 0):
            series = self._by_rank(paths.mixed(_weights(aim, lags)))
            found = [value or 0.0 for value in autocorrelations(series, lags)]
            fault = max(abs(want - have) for want, have in zip(wanted, found, strict=True))
            if fault < least:
                best, least = series, fault
            if least <= _EXCELLENT:
                break
            aim = [
                min(max(now + 0.7 * (want - have), -0.5), 0.9999)
                for now, want, have in zip(aim, wanted, found, strict=True)
            ]
        return best, least

    def _by_rank(self, levels: Sequence[float]) -> list[float]:
        """The values of each slot, in the order of the levels."""
        series = [0.0] * len(levels)
        for places, ordered in zip(self._members, self._ordered, strict=True):
            for place, value in zip(sorted(places, key=levels.__getitem__), ordered, strict=True):
                series[place] = value
        return series

    def _blurred(self, ordered: list[float]) -> list[float]:
        """Recorded values moved a little towards a neighbour, or away from it where there is none beyond."""
        random, last = self._rng.random, len(ordered) - 1
        blurred = []
        for rank, value in enumerate(ordered):
            below = value - ordered[rank - 1] if rank > 0 else 0.0
            above = ordered[rank + 1] - value if rank < last else below
            if rank == 0:
                below = min(above, value)
            move = (random() * 2 - 1) * _NEAR
            blurred.append(value + move * (above if move > 0 else below))
        return sorted(blurred)

    def _scores(self) -> list[float]:
        """Normal scores of the recorded values among those of their slot; ties are broken at random."""
        random, scores = self._rng.random, [0.0] * len(self._values)
        for places in self._members:
            ranked = sorted((self._values[place], random(), place) for place in places)
            for rank, (_, _, place) in enumerate(ranked):
                scores[place] = _NORMAL.inv_cdf((rank + 0.5) / len(ranked))
        return scores


class _Paths:
    """Stationary series of variance 1, one per memory and one of white noise; each is drawn when first asked for."""

    def __init__(self, steps: int, rng: Random) -> None:
        self._steps = steps
        self._rng = rng
        self._drawn: dict[int, array[float]] = {}

    def mixed(self, weights: Sequence[float]) -> list[float]:
        """Their sum, each with its share of the variance."""
        parts = []
        for place, weight in enumerate(weights):
            if weight > _LITTLE:
                if place not in self._drawn:
                    self._drawn[place] = self._path(place)
                scale = math.sqrt(weight)
                parts.append([scale * value for value in self._drawn[place]])
        return [sum(values) for values in zip(*parts, strict=True)]

    def _path(self, place: int) -> array[float]:
        random = self._rng.random
        if place == len(_MEMORIES):
            return array("d", (_UNIFORM * (random() - 0.5) for _ in range(self._steps)))
        memory, is_smooth = _MEMORIES[place]
        keep = math.exp(-1 / memory)
        # Uniform noise of variance 1 - r^2: only ranks are used, and over a memory's length sums are Gaussian anyway.
        fresh = _UNIFORM * math.sqrt(1 - keep * keep)
        level, path = self._rng.gauss(0.0, 1.0), array("d")
        if not is_smooth:
            for _ in range(self._steps):
                path.append(level)
                level = keep * level + fresh * (random() - 0.5)
            return path
        second = 0.0
        for step in range(-int(6 * memory), self._steps):
            level = keep * level + fresh * (random() - 0.5)
            second = keep * second + level
            if step >= 0:
                path.append(second)
        scale = (1 - keep * keep) / math.sqrt(1 + keep * keep)
        return array("d", (value * scale for value in path))


def _correlation_of(memory: float, lag: int, *, is_smooth: bool) -> float:
    """Autocorrelation of a path: r^k, or `(1 + k (1-r^2) / (1+r^2)) r^k` with a double root r."""
    keep = math.exp(-1 / memory)
    return keep**lag * (1 + lag * (1 - keep * keep) / (1 + keep * keep) if is_smooth else 1.0)


class _DailyClock:
    """Time that passes faster in busy hours of the day, so that arrivals look even; plain time for short recordings."""

    def __init__(self, times_s: Sequence[float]) -> None:
        hours = [0] * 24
        days = (times_s[-1] - times_s[0]) / _DAY_S
        if days >= 2 and len(times_s) >= 1000:
            for at_s in times_s:
                hours[int(at_s % _DAY_S / _HOUR_S) % 24] += 1
        mean = sum(hours) / 24
        # An hour that was always silent still passes, if slowly: instants may need a place in it.
        speeds = [max(hour / mean, 1e-3) if mean > 0 else 1.0 for hour in hours]
        total = sum(speeds)
        self._speeds = [speed * 24 / total for speed in speeds]
        self._until = [0.0, *accumulate(speed * _HOUR_S for speed in self._speeds)]
        self._until[-1] = _DAY_S

    def passed(self, at_s: float) -> float:
        days, rest_s = divmod(at_s, _DAY_S)
        hour = min(int(rest_s / _HOUR_S), 23)
        return days * _DAY_S + self._until[hour] + (rest_s - hour * _HOUR_S) * self._speeds[hour]

    def at(self, passed: float) -> float:
        days, rest = divmod(passed, _DAY_S)
        hour = min(bisect_right(self._until, rest) - 1, 23)
        return days * _DAY_S + hour * _HOUR_S + (rest - self._until[hour]) / self._speeds[hour]


def _slots(counts: Sequence[int], interval_s: float) -> list[int]:
    """Which rhythm explains the counts best: the slot of each interval in it."""
    day, hour = round(_DAY_S / interval_s), max(round(_HOUR_S / interval_s), 1)
    length, square = len(counts), math.fsum(map(mul, counts, counts))
    best, explained = [0] * length, 0.0
    # Of counts per second not each of 3600 periods, but the short ones and those that clocks have.
    periods = {*range(2, min(hour, _PERIODS_SHORT) + 1), *(hour // part for part in _PARTS_OF_HOUR)}
    candidates = [(period, 1) for period in sorted(periods) if period >= 2 and _CYCLES_MIN * period <= length]
    if length >= 2 * day:
        candidates.append((day, hour))
        if length >= 4 * day:
            candidates.append((day, 1))
    for period, width in candidates:
        share = _explained(counts, square, period, width)
        if share > explained + _BETTER:
            best, explained = [place % period // width for place in range(length)], share
    return best


def _explained(counts: Sequence[int], square: float, period: int, width: int) -> float:
    """Share of the variance between the slots of a period, `width` steps wide, adjusted for their number (R^2)."""
    places = range(period)
    sums = [sum(counts[place::period]) for place in places]
    numbers = [len(range(place, len(counts), period)) for place in places]
    wide = [(sum(sums[at : at + width]), sum(numbers[at : at + width])) for at in range(0, period, width)]
    length, mean = len(counts), sum(sums) / len(counts)
    total = square - length * mean * mean
    between = math.fsum(part * part / number for part, number in wide if number) - length * mean * mean
    if total <= 0 or length <= len(wide):
        return 0.0
    return 1 - (1 - between / total) * (length - 1) / (length - len(wide))


def _weights(aim: Sequence[float], lags: Sequence[int]) -> list[float]:
    """Share of each autoregression, and last of white noise, whose mixture is nearest to the autocorrelations aimed at.

    Least squares on the simplex: share is moved between two parts at a time, which ends at the optimum; moving one
    alone would get stuck where the shares add up to 1.
    """
    shapes = [[_correlation_of(memory, lag, is_smooth=is_smooth) for lag in lags] for memory, is_smooth in _MEMORIES]
    shapes.append([0.0] * len(lags))
    weights, left = [0.0] * len(_MEMORIES) + [1.0], list(aim)
    pairs = [
        (to, off, [a - b for a, b in zip(shapes[to], shapes[off], strict=True)])
        for to, off in combinations(range(len(shapes)), 2)
    ]
    squares = [sum(map(mul, step, step)) for _, _, step in pairs]
    for _ in range(_SWEEPS):
        moved = 0.0
        for (to, off, step), square in zip(pairs, squares, strict=True):
            if square < 1e-12:
                continue
            move = min(max(sum(map(mul, step, left)) / square, -weights[to]), weights[off])
            if move:
                weights[to] += move
                weights[off] -= move
                left = [rest - move * part for rest, part in zip(left, step, strict=True)]
                moved += abs(move)
        if moved < 1e-3:
            break
    return weights


def _rounded(value: float, rng: Random) -> int:
    """The whole number below or above, so that the mean stays."""
    whole = math.floor(value)
    return max(whole + (rng.random() < value - whole), 0)
