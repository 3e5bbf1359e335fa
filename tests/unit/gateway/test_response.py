"""The bytes of answers and the table of statuses."""

import re
from email.utils import formatdate

import msgspec
import pytest

from sojourn.domain.request import OUTCOME_OF_FAULT, Fault, Outcome
from sojourn.gateway.response import (
    STATUS_OF_FAULT,
    Persistence,
    RequestIds,
    answer_heads,
    date_line,
    error_answer,
)
from sojourn.wire.message import ContentKind


def test_every_fault_has_a_status():
    """No fault can reach a client without an HTTP status, and no status is kept for a fault that is gone."""
    assert set(STATUS_OF_FAULT) == set(Fault)


@pytest.mark.parametrize("fault", list(Fault))
def test_the_status_agrees_with_the_outcome(fault):
    """The table of the design: shed is 429 or 503, expired 504, the function's faults 500, the client's 4xx."""
    status, outcome = STATUS_OF_FAULT[fault], OUTCOME_OF_FAULT[fault]
    allowed = {
        Outcome.SHED: {429, 503},
        Outcome.EXPIRED: {504},
        Outcome.CANCELLED: {499},
        Outcome.FAILED: {400, 408, 413, 415, 422, 500, 502},
    }
    assert status in allowed[outcome]


def test_an_error_is_json_whatever_its_message_holds():
    """Quotes, line ends and control characters of a message can break neither the JSON nor the headers."""
    message = 'say "no"\r\nx-evil: 1\x00\u2028 é'
    head, _, body = error_answer(400, "malformed", message, b"r-1").partition(b"\r\n\r\n")
    assert msgspec.json.decode(body) == {"error": message, "code": "malformed", "request_id": "r-1"}
    assert b"x-evil" not in head
    assert b"content-length: %d" % len(body) in head


@pytest.mark.parametrize(
    ("status", "retry_after_s", "value"),
    [
        (429, 0.0, b"1"),
        (503, 0.2, b"1"),
        (429, 1.0, b"1"),
        (503, 2.1, b"3"),
        (503, float("inf"), b"1"),
        (400, 0.0, None),
    ],
)
def test_retry_after_is_whole_seconds_rounded_up(status, retry_after_s, value):
    """Refusals say when to come back even if nobody computed it; other errors say nothing."""
    found = re.search(rb"retry-after: (\S+)\r\n", error_answer(status, "c", "m", b"r", retry_after_s=retry_after_s))
    assert (found and found[1]) == value


def test_the_connection_header_follows_the_persistence():
    """HTTP/1.1 keeps silently, HTTP/1.0 is told, and closing is always said."""
    heads = [answer_heads(b"")[persistence][ContentKind.JSON] for persistence in Persistence]
    assert b"connection: close\r\n" in heads[Persistence.CLOSE]
    assert b"connection:" not in heads[Persistence.KEEP]
    assert b"connection: keep-alive\r\n" in heads[Persistence.KEEP_SAID]


def test_an_answer_to_head_has_the_length_but_no_body():
    """HEAD tells how long the body would be and does not send it."""
    full, bare = (error_answer(404, "not_found", "m", b"r", is_head=is_head) for is_head in (False, True))
    assert full.startswith(bare)
    assert bare.endswith(b"\r\n\r\n")
    assert full != bare


def test_unknown_statuses_get_a_valid_status_line():
    """A function may answer with a status that has no standard phrase."""
    assert error_answer(499, "item_error", "m", b"r").startswith(b"HTTP/1.1 499 \r\n")


def test_generated_request_ids_differ_within_and_between_processes():
    """No two requests share an id, and two generators (two servers) do not repeat each other's."""
    first, second = RequestIds(), RequestIds()
    names = [ids.new() for ids in (first, second) for _ in range(1000)]
    assert len(set(names)) == 2000


@pytest.mark.parametrize("wall_s", [0.0, 784111777.9, 951782400.0, 1e9, 4102444799.0])
def test_the_date_is_in_the_form_of_the_standard(wall_s):
    """Names of days and months, leading zeros, GMT: as the standard library writes it, whatever the locale."""
    assert date_line(wall_s) == f"date: {formatdate(wall_s, usegmt=True)}\r\n".encode()


def test_every_answer_tells_the_date():
    """Results and errors carry the line they are given, once."""
    line = date_line(1e9)
    for head in (answer_heads(line)[Persistence.KEEP][ContentKind.BYTES], error_answer(404, "c", "m", b"r", date=line)):
        assert head.count(b"\r\n" + line) == 1
