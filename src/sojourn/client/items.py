"""Items to bodies and bodies to results, as the replica at the other end does it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from sojourn.client.conversation import Answer
from sojourn.errors import ItemInvalidError, UnusableAnswerError
from sojourn.replica.codec import decode_array, plain
from sojourn.replica.finite import not_finite
from sojourn.replica.place import one_line

JSON: Final = "application/json"
MSGPACK: Final = "application/msgpack"
BYTES: Final = "application/octet-stream"
_RAW = (bytes, bytearray, memoryview)

_to_json = msgspec.json.Encoder(enc_hook=plain).encode
_to_msgpack = msgspec.msgpack.Encoder(enc_hook=plain).encode


def encode_item(item: Any, content_type: str | None) -> tuple[bytes, str]:
    """The body of an item and its content type.

    Bytes are sent as they are, by default as `application/octet-stream`; all else is encoded, by default as JSON:
    builtins, dataclasses, `msgspec.Struct`, dates, UUIDs, arrays and tensors (as nested lists).

    Args:
        item: What to send.
        content_type: `application/json`, `application/msgpack` or `application/octet-stream`; None for the default.

    Raises:
        ItemInvalidError: It has no such form.
    """
    if isinstance(item, _RAW):
        return bytes(item), content_type or BYTES
    if content_type in {None, JSON}:
        try:
            body = _to_json(item)
            found = not_finite(item, _to_msgpack, plain) if b"null" in body else ""
        except Exception as error:
            raise _no_form(item, "JSON", one_line(error)) from error
        if found:
            raise _no_form(item, "JSON", f'it contains {found}; content_type="{MSGPACK}" can carry it')
        return body, JSON
    if content_type == MSGPACK:
        try:
            return _to_msgpack(item), MSGPACK
        except Exception as error:
            raise _no_form(item, "msgpack", one_line(error)) from error
    raise _no_form(item, str(content_type), f"content_type must be {JSON}, {MSGPACK}, or {BYTES} for bytes")


def decode_result(answer: Answer, result_type: Any, request_id: str) -> Any:
    """The result in a good answer.

    Args:
        answer: A good answer.
        result_type: What it must be; `Any` takes it as it is.
        request_id: How the error names the request.

    Raises:
        UnusableAnswerError: It is of another type.
    """
    try:
        if answer.content_type == JSON:
            return msgspec.json.decode(answer.body, type=result_type, dec_hook=decode_array)
        if answer.content_type in {MSGPACK, "application/x-msgpack"}:
            return msgspec.msgpack.decode(answer.body, type=result_type, dec_hook=decode_array)
        if answer.content_type == BYTES:
            return answer.body if result_type in {Any, bytes} else msgspec.convert(answer.body, result_type)
        what = f"it is of type {answer.content_type or 'none'!r}, not {JSON}, {MSGPACK} or {BYTES}"
        cause: Exception | None = None
    except Exception as error:  # noqa: BLE001 - types of the caller run code of their own
        what, cause = f"it is not of the type asked for: {one_line(error)}", error
    raise UnusableAnswerError(
        f"the result cannot be used: {what}", status=answer.status, request_id=request_id
    ) from cause


def _no_form(item: Any, form: str, why: str) -> ItemInvalidError:
    return ItemInvalidError(f"an item of type {type(item).__name__} cannot be sent as {form}: {why}")
