"""What must hold of requests: who is let in, who runs again, how and when each ends."""

from __future__ import annotations

from math import ceil, inf

from books import Books, Step, count_since

from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.action import Finish
from sojourn.domain.event import RequestArrived
from sojourn.domain.request import Fault, Outcome
from sojourn.estimate.capacity import capacity_per_s, largest_useful_batch

_HASTE_S = 1e-6
_TOLD_LATE_S = 0.1  # a wake-up may find its driver busy; in virtual time it never is but for stalls
_LOSSES_MAX = 3
# ALGORITHMS 9: reruns within a tenth of what was admitted in ten seconds, which are counted by whole seconds.
_BUDGET_SHARE, _BUDGET_WINDOW_S, _BUDGET_CELL_S, _BUDGET_BATCHES = 0.1, 10.0, 1.0, 2
_RATE_WINDOW_S, _RATE_CELL_S = 2.0, 0.025
_ROUNDING = 0.01

# DESIGN 5, the table of outcomes: said again, so that the one in the product is checked.
_OUTCOMES = {
    Outcome.FAILED: {
        Fault.MALFORMED, Fault.ITEM_INVALID, Fault.BODY_TOO_LARGE, Fault.UNSUPPORTED_CONTENT_TYPE, Fault.BAD_REQUEST,
        Fault.TOO_SLOW, Fault.POISONED, Fault.FUNCTION_RAISED, Fault.BAD_RESULT, Fault.ITEM_ERROR, Fault.REPLICA_LOST,
    },
    Outcome.SHED: {Fault.QUEUE_FULL, Fault.OVERLOADED, Fault.UNAVAILABLE, Fault.SHUTTING_DOWN},
    Outcome.EXPIRED: {Fault.TIMEOUT},
    Outcome.CANCELLED: {Fault.CLIENT_GONE},
    Outcome.SERVED: {None},
}  # fmt: skip


class RequestRules:
    """Checks each request when it comes and when it ends.

    Args:
        books: What happened.
        dispatchers: For what they believe of service times, by function.
    """

    def __init__(self, books: Books, dispatchers: dict[str, Dispatcher]) -> None:
        self._books = books
        self._dispatchers = dispatchers

    def before(self, step: Step) -> None:
        """A new request is let in within the bounds of the queue, and refused for them only when they are reached."""
        if isinstance(step.event, RequestArrived):
            self._check_bounds(step.event, step)

    def ordered(self, action: object, step: Step) -> None:
        """A request ends."""
        if not isinstance(action, Finish):
            return
        books, request_id, now_s = self._books, action.request_id, step.now_s
        assert request_id in books.arrived_at_s, "an end without an arrival"
        assert request_id not in books.finished, "a second end"
        whole_s = now_s - books.arrived_at_s[request_id]
        assert abs(action.latency_s - whole_s) < _HASTE_S, "latency is from the arrival to the end"
        assert action.queue_wait_s <= whole_s + _HASTE_S, "waited for longer than it was there"
        assert action.fault in _OUTCOMES[action.outcome], f"{action.fault} is not {action.outcome}"
        if action.outcome is Outcome.SERVED or action.fault in {Fault.REPLICA_LOST, Fault.POISONED}:
            assert action.losses == books.losses[request_id], "losses are counted wrongly"
        if action.fault is Fault.TIMEOUT:
            assert now_s >= books.patience_end_s(request_id, is_cold=False) - _HASTE_S, "expired too soon"
        if action.fault is Fault.OVERLOADED:
            self._check_shed(request_id, step)

    def after(self, step: Step) -> None:
        """Who was lost with a replica runs again within the budget, and is failed only past it."""
        functions = {self._books.function_of(request_id) for request_id in self._books.lost_now}
        self._books.settled(step.now_s)
        for function in functions:
            self._check_budget(function, step)

    def at_end(self, now_s: float) -> None:
        """Each has ended, and nobody was told later than the moment it became hopeless."""
        books = self._books
        unfinished = set(books.arrived_at_s) - set(books.finished)
        assert not unfinished, f"{len(unfinished)} requests never ended, such as {sorted(unfinished)[:5]}"
        sent = sum(len(each.arrivals) for each in books.world.functions)
        assert len(books.arrived_at_s) == sent, "an arrival was lost"
        for request_id, end in books.finished.items():
            # What a stalled server could not help is forgiven.
            allowed_s = books.patience_end_s(request_id, is_cold=True) - books.arrived_at_s[request_id]
            allowed_s += books.world.stalled_s + _TOLD_LATE_S
            assert end.latency_s <= allowed_s, f"{end} came after {allowed_s:.3g} s"
            assert end.outcome is not Outcome.CANCELLED or request_id in books.gone
            assert end.outcome is not Outcome.SERVED or books.runs[request_id], "served without a run"

    def check_poison(self, bad: set[int]) -> None:
        """K bad of n give k errors; nobody good is told that the function raised, unless there was no time to find out."""
        for request_id, end in self._books.finished.items():
            is_retried = self._books.of(request_id).world.settings.retry
            if end.fault is Fault.FUNCTION_RAISED and request_id not in bad and is_retried:
                ended_at_s = self._books.arrived_at_s[request_id] + end.latency_s
                least_s = self._books.patience_end_s(request_id, is_cold=False)
                assert ended_at_s >= least_s - _HASTE_S, "a good request was blamed for a bad one in time to find out"
            if request_id in bad:
                assert end.outcome is not Outcome.SERVED, "the function raised, yet it was served"
            if end.fault is Fault.POISONED:
                assert end.losses == _LOSSES_MAX, "poisoned without having killed"
            assert end.losses <= _LOSSES_MAX

    def _check_bounds(self, event: RequestArrived, step: Step) -> None:
        books, bounds = self._books, self._books.world.bounds
        assert event.request_id not in books.arrived_at_s, "a number is used once"
        if step.hung:
            return  # what was lost in the same step waits again
        function = books.function_of(event.request_id)
        # What gives up at this instant has left before.
        left = {end.request_id for end in step.ends if end.fault is Fault.TIMEOUT}
        waiting = books.waiting(function) - len(left - books.is_running)
        held = books.held_bytes(function) - sum(books.arrival(request_id).body_bytes for request_id in left)
        is_full = waiting >= bounds.requests or held + event.body_bytes > bounds.bytes
        is_refused = any(end.request_id == event.request_id and end.fault is Fault.QUEUE_FULL for end in step.ends)
        if is_refused:
            assert is_full, f"refused as full with {waiting} waiting and {held} bytes"
            dispatcher = self._dispatchers[function]
            is_idle = dispatcher.queue_depth > 0 and dispatcher._leases.free_slots > 0
            assert not is_idle, "refused as full while a replica waits for more"
        elif is_full:
            own = [end.fault for end in step.ends if end.request_id == event.request_id]
            # A full queue sends what waits, and may give up who cannot be in time, before it refuses.
            shed = {end.request_id for end in step.ends if end.fault is Fault.OVERLOADED}
            waiting -= len((step.sent | shed) - {event.request_id})
            held -= sum(books.arrival(request_id).body_bytes for request_id in shed - {event.request_id})
            has_room = waiting < bounds.requests and held + event.body_bytes <= bounds.bytes
            assert own == [Fault.UNAVAILABLE] or (step.sent and has_room), (
                f"let in with {waiting} waiting and {held} bytes held"
            )

    def _check_budget(self, function: str, step: Step) -> None:
        books = self._books.functions[function]
        settings, now_s = books.world.settings, step.now_s
        least = _BUDGET_BATCHES * settings.largest_batch
        short_s, long_s = now_s - _BUDGET_WINDOW_S + _BUDGET_CELL_S, now_s - _BUDGET_WINDOW_S
        most = max(_BUDGET_SHARE * count_since(books.first_runs_s, long_s), least)
        reruns = count_since(books.reruns_s, short_s)
        assert reruns <= most, f"{reruns} reruns within nine seconds, {most} are allowed"
        sure = max(_BUDGET_SHARE * count_since(books.first_runs_s, short_s), least)
        # Whoever was lost in this step may have been let in again before this one, and have left since.
        has_budget = count_since(books.reruns_s, long_s) + settings.largest_batch <= sure
        for end in step.ends:
            if end.fault is Fault.REPLICA_LOST and self._books.function_of(end.request_id) == function:
                has_time = now_s < self._books.patience_end_s(end.request_id, is_cold=False) - _HASTE_S
                assert not (settings.retry and has_time and has_budget), f"{end} could have run again"

    def _check_shed(self, request_id: int, step: Step) -> None:
        """With `overload="late"` only those are shed who could not be served late either."""
        books, now_s = self._books, step.now_s
        function = books.function_of(request_id)
        settings, dispatcher = books.functions[function].world.settings, self._dispatchers[function]
        slots, model = books.open_replicas(function), dispatcher.model
        assert slots, "overloaded without a replica: who waits for a start is not shed"
        is_new = isinstance(step.event, RequestArrived) and step.event.request_id == request_id
        assert is_new or request_id not in books.was_cold, "who waited for a start stays"
        if settings.overload == "shed":
            return
        objective_s = settings.slo.latency_s if settings.slo else inf
        is_hopeless = model.mean_by_size_s[1] > min(objective_s, settings.effective_timeout_s)
        useful = largest_useful_batch(model.mean_by_size_s, objective_s, slots, model.size_cap)
        useful = model.size_cap if is_hopeless else useful
        capacity = capacity_per_s(model.mean_by_size_s, useful, slots) * (1 - _ROUNDING)
        spare_per_s = capacity - self._arrivals_per_s(function, now_s)
        late = len(dispatcher._backlog.late)
        if is_hopeless and not is_new:
            # All capacity is that of the late lane, for as long as a batch that runs and their own leave.
            lasts_s = model.mean_by_size_s[useful] * (1 + 1 / slots)
            kept = capacity * max(settings.effective_timeout_s - lasts_s, 0.0)
            assert late + len(step.sent) >= int(kept), f"shed from the queue though {kept:.3g} could be served late"
        if spare_per_s <= 0.0:
            return
        if not is_new:
            # The late lane keeps as many as the capacity that is left over serves; some may have gone in this very step.
            kept = spare_per_s * (settings.effective_timeout_s - min(objective_s, settings.effective_timeout_s))
            assert is_hopeless or late + len(step.sent) >= int(kept), (
                f"shed from the queue though {kept:.3g} could be served late"
            )
            return
        # Even in the largest batch, after all that runs, and all that waits one by one:
        one_s, largest_s = model.mean_by_size_s[1], model.middle_by_size_s[model.size_cap]
        waiting = books.waiting(function)
        runs = [run for life in books.living(function).values() for run in life.runs.values()]
        free_at_s = max((run.at_s + model.mean_by_size_s[len(run.request_ids)] for run in runs), default=now_s)
        done_at_s = max(free_at_s, now_s) + ceil(waiting / slots) * one_s + largest_s + late / spare_per_s
        last_s = books.patience_end_s(request_id, is_cold=False)
        assert done_at_s > last_s, f"refused though done {last_s - done_at_s:.3g} s before it gives up"

    def _arrivals_per_s(self, function: str, now_s: float) -> float:
        """The arrival rate of the last seconds, rather too high."""
        arrivals_s = self._books.functions[function].arrivals_s
        covered_s = min(_RATE_WINDOW_S - _RATE_CELL_S, now_s - arrivals_s[0])
        return count_since(arrivals_s, now_s - _RATE_WINDOW_S) / max(covered_s, _RATE_CELL_S)
