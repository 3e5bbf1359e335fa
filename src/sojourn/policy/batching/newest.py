"""Past saturation: the batch of the newest that is worth more than its time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import ceil, inf
from operator import itemgetter

import msgspec

from sojourn.estimate.batch_plan import BatchPlan, BusyReplicas
from sojourn.estimate.service_time import ServiceTimeModel
from sojourn.policy.batching.port import BatchingView, Send, Wait

_EARNED = 0.9  # of what the best batches of the newest bring: batches get in each other's way
_LARGEST = 1.25  # times the planned size: when more are fresh than on average
_STEP = 1.25  # from one size looked at to the next
_SURES = 2  # quantiles with whose times the oldest of a batch is sure to be in time, if one replica is all there is
_MORE = 0.3  # for so many more may be waited, in parts of the planned size
_REGULAR = 1.1  # largest over least service time with which one wait may follow another
_ABOUT = 1.14  # arrival rates that are so near are planned for alike
_CAPPED, _GAIN = 0.8, 0.002  # in order are batches so near the largest, and the newest gain less than this
_OVERLOAD = 1.25  # times the capacity: past it nobody is served who waited for long
_KEPT = 2.0  # times the planned size: how many stay queued at least
_OUTDATED = 0.85  # median of measured over believed times: less, and the times are of a slow spell that is over
_SAME = 0.02  # in parts of a batch's mean time: what has changed less is planned for still
_ROUNDING_S = 1e-9
_DUE_S = itemgetter(1)  # of an entry of the queue


class NewestFirst:
    """Takes the newest, as many as are worth it, and leaves the others to the next free replica.

    Time of a replica has a price, `g`: what batches of the newest earn per second. Of all batches the one is sent with
    the most requests expected in time less `g` times its duration; one of several replicas waits for more to arrive if
    that is worth the time it waits, too. Whom nobody takes is given up once hopeless, or in overload when more wait than
    could be served in time, and than twice a batch.

    Source:
        Rewards less their average per unit of time: renewal reward, as in R. A. Howard, "Dynamic Programming and
        Markov Processes", 1960, for semi-Markov processes; docs/adr/0018-newest-first.md.
    """

    def __init__(self) -> None:
        self.room = 0  # how many stay queued, for the policy that asks
        self._terms: _Terms | None = None
        self._hold: Wait | None = None

    def decide(self, view: BatchingView, arrivals_per_s: float, cap: int) -> Send | Wait | None:
        """Which of the newest to send, or how long to wait for more; None if there is no gain in them.

        Args:
            view: With requests of one class queued, and known service times.
            arrivals_per_s: Arrival rate of just now, > 0 [1/s].
            cap: Largest batch, >= 1.
        """
        hold, queue, now_s = self._hold, view.queue, view.now_s
        waiting = len(queue)
        if hold is not None and now_s < hold.until_s and waiting < hold.until_size and not view.is_full:
            return Wait(hold.until_s, 0, hold.until_size)
        terms = self._terms
        if terms is None or not terms.still_apply(view, arrivals_per_s, cap):
            terms = self._terms = _terms(view, arrivals_per_s, cap, terms)
        if not terms.are_worth_it:
            return None
        market, largest = terms.market, terms.largest
        times_s, ratios = market.times_s, market.ratios
        self.room = terms.room
        if arrivals_per_s < terms.overload_per_s:
            self.room = max(self.room, ceil(arrivals_per_s * view.latency_s))  # all that are not overdue
        hopeless = bisect_left(queue, (queue[0][0], now_s + ratios[0] * times_s[1]))
        if hopeless == waiting:
            return Wait(inf, hopeless)
        dues_s = list(map(_DUE_S, queue[max(hopeless, waiting - largest) :]))
        worth, size = market.best(dues_s, now_s - _ROUNDING_S, len(dues_s), -inf)
        if market.median < _OUTDATED:
            size = len(dues_s)  # nothing else would tell how much faster larger batches are than believed
        if view.replicas == 1:  # nobody comes back to the others before this batch has ended
            last_s = now_s + ratios[0] * (times_s[size] + times_s[1])
            hopeless = bisect_left(queue, (queue[0][0], last_s), hopeless, waiting - size)
        elif (hold is None or market.is_regular) and not view.is_full:
            wait_s = terms.more / arrivals_per_s
            if terms.is_waiting_worth(now_s, dues_s, wait_s, worth):
                self._hold = Wait(now_s + wait_s, hopeless, waiting - hopeless + terms.more)
                return self._hold
        self._hold = None
        return Send(size, hopeless, skip=waiting - hopeless - size)


def _terms(view: BatchingView, arrivals_per_s: float, cap: int, before: _Terms | None) -> _Terms:
    """Plan batches for these times and about this arrival rate."""
    model, replicas, latency_s = view.model, view.replicas, view.latency_s
    times_s, ratios = model.mean_by_size_s, model.ratio_quantiles
    busy = BusyReplicas(times_s, ratios, latency_s, cap)
    plan = busy.of_the_newest(arrivals_per_s, 1 if before is None else before.plan.size)
    goodput_per_s = plan.goodput_per_s
    is_worth_it = goodput_per_s > 0.0
    if plan.size >= _CAPPED * cap:  # batches in order of arrival are hardly ever larger, where so many come
        in_order = busy.in_order(replicas, plan.size)
        if in_order.size >= _CAPPED * cap:
            is_worth_it = goodput_per_s > in_order.goodput_per_s * (1.0 + _GAIN)
    price_per_s, time_s, at_once = _EARNED * goodput_per_s, times_s[plan.size], replicas * plan.size
    return _Terms(
        version=model.version,
        replicas=replicas,
        cap=cap,
        latency_s=latency_s,
        from_per_s=arrivals_per_s / _ABOUT,
        below_per_s=arrivals_per_s * _ABOUT,
        plan=plan,
        are_worth_it=is_worth_it,
        market=_Market(times_s, ratios, price_per_s, _SURES if replicas == 1 else 1),
        planned_s=(time_s, ratios[0] * time_s, ratios[-1] * time_s),
        planned=(goodput_per_s - price_per_s) * time_s,
        largest=min(int(_LARGEST * plan.size) + 1, cap),
        more=ceil(_MORE * plan.size),
        room=ceil(max(_KEPT * plan.size, at_once * (latency_s / time_s - 1.0))),
        overload_per_s=_OVERLOAD * at_once / time_s,
    )


class _Terms(msgspec.Struct, gc=False, kw_only=True):
    """What is planned, and all that follows from it, while service times and about the arrival rate stay as they are.

    Args:
        version: Of the service times.
        replicas: How many there are.
        cap: Largest batch.
        latency_s: The objective's latency [s].
        from_per_s: Least arrival rate it is planned for [1/s].
        below_per_s: Arrival rate from which on it is not [1/s].
        plan: The batch that is best on average.
        are_worth_it: Whether anybody can be in time, and batches as large as allowed are not served as well in order.
        market: What batches are worth.
        planned_s: How long such a batch takes: the mean, the least and the most.
        planned: What a batch as planned is worth.
        largest: Largest batch to consider.
        more: For how many more to consider waiting.
        room: How many stay queued in overload.
        overload_per_s: Arrival rate from which on it is one [1/s].
    """

    version: int
    replicas: int
    cap: int
    latency_s: float
    from_per_s: float
    below_per_s: float
    plan: BatchPlan
    are_worth_it: bool
    market: _Market
    planned_s: tuple[float, float, float]
    planned: float
    largest: int
    more: int
    room: int
    overload_per_s: float

    def still_apply(self, view: BatchingView, arrivals_per_s: float, cap: int) -> bool:
        """Whether that for which they were made has not changed, or so little that a plan would hardly be another."""
        return (
            (self.version == view.model.version or self._apply_to(view.model))
            and self.from_per_s <= arrivals_per_s < self.below_per_s
            and self.replicas == view.replicas
            and self.cap == cap
        )

    def _apply_to(self, model: ServiceTimeModel) -> bool:
        """Whether service times that were learnt since are about the same; batches are judged by them from now on."""
        ratios = model.ratio_quantiles
        mean_s, least_s, most_s = self.planned_s
        time_s = model.mean_by_size_s[self.plan.size]
        are_same = (
            abs(time_s - mean_s) <= _SAME * mean_s
            and abs(ratios[0] * time_s - least_s) <= 2.0 * _SAME * mean_s
            and abs(ratios[-1] * time_s - most_s) <= 2.0 * _SAME * mean_s
        )
        if are_same:
            self.version = model.version
            self.market.times_s, self.market.ratios = model.mean_by_size_s, ratios
        return are_same

    def is_waiting_worth(self, now_s: float, dues_s: list[float], wait_s: float, worth: float) -> bool:
        """Whether with `more` that arrive in `wait_s` a batch is worth more than one of now, and the time it waited, too."""
        market = self.market
        least = worth + market.price_per_s * wait_s
        if self.planned <= least:
            return False  # not even a batch as planned would be
        then_s = dues_s + [now_s + self.latency_s] * self.more
        start_s = now_s + wait_s - _ROUNDING_S
        return market.best(then_s, start_s, min(self.largest, len(then_s)), least)[1] > 0


class _Market(msgspec.Struct, gc=False):
    """What batches of the newest are worth: requests expected in time, less the price of the replica's time.

    Args:
        times_s: Mean service times by batch size [s].
        ratios: Quantiles of measured over mean time, ascending.
        price_per_s: What a second of a replica could bring otherwise [1/s].
        sures: How many of the largest of these are taken for what batches take, to find where to look.
    """

    times_s: list[float]
    ratios: tuple[float, ...]
    price_per_s: float
    sures: int

    @property
    def median(self) -> float:
        """Of measured over mean time."""
        return self.ratios[len(self.ratios) // 2]

    @property
    def is_regular(self) -> bool:
        """Whether all batches of a size take about the same."""
        return self.ratios[-1] <= _REGULAR * self.ratios[0]

    def best(self, dues_s: list[float], start_s: float, largest: int, above: float) -> tuple[float, int]:
        """The most that a batch of the newest is worth, if that is more than `above`, and its size, else 0.

        Args:
            dues_s: Until when each has to be answered, the newest last [s].
            start_s: When the batch begins [s].
            largest: Largest size to consider, in [1, len(dues_s)].
            above: What it must be worth more than.
        """
        times_s, ratios, price_per_s, waiting = self.times_s, self.ratios, self.price_per_s, len(dues_s)
        best, best_size = above, 0
        size, low, looked, sures = 0, 1, 0, self.sures
        while True:
            if looked < sures:
                # The largest batch whose oldest is quite sure to be in time: with regular times the best most often.
                looked += 1
                ratio, high = ratios[-looked], largest
                while low < high:
                    middle = (low + high + 1) >> 1
                    if dues_s[-middle] - start_s < ratio * times_s[middle]:
                        high = middle - 1
                    else:
                        low = middle
                if low == size:
                    continue
                size = low
            elif best_size == size < largest:
                size = min(max(int(size * _STEP), size + 1), largest)
            else:
                return best, best_size
            # What it is worth, here and not in a method: this is most of what a decision costs.
            time_s, oldest = times_s[size], waiting - size
            surely = bisect_right(ratios, (dues_s[oldest] - start_s) / time_s)
            in_time = surely * size
            for ratio in ratios[surely:]:
                oldest = bisect_left(dues_s, start_s + ratio * time_s, oldest)
                if oldest == waiting:
                    break
                in_time += waiting - oldest
            worth = in_time / len(ratios) - price_per_s * time_s
            if worth > best:
                best, best_size = worth, size
