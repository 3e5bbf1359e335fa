"""Past saturation: the batch of the newest that is worth more than its time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import ceil, inf, log2

import msgspec

from sojourn.estimate.batch_plan import BatchPlan, BusyReplicas
from sojourn.policy.batching.port import BatchingView, Send, Wait

_EARNED = 0.9  # of what the best batches of the newest bring: batches get in each other's way
_LARGEST = 1.25  # times the planned size: when more are fresh than on average
_STEP = 1.25  # from one size looked at to the next
_SURES = (-1, -2)  # places of the quantiles with whose times the oldest of a batch is sure to be in time
_WAITS = (0.1, 0.3)  # for so many more, in parts of the planned size
_REGULAR = 1.1  # largest over least service time with which one wait may follow another
_RATES_PER_OCTAVE = 4  # arrival rates that are told apart by a plan
_CAPPED, _GAIN = 0.8, 0.002  # in order are batches so near the largest, and the newest gain less than this
_OVERLOAD = 1.25  # times the capacity: past it nobody is served who waited for long
_KEPT = 2.0  # times the planned size: how many stay queued at least
_OUTDATED = 0.85  # median of measured over believed times: less, and the times are of a slow spell that is over
_ROUNDING_S = 1e-9


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
        self._plan = self._in_order = BatchPlan(1, 0.0)
        self._planned_for: tuple[int, int, int, int] | None = None
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
        if hold is not None and now_s < hold.until_s and waiting < hold.until_size:
            return Wait(hold.until_s, 0, hold.until_size)
        self._replan(view, arrivals_per_s, cap)
        plan = self._plan
        if not self._gains(cap):
            return None
        times_s, ratios = view.model.mean_by_size_s, view.model.ratio_quantiles
        at_once, time_s = view.replicas * plan.size, times_s[plan.size]
        served_in_time = at_once * (view.latency_s / time_s - 1.0)
        self.room = ceil(max(_KEPT * plan.size, served_in_time))
        if arrivals_per_s * time_s < _OVERLOAD * at_once:
            self.room = max(self.room, ceil(arrivals_per_s * view.latency_s))  # all that are not overdue
        hopeless = bisect_left(queue, (queue[0][0], now_s + ratios[0] * times_s[1]))
        if hopeless == waiting:
            return Wait(inf, hopeless)
        is_alone = view.replicas == 1
        market = _Market(times_s, ratios, _EARNED * plan.goodput_per_s, _SURES if is_alone else _SURES[:1])
        largest = min(int(_LARGEST * plan.size) + 1, cap)
        dues_s = [entry[1] for entry in queue[max(hopeless, waiting - largest) :]]
        worth, size = market.best(dues_s, now_s - _ROUNDING_S, len(dues_s), -inf)
        if ratios[len(ratios) // 2] < _OUTDATED:
            size = len(dues_s)  # nothing else would tell how much faster larger batches are than believed
        if is_alone:  # nobody comes back to the others before this batch has ended
            last_s = now_s + ratios[0] * (times_s[size] + times_s[1])
            hopeless = bisect_left(queue, (queue[0][0], last_s), hopeless, waiting - size)
        elif hold is None or ratios[-1] <= _REGULAR * ratios[0]:
            more = self._worth_waiting_for(view, market, dues_s, arrivals_per_s, largest, worth)
            if more:
                self._hold = Wait(now_s + more / arrivals_per_s, hopeless, waiting - hopeless + more)
                return self._hold
        self._hold = None
        return Send(size, hopeless, skip=waiting - hopeless - size)

    def _replan(self, view: BatchingView, arrivals_per_s: float, cap: int) -> None:
        rate = round(_RATES_PER_OCTAVE * log2(arrivals_per_s))
        planned_for = (view.model.version, rate, cap, view.replicas)
        if planned_for != self._planned_for:
            self._planned_for = planned_for
            model = view.model
            busy = BusyReplicas(model.mean_by_size_s, model.ratio_quantiles, view.latency_s, cap)
            self._plan = busy.of_the_newest(2.0 ** (rate / _RATES_PER_OCTAVE), self._plan.size)
            self._in_order = busy.in_order(view.replicas, self._in_order.size)

    def _gains(self, cap: int) -> bool:
        """Whether anybody can be in time, and batches that are as large as allowed are not served as well in order."""
        plan, in_order = self._plan, self._in_order
        is_capped = in_order.size >= _CAPPED * cap
        return plan.goodput_per_s > (in_order.goodput_per_s * (1.0 + _GAIN) if is_capped else 0.0)

    def _worth_waiting_for(
        self,
        view: BatchingView,
        market: _Market,
        dues_s: list[float],
        arrivals_per_s: float,
        largest: int,
        worth: float,
    ) -> int:
        """How many more to wait for, if that is worth more than the best batch of now; else 0."""
        plan, price_per_s, now_s, more = self._plan, market.price_per_s, view.now_s, 0
        planned = (plan.goodput_per_s - price_per_s) * market.times_s[plan.size]
        for part in _WAITS:
            fresh = ceil(part * plan.size)
            wait_s = fresh / arrivals_per_s
            if planned - price_per_s * wait_s <= worth:
                break  # not even a batch as planned would be
            then_s = dues_s + [now_s + view.latency_s + place / arrivals_per_s for place in range(1, fresh + 1)]
            start_s, above = now_s + wait_s - _ROUNDING_S, worth + price_per_s * wait_s
            worth_then, size = market.best(then_s, start_s, min(largest, len(then_s)), above)
            if size:
                worth, more = worth_then - price_per_s * wait_s, fresh
        return more


class _Market(msgspec.Struct, frozen=True, gc=False):
    """What batches of the newest are worth: requests expected in time, less the price of the replica's time.

    Args:
        times_s: Mean service times by batch size [s].
        ratios: Quantiles of measured over mean time, ascending.
        price_per_s: What a second of a replica could bring otherwise [1/s].
        sures: Places of quantiles: where to look is found as if batches took as much.
    """

    times_s: list[float]
    ratios: tuple[float, ...]
    price_per_s: float
    sures: tuple[int, ...]

    def best(self, dues_s: list[float], start_s: float, largest: int, above: float) -> tuple[float, int]:
        """The most that a batch of the newest is worth, if that is more than `above`, and its size, else 0.

        Args:
            dues_s: Until when each has to be answered, the newest last [s].
            start_s: When the batch begins [s].
            largest: Largest size to consider, in [1, len(dues_s)].
            above: What it must be worth more than.
        """
        times_s, waiting = self.times_s, len(dues_s)
        best, best_size = above, 0
        size = low = 0
        for place in self.sures:
            # The largest batch whose oldest is quite sure to be in time: with regular times the best most often.
            ratio = self.ratios[place]
            low, high = max(low, 1), largest
            while low < high:
                middle = (low + high + 1) // 2
                if dues_s[waiting - middle] - start_s >= ratio * times_s[middle]:
                    low = middle
                else:
                    high = middle - 1
            if low != size:
                size = low
                worth = self._worth(dues_s, start_s, size)
                if worth > best:
                    best, best_size = worth, size
        while best_size == size < largest:
            size = min(max(int(size * _STEP), size + 1), largest)
            worth = self._worth(dues_s, start_s, size)
            if worth > best:
                best, best_size = worth, size
        return best, best_size

    def _worth(self, dues_s: list[float], start_s: float, size: int) -> float:
        ratios, time_s, waiting = self.ratios, self.times_s[size], len(dues_s)
        oldest = waiting - size
        surely = bisect_right(ratios, (dues_s[oldest] - start_s) / time_s)
        in_time = surely * size
        for ratio in ratios[surely:]:
            oldest = bisect_left(dues_s, start_s + ratio * time_s, oldest)
            if oldest == waiting:
                break
            in_time += waiting - oldest
        return in_time / len(ratios) - self.price_per_s * time_s
