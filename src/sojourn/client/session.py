"""What both clients hold and decide: places, key, retry policy and budget, and the course of one call."""

from __future__ import annotations

import math
import os
import random
import ssl
import time
from collections.abc import Callable
from typing import Any

import msgspec

from sojourn.client.answers import batch_size_in, error_in, phases_in
from sojourn.client.calls import key_header
from sojourn.client.conversation import Answer, Request
from sojourn.client.endpoint import DEFAULT_ADMIN_URL, DEFAULT_URL, Endpoint, parse_endpoint, tls_context
from sojourn.client.items import decode_result
from sojourn.client.pace import Pace
from sojourn.client.reply import Reply
from sojourn.client.retry import Attempts, GiveUp, RetryBudget, RetryPolicy
from sojourn.client.wording import ANSWER_GRACE_S
from sojourn.domain.rng import Rng
from sojourn.errors import ClientError, ConfigurationError

_REST_S_MAX = 5.0
IDLE_S = 30.0  # shorter than the server's own limit, so that it seldom hangs up just when a request is sent


class Sending(msgspec.Struct, frozen=True):
    """One attempt, as transports take it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    deadline_at_s: float
    is_admin: bool = False


class Session:
    """The settings of a client, checked, and its retry budget.

    Args:
        url: Inference port; None takes SOJOURN_URL, else the default.
        admin_url: Admin port; None takes SOJOURN_ADMIN_URL, else the default.
        api_key: None takes SOJOURN_API_KEY; empty sends none.
        timeout_s: Time of a call that names none, in seconds, > 0.
        connect_timeout_s: Longest wait for a connection, in seconds, > 0.
        connections: Connections at once to each port, in [1, 10000].
        verify: How certificates are judged.
        retry: How to try again.
        rng: Chance; None for a source of its own.
        clock: Monotonic seconds.

    Raises:
        ConfigurationError: Settings that cannot be used.
    """

    def __init__(
        self,
        url: str | None,
        admin_url: str | None,
        api_key: str | None,
        *,
        timeout_s: float,
        connect_timeout_s: float,
        connections: int,
        verify: bool | str | ssl.SSLContext,
        retry: RetryPolicy,
        rng: Rng | None,
        clock: Callable[[], float] | None,
    ) -> None:
        self.endpoint = parse_endpoint(url or os.environ.get("SOJOURN_URL") or DEFAULT_URL)
        self.admin_endpoint = parse_endpoint(admin_url or os.environ.get("SOJOURN_ADMIN_URL") or DEFAULT_ADMIN_URL)
        self._key_header = key_header(os.environ.get("SOJOURN_API_KEY") if api_key is None else api_key)
        if not 1 <= connections <= 10_000:
            raise ConfigurationError(f"connections must be in [1, 10000], not {connections}")
        self.timeout_s = positive("timeout_s", timeout_s)
        self.connect_timeout_s = positive("connect_timeout_s", connect_timeout_s)
        self.connections = connections
        self._tls = tls_context(verify) if self.endpoint.is_tls or self.admin_endpoint.is_tls else None
        self._retry = retry
        self.budget = RetryBudget(retry.budget_share, retry.budget_burst)
        self._rng: Rng = rng or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self.clock = clock or time.monotonic

    def tls_of(self, endpoint: Endpoint) -> ssl.SSLContext | None:
        """How its certificates are judged; None if it has none."""
        return self._tls if endpoint.is_tls else None

    def pace(self, most: int) -> Pace:
        """The pace of a map.

        Its retries are paced, so that they need not be a small share of its calls: each may come again once, and so many
        more as go out at once. A client that tries nothing again does not do so here.

        Args:
            most: Calls at once.
        """
        has_retries = self._retry.budget_share > 0 or self._retry.budget_burst > 0
        return Pace(most, RetryBudget(1.0, float(most)) if has_retries else self.budget)

    def begin(
        self, request: Request, timeout_s: float | None, request_id: str = "", budget: RetryBudget | None = None
    ) -> Call:
        """A call begins now; its retries are those of the client's budget, or of another one."""
        within_s = self.timeout_s if timeout_s is None else positive("timeout_s", timeout_s)
        begun_at_s = self.clock()
        attempts = Attempts(
            self._retry,
            budget or self.budget,
            self._rng,
            deadline_at_s=begun_at_s + within_s,
            is_reading=request.is_reading,
        )
        place = self.admin_endpoint if request.is_admin else self.endpoint
        return Call(request, place, self._key_header, attempts, request_id, begun_at_s)


class Call:
    """One call from its first attempt to its end: `send`, then `good` or `wait_s`, and again.

    Args:
        request: What is asked.
        place: Of whom.
        key_header: Shows the key.
        attempts: Its retries.
        request_id: What it is called; empty if it has no name.
        begun_at_s: When it began, on the client's clock.
    """

    def __init__(
        self,
        request: Request,
        place: Endpoint,
        key_header: tuple[tuple[str, str], ...],
        attempts: Attempts,
        request_id: str,
        begun_at_s: float,
    ) -> None:
        self._request = request
        self._place = place
        self._attempts = attempts
        self._request_id = request_id
        self._begun_at_s = begun_at_s
        self._headers = [("host", place.authority), *request.headers, *key_header]

    def send(self, now_s: float) -> Sending:
        """The next attempt, sent now."""
        self._attempts.began()
        headers = self._headers
        if not self._request.is_admin:
            left_s = max(self._attempts.left_s(now_s), 1e-6)
            headers = [*headers, ("x-request-timeout-seconds", f"{left_s:.6f}")]
        target = self._place.prefix + self._request.path
        deadline_at_s = self._attempts.deadline_at_s + ANSWER_GRACE_S
        request = self._request
        return Sending(request.method, target, headers, request.body, deadline_at_s, request.is_admin)

    def good(self, answer: Answer) -> Answer:
        """The answer, if it is good.

        Raises:
            ClientError: What it says.
        """
        error = error_in(answer, str(self._place), self._request_id)
        if error is not None:
            raise error
        return answer

    def wait_s(self, error: ClientError, now_s: float) -> float:
        """How long to wait before the next attempt, in seconds.

        Raises:
            ClientError: The error, if it is not to be tried again; a note says why.
        """
        if not error.request_id:
            error.request_id = self._request_id
        decision = self._attempts.after(error, now_s)
        if isinstance(decision, GiveUp):
            if decision.why:
                error.add_note(f"not tried again: {decision.why}")
            raise error
        return decision.wait_s

    def next_try(self, error: ClientError, now_s: float) -> tuple[ClientError | None, float]:
        """The same of a call in a map: the error if it is not to be tried again, and how long to wait in either case.

        What is given up waits as well, for as long as the server asked for and the call has time: what follows it must not
        go out sooner.
        """
        try:
            return None, self.wait_s(error, now_s)
        except ClientError as given_up:
            return given_up, max(min(given_up.retry_after_s or 0.0, self._attempts.left_s(now_s), _REST_S_MAX), 0.0)

    def check_time(self, error: ClientError, now_s: float) -> None:
        """See that there is time for another attempt.

        Raises:
            ClientError: The error of the one before, if there is none.
        """
        if self._attempts.left_s(now_s) <= 0:
            error.add_note("not tried again: its time was over before its turn came")
            raise error

    def reply(self, answer: Answer, result_type: Any, now_s: float) -> Reply[Any]:
        """What came of it.

        Raises:
            UnusableAnswerError: The result is of another type.
        """
        request_id = answer.headers.get("x-request-id", self._request_id)
        timing = answer.headers.get("server-timing", "")
        return Reply(
            result=decode_result(answer, result_type, request_id),
            status=answer.status,
            request_id=request_id,
            phases_s=phases_in(timing),
            batch_size=batch_size_in(timing),
            attempts=self._attempts.sent,
            latency_s=now_s - self._begun_at_s,
        )


def positive(name: str, value_s: float) -> float:
    """A number of seconds above zero.

    Raises:
        ConfigurationError: It is something else.
    """
    if not 0 < value_s < math.inf:
        raise ConfigurationError(f"{name} must be a number of seconds above 0, not {value_s!r}")
    return value_s
