"""Bodies to items and results to bodies, each item on its own.

The common case (all JSON, all valid) is two C-level loops; anything else takes the careful path, where
one bad item never touches its neighbours. Arrays are known by duck type, so numpy is imported only if
the author's module did.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from sojourn.declare import ItemError
from sojourn.domain.request import Fault
from sojourn.errors import ProtocolError
from sojourn.replica.finite import may_hold_null, not_finite
from sojourn.replica.place import one_line, sendable
from sojourn.replica.process import Terminated
from sojourn.wire.message import ContentKind, ItemFault

_RAW_TYPES = frozenset({bytes, bytearray, memoryview})
_NUMBERS = "biufc"  # numpy's kinds of plain numbers: bool, int, unsigned, float, complex

Decoded = tuple[list[Any], list[int] | None, list[ItemFault]]
Encoded = tuple[list[bytes], bytes, list[ItemFault]]


class CallFailedError(Exception):
    """The function did not give this item a result; stands in the result's place."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.message = message


_CAREFUL_TYPES = _RAW_TYPES | {ItemError, CallFailedError}


class ItemCodec:
    """Decodes the items and encodes the results of one function.

    Args:
        item_type: Type of one item; invalid ones are refused before the model sees them.
        label: How faults name the function, such as `function 'x' (app.py:12)`.
        name: How callers address it, told with what is wrong with their items; None tells only what is wrong.

    Methods pass on `Terminated`; any other exception of the author's code is the fault of its item.
    """

    def __init__(self, item_type: Any, label: str, name: str | None = None) -> None:
        self._label = label
        self._name = name
        self._item_type = item_type
        members = _members(item_type)
        self._takes_bytes = any(kind is member for kind in (Any, *_RAW_TYPES) for member in members)
        self._is_raw = item_type is Any or item_type is bytes  # the body as it is
        self._from_json = msgspec.json.Decoder(item_type, dec_hook=decode_array).decode
        self._from_msgpack = msgspec.msgpack.Decoder(item_type, dec_hook=decode_array).decode
        self._to_json = msgspec.json.Encoder(enc_hook=plain).encode
        self._to_msgpack = msgspec.msgpack.Encoder(enc_hook=plain).encode

    def decode(self, bodies: list[bytes], kinds: bytes) -> Decoded:
        """The valid items; their positions (None: all are valid); a fault for each of the others.

        Raises:
            ProtocolError: There are kinds, but not one per body.
        """
        if not kinds:
            try:
                return list(map(self._from_json, bodies)), None, []
            except Terminated:
                raise
            except BaseException:  # noqa: BLE001, S110 - the careful path finds out which item it was
                pass
        elif len(kinds) != len(bodies):
            raise ProtocolError(f"a batch of {len(bodies)} items came with {len(kinds)} content kinds")
        items: list[Any] = []
        positions: list[int] = []
        faults: list[ItemFault] = []
        for position, body in enumerate(bodies):
            kind = kinds[position] if kinds else ContentKind.JSON
            try:
                items.append(self._decode_one(body, kind))
                positions.append(position)
            except Terminated:
                raise
            except BaseException as error:  # noqa: BLE001 - the types of the author run code of their own
                faults.append(self._refusal(position, kind, body, error))
        return items, (positions if faults else None), faults

    def encode(self, results: Sequence[Any], kinds: bytes, positions: list[int] | None, count: int) -> Encoded:
        """One body per item of the batch (empty where there is none), their kinds, and faults.

        Args:
            results: One result per valid item.
            kinds: Content kinds of the items, as in `Run`.
            positions: Places of the valid items, None if all were valid.
            count: Items in the batch.
        """
        if not kinds and positions is None and _CAREFUL_TYPES.isdisjoint(map(type, results)):
            try:
                bodies = list(map(self._to_json, results))
            except Terminated:
                raise
            except BaseException:  # noqa: BLE001, S110 - the careful path finds out which result it was
                pass
            else:
                return (bodies, b"", self._refuse_not_finite(results, bodies) if may_hold_null(bodies) else [])
        bodies = [b""] * count
        result_kinds = bytearray(kinds or bytes(count))
        faults: list[ItemFault] = []
        for position, result in zip(range(count) if positions is None else positions, results, strict=True):
            try:
                body, kind = self._encode_one(result, result_kinds[position])
            except Terminated:
                raise
            except BaseException as error:  # noqa: BLE001 - the types of the author run code of their own
                faults.append(self._bad_result(position, result, error))
            else:
                bodies[position] = body
                result_kinds[position] = kind
        return bodies, (bytes(result_kinds) if any(result_kinds) else b""), faults

    def _decode_one(self, body: bytes, kind: int) -> Any:
        try:
            if kind == ContentKind.JSON:
                return self._from_json(body)
            if kind == ContentKind.MSGPACK:
                return self._from_msgpack(body)
        except msgspec.ValidationError:
            # The type is judged while reading: a body that breaks off behind the fault is malformed all the same.
            _well_formed[kind](body)
            raise
        if not self._takes_bytes:
            raise _NotBytesError
        return body if self._is_raw else msgspec.convert(body, self._item_type)

    def _refusal(self, position: int, kind: int, body: bytes, error: BaseException) -> ItemFault:
        if isinstance(error, _NotBytesError):
            text = f"{self._label} does not take raw bytes; send application/json or application/msgpack"
            return ItemFault(position, Fault.UNSUPPORTED_CONTENT_TYPE, 0, text)
        if isinstance(error, msgspec.ValidationError):
            return ItemFault(position, Fault.ITEM_INVALID, 0, self._told(str(error)))
        name = "msgpack" if kind == ContentKind.MSGPACK else "JSON"
        if not body:
            return ItemFault(position, Fault.MALFORMED, 0, self._told(f"the body is empty; send one {name} item"))
        if isinstance(error, (msgspec.DecodeError, UnicodeDecodeError)):
            cause = str(error).removeprefix("JSON is malformed: ").removeprefix("MessagePack data is malformed: ")
            return ItemFault(position, Fault.MALFORMED, 0, self._told(f"the body is not valid {name}: {cause}"))
        if isinstance(error, RecursionError):
            return ItemFault(position, Fault.MALFORMED, 0, self._told(f"the {name} body is nested too deeply"))
        text = f"{self._label}: building the item raised {type(error).__name__}"
        return ItemFault(position, Fault.FUNCTION_RAISED, 0, text)

    def _told(self, what: str) -> str:
        """What is wrong with an item, as its sender is told it."""
        if self._name is None:
            return sendable(what)
        return f"item of {self._name!r}: {sendable(what)}; `sojourn describe {self._name}` shows the schema"

    def _encode_one(self, result: Any, kind: int) -> tuple[bytes, int]:
        if isinstance(result, (ItemError, CallFailedError)):
            raise result
        if isinstance(result, (bytes, bytearray, memoryview)):
            return bytes(result), ContentKind.BYTES
        if kind == ContentKind.MSGPACK:
            return self._to_msgpack(result), kind
        body = self._to_json(result)
        if b"null" in body:
            self._check_finite(result)
        return body, ContentKind.JSON

    def _refuse_not_finite(self, results: Sequence[Any], bodies: list[bytes]) -> list[ItemFault]:
        """Empty the bodies that hold a null in place of a NaN, and give their faults."""
        faults: list[ItemFault] = []
        for position, body in enumerate(bodies):
            if b"null" not in body:
                continue
            try:
                self._check_finite(results[position])
            except Terminated:
                raise
            except BaseException as error:  # noqa: BLE001 - the types of the author run code of their own
                bodies[position] = b""
                faults.append(self._bad_result(position, results[position], error))
        return faults

    def _check_finite(self, result: Any) -> None:
        if found := not_finite(result, self._to_msgpack, plain):
            raise _NotFiniteError(found)

    def _bad_result(self, position: int, result: Any, error: BaseException) -> ItemFault:
        if isinstance(error, ItemError) and _is_whole(error):
            return ItemFault(position, Fault.ITEM_ERROR, error.status, sendable(error.message))
        if isinstance(error, CallFailedError):
            return ItemFault(position, error.fault, 0, error.message)
        if isinstance(error, _NotFiniteError):
            text = (
                f"{self._label} returned a result that contains {error}, which JSON cannot carry; "
                "replace it (by None, say), or send the item as msgpack: its answer can hold it"
            )
            return ItemFault(position, Fault.BAD_RESULT, 0, text)
        kind = type(result).__name__
        text = f"{self._label} returned a result of type {kind} that cannot be encoded: {one_line(error)}"
        return ItemFault(position, Fault.BAD_RESULT, 0, text)


def _is_whole(error: ItemError) -> bool:
    """Whether an ItemError is what its constructor makes; authors may subclass it and assign to it."""
    status, message = getattr(error, "status", None), getattr(error, "message", None)
    return type(status) is int and 400 <= status <= 599 and isinstance(message, str)


_well_formed: dict[int, Callable[[bytes], Any]] = {
    ContentKind.JSON: msgspec.json.decode,
    ContentKind.MSGPACK: msgspec.msgpack.decode,
}


class _NotFiniteError(Exception):
    """A result holds a number that JSON has no form for; the text says which and where."""


class _NotBytesError(Exception):
    """Raw bytes were sent to a function that takes something else."""


def decode_array(annotation: Any, value: Any) -> Any:
    """Nested lists to a numpy array, where the author's item type holds one."""
    numpy = sys.modules.get("numpy")
    if numpy is None or (typing.get_origin(annotation) or annotation) is not numpy.ndarray:
        raise NotImplementedError
    arguments = typing.get_args(typing.get_args(annotation)[1]) if typing.get_args(annotation) else ()
    dtype = arguments[0] if arguments and isinstance(arguments[0], type) else None
    if not isinstance(value, list):
        raise ValueError(f"Expected nested arrays of numbers, got `{type(value).__name__}`")  # noqa: TRY004 - for msgspec to report
    array = numpy.array(value)
    if array.dtype.kind not in _NUMBERS:
        raise ValueError("Expected nested arrays of numbers, all rows of one length")
    if dtype is None:
        return array
    if array.dtype.kind == "f" and array.size and numpy.dtype(dtype).kind not in "fc":
        raise ValueError(f"Expected nested arrays of {numpy.dtype(dtype).name}, got fractions")
    try:
        return numpy.array(value, dtype=dtype)
    except OverflowError as error:
        raise ValueError(str(error)) from error


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types a value of `annotation` may have: constraints dropped, unions taken apart."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin is typing.Union or origin is types.UnionType:
        return tuple(member for argument in typing.get_args(annotation) for member in _members(argument))
    return (annotation,)


def plain(value: Any) -> Any:
    """Arrays, tensors and their scalars as lists and numbers."""
    tolist = getattr(value, "tolist", None)
    if tolist is None:
        raise TypeError(f"objects of type {type(value).__name__} have no JSON form")
    return tolist()


def array_schema(annotation: Any) -> dict[str, Any]:
    """JSON schema of a numpy array: nested lists of numbers."""
    numpy = sys.modules.get("numpy")
    if numpy is None or (typing.get_origin(annotation) or annotation) is not numpy.ndarray:
        raise NotImplementedError
    return {"type": "array", "description": "numpy.ndarray as nested arrays of numbers"}
