"""Exact random counts: binomial, Poisson, and a count shared out, in time that hardly grows with the count.

Source:
    Devroye, "Non-Uniform Random Variate Generation" (1986), X.4: a binomial by the median of its uniforms, which
    is beta distributed; Ahrens and Dieter (1974): a Poisson count by the arrival time of one of its points, which
    is gamma distributed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

_FEW = 24.0


def binomial(tries: int, chance: float, rng: Random) -> int:
    """How many of `tries` independent tries succeed.

    Args:
        tries: Number of tries, >= 0.
        chance: Of each to succeed, in [0, 1].
        rng: Source of chance.
    """
    if chance > 0.5:
        return tries - binomial(tries, 1 - chance, rng)
    found = 0
    while tries * chance > _FEW:
        middle = (tries + 1) // 2  # the middle one of the tries' uniform numbers, in order
        cut = rng.betavariate(middle, tries + 1 - middle)
        if cut <= chance:
            found += middle
            tries, chance = tries - middle, min((chance - cut) / (1 - cut), 1.0)
        else:
            tries, chance = middle - 1, min(chance / cut, 1.0)
        if chance > 0.5:
            return found + tries - binomial(tries, 1 - chance, rng)
    return found + _few_successes(tries, chance, rng)


def poisson_count(mean: float, rng: Random) -> int:
    """A Poisson count.

    Args:
        mean: Its mean, >= 0.
        rng: Source of chance.
    """
    found = 0
    while mean > _FEW:
        ahead = int(mean * 7 / 8)
        at = rng.gammavariate(ahead, 1.0)
        if at > mean:
            return found + binomial(ahead - 1, mean / at, rng)
        found += ahead
        mean -= at
    floor, product = math.exp(-mean), rng.random()
    while product > floor:
        found += 1
        product *= rng.random()
    return found


def shared_out(count: int, shares: Sequence[float], rng: Random) -> list[int]:
    """Put each of `count` things at random into one of several parts; the parts add up to the count.

    Args:
        count: How many, >= 0.
        shares: Chance of each part, >= 0, summing to 1.
        rng: Source of chance.
    """
    parts, left = [], 1.0
    for share in shares[:-1]:
        part = binomial(count, min(max(share / left, 0.0), 1.0), rng) if left > 0 else 0
        parts.append(part)
        count -= part
        left -= share
    return [*parts, count]


def _few_successes(tries: int, chance: float, rng: Random) -> int:
    """Jump from success to success: the tries between two of them are geometric."""
    if chance <= 0:
        return 0
    scale, found, place = math.log1p(-chance), 0, 0
    while True:
        place += int(math.log(1.0 - rng.random()) / scale) + 1
        if place > tries:
            return found
        found += 1
