"""Items as bodies and bodies as results."""

import dataclasses
import math
import threading

import msgspec
import numpy as np
import pytest

from sojourn.client.conversation import Answer
from sojourn.client.items import BYTES, JSON, MSGPACK, decode_result, encode_item
from sojourn.errors import ItemInvalidError, UnusableAnswerError


@dataclasses.dataclass
class Point:
    x: float
    y: float


class Struct(msgspec.Struct):
    name: str


def good(body: bytes, content_type: str) -> Answer:
    return Answer(200, {"content-type": content_type}, body)


@pytest.mark.parametrize(
    ("item", "body"),
    [
        (Point(1.0, 2.0), b'{"x":1.0,"y":2.0}'),
        (Struct("a"), b'{"name":"a"}'),
        (np.arange(4).reshape(2, 2), b"[[0,1],[2,3]]"),
        ({"v": np.float64(0.5)}, b'{"v":0.5}'),
        (None, b"null"),
        ("null", b'"null"'),
    ],
)
def test_items_are_sent_as_json(item, body):
    """Dataclasses, structs, arrays inside and outside of others, and a None that is meant."""
    assert encode_item(item, None) == (body, JSON)


def test_bytes_are_sent_as_they_are():
    """By default as a stream of octets; with a content type they are what is already encoded."""
    assert encode_item(b"\x00\xff", None) == (b"\x00\xff", BYTES)
    assert encode_item(bytearray(b"{}"), JSON) == (b"{}", JSON)
    assert encode_item(memoryview(b"x"), None) == (b"x", BYTES)


def test_what_has_no_form_is_told_before_anything_is_sent():
    """A lock, a NaN in JSON, text as octets: each says what to do."""
    with pytest.raises(ItemInvalidError, match="type lock cannot be sent as JSON"):
        encode_item(threading.Lock(), None)
    with pytest.raises(ItemInvalidError, match=r"NaN at `\$\.x`.*application/msgpack"):
        encode_item(Point(math.nan, 1.0), None)
    assert msgspec.msgpack.decode(encode_item([math.inf], MSGPACK)[0]) == [math.inf]
    with pytest.raises(ItemInvalidError, match="octet-stream for bytes"):
        encode_item("text", BYTES)


def test_results_become_the_type_asked_for():
    """From JSON, msgpack and bytes; without a type they are plain data."""
    assert decode_result(good(b'{"x":1,"y":2}', JSON), Point, "") == Point(1, 2)
    assert decode_result(good(msgspec.msgpack.encode([1]), MSGPACK), list[int], "") == [1]
    assert decode_result(good(b"\x01", BYTES), bytes, "") == b"\x01"
    assert decode_result(good(b"[1.5]", JSON), np.ndarray, "").tolist() == [1.5]


@pytest.mark.parametrize(
    ("answer", "kind"), [(good(b'"x"', JSON), int), (good(b"{", JSON), dict), (good(b"<html>", "text/html"), str)]
)
def test_a_result_of_another_type_names_the_request(answer, kind):
    """So that it can be looked for in the server's traces."""
    with pytest.raises(UnusableAnswerError, match="request r-7"):
        decode_result(answer, kind, "r-7")
