"""Hostile JSON against a real server: each body gets its 4xx or its result, and the replica lives on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server import Server

APP = '''
"""Functions that take loose and strict items."""
from typing import Any
import msgspec
import sojourn

class Tree(msgspec.Struct):
    name: str
    children: list["Tree"] = []

@sojourn.function
def anything(items: list[Any]) -> list[str]:
    return [type(item).__name__ for item in items]

@sojourn.function
def numbers(items: list[float]) -> list[float]:
    return items

@sojourn.function
def count(items: list[int]) -> list[int]:
    return items

@sojourn.function
def depth(trees: list[Tree]) -> list[str]:
    return [tree.name for tree in trees]
'''

DEEP = 100_000
BODIES = {
    "arrays 100,000 deep": ("anything", b"[" * DEEP + b"]" * DEEP, 400),
    "objects 100,000 deep": ("anything", b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400),
    "half of it": ("anything", b"[" * DEEP, 400),
    "trees 100,000 deep": ("depth", b'{"name":"x","children":[' * DEEP + b"]}" * DEEP, 400),
    "a number of a million digits": ("anything", b"9" * 1_000_000, 422),
    "an integer of a million digits": ("count", b"9" * 1_000_000, 422),
    "an exponent of a million digits": ("numbers", b"1e" + b"9" * 1_000_000, 422),
    "a float past the largest": ("numbers", b"1e999", 422),
    "NaN": ("numbers", b"NaN", 400),
    "Infinity": ("numbers", b"-Infinity", 400),
    "a lone surrogate": ("anything", b'"\\ud800"', 400),
    "bytes that are not UTF-8": ("anything", b'"\xff\xfe"', 400),
    "an overlong encoding": ("anything", b'"\xc0\xaf"', 400),
    "a byte order mark": ("anything", b"\xef\xbb\xbf1", 400),
    "a control character in a string": ("anything", b'"\x00"', 400),
    "a single quote": ("anything", b"'a'", 400),
    "a trailing comma": ("anything", b"[1,]", 400),
    "a comment": ("anything", b"/* a */ 1", 400),
    "two values": ("anything", b"1 2", 400),
    "nothing": ("anything", b"", 400),
    "white space": ("anything", b" \r\n\t" * 1000, 400),
    "NUL": ("anything", b"\x00", 400),
    "a type the item has not": ("count", b'{"__class__": "os.system"}', 422),
}
SERVED = {
    "an integer past 64 bits": ("count", b"9" * 30, 10**30 - 1),
    "the same key a thousand times": (
        "anything", b"{" + b",".join([b'"a":1'] * 1000) + b"}", "dict",
    ),
    "a million numbers": ("anything", b"[" + b",".join([b"1"] * 1_000_000) + b"]", "list"),
    "a string of a million escapes": ("anything", b'"' + b"\\u00e9" * 1_000_000 + b'"', "str"),
    "a hundred thousand keys": (
        "anything", b"{" + b",".join(b'"%d":1' % number for number in range(100_000)) + b"}", "dict",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for all bodies: none of them may cost it a replica."""
    with Server(tmp_path_factory.mktemp("bodies"), APP) as running:
        pids = running.replica_pids()
        yield running
        assert running.replica_pids() == pids
        assert "loop.stalled" not in running.log_text()


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_fails_alone(server, name):
    """400 for what is not JSON, 422 for what is not of the item's type, each with a sentence; the next one is served."""
    function, body, status = BODIES[name]
    answer = server.raw_call("POST", f"/functions/{function}", body)
    assert answer.status == status, answer.body
    assert answer.body["code"] == {400: "malformed", 422: "item_invalid"}[status]
    assert len(answer.body["error"]) < 1000
    if status == 400:
        assert any(word in answer.body["error"] for word in ("byte", "deeply", "truncated", "empty"))
    assert server.call(function, {"name": "well"} if function == "depth" else 7).status == 200


@pytest.mark.parametrize("name", SERVED)
def test_a_large_but_valid_body_is_served(server, name):
    """What is only big or odd gets its result."""
    function, body, result = SERVED[name]
    answer = server.raw_call("POST", f"/functions/{function}", body)
    assert (answer.status, answer.body) == (200, result)
