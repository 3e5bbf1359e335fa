"""Knative's two windows: a slow average to follow demand, a fast one to see a burst."""

from __future__ import annotations

from math import ceil, inf

import msgspec

from sojourn.policy.scaling.observation import Period, unobserved
from sojourn.policy.scaling.port import ScalingView, Want

_TICK_S = 2.0
_SCALE_UP_MAX = 1000.0
_SCALE_DOWN_MAX = 2.0


class Metric(msgspec.Struct, frozen=True):
    """What is divided by the target.

    Args:
        unit: The rest of "a 6-s average of 41.2 ...".
        target: What one replica gets at full use, in that unit, > 0.
        utilization: Share of it aimed at, in (0, 1].
    """

    unit: str
    target: float
    utilization: float


class StablePanic:
    """Replicas for a metric by Knative's rules; one per function, with its memory of panic.

    Every 2 s the averages over both windows are divided by `target * utilization` and rounded up. Panic begins when
    the fast one asks for at least `panic_factor` times the ready replicas, and ends a stable window after it last
    did. In panic the larger of the two counts and nothing is taken away. One decision raises at most 1000 times and,
    outside panic, takes away at most half. There is no scale-down delay. A policy that meets more than one replica at
    its first decision begins in panic, since it has forgotten why they are there.

    Args:
        metric: What is averaged and its target.
        stable_s: Slow window, in seconds, > 0.
        panic_s: Fast window, in seconds, in (0, stable_s].
        panic_factor: See above, > 1.

    Source:
        Knative Serving, `pkg/autoscaler/scaling/autoscaler.go` (`Scale`) and `multiscaler.go` (tick of 2 s, waking for
        the first request); defaults from "Additional autoscaling configuration for Knative Pod Autoscaler".
    """

    __slots__ = ("_is_first", "_metric", "_panic_at_s", "_panic_factor", "_panic_replicas", "_panic_s", "_period",
                 "_stable_s")  # fmt: skip

    def __init__(self, metric: Metric, *, stable_s: float, panic_s: float, panic_factor: float) -> None:
        self._metric = metric
        self._stable_s = stable_s
        self._panic_s = panic_s
        self._panic_factor = panic_factor
        self._period = Period(_TICK_S)
        self._panic_at_s = -inf  # when the threshold was last crossed; minus infinity outside panic
        self._panic_replicas = 0  # the most asked for in this panic
        self._is_first = True

    def undecided(self, view: ScalingView) -> Want | None:
        """The answer while there is nothing to decide (between ticks, without data), or None: then call `decide`."""
        return self._period.standing(view) or unobserved(view)

    def decide(self, view: ScalingView, stable: float, panic: float) -> Want:
        """The answer from the two averages at `view.now_s`.

        Args:
            view: For the ready replicas and the time.
            stable: Average over the slow window, >= 0.
            panic: Average over the fast window, >= 0.
        """
        now_s, ready = view.now_s, max(view.ready, 1)
        aim = self._metric.target * self._metric.utilization
        asked_stable, asked_panic = ceil(stable / aim), ceil(panic / aim)
        least, most = int(ready / _SCALE_DOWN_MAX), ceil(ready * _SCALE_UP_MAX)
        replicas = min(max(asked_stable, least), most)
        self._heed_threshold(view, asked_panic / ready)
        terms = {"stable": stable, "panic": panic, "aim": aim, "ready": float(view.ready)}
        if self._panic_at_s == -inf:
            why = self._sentence("", self._stable_s, stable, replicas)
            if replicas > asked_stable:
                why += f", at least {replicas}: one decision at most halves"
        else:
            self._panic_replicas = max(self._panic_replicas, replicas, min(max(asked_panic, least), most))
            replicas = self._panic_replicas
            why = self._sentence("panic: ", self._panic_s, panic, replicas)
            if replicas > max(asked_panic, asked_stable):
                why += f", held at {replicas} until a calm {self._stable_s:g} s"
        return self._period.decided(Want(replicas, why, {**terms, "in_panic": float(self._panic_at_s > -inf)}), now_s)

    def _heed_threshold(self, view: ScalingView, ratio: float) -> None:
        now_s = view.now_s
        if self._is_first and view.ready > 1:
            self._panic_at_s, self._panic_replicas = now_s, view.ready
        self._is_first = False
        if ratio >= self._panic_factor:
            self._panic_at_s = now_s
        elif now_s - self._panic_at_s > self._stable_s:
            self._panic_at_s, self._panic_replicas = -inf, 0

    def _sentence(self, mode: str, window_s: float, average: float, replicas: int) -> str:
        metric = self._metric
        share = average / (metric.target * metric.utilization)
        return (
            f"{mode}{window_s:g}-s average {average:.1f} {metric.unit} / ({metric.target:g} x {metric.utilization:g})"
            f" = {share:.2f}" + ("" if replicas else ", none needed")
        )
