"""The routes that deploy, roll back and delete functions, and tell how far that has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sojourn.bundle.limits import DEFAULT_LIMITS
from sojourn.control.answers import error_answer, json_answer, unknown_function
from sojourn.control.asked import JsonBody, RawBody, Text
from sojourn.control.connection import ANSWER_GOES_ON
from sojourn.control.endpoint import Answered, Endpoint
from sojourn.control.ports import Deployments, Overview
from sojourn.domain.access import DEPLOY, READ
from sojourn.domain.deployment import ALL_AT_ONCE, RolloutPlan
from sojourn.domain.deployment_status import DeployAsked, Deployed, RevisionTold, RolloutTold
from sojourn.errors import (
    BundleError,
    ConfigurationError,
    DeploymentError,
    SojournError,
    StateError,
    TargetError,
    UnknownFunctionError,
)

_STILL_S: Final = 5.0
TARGET = Text("target", "File or module inside the archive, such as app.py or pkg.module.")
NAME = Text("name", "Another name for the archive's only function.")
STRATEGY = Text("strategy", "How the new revision takes over: all-at-once or canary.")
SHARES = Text("shares", "Steps of a canary, such as 0.05,0.25,0.5.")
STEP_S = Text("step_s", "How long each step of a canary lasts at least, in seconds.")
ARCHIVE = RawBody(("application/gzip",), DEFAULT_LIMITS.archive_bytes)


class DeployedList(msgspec.Struct, frozen=True):
    """The functions of a deploy."""

    functions: list[Deployed]


class RevisionList(msgspec.Struct, frozen=True):
    """The revisions of a function, the latest first."""

    function: str
    revisions: list[RevisionTold]


class RollbackAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To which revision (a unique beginning will do); None: to the one before, or out of a rollout under way."""

    revision: str | None = None


class PromoteAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`promote` must be true: all traffic to the revision that is on its way."""

    promote: bool


class Deleted(msgspec.Struct, frozen=True):
    """The function that is gone."""

    function: str


ROLLBACK = JsonBody(RollbackAsked, '{"revision": "0123456789ab"}')
PROMOTE = JsonBody(PromoteAsked, '{"promote": true}')
_NOT_KEPT = {503: "The state directory cannot be written; nothing has changed."}
_CONFLICT = {409: "It cannot be done as things stand; the message says why."}
# The first that fits.
_ANSWERS: Final[tuple[tuple[type[SojournError], int, str], ...]] = (
    (BundleError, 400, "archive_refused"),
    (TargetError, 422, "import_failed"),
    (ConfigurationError, 400, "bad_request"),
    (DeploymentError, 409, "deployment_conflict"),
    (StateError, 503, "state_unavailable"),
)
_T = TypeVar("_T")
_Method = Callable[["DeployRoutes", Request], Awaitable[Response]]


def _told(method: _Method) -> _Method:
    """Errors of deploying as answers."""

    @wraps(method)
    async def answer(self: DeployRoutes, request: Request) -> Response:
        try:
            return await method(self, request)
        except ClientDisconnect:  # nobody reads this
            return error_answer(request, 400, "the connection ended before the archive did; send it again")
        except UnknownFunctionError:
            return unknown_function(request, request.path_params["name"], self._overview)
        except SojournError as err:
            for kind, status, code in _ANSWERS:
                if isinstance(err, kind):
                    return error_answer(request, status, str(err), code)
            raise

    return answer


class DeployRoutes:
    """One method per route.

    Args:
        overview: What the server is doing.
        deployments: What is deployed to it.
    """

    def __init__(self, overview: Overview, deployments: Deployments) -> None:
        self._overview = overview
        self._deployments = deployments

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        of_function = "/api/v1/functions/{name}"
        return [
            Endpoint(
                "POST", "/api/v1/deployments", self.deploy, DEPLOY, "deployments", Answered(DeployedList, status=201),
                (TARGET, NAME, STRATEGY, SHARES, STEP_S), ARCHIVE,
                {422: "It cannot be imported: the message names the line, or the package that is missing.", **_CONFLICT, **_NOT_KEPT},
            ),
            Endpoint("GET", f"{of_function}/revisions", self.revisions, READ, "deployments", Answered(RevisionList), errors=_CONFLICT, also=(DEPLOY,)),
            Endpoint("GET", f"{of_function}/rollout", self.rollout, READ, "deployments", Answered(RolloutTold), errors=_CONFLICT, also=(DEPLOY,)),
            Endpoint(
                "PUT", f"{of_function}/rollout", self.promote, DEPLOY, "deployments", Answered(RolloutTold),
                body=PROMOTE, errors={**_CONFLICT, **_NOT_KEPT},
            ),
            Endpoint(
                "POST", f"{of_function}/rollback", self.rollback, DEPLOY, "deployments", Answered(RolloutTold),
                body=ROLLBACK, errors={**_CONFLICT, **_NOT_KEPT},
            ),
            Endpoint(
                "DELETE", of_function, self.delete, DEPLOY, "deployments", Answered(Deleted),
                errors={**_CONFLICT, **_NOT_KEPT},
            ),
        ]  # fmt: skip

    @_told
    async def deploy(self, request: Request) -> Response:
        """Deploy every function of an archive (tar.gz, as `sojourn deploy` packs it).

        What is answered is kept. The new revisions warm up and take over afterwards; the function's rollout tells how far
        that has come.
        """
        asked = DeployAsked(target=TARGET.of(request) or "", name=NAME.of(request), plan=_plan(request))
        if not asked.target:
            return error_answer(
                request, 400, "target is missing: the file or module inside the archive, such as app.py"
            )
        upload = _Upload(ARCHIVE.of(request))
        work = self._deployments.deploy(upload.parts(), asked)
        deployed = await _waited_for(request, work, lambda: upload.is_whole)
        return json_answer(DeployedList(deployed), 201)

    @_told
    async def revisions(self, request: Request) -> Response:
        """All revisions that are kept of a function, the latest first."""
        name = request.path_params["name"]
        return json_answer(RevisionList(name, await self._deployments.revisions(name)))

    @_told
    async def rollout(self, request: Request) -> Response:
        """How far the latest change of a function's revision has come."""
        return json_answer(self._deployments.rollout(request.path_params["name"]))

    @_told
    async def promote(self, request: Request) -> Response:
        """Give the revision that is on its way all the traffic now."""
        if not (await PROMOTE.of(request)).promote:
            return error_answer(request, 400, f"promote must be true: {PROMOTE.example}; a rollback has its own route")
        return json_answer(await _waited_for(request, self._deployments.promote(request.path_params["name"])))

    @_told
    async def rollback(self, request: Request) -> Response:
        """Give the traffic back to an earlier revision; a rollout that is under way ends."""
        asked = await ROLLBACK.of(request)
        work = self._deployments.rollback(request.path_params["name"], asked.revision)
        return json_answer(await _waited_for(request, work))

    @_told
    async def delete(self, request: Request) -> Response:
        """Take a function and its history away; requests that were taken in are finished."""
        name = request.path_params["name"]
        await _waited_for(request, self._deployments.delete(name))
        return json_answer(Deleted(name))


class _Upload:
    """An archive as it comes in, and whether all of it has."""

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts
        self.is_whole = False

    async def parts(self) -> AsyncIterator[bytes]:
        """Its pieces."""
        async for part in self._parts:
            yield part
        self.is_whole = True


async def _waited_for(
    request: Request, work: Coroutine[Any, Any, _T], may_go_on: Callable[[], bool] = lambda: True
) -> _T:
    """What the work returns; meanwhile the connection is told that its answer is still to come.

    A client that goes away does not end it: what was begun is brought to its end.
    """
    goes_on = request.scope.get("extensions", {}).get(ANSWER_GOES_ON, {}).get("call")
    task = asyncio.create_task(work, name=request.url.path)
    try:
        while not (await asyncio.wait({task}, timeout=_STILL_S))[0]:
            if goes_on is not None and may_go_on():
                goes_on()
    except asyncio.CancelledError:  # the server stops, and waits for no answer any more
        task.cancel()
        with suppress(asyncio.CancelledError):  # told so twice: by the connection, then by the end of the loop
            await asyncio.gather(task, return_exceptions=True)
        raise StateError("the server is stopping: look once it is back whether this was done") from None
    return task.result()


def _plan(request: Request) -> RolloutPlan:
    """The plan that the query asks for.

    Raises:
        ConfigurationError: It is none.
    """
    strategy, shares, step_s = STRATEGY.of(request) or ALL_AT_ONCE, SHARES.of(request), STEP_S.of(request)
    given: dict[str, object] = {"strategy": strategy}
    try:
        if shares is not None:
            given["shares"] = tuple(float(word) for word in shares.split(","))
        if step_s is not None:
            given["step_s"] = float(step_s)
    except ValueError as err:
        raise ConfigurationError(f"shares and step_s must be numbers: {str(err)[:100]}") from err
    return RolloutPlan(**given)  # type: ignore[arg-type]
