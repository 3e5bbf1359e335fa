"""A batch under way and its answer: who is in it, what it was expected to take, how its times are told."""

from __future__ import annotations

import msgspec

from sojourn.domain.action import Finish
from sojourn.runtime.ports import Caller
from sojourn.telemetry.trace_store import MATE_CHARACTERS, MATES_KEPT, KeptBatch
from sojourn.wire.message import ContentKind, Done

_NO_DONE = Done(0, 0.0, 0.0, 0.0, 0.0, [])


class Call(msgspec.Struct, gc=False, eq=False):
    """A request the service has taken in and not answered.

    `ahead` counts requests in flight when it came; `admitted_at_s` is when it stood in the queue (0: it never did).
    """

    caller: Caller
    body: bytes
    kind: ContentKind
    ahead: int
    admitted_at_s: float = 0.0


class Run(msgspec.Struct):
    """A batch a replica works on.

    Args:
        batch_id: Its number.
        replica_id: Where it runs.
        members: Its requests, by position.
        dispatched_at_s: When it was sent, in monotonic seconds.
        free_at_s: When its replica had become free, in monotonic seconds.
        expected_s: What it is expected to take, in seconds; 0 if nothing is known.
        done: Its answer, once there is one.
    """

    batch_id: int
    replica_id: int
    members: list[Call]
    dispatched_at_s: float
    free_at_s: float
    expected_s: float
    done: Done = _NO_DONE
    _timing: bytes = b""
    _return_s: float = 0.0
    _kept: KeptBatch | None = None

    def answered(self, done: Done, now_s: float) -> None:
        """Its answer came at `now_s`."""
        self.done = done
        self._return_s = now_s - done.encoded_at_s
        self._timing = (
            b', dispatch;dur=%.3f, decode;dur=%.3f, service;dur=%.3f, encode;dur=%.3f, batch;desc="%d", return;dur='
            % (
                (done.received_at_s - self.dispatched_at_s) * 1e3,
                (done.decoded_at_s - done.received_at_s) * 1e3,
                (done.called_at_s - done.decoded_at_s) * 1e3,
                (done.encoded_at_s - done.called_at_s) * 1e3,
                len(self.members),
            )
        )

    @property
    def model_s(self) -> float | None:
        """The model's part of it [s]; None if there is no answer."""
        done = self.done
        return done.called_at_s - done.decoded_at_s if done.encoded_at_s else None

    def server_timing(self, action: Finish, admitted_at_s: float, now_s: float, writing_s: float) -> bytes:
        """The value of the Server-Timing header of one of its requests, in milliseconds.

        Args:
            action: How the request ended, at `now_s`.
            admitted_at_s: When it stood in the queue, in monotonic seconds.
            now_s: When the answer of the batch came.
            writing_s: From then on until its own is handed to the transport.
        """
        queue_s = action.queue_wait_s
        admission_s = admitted_at_s + action.latency_s - now_s
        return_ms = (self._return_s + writing_s) * 1e3
        if not 0 < admission_s <= queue_s or action.cold_wait_s or action.retry_s:
            return b"%b%b%.3f" % (_waits(action, admitted_at_s, now_s), self._timing, return_ms)
        # What nearly all requests have, in one go: this is the hot path.
        return b"admission;dur=%.3f, queue;dur=%.3f%b%.3f" % (
            admission_s * 1e3,
            (queue_s - admission_s) * 1e3,
            self._timing,
            return_ms,
        )

    def kept(self) -> KeptBatch:
        """What is kept of it with requests that are; made once."""
        if self._kept is None:
            done = self.done
            self._kept = KeptBatch(
                self.batch_id,
                self.replica_id,
                len(self.members),
                self.free_at_s,
                self.dispatched_at_s,
                done.received_at_s,
                done.decoded_at_s,
                done.called_at_s,
                done.encoded_at_s,
                " ".join([call.caller.name()[:MATE_CHARACTERS] for call in self.members[:MATES_KEPT]]),
                self.expected_s,
            )
        return self._kept


def _waits(action: Finish, admitted_at_s: float, now_s: float) -> bytes:
    """A request's wait for a replica by phases, as the Server-Timing header has them.

    Args:
        action: How it ended, at `now_s`.
        admitted_at_s: When it stood in the queue, in monotonic seconds.
        now_s: When the answer of its batch came, or it ended without one.
    """
    queue_s, before = action.queue_wait_s, b""
    admission_s = admitted_at_s + action.latency_s - now_s
    if 0 < admission_s <= queue_s:  # else it was sent at once, and taking it in is part of its dispatch
        queue_s -= admission_s
        before = b"admission;dur=%.3f, " % (admission_s * 1e3)
    if action.cold_wait_s:
        cold_s = min(action.cold_wait_s, queue_s)
        queue_s -= cold_s
        before += b"cold_wait;dur=%.3f, " % (cold_s * 1e3)
    if action.retry_s:
        retry_s = min(action.retry_s, queue_s)
        queue_s -= retry_s
        before += b"retry;dur=%.3f, " % (retry_s * 1e3)
    return b"%bqueue;dur=%.3f" % (before, queue_s * 1e3)


def timing_of_refusal(action: Finish, admitted_at_s: float, run: Run | None, now_s: float) -> bytes:
    """The Server-Timing header of a request that ended without an answer: what is known of its phases.

    They add up to its latency; of a run that gave no answer all is "service". Empty if it was never taken in.

    Args:
        action: How it ended, at `now_s`.
        admitted_at_s: When it stood in the queue, in monotonic seconds.
        run: The batch it was in, if it was in one.
        now_s: When it ended.
    """
    if action.latency_s <= 0:
        return b""
    if run is not None and run.model_s is not None:
        return run.server_timing(action, admitted_at_s, now_s, 0.0)
    timing = _waits(action, admitted_at_s, now_s)
    run_s = action.latency_s - action.queue_wait_s
    return b"%b, service;dur=%.3f" % (timing, run_s * 1e3) if run_s > 0 else timing
