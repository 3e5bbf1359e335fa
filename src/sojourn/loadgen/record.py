"""What happened to each request of a run, kept in flat arrays so that a million of them cost little."""

from __future__ import annotations

import math
import re
from array import array
from enum import IntEnum

from sojourn.domain.request import Outcome

OUTCOMES: tuple[Outcome, ...] = tuple(Outcome)
_UNKNOWN = -1
_QUEUE = re.compile(rb"(?:^|[,\s])queue\s*;\s*dur=([0-9.eE+-]+)")
_SERVICE = re.compile(rb"(?:^|[,\s])service\s*;\s*dur=([0-9.eE+-]+)")
_BATCH = re.compile(rb'(?:^|[,\s])batch\s*;\s*desc="?(\d+)')


class Trouble(IntEnum):
    """Why a request has no HTTP status."""

    TIMEOUT = 0  # the generator's own patience ended
    CONNECTION = 1  # refused, reset, closed early, or bytes that are not HTTP


def outcome_of_status(status: int) -> Outcome:
    """The outcome a status stands for: 200 served; 429, 503 shed; 504 expired; all others failed."""
    if status == 200:
        return Outcome.SERVED
    if status in {429, 503}:
        return Outcome.SHED
    return Outcome.EXPIRED if status == 504 else Outcome.FAILED


class RequestLog:
    """One row per request in the order of sending; the index of a request is its row.

    Instants are seconds from the start of the run. Until a request has ended its outcome is -1 and its
    latency NaN. `queue_wait_s`, `service_time_s` (NaN) and `batch_size` (0) are unknown unless the
    server told them in a Server-Timing header.
    """

    def __init__(self) -> None:
        self.intended_at_s = array("d")
        self.lateness_s = array("d")
        self.latency_s = array("d")
        self.outcome = array("b")
        self.batch_size = array("H")
        self.queue_wait_s = array("d")
        self.service_time_s = array("d")
        self.statuses: dict[int, int] = {}
        self.troubles = [0] * len(Trouble)
        self.ended = 0
        self.mismatched = 0
        self.first_failure = ""

    def __len__(self) -> int:
        return len(self.intended_at_s)

    def begin(self, intended_at_s: float) -> int:
        """Note a request that is due; returns its index."""
        index = len(self.intended_at_s)
        self.intended_at_s.append(intended_at_s)
        self.lateness_s.append(math.nan)
        self.latency_s.append(math.nan)
        self.outcome.append(_UNKNOWN)
        self.batch_size.append(0)
        self.queue_wait_s.append(math.nan)
        self.service_time_s.append(math.nan)
        return index

    def send(self, index: int, now_s: float) -> None:
        """Note that a request left the generator, and how late."""
        self.lateness_s[index] = now_s - self.intended_at_s[index]

    def answer(self, index: int, now_s: float, status: int, timing: bytes) -> None:
        """Note an HTTP answer; `timing` is the Server-Timing header or empty."""
        self.latency_s[index] = now_s - self.intended_at_s[index]
        self.outcome[index] = OUTCOMES.index(outcome_of_status(status))
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.ended += 1
        if timing:
            self._read_timing(index, timing)

    def give_up(self, index: int, now_s: float, trouble: Trouble, what: str) -> None:
        """Note a request that ended without an HTTP answer: failed."""
        self.latency_s[index] = now_s - self.intended_at_s[index]
        self.outcome[index] = OUTCOMES.index(Outcome.FAILED)
        self.troubles[trouble] += 1
        self.ended += 1
        if not self.first_failure:
            self.first_failure = what

    def _read_timing(self, index: int, timing: bytes) -> None:
        if batch := _BATCH.search(timing):
            self.batch_size[index] = min(int(batch[1]), 65_535)
        for pattern, column in ((_QUEUE, self.queue_wait_s), (_SERVICE, self.service_time_s)):
            if found := pattern.search(timing):
                try:
                    column[index] = float(found[1]) / 1000
                except ValueError:  # not a number after all: stays unknown
                    continue
