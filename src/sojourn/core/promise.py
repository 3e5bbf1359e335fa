"""What a request is promised when it arrives: by when it should be answered, and until when it may be."""

from __future__ import annotations

from math import inf

from sojourn.domain.event import RequestAnnounced, RequestArrived
from sojourn.domain.function import FunctionSettings
from sojourn.domain.request import Request


class Promises:
    """Turns arrivals into requests with their instants.

    Args:
        settings: The function's options.

    Source:
        DESIGN 5, "Times of a request".
    """

    __slots__ = ("_start_timeout_s", "_timeout_s", "latency_s")

    def __init__(self, settings: FunctionSettings) -> None:
        self._timeout_s = settings.effective_timeout_s
        self._start_timeout_s = max(settings.start_timeout_s, self._timeout_s)
        # Without an objective the only bound on latency is the timeout.
        self.latency_s = min(settings.slo.latency_s if settings.slo else inf, self._timeout_s)

    def request(self, event: RequestArrived | RequestAnnounced, now_s: float, *, is_warm: bool) -> Request:
        """The request of an arrival at `now_s`; `is_warm` says whether a replica is ready."""
        latency_s, timeout_s, start_timeout_s = self.latency_s, self._timeout_s, self._start_timeout_s
        client_s = event.client_timeout_s
        if client_s is not None:
            latency_s, timeout_s = min(latency_s, client_s), min(timeout_s, client_s)
            start_timeout_s = min(start_timeout_s, client_s)
        return Request(
            event.request_id,
            now_s,
            now_s + latency_s,
            now_s + (timeout_s if is_warm else start_timeout_s),
            now_s + start_timeout_s,
            event.priority,
            event.body_bytes,
            is_cold=not is_warm,
        )
