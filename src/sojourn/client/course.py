"""What a client does, step by step, without a socket: each call is a generator of steps that both clients carry out.

A step is something to send, a wait, or work that takes a while; what came of it is sent back into the generator (an error
is thrown into it), and what the generator returns is the result of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sojourn.client import calls
from sojourn.client.answers import json_in
from sojourn.client.conversation import Answer, Request
from sojourn.client.pace import Pace, Turn, slows
from sojourn.client.packing import packed
from sojourn.client.reply import Deployment, FunctionList, Reply, RevisionList
from sojourn.client.session import Call, Sending, Session, positive
from sojourn.client.waiting import POLL_S, Waiting, patience_s
from sojourn.domain.deployment_status import RevisionTold, RolloutTold
from sojourn.errors import ClientError

T = TypeVar("T")


class Pause(msgspec.Struct, frozen=True):
    """Do nothing for so many seconds."""

    wait_s: float


class Work(msgspec.Struct, frozen=True):
    """Something that takes a while and waits for no socket; what it returns is sent back."""

    do: Callable[[], Any]


class Ask(msgspec.Struct, frozen=True):
    """Wait until it is the turn of a call to go out."""

    pace: Pace
    turn: Turn


Step = Sending | Pause | Work | Ask
Course = Generator[Step, Any, T]


class How(msgspec.Struct, frozen=True, kw_only=True):
    """How a function is called: the arguments of `Client.invoke` beside function and item."""

    revision: str | None = None
    timeout_s: float | None = None
    priority: str | None = None
    request_id: str | None = None
    content_type: str | None = None
    result_type: Any = Any


def invoked(session: Session, function: str, item: Any, how: How) -> Course[Reply[Any]]:
    """Call a function with one item."""
    request, named = _invocation(function, item, how)
    call = session.begin(request, how.timeout_s, named)
    answer = yield from _attempts(session, call)
    return call.reply(answer, how.result_type, session.clock())


def mapped(session: Session, function: str, item: Any, how: How, pace: Pace, turn: Turn) -> Course[Any]:
    """Call a function with one of many items, at the pace of all; its result. Its time begins when it goes out."""
    request, named = _invocation(function, item, how)
    try:
        yield Ask(pace, turn)
        call = session.begin(request, how.timeout_s, named, pace.budget)
        answer = yield from _paced_attempts(session, call, pace, turn)
    finally:
        pace.dropped(turn)
    return call.reply(answer, how.result_type, session.clock()).result


def _invocation(function: str, item: Any, how: How) -> tuple[Request, str]:
    return calls.invocation(
        function,
        item,
        revision=how.revision,
        priority=how.priority,
        request_id=how.request_id,
        content_type=how.content_type,
    )


def functions(session: Session) -> Course[list[dict[str, Any]]]:
    """All functions, one row each."""
    found: FunctionList = yield from _asked(session, calls.functions(), FunctionList)
    return found.functions


def row(session: Session, request: Request) -> Course[dict[str, Any]]:
    """What the API tells as one object."""
    found: dict[str, Any] = yield from _asked(session, request, dict[str, Any])
    return found


def rollout(session: Session, request: Request) -> Course[RolloutTold]:
    """How a rollout stands after a request."""
    found: RolloutTold = yield from _asked(session, request, RolloutTold)
    return found


def history(session: Session, name: str) -> Course[list[RevisionTold]]:
    """The revisions of a function, the latest first."""
    found: RevisionList = yield from _asked(session, calls.history(name), RevisionList)
    return found.revisions


def deleted(session: Session, name: str) -> Course[None]:
    """Serve a function no longer."""
    yield from _attempts(session, session.begin(calls.delete(name), None))


def deployed(
    session: Session,
    path: str | Path,
    name: str | None,
    *,
    strategy: str,
    shares: Iterable[float] | None,
    step_s: float | None,
    wait: bool,
    timeout_s: float | None,
) -> Course[Deployment]:
    """Pack, send, and wait until all functions are live; arguments and errors are those of `Client.deploy`."""
    plan = calls.plan_of(strategy, shares, step_s)
    within_s = patience_s(plan) if timeout_s is None else positive("timeout_s", timeout_s)
    deadline_at_s = session.clock() + within_s
    archive, target = yield Work(lambda: packed(path))
    request = calls.deployment(archive, target, name, plan)
    sent: Deployment = yield from _asked(session, request, Deployment, max(deadline_at_s - session.clock(), 1e-3))
    if not wait:
        return sent
    rollouts = yield from _waited_for(session, Waiting(sent, deadline_at_s, session.clock()))
    return Deployment(functions=sent.functions, rollouts=dict(rollouts))


def _waited_for(session: Session, waiting: Waiting) -> Course[Mapping[str, RolloutTold]]:
    while waiting.open:
        for function in waiting.open:
            try:
                told = yield from rollout(session, calls.rollout(function))
            except ClientError as error:
                waiting.missed(error, session.clock())
            else:
                waiting.heard(function, told, session.clock())
        if waiting.open:
            waiting.check(session.clock())
            yield Pause(POLL_S)
    return waiting.result()


def _asked(session: Session, request: Request, kind: Any, timeout_s: float | None = None) -> Course[Any]:
    """A call of the admin port; its decoded answer."""
    answer = yield from _attempts(session, session.begin(request, timeout_s))
    return json_in(answer, str(session.admin_endpoint), kind)


def _attempts(session: Session, call: Call) -> Course[Answer]:
    """All attempts of a call; its good answer."""
    while True:
        try:
            return call.good((yield call.send(session.clock())))
        except ClientError as error:
            wait_s = call.wait_s(error, session.clock())
        yield Pause(wait_s)


def _paced_attempts(session: Session, call: Call, pace: Pace, turn: Turn) -> Course[Answer]:
    """The same for a call whose turn it is; what is refused comes again in its turn, or ends when that would have been."""
    while True:
        if pace.is_closed:
            raise ClientError("the map was closed before this item was sent")
        try:
            answer = call.good((yield call.send(session.clock())))
        except ClientError as error:
            failed = error
        else:
            pace.answered(turn)
            return answer
        if slows(failed):
            pace.refused(turn)
        else:
            pace.answered(turn)
        given_up, wait_s = call.next_try(failed, session.clock())
        yield Pause(wait_s)
        if given_up is not None:
            raise given_up
        yield Ask(pace, turn)
        call.check_time(failed, session.clock())
