"""An emulated accelerator: a batch of b items takes BETA + ALPHA x b seconds, and hardly any processor.

For studying batching and overload on any machine. It sleeps until an exact instant, so what it
takes is what was asked for. Its answer is the item itself. Serve it and load it:

    sojourn serve examples/accelerator.py
    sojourn load http://127.0.0.1:8080/functions/accelerator --body '{"id": 1}' --rate 1000 --duration 10s --slo 50ms

Variables: SOJOURN_FN_ALPHA_S (0.0005 seconds per item), SOJOURN_FN_BETA_S (0.005 seconds per batch),
SOJOURN_FN_JITTER (0; sigma of a lognormal factor whose mean is 1), SOJOURN_FN_MAX_BATCH (32),
SOJOURN_FN_SLO ("99% < 50ms"), SOJOURN_FN_BATCHING and SOJOURN_FN_SCALING ("slo"; the policies' names),
SOJOURN_FN_MAX_REPLICAS (1) and SOJOURN_FN_CPUS (0.1 cores claimed by each), SOJOURN_FN_LOAD_S (0; seconds that
loading takes).
"""

from __future__ import annotations

import ctypes
import os
import random
import time

import msgspec

import sojourn

PR_SET_TIMERSLACK = 29
TIMER_SLACK_NS = 1000  # the kernel's default lets a sleep end 50 us late


class Item(msgspec.Struct):
    """Something to compute; `id` lets a caller see that the answer is its own."""

    id: int


@sojourn.function(
    slo=os.environ.get("SOJOURN_FN_SLO", "99% < 50ms"),
    max_batch_size=int(os.environ.get("SOJOURN_FN_MAX_BATCH", "32")),
    batching=os.environ.get("SOJOURN_FN_BATCHING", "slo"),
    scaling=os.environ.get("SOJOURN_FN_SCALING", "slo"),
    max_replicas=int(os.environ.get("SOJOURN_FN_MAX_REPLICAS", "1")),
    cpus=float(os.environ.get("SOJOURN_FN_CPUS", "0.1")),
)
class Accelerator:
    """Takes the time of a batch on an accelerator, and gives the items back."""

    def __init__(self) -> None:
        self._alpha_s = float(os.environ.get("SOJOURN_FN_ALPHA_S", "0.0005"))
        self._beta_s = float(os.environ.get("SOJOURN_FN_BETA_S", "0.005"))
        self._jitter = float(os.environ.get("SOJOURN_FN_JITTER", "0"))
        time.sleep(float(os.environ.get("SOJOURN_FN_LOAD_S", "0")))
        self._random = random.Random(1)  # noqa: S311 - noise, not secrets
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0)

    def __call__(self, items: list[Item]) -> list[Item]:
        """The items, unchanged, after the time a batch of their number takes."""
        end_at_s = time.monotonic() + self.service_time_s(len(items))
        while (left_s := end_at_s - time.monotonic()) > 0:
            time.sleep(left_s)
        return items

    def service_time_s(self, batch_size: int) -> float:
        """How long the next batch of this size takes, in seconds."""
        mean_s = self._beta_s + self._alpha_s * batch_size
        if self._jitter == 0:
            return mean_s
        return mean_s * self._random.lognormvariate(-(self._jitter**2) / 2, self._jitter)
