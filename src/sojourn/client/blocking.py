"""`sojourn.Client`: call functions and manage deployments, from any number of threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from sojourn.client import calls, course
from sojourn.client.blocking_transport import BlockingTransport
from sojourn.client.course import Ask, Course, How, Pause, Step, Work
from sojourn.client.mapping import Results, checked_concurrency
from sojourn.client.pace import Turn
from sojourn.client.reply import Deployment, Reply
from sojourn.client.shell import Shell
from sojourn.domain.deployment import ALL_AT_ONCE
from sojourn.domain.deployment_status import RevisionTold, RolloutTold
from sojourn.errors import ClientError

T = TypeVar("T")


class Client(Shell[BlockingTransport, None]):
    """A client of a running server, for any number of threads; use it with `with`.

    Args:
        url: Inference port of the server; None takes SOJOURN_URL, else http://127.0.0.1:8080.
        admin_url: Admin port; None takes SOJOURN_ADMIN_URL, else http://127.0.0.1:8081.
        api_key: Shown with every request; None takes SOJOURN_API_KEY. It is told nowhere, in errors neither.
        timeout_s: Time of a call that names none, retries included, in seconds, > 0.
        connect_timeout_s: Longest wait for a connection to be made, in seconds, > 0.
        connections: Connections at once to each port, in [1, 10000].
        verify: TLS: True judges certificates by the authorities of this machine, a path by those in that file (PEM),
            False not at all; or an `ssl.SSLContext`.
        retry: How to try again what was not taken.
        rng: Chance, for the waits between attempts.
        clock: Monotonic seconds.
        sleep: Waits that many seconds.

    Raises:
        ConfigurationError: Settings that cannot be used.
    """

    _transport_of = BlockingTransport
    _sleep_of = staticmethod(time.sleep)

    def invoke(
        self,
        function: str,
        item: Any,
        *,
        revision: str | None = None,
        timeout_s: float | None = None,
        priority: str | None = None,
        request_id: str | None = None,
        content_type: str | None = None,
        result_type: Any = Any,
    ) -> Any:
        """Call a function with one item; its result.

        Args:
            function: Its name, or `name@revision`.
            item: Sent as JSON: builtins, dataclasses, `msgspec.Struct`, arrays. Bytes are sent as they are.
            revision: The only revision to call; None calls whichever is live.
            timeout_s: Time of the call, retries included, in seconds, > 0; what is left of it goes along with each
                attempt, so that the server does not start what nobody waits for.
            priority: `"critical"`, `"default"` or `"best-effort"`.
            request_id: What the request is called in the server's traces; one is made up if it is None.
            content_type: `"application/json"`, `"application/msgpack"`, or `"application/octet-stream"` for bytes.
            result_type: What the result is decoded to, such as a dataclass; by default plain data.

        Raises:
            ClientError: One of its subclasses in `sojourn.errors`, by what happened.
            ConfigurationError: An argument that cannot be used.
        """
        how = How(
            revision=revision,
            timeout_s=timeout_s,
            priority=priority,
            request_id=request_id,
            content_type=content_type,
            result_type=result_type,
        )
        return (self._do(course.invoked(self._session, function, item, how))).result

    def invoke_detailed(
        self,
        function: str,
        item: Any,
        *,
        revision: str | None = None,
        timeout_s: float | None = None,
        priority: str | None = None,
        request_id: str | None = None,
        content_type: str | None = None,
        result_type: Any = Any,
    ) -> Reply[Any]:
        """Call a function with one item; its result with request id, times in the server and attempts.

        Arguments and errors are those of `invoke`.
        """
        how = How(
            revision=revision,
            timeout_s=timeout_s,
            priority=priority,
            request_id=request_id,
            content_type=content_type,
            result_type=result_type,
        )
        return self._do(course.invoked(self._session, function, item, how))

    def map(
        self,
        function: str,
        items: Iterable[Any],
        *,
        concurrency: int = 64,
        timeout_s: float | None = None,
        return_errors: bool = False,
        revision: str | None = None,
        priority: str | None = None,
        content_type: str | None = None,
        result_type: Any = Any,
    ) -> Results[Any]:
        """Call a function with each of many items; the results in order, as they are asked for.

        Items are taken at most twice the concurrency ahead, so that they may be without end. A failed item raises its
        error where its result would be; the others are not lost: ask on, or use `return_errors`.

        Where the server refuses (429, 503), the map slows down: fewer calls go out at once, and what was refused comes again
        as it was told to, within its own time and `attempts_max` of the retry policy, before newer items. More go out as
        answers come. These retries do not draw on the budget of the client.

        Args:
            function: Its name, or `name@revision`.
            items: One item per call; they are taken in the thread that asks for results.
            concurrency: Calls at once at most, in [1, 10000]; no more than `connections` run.
            timeout_s: Time of each call from when it goes out first, in seconds, > 0.
            return_errors: Whether the error of a failed item takes the place of its result.
            revision: As for `invoke`.
            priority: As for `invoke`.
            content_type: As for `invoke`.
            result_type: As for `invoke`.

        Raises:
            ConfigurationError: An argument that cannot be used.
        """
        how = How(
            revision=revision,
            timeout_s=timeout_s,
            priority=priority,
            content_type=content_type,
            result_type=result_type,
        )

        at_once = checked_concurrency(concurrency, self._session.connections)
        pace, numbers = self._session.pace(at_once), count()

        def one(item: Any) -> Any:
            return self._do(course.mapped(self._session, function, item, how, pace, Turn(next(numbers))))

        return Results(one, items, at_once, return_errors=return_errors, on_close=pace.close)

    def functions(self) -> list[dict[str, Any]]:
        """All functions, one row each."""
        return self._do(course.functions(self._session))

    def describe(self, name: str) -> dict[str, Any]:
        """One function in full: settings, schemas, replicas, what was measured."""
        return self._do(course.row(self._session, calls.describe(name)))

    def slo(self, name: str) -> dict[str, Any]:
        """How its objective stands: attainment, budget, burn rates, alerts, causes."""
        return self._do(course.row(self._session, calls.slo(name)))

    def events(
        self, function: str | None = None, *, since: int | None = None, limit: int | None = None
    ) -> dict[str, Any]:
        """What happened on the server lately: `events` oldest first, and `next_since` to ask for what follows.

        Args:
            function: Only of this function.
            since: Only what followed this number; None gives the last ones.
            limit: How many, in [1, 1000].
        """
        return self._do(course.row(self._session, calls.events(function, since, limit)))

    def scale(self, name: str, *, min_replicas: int | None = None, max_replicas: int | None = None) -> dict[str, Any]:
        """Change the floor and ceiling of a function's replicas; what is None stays. Gives its row as it is then."""
        return self._do(course.row(self._session, calls.scale(name, min_replicas, max_replicas)))

    def deploy(
        self,
        path: str | Path,
        name: str | None = None,
        *,
        strategy: str = ALL_AT_ONCE,
        shares: Iterable[float] | None = None,
        step_s: float | None = None,
        wait: bool = True,
        timeout_s: float | None = None,
    ) -> Deployment:
        """Deploy the functions of a file or module; by default wait until they are live.

        Args:
            path: A file such as `app.py`, whose directory is sent, a directory with one, or a module such as `pkg.module`.
            name: Calls the function otherwise, if the target declares one only.
            strategy: `"all-at-once"`, or `"canary"`: share by share, rolled back if it is worse.
            shares: Shares of the traffic of a canary, ascending, in (0, 1); None for the server's own.
            step_s: How long each share is kept, in seconds; None for the server's own.
            wait: Whether to wait until all functions are live.
            timeout_s: Longest wait, in seconds; None: ten minutes and twice the steps of a canary.

        Raises:
            RolloutFailedError: A revision did not go live; the message has cause and evidence.
            ClientError: The server said no, or cannot be asked.
            ConfigurationError: An argument that cannot be used, or a target that is not there.
        """
        return self._do(
            course.deployed(
                self._session,
                path,
                name,
                strategy=strategy,
                shares=shares,
                step_s=step_s,
                wait=wait,
                timeout_s=timeout_s,
            )
        )

    def rollout(self, name: str) -> RolloutTold:
        """How far the latest change of a function's revision has come."""
        return self._do(course.rollout(self._session, calls.rollout(name)))

    def promote(self, name: str) -> RolloutTold:
        """Give the revision that is on its way all the traffic now; how its rollout stands then."""
        return self._do(course.rollout(self._session, calls.promote(name)))

    def rollback(self, name: str, revision: str | None = None) -> RolloutTold:
        """Serve an earlier revision again, by default the one before; a rollout under way ends. `rollout` tells how it goes."""
        return self._do(course.rollout(self._session, calls.rollback(name, revision)))

    def history(self, name: str) -> list[RevisionTold]:
        """The revisions of a function, the latest first."""
        return self._do(course.history(self._session, name))

    def delete(self, name: str) -> None:
        """Serve a function no longer: it takes no new requests, ends those it has, and goes."""
        self._do(course.deleted(self._session, name))

    def close(self) -> None:
        """Close the connections; those in use are closed when their calls end."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _do(self, steps: Course[T]) -> T:
        """Carry out all steps of a call; its result."""
        try:
            step = next(steps)
            while True:
                try:
                    came = self._carry_out(step)
                except ClientError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(came)
        except StopIteration as end:
            return cast("T", end.value)
        finally:
            steps.close()

    def _carry_out(self, step: Step) -> Any:
        if isinstance(step, Pause):
            return self._sleep(step.wait_s)
        if isinstance(step, Ask):
            may_go = threading.Event()
            step.pace.ask(step.turn, may_go.set)
            return may_go.wait()
        if isinstance(step, Work):
            return step.do()
        way = self._way_of(step)
        return way.exchange(step.method, step.target, step.headers, step.body, step.deadline_at_s)
