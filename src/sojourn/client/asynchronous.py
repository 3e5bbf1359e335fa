"""`sojourn.AsyncClient`: call functions and manage deployments from asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from sojourn.client import calls
from sojourn.client.answers import json_in
from sojourn.client.async_transport import AsyncTransport
from sojourn.client.conversation import Answer, Request
from sojourn.client.endpoint import Endpoint
from sojourn.client.mapping import AsyncResults, checked_concurrency
from sojourn.client.packing import packed
from sojourn.client.reply import Deployment, FunctionList, Reply, RevisionList
from sojourn.client.retry import RetryPolicy
from sojourn.client.session import IDLE_S, Call, Session, positive
from sojourn.client.waiting import POLL_S, Waiting, patience_s
from sojourn.domain.deployment import ALL_AT_ONCE
from sojourn.domain.deployment_status import RevisionTold, RolloutTold
from sojourn.domain.rng import Rng
from sojourn.errors import ClientError


class AsyncClient:
    """A client of a running server, for the tasks of one event loop; use it with `async with`.

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

    def __init__(
        self,
        url: str | None = None,
        admin_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_s: float = 60.0,
        connect_timeout_s: float = 5.0,
        connections: int = 128,
        verify: bool | str | ssl.SSLContext = True,
        retry: RetryPolicy | None = None,
        rng: Rng | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._session = Session(
            url,
            admin_url,
            api_key,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            connections=connections,
            verify=verify,
            retry=retry or RetryPolicy(),
            rng=rng,
            clock=clock,
        )
        self._sleep = sleep
        self._inference = self._transport(self._session.endpoint)
        self._admin = self._transport(self._session.admin_endpoint)

    @property
    def url(self) -> str:
        """Where it sends items."""
        return str(self._session.endpoint)

    @property
    def admin_url(self) -> str:
        """Where it asks for all else."""
        return str(self._session.admin_endpoint)

    @property
    def retries_left(self) -> float:
        """What the retry budget holds."""
        return self._session.budget.left

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
        reply = await self.invoke_detailed(
            function,
            item,
            revision=revision,
            timeout_s=timeout_s,
            priority=priority,
            request_id=request_id,
            content_type=content_type,
            result_type=result_type,
        )
        return reply.result

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
        request, named = calls.invocation(
            function,
            item,
            revision=revision,
            priority=priority,
            request_id=request_id,
            content_type=content_type,
        )
        call = self._session.begin(request, timeout_s, named)
        answer = await self._run(call, self._inference)
        return call.reply(answer, result_type, self._session.clock())

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

        Items are taken at most twice the concurrency ahead, so that they may be without end. A failed item raises its
        error where its result would be; the others are not lost: ask on, or use `return_errors`.

        Args:
            function: Its name, or `name@revision`.
            items: One item per call; any iterable, asynchronous ones too.
            concurrency: Calls at once, in [1, 10000]; no more than `connections` run.
            timeout_s: Time of each call, in seconds, > 0.
            return_errors: Whether the error of a failed item takes the place of its result.
            revision: As for `invoke`.
            priority: As for `invoke`.
            content_type: As for `invoke`.
            result_type: As for `invoke`.

        Raises:
            ConfigurationError: An argument that cannot be used.
        """

        async def one(item: Any) -> Any:
            return await self.invoke(
                function,
                item,
                revision=revision,
                timeout_s=timeout_s,
                priority=priority,
                content_type=content_type,
                result_type=result_type,
            )

        at_once = checked_concurrency(concurrency, self._session.connections)
        return AsyncResults(one, items, at_once, return_errors=return_errors)

    async def functions(self) -> list[dict[str, Any]]:
        """All functions, one row each."""
        found: FunctionList = await self._ask(calls.functions(), FunctionList)
        return found.functions

    async def describe(self, name: str) -> dict[str, Any]:
        """One function in full: settings, schemas, replicas, what was measured."""
        return dict(await self._ask(calls.describe(name), dict[str, Any]))

    async def slo(self, name: str) -> dict[str, Any]:
        """How its objective stands: attainment, budget, burn rates, alerts, causes."""
        return dict(await self._ask(calls.slo(name), dict[str, Any]))

    async def events(
        self, function: str | None = None, *, since: int | None = None, limit: int | None = None
    ) -> dict[str, Any]:
        """What happened on the server lately: `events` oldest first, and `next_since` to ask for what follows.

        Args:
            function: Only of this function.
            since: Only what followed this number; None gives the last ones.
            limit: How many, in [1, 1000].
        """
        return dict(await self._ask(calls.events(function, since, limit), dict[str, Any]))

    async def scale(
        self, name: str, *, min_replicas: int | None = None, max_replicas: int | None = None
    ) -> dict[str, Any]:
        """Change the floor and ceiling of a function's replicas; what is None stays. Gives its row as it is then."""
        return dict(await self._ask(calls.scale(name, min_replicas, max_replicas), dict[str, Any]))

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
        plan = calls.plan_of(strategy, shares, step_s)
        within_s = patience_s(plan) if timeout_s is None else positive("timeout_s", timeout_s)
        deadline_at_s = self._session.clock() + within_s
        archive, target = await asyncio.to_thread(packed, path)
        request = calls.deployment(archive, target, name, plan)
        deployed = await self._ask(request, Deployment, max(deadline_at_s - self._session.clock(), 1e-3))
        if not wait:
            return cast("Deployment", deployed)
        waiting = Waiting(deployed, deadline_at_s, self._session.clock())
        while waiting.open:
            for function in waiting.open:
                try:
                    waiting.heard(function, await self.rollout(function), self._session.clock())
                except ClientError as error:
                    waiting.missed(error, self._session.clock())
            if waiting.open:
                waiting.check(self._session.clock())
                await self._sleep(POLL_S)
        return Deployment(functions=deployed.functions, rollouts=dict(waiting.result()))

    async def rollout(self, name: str) -> RolloutTold:
        """How far the latest change of a function's revision has come."""
        return cast("RolloutTold", await self._ask(calls.rollout(name), RolloutTold))

    async def promote(self, name: str) -> RolloutTold:
        """Give the revision that is on its way all the traffic now; how its rollout stands then."""
        return cast("RolloutTold", await self._ask(calls.promote(name), RolloutTold))

    async def rollback(self, name: str, revision: str | None = None) -> RolloutTold:
        """Serve an earlier revision again, by default the one before; a rollout under way ends. `rollout` tells how it goes."""
        return cast("RolloutTold", await self._ask(calls.rollback(name, revision), RolloutTold))

    async def history(self, name: str) -> list[RevisionTold]:
        """The revisions of a function, the latest first."""
        found: RevisionList = await self._ask(calls.history(name), RevisionList)
        return found.revisions

    async def delete(self, name: str) -> None:
        """Serve a function no longer: it takes no new requests, ends those it has, and goes."""
        await self._run(self._session.begin(calls.delete(name), None), self._admin)

    async def aclose(self) -> None:
        """Close the connections; those in use are closed when their calls end."""
        self._inference.close()
        self._admin.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r}, {self.admin_url!r})"

    def _transport(self, endpoint: Endpoint) -> AsyncTransport:
        session = self._session
        return AsyncTransport(
            endpoint,
            session.tls_of(endpoint),
            connections=session.connections,
            connect_timeout_s=session.connect_timeout_s,
            idle_s=IDLE_S,
            clock=session.clock,
        )

    async def _ask(self, request: Request, kind: Any, timeout_s: float | None = None) -> Any:
        """A call of the admin port; its decoded answer."""
        answer = await self._run(self._session.begin(request, timeout_s), self._admin)
        return json_in(answer, self.admin_url, kind)

    async def _run(self, call: Call, transport: AsyncTransport) -> Answer:
        """All attempts of a call."""
        while True:
            sending = call.send(self._session.clock())
            try:
                return call.good(
                    await transport.exchange(
                        sending.method, sending.target, sending.headers, sending.body, sending.deadline_at_s
                    )
                )
            except ClientError as error:
                wait_s = call.wait_s(error, self._session.clock())
            await self._sleep(wait_s)
