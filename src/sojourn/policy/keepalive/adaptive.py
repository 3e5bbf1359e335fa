"""A keep-alive learnt from idle times: as long as the error budget asks for, and no longer."""

from __future__ import annotations

from math import inf

import msgspec

from sojourn.estimate.idle_histogram import BIN_S, RANGE_S, IdleHistogram
from sojourn.policy.keepalive.port import KeepAlive, KeepAliveView

_SHORTEST_S = 30.0
_LONGEST_S = RANGE_S
_UNLEARNT_S = 600.0
_IDLE_TIMES_MIN = 10
_VARIATION_MIN = 2.0
_OUTSIDE_MAX = 0.1
_BUDGET_SHARE = 0.25  # of the error budget, for cold starts
_START_SHARE = 0.5  # of the objective's latency; the rest is for the request's own service
_EARLY, _LATE = 0.9, 1.1  # margins of the percentiles below
_FIRST, _LAST = 0.05, 0.99
_DAY_S = 86_400.0


class Plan(msgspec.Struct, frozen=True):
    """Keep for `keep_s`, then perhaps again from `again_at_s` to `until_s` after the idleness began; what it predicts.

    Args:
        keep_s: Time kept from the beginning [s].
        again_at_s: When the second stretch's replica is started, or infinity [s].
        until_s: End of the second stretch, or infinity [s].
        cold_share: Predicted share of idle times that end in a cold start, in [0, 1].
        idle_s: Predicted mean replica time spent idle per idle time [s].
    """

    keep_s: float
    again_at_s: float
    until_s: float
    cold_share: float
    idle_s: float


class AdaptiveKeepAlivePolicy:
    """Keeps the last replica until idleness is expected to be over, or starts one just before that.

    A request that waits for a start is a miss, so the keep-alive is the shortest one after which so few idle times
    are still going on that their cold requests use at most a quarter of the error budget (one minute more is kept,
    since the next idle time may just pass the longest so far), within [30 s, 4 h]. Where idle times leave a gap, the
    replica goes at its beginning and one is started again in time for its end (30 s and the 5th percentile, or the
    gap that saves most; with a margin of a tenth), to be kept until 1.1 times the 99th percentile (or as long as without a gap, if that is later): only where that is
    predicted to be less idle time and no more cold starts.

    Idle times are trusted if there are at least 10, the bins' counts have a coefficient of variation of at least 2,
    and at most a tenth lie past 4 h; otherwise 10 minutes are kept. Where starts are fast enough for the objective,
    30 s are.

    Source:
        M. Shahrad et al., "Serverless in the Wild", USENIX ATC 2020 (histogram, percentiles and their margins,
        10 minutes); the bound by the error budget is ours (ALGORITHMS 5). `benchmarks/keepalive.py` compares.
    """

    def __init__(self) -> None:
        self._idle = IdleHistogram()

    def idle_ended(self, idle_s: float) -> None:
        """Learn from an idle time of `idle_s` seconds."""
        self._idle.add(max(idle_s, 0.0))

    def decide(self, view: KeepAliveView) -> KeepAlive:
        """What to do in the idle time that begins now; a budget that cannot be met is told in `why`."""
        if 0.0 < view.cold_start_s <= _START_SHARE * view.latency_s < inf:
            why = f"a start of {view.cold_start_s:.3g} s fits into the objective's {view.latency_s:.3g} s"
            return KeepAlive(_SHORTEST_S, why)
        idle = self._idle
        allowed = min(_BUDGET_SHARE * view.budget * max(view.requests_per_idle, 1.0), 1.0)  # of the idle times
        doubt = self._doubt()
        if doubt:
            told = self._unmet(self._through(_UNLEARNT_S), allowed) if idle.count >= _IDLE_TIMES_MIN else ""
            return KeepAlive(_UNLEARNT_S, f"{doubt}: {_UNLEARNT_S:g} s until more is known{told}")
        covering_s = idle.shortest_covering(allowed)
        through = self._through((idle.quantile_s(_LAST)[1] if covering_s == inf else covering_s) + BIN_S)
        # Keeping through stands first: of equals it is the simpler.
        plan = min([through, *self._ahead(view.cold_start_s, through)], key=lambda each: each.idle_s)
        return self._answer(plan, view, allowed)

    def _doubt(self) -> str:
        """Why the idle times are not to be trusted, or nothing."""
        idle = self._idle
        if idle.count < _IDLE_TIMES_MIN:
            return f"{idle.count} of {_IDLE_TIMES_MIN} idle times seen"
        if idle.outside_share > _OUTSIDE_MAX:
            return f"{idle.outside_share:.0%} of {idle.count} idle times are longer than {RANGE_S / 3600:g} h"
        if idle.variation < _VARIATION_MIN:
            return f"the {idle.count} idle times are spread evenly"
        return ""

    def _through(self, keep_s: float) -> Plan:
        """Keep from the beginning, for `keep_s` within the bounds."""
        keep_s = min(max(keep_s, _SHORTEST_S), _LONGEST_S)
        idle = self._idle
        idle_s = sum(min(at_s, keep_s) * count for at_s, count in idle.bins()) / idle.count
        return Plan(keep_s, inf, inf, idle.longer_share(keep_s), idle_s)

    def _ahead(self, cold_start_s: float, through: Plan) -> list[Plan]:
        """The plans that start a replica ahead of time and are better than keeping one through."""
        idle = self._idle
        until_s = min(max(_LATE * idle.quantile_s(_LAST)[1], through.keep_s), _LONGEST_S)
        plans = []
        for keep_s, ready_at_s in ((_SHORTEST_S, _EARLY * idle.quantile_s(_FIRST)[0]), self._gap()):
            again_at_s = ready_at_s - cold_start_s
            if again_at_s <= keep_s or until_s <= ready_at_s:
                continue
            idle_s, cold = 0.0, 0
            for at_s, count in idle.bins():
                begin_s, end_s = at_s - BIN_S / 2, at_s + BIN_S / 2
                idle_s += count * (min(at_s, keep_s) + min(max(at_s - again_at_s, 0.0), until_s - again_at_s))
                cold += count * ((end_s > keep_s and begin_s < ready_at_s) or end_s > until_s)
            plan = Plan(keep_s, again_at_s, until_s, cold / idle.count, idle_s / idle.count)
            if plan.cold_share <= through.cold_share and plan.idle_s < through.idle_s:
                plans.append(plan)
        return plans

    def _gap(self) -> tuple[float, float]:
        """The stretch without any idle time's end that would save most, with margins on both sides [s]."""
        best, best_saves = (_SHORTEST_S, _SHORTEST_S), 0.0
        end_s, left = 0.0, self._idle.count
        for at_s, count in self._idle.bins():
            keep_s, ready_at_s = max(_LATE * end_s, _SHORTEST_S), _EARLY * (at_s - BIN_S / 2)
            saves = (ready_at_s - keep_s) * left
            if saves > best_saves:
                best, best_saves = (keep_s, ready_at_s), saves
            end_s, left = at_s + BIN_S / 2, left - count
        return best

    def _answer(self, plan: Plan, view: KeepAliveView, allowed: float) -> KeepAlive:
        per_idle = max(view.requests_per_idle, 1.0)
        why = (
            f"after {self._idle.count} idle times, 99% within {self._idle.quantile_s(_LAST)[1] / 60:g} min:"
            f" {plan.cold_share / per_idle:.2%} of requests cold predicted, {allowed / per_idle:.2%} allowed,"
            f" {plan.idle_s:.0f} s idle each time{self._unmet(plan, allowed)}"
        )
        if plan.again_at_s == inf:
            return KeepAlive(plan.keep_s, why)
        return KeepAlive(plan.keep_s, why, plan.again_at_s, plan.until_s - plan.again_at_s)

    def _unmet(self, plan: Plan, allowed: float) -> str:
        """How the sentence goes on where no keep-alive meets the budget."""
        idle = self._idle
        if idle.shortest_covering(allowed) < inf:
            return ""
        a_day_s = _DAY_S * min(plan.idle_s / max(idle.mean_s, 1.0), 1.0)
        return (
            f"; no keep-alive up to {_LONGEST_S / 3600:g} h meets the budget, min_replicas=1 would: up to {_DAY_S:.0f}"
            f" idle replica-seconds a day instead of about {a_day_s:.0f}"
        )
