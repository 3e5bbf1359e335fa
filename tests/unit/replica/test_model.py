"""Alignment as a property: whatever is invalid or fails in a batch, each answer stands at its own item's place."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.declare import ItemError
from sojourn.domain.function import FunctionSettings
from sojourn.errors import ProtocolError
from sojourn.replica.codec import ItemCodec
from sojourn.replica.model import Model
from sojourn.wire.message import ContentKind, Run

JSON, MSGPACK, BYTES = ContentKind.JSON, ContentKind.MSGPACK, ContentKind.BYTES


class Item(msgspec.Struct):
    """What the model under test takes."""

    id: int
    wish: str


class Unknown:
    """Nothing can encode this."""


def result(item):
    """What the item wishes for."""
    match item.wish:
        case "error":
            return ItemError(418, str(item.id))
        case "unknown":
            return Unknown()
        case "bytes":
            return b"%d" % item.id
        case "raise":
            raise ValueError(item.id)
    return item.id


WISHES = ("served", "bytes", "error", "unknown")
BROKEN = {JSON: (b"{", b'{"id":"x"}', b'"\xff"'), MSGPACK: (b"\xc1", b"\x01", b"\xa1\xff"), BYTES: (b"raw",)}
ENCODE = {JSON: msgspec.json.encode, MSGPACK: msgspec.msgpack.encode}


@st.composite
def batches(draw, wishes):
    """(wish or None for an invalid body, kind, body) of each item of a batch."""
    items = []
    for number in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from([JSON, JSON, MSGPACK, BYTES]))
        wish = None if kind == BYTES else draw(st.sampled_from([*wishes, None]))
        body = draw(st.sampled_from(BROKEN[kind])) if wish is None else ENCODE[kind](Item(number, wish))
        items.append((wish, kind, body))
    return items


def judge(items, done):
    """Each item has its own answer or its own fault, never both, never another's."""
    faults = {fault.position: fault for fault in done.faults}
    assert [fault.position for fault in done.faults] == sorted(faults)
    assert len(done.bodies) == len(items)
    kinds = done.kinds or bytes(len(items))
    for position, (wish, kind, _) in enumerate(items):
        body = done.bodies[position]
        if wish in {"served", "bytes"}:
            assert position not in faults
            expected = {"bytes": BYTES}.get(wish, kind)
            assert kinds[position] == expected
            assert (msgspec.msgpack.decode(body) if expected == MSGPACK else int(body)) == position
            continue
        assert body == b""
        fault = faults[position]
        if wish is None:
            assert fault.code in {"malformed", "item_invalid", "unsupported_content_type"}
        else:
            assert fault.code == {"error": "item_error", "unknown": "bad_result", "raise": "function_raised"}[wish]
        if wish == "error":
            assert (fault.status, fault.message) == (418, str(position))


def model(called, *, batchable):
    """A model around a plain function of this process."""
    settings = FunctionSettings(name="x", batchable=batchable)
    return Model(settings, called, ItemCodec(Item, "function 'x' (app.py:1)"), "function 'x' (app.py:1)", "/nowhere")


def run_of(items):
    """The batch as the server would send it: no kinds if all are JSON."""
    kinds = bytes(kind for _, kind, _ in items)
    return Run(1, [body for *_, body in items], kinds if any(kinds) else b"")


@given(batches(WISHES))
def test_batches_are_never_misaligned(items):
    """A function that takes lists: invalid items, item errors and odd results never shift a neighbour."""
    seen = []

    def called(batch):
        seen.extend(batch)
        return [result(item) for item in batch]

    judge(items, model(called, batchable=True).run(run_of(items), 0.0))
    assert [item.id for item in seen] == [number for number, (wish, *_) in enumerate(items) if wish is not None]


@given(st.lists(st.tuples(st.sampled_from([JSON, MSGPACK, BYTES]), st.binary(max_size=60)), min_size=1, max_size=5))
def test_no_body_does_harm(items):
    """Whatever bytes a body holds, its item is served or has a fault, and nothing else happens."""
    run = Run(1, [body for _, body in items], bytes(kind for kind, _ in items))
    settings = FunctionSettings(name="x")
    label = "function 'x' (app.py:1)"
    for item_type in (Any, Item, list[int] | None, dict[str, float], bytes):
        done = Model(settings, list, ItemCodec(item_type, label), label, "/nowhere").run(run, 0.0)
        codes = {fault.position: fault.code for fault in done.faults}
        for position, body in enumerate(done.bodies):
            if position in codes:
                assert body == b""
            else:
                assert body or items[position] == (BYTES, b"")
        assert set(codes.values()) <= {"malformed", "item_invalid", "unsupported_content_type", "bad_result"}


def test_kinds_must_be_one_per_item():
    """A server that sends fewer kinds than items is not understood; nothing is guessed."""
    with pytest.raises(ProtocolError, match="2 items came with 1 content kinds"):
        model(result, batchable=True).run(Run(1, [b"1", b"2"], b"\x01"), 0.0)


@given(batches((*WISHES, "raise")))
def test_single_calls_are_never_misaligned(items):
    """A function that takes one item at a time: an exception too stays with its item."""
    judge(items, model(result, batchable=False).run(run_of(items), 0.0))
