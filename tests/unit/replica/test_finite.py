"""NaN and infinities never pass as null in JSON; msgpack carries them."""

import math
from dataclasses import dataclass

import msgspec
import pytest

from sojourn.replica.codec import ItemCodec
from sojourn.wire.message import ContentKind

MSGPACK = bytes([ContentKind.MSGPACK])


@dataclass
class Scored:
    """A result with a number in it."""

    label: str | None
    scores: list[float]


class Array:
    """Stands for an array or a tensor."""

    def tolist(self):
        return [0.5, math.inf]


def encoded(*results, kinds=b"", positions=None):
    """Bodies and (position, message) of the faults."""
    codec = ItemCodec(float, "function 'x' (app.py:1)")
    bodies, _, faults = codec.encode(list(results), kinds, positions, len(results))
    assert {fault.code for fault in faults} <= {"bad_result"}
    return bodies, [(fault.position, fault.message) for fault in faults]


@pytest.mark.parametrize(
    ("result", "found"),
    [
        (math.nan, "NaN at `$`"),
        (-math.inf, "Infinity at `$`"),
        (Scored("x", [0.1, math.nan, math.inf]), "NaN at `$.scores[1]`"),
        (Array(), "Infinity at `$[1]`"),
        ({"deep": ({"er": [None, math.nan]},)}, "NaN at `$.deep[0].er[1]`"),
        ([10**30, math.nan], "NaN at `$[1]`"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.parametrize("kinds", [b"", MSGPACK + bytes(2)], ids=["all JSON", "mixed"])
def test_a_number_that_json_cannot_carry_fails_its_item(result, found, kinds):
    """The fault says what and where; the neighbours are served."""
    bodies, faults = encoded(1.5, result, None, kinds=kinds)
    assert bodies[1:] == [b"", b"null"]
    ((position, message),) = faults
    assert position == 1
    assert f"returned a result that contains {found}, which JSON cannot carry; replace it" in message


def test_none_and_the_word_null_are_no_numbers():
    """What is truly null passes, and so do integers whose bytes look like a NaN's, and those msgpack cannot hold."""
    lookalike = int.from_bytes(b"\xcb\x7f\xf0" + bytes(5))
    results = (None, "null", {"a": None, "b": 1.0}, [None, lookalike], [None, 10**30], Scored(None, [1.0]))
    bodies, faults = encoded(*results)
    assert faults == []
    assert bodies == [msgspec.json.encode(result) for result in results]


def test_msgpack_answers_carry_them():
    """What came as msgpack is answered in msgpack, which has these numbers."""
    bodies, faults = encoded(math.nan, math.inf, kinds=MSGPACK * 2)
    assert faults == []
    assert math.isnan(msgspec.msgpack.decode(bodies[0]))
    assert msgspec.msgpack.decode(bodies[1]) == math.inf
