"""What must hold of batches: who may be in one, how large it is, how long it takes."""

from __future__ import annotations

from math import ceil, exp, log2

from books import Books, Step

from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import DispatchBatch, SuspectReplica
from sojourn.domain.event import BatchCompleted

_HASTE_S = 1e-6
_ROUNDING = 1e-9
_LOSSES_MAX = 3
_ALONE_FROM_LOSSES = 2
_NOISE_SIGMAS = 7.0
# ALGORITHMS 9: when a silent replica counts as hung.
_SILENCE_FACTOR, _SILENCE_MIN_S, _KNOWN_FROM, _FRESH_BATCHES = 3.0, 1.0, 30, 2
_SEEN_LATE_S = 0.2  # of a wake-up that found the server standing still, and looked again a little later


class BatchRules:
    """Checks each batch when it is sent, while it runs and when it is answered.

    Args:
        books: What happened.
        dispatchers: For what they believe of service times, by function.
    """

    def __init__(self, books: Books, dispatchers: dict[str, Dispatcher]) -> None:
        self._books = books
        self._dispatchers = dispatchers
        self._patience_s: dict[tuple[int, int], float] = {}  # of replica and batch

    def before(self, step: Step) -> None:
        """An answer is looked at while its batch is still in the books."""
        if isinstance(step.event, BatchCompleted):
            self._check_time(step.event, step.now_s)

    def ordered(self, action: object, step: Step) -> None:
        """A batch is sent, or its replica given up."""
        if isinstance(action, DispatchBatch):
            self._check_sent(action, step.now_s)
        elif isinstance(action, SuspectReplica) and action.is_hung:
            for batch_id, run in self._books.replicas[action.replica_id].runs.items():
                silent_s, patience_s = step.now_s - run.at_s, self._patience_s[action.replica_id, batch_id]
                assert silent_s >= patience_s - _HASTE_S, f"suspected after {silent_s:.3g} of {patience_s:.3g} s"

    def after(self, step: Step) -> None:
        """Nobody waits for a silent replica past the patience that its function has with it."""
        for replica_id, life in self._books.living().items():
            for batch_id, run in life.runs.items():
                allowed_s = self._patience_s[replica_id, batch_id] + 2 * self._books.world.stalled_s + _SEEN_LATE_S
                silent_s = step.now_s - run.at_s
                assert silent_s <= allowed_s, f"replica {replica_id} has been silent for {silent_s:.3g} s"

    def at_end(self, now_s: float) -> None:
        """All was said before."""

    def _check_sent(self, batch: DispatchBatch, now_s: float) -> None:
        books, life = self._books, self._books.replicas[batch.replica_id]
        settings, ids = books.functions[life.function].world.settings, batch.request_ids
        assert life.exited_at_s is None, "sent to a replica that is gone"
        assert life.is_taken_in, "sent to a replica that the function does not have"
        assert not life.is_revoked, "sent to a replica that was taken back"
        assert not life.runs, "more than one batch on a replica with one slot"
        assert 1 <= len(ids) <= settings.largest_batch
        assert len(set(ids)) == len(ids), "twice in one batch"
        total = sum(books.arrival(request_id).body_bytes for request_id in ids)
        assert len(ids) == 1 or total <= books.world.bounds.batch_bytes, f"{total} bytes in a batch of {len(ids)}"
        for request_id in ids:
            assert request_id not in books.finished, "what has ended runs"
            assert request_id not in books.gone, "runs although its client is gone"
            assert request_id not in books.is_running, "runs twice at once"
            assert books.function_of(request_id) == life.function, "another function's request"
            request = self._dispatchers[life.function]._backlog.requests[request_id]
            assert request.give_up_at_s > now_s - _HASTE_S, "runs after its give-up time"
            last_s = books.patience_end_s(request_id, is_cold=True)
            assert request.give_up_at_s <= last_s + _HASTE_S, "kept longer than any promise says"
            runs = books.runs[request_id] + 1
            splits = ceil(log2(settings.largest_batch)) + 1 if settings.largest_batch > 1 else 1
            assert runs <= (_LOSSES_MAX + 1) * (splits + 1), "runs again and again"
            assert settings.retry or runs == 1, "retry=False runs once"
            if books.losses[request_id] >= _ALONE_FROM_LOSSES:
                assert len(ids) == 1, "who was in two lost replicas runs alone"
        self._patience_s[batch.replica_id, batch.batch_id] = self._patience_with(batch)

    def _patience_with(self, batch: DispatchBatch) -> float:
        """Three times the p99, at least a second; the timeout while little is known; a start's time for a new replica."""
        life = self._books.replicas[batch.replica_id]
        settings, model = self._books.functions[life.function].world.settings, self._dispatchers[life.function].model
        unknown_s = max(settings.effective_timeout_s, _SILENCE_MIN_S)
        if life.completed < _FRESH_BATCHES:
            return max(settings.start_timeout_s, unknown_s)
        if model.samples < _KNOWN_FROM:
            return unknown_s
        return max(_SILENCE_FACTOR * model.p99_s(len(batch.request_ids)), _SILENCE_MIN_S)

    def _check_time(self, event: BatchCompleted, now_s: float) -> None:
        """A batch takes `alpha` per unit of its items' weight and `beta`, times noise, drift and its replica's pace."""
        life = self._books.replicas[event.replica_id]
        run = life.runs.get(event.batch_id)
        if run is None:
            return  # its replica was written off before
        service = self._books.functions[life.function].world.service
        weight = sum(self._books.arrival(request_id).weight for request_id in run.request_ids)
        expected_s = (service.alpha_s * weight + service.beta_s) * service.drift_at(run.at_s)
        paces = {1.0, service.straggler_factor} if service.straggler_share else {1.0}
        most = exp(_NOISE_SIGMAS * service.sigma)
        assert any(
            expected_s * pace / most * (1 - _ROUNDING) <= event.own_s <= expected_s * pace * most * (1 + _ROUNDING)
            for pace in paces
        ), f"a batch of weight {weight:.3g} took {event.own_s:.3g} instead of {expected_s:.3g} s"
        assert now_s >= run.at_s + event.own_s - _HASTE_S, "answered before it was done"
