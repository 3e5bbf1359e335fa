"""An answer that is not good, as the error that stands for it: by its stable code, else by its status."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from sojourn.client.conversation import Answer
from sojourn.domain.answer import ErrorBody
from sojourn.domain.request import Fault
from sojourn.errors import (
    BadResultError,
    ClientError,
    ExpiredError,
    ForbiddenError,
    FunctionRaisedError,
    ItemFailedError,
    ItemInvalidError,
    MalformedError,
    NotDeployableError,
    NotFoundError,
    OverloadedError,
    ReplicaLostError,
    RequestError,
    ServerError,
    UnauthenticatedError,
    UnavailableError,
    UnusableAnswerError,
)

_BY_CODE: Final[dict[str, type[ClientError]]] = {
    Fault.MALFORMED: MalformedError,
    Fault.BAD_REQUEST: MalformedError,
    Fault.BODY_TOO_LARGE: MalformedError,
    Fault.UNSUPPORTED_CONTENT_TYPE: MalformedError,
    Fault.TOO_SLOW: MalformedError,
    Fault.ITEM_INVALID: ItemInvalidError,
    Fault.POISONED: ItemInvalidError,
    Fault.FUNCTION_RAISED: FunctionRaisedError,
    Fault.BAD_RESULT: BadResultError,
    Fault.ITEM_ERROR: ItemFailedError,
    Fault.QUEUE_FULL: OverloadedError,
    Fault.OVERLOADED: OverloadedError,
    Fault.UNAVAILABLE: UnavailableError,
    Fault.SHUTTING_DOWN: UnavailableError,
    Fault.REPLICA_LOST: ReplicaLostError,
    Fault.TIMEOUT: ExpiredError,
    "archive_refused": NotDeployableError,
    "import_failed": NotDeployableError,
    "deployment_conflict": NotDeployableError,
}
_BY_STATUS: Final[dict[int, type[ClientError]]] = {
    400: MalformedError,
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    408: MalformedError,
    413: MalformedError,
    414: MalformedError,
    415: MalformedError,
    422: ItemInvalidError,
    429: OverloadedError,
    431: MalformedError,
    502: ReplicaLostError,
    503: UnavailableError,
    504: ExpiredError,
}
# The last of them is what deep nesting ends in.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SHOWN_CHARACTERS = 200
_RETRY_AFTER_DIGITS_MAX = 9


def error_class(status: int, code: str) -> type[ClientError]:
    """The class for an error answer; an unknown code is judged by its status."""
    known = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if known is not None:
        return known
    return RequestError if 400 <= status < 500 else ServerError


def error_in(answer: Answer, place: str, request_id: str) -> ClientError | None:
    """What an answer says of a failure; None if it is good.

    Args:
        answer: Any answer.
        place: How the error names the server, if the answer is not one of ours.
        request_id: Of the request; the answer's own wins.
    """
    if 200 <= answer.status < 300:
        return None
    request_id = answer.headers.get("x-request-id", request_id)
    retry_after_s = retry_after(answer.headers.get("retry-after"))
    try:
        told = msgspec.json.decode(answer.body, type=ErrorBody)
    except _UNREADABLE:
        return UnusableAnswerError(
            f"{place}: an answer that is not this server's, perhaps of a proxy between: status {answer.status}, "
            f"{answer.content_type or 'no content type'}: {_shown(answer.body)}",
            status=answer.status,
            request_id=request_id,
            retry_after_s=retry_after_s,
        )
    return error_class(answer.status, told.code)(
        told.error,
        status=answer.status,
        code=told.code,
        request_id=told.request_id or request_id,
        retry_after_s=retry_after_s,
    )


def json_in(answer: Answer, place: str, kind: Any) -> Any:
    """The decoded body of a good answer of the admin port.

    Raises:
        UnusableAnswerError: It is something else.
    """
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except _UNREADABLE as error:
        raise UnusableAnswerError(
            f"{place}: the answer is not what the API gives ({error}); is this the admin port, and of this version? "
            f"It begins: {_shown(answer.body)}",
            status=answer.status,
            request_id=answer.headers.get("x-request-id", ""),
        ) from error


def retry_after(text: str | None) -> float | None:
    """Seconds of a Retry-After header; None if there is none, or a date, which our server never sends."""
    if text is None or not (text.isascii() and text.strip().isdigit() and len(text.strip()) <= _RETRY_AFTER_DIGITS_MAX):
        return None
    return float(text)


def phases_in(server_timing: str) -> dict[str, float]:
    """The phases of a Server-Timing header in seconds, in their order; what has no duration is left out.

    Source:
        W3C, "Server Timing": `name;dur=milliseconds`, separated by commas.
    """
    phases: dict[str, float] = {}
    for entry in server_timing.split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key == "dur" and (duration_ms := _number(value)) is not None:
                phases[name] = duration_ms / 1000
    return phases


def batch_size_in(server_timing: str) -> int | None:
    """How many requests shared the call of the function; None if it is not told."""
    for entry in server_timing.split(","):
        name, _, rest = entry.strip().partition(";")
        digits = rest.strip().removeprefix("desc=").strip('"')
        if name == "batch" and digits.isascii() and digits.isdigit():
            return int(digits[:_RETRY_AFTER_DIGITS_MAX])
    return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _shown(body: bytes) -> str:
    text = " ".join(body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace").split())
    return repr(text[:_SHOWN_CHARACTERS]) if text else "an empty body"
