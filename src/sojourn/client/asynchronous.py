"""`sojourn.AsyncClient`: call functions and manage deployments from asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Iterable
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from sojourn.client import calls, course
from sojourn.client.async_transport import AsyncTransport
from sojourn.client.course import Ask, Course, How, Pause, Step, Work
from sojourn.client.mapping import AsyncResults, checked_concurrency
from sojourn.client.pace import Turn
from sojourn.client.reply import Deployment, Reply
from sojourn.client.shell import Shell
from sojourn.domain.deployment import ALL_AT_ONCE
from sojourn.domain.deployment_status import RevisionTold, RolloutTold
from sojourn.errors import ClientError

T = TypeVar("T")


class AsyncClient(Shell[AsyncTransport, Awaitable[None]]):
    """A client of a running server, for the tasks of one event loop; use it with `async with`.

    Arguments and errors are those of `Client`; `sleep` is awaited.
    """

    _transport_of = AsyncTransport
    _sleep_of = staticmethod(asyncio.sleep)

    async def invoke(
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

        Arguments and errors are those of `Client.invoke`.
        """
        how = How(
            revision=revision,
            timeout_s=timeout_s,
            priority=priority,
            request_id=request_id,
            content_type=content_type,
            result_type=result_type,
        )
        return (await self._do(course.invoked(self._session, function, item, how))).result

    async def invoke_detailed(
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
        return await self._do(course.invoked(self._session, function, item, how))

    def map(
        self,
        function: str,
        items: Iterable[Any] | AsyncIterable[Any],
        *,
        concurrency: int = 64,
        timeout_s: float | None = None,
        return_errors: bool = False,
        revision: str | None = None,
        priority: str | None = None,
        content_type: str | None = None,
        result_type: Any = Any,
    ) -> AsyncResults[Any]:
        """Call a function with each of many items; the results in order, as they are asked for.

        Arguments and errors are those of `Client.map`; items may come asynchronously, too.
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

        async def one(item: Any) -> Any:
            return await self._do(course.mapped(self._session, function, item, how, pace, Turn(next(numbers))))

        return AsyncResults(one, items, at_once, return_errors=return_errors)

    async def functions(self) -> list[dict[str, Any]]:
        """All functions, one row each."""
        return await self._do(course.functions(self._session))

    async def describe(self, name: str) -> dict[str, Any]:
        """One function in full: settings, schemas, replicas, what was measured."""
        return await self._do(course.row(self._session, calls.describe(name)))

    async def slo(self, name: str) -> dict[str, Any]:
        """How its objective stands: attainment, budget, burn rates, alerts, causes."""
        return await self._do(course.row(self._session, calls.slo(name)))

    async def events(
        self, function: str | None = None, *, since: int | None = None, limit: int | None = None
    ) -> dict[str, Any]:
        """What happened on the server lately; arguments are those of `Client.events`."""
        return await self._do(course.row(self._session, calls.events(function, since, limit)))

    async def scale(
        self, name: str, *, min_replicas: int | None = None, max_replicas: int | None = None
    ) -> dict[str, Any]:
        """Change the floor and ceiling of a function's replicas; what is None stays. Gives its row as it is then."""
        return await self._do(course.row(self._session, calls.scale(name, min_replicas, max_replicas)))

    async def deploy(
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

        Arguments and errors are those of `Client.deploy`.
        """
        return await self._do(
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

    async def rollout(self, name: str) -> RolloutTold:
        """How far the latest change of a function's revision has come."""
        return await self._do(course.rollout(self._session, calls.rollout(name)))

    async def promote(self, name: str) -> RolloutTold:
        """Give the revision that is on its way all the traffic now; how its rollout stands then."""
        return await self._do(course.rollout(self._session, calls.promote(name)))

    async def rollback(self, name: str, revision: str | None = None) -> RolloutTold:
        """Serve an earlier revision again, by default the one before; a rollout under way ends. `rollout` tells how it goes."""
        return await self._do(course.rollout(self._session, calls.rollback(name, revision)))

    async def history(self, name: str) -> list[RevisionTold]:
        """The revisions of a function, the latest first."""
        return await self._do(course.history(self._session, name))

    async def delete(self, name: str) -> None:
        """Serve a function no longer: it takes no new requests, ends those it has, and goes."""
        await self._do(course.deleted(self._session, name))

    async def aclose(self) -> None:
        """Close the connections; those in use are closed when their calls end."""
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    async def _do(self, steps: Course[T]) -> T:
        """Carry out all steps of a call; its result."""
        try:
            step = next(steps)
            while True:
                try:
                    came = await self._carry_out(step)
                except ClientError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(came)
        except StopIteration as end:
            return cast("T", end.value)
        finally:
            steps.close()

    async def _carry_out(self, step: Step) -> Any:
        if isinstance(step, Pause):
            return await self._sleep(step.wait_s)
        if isinstance(step, Ask):
            return await self._turn_of(step)
        if isinstance(step, Work):
            return await asyncio.to_thread(step.do)
        way = self._way_of(step)
        return await way.exchange(step.method, step.target, step.headers, step.body, step.deadline_at_s)

    async def _turn_of(self, step: Ask) -> None:
        may_go: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        step.pace.ask(step.turn, lambda: None if may_go.done() else may_go.set_result(None))
        await may_go
