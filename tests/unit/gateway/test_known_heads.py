"""The tables of heads that were read before tell what a parse would tell, or nothing."""

import pytest

from sojourn.gateway.head import RequestHead
from sojourn.gateway.known_heads import KNOWN_HEAD_BYTES_MAX, KNOWN_HEADS_MAX, KnownHeads
from sojourn.gateway.response import Persistence
from sojourn.wire.message import ContentKind

READ = RequestHead(b"/functions/f", ContentKind.JSON, 1, None, None, Persistence.KEEP, 3, False)
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def head(*lines):
    """The bytes of a head with these lines among others."""
    return b"\r\n".join([b"POST /functions/f HTTP/1.1", b"Host: t", *lines, b"Content-Length: 3"]) + b"\r\n\r\n"


def known(*lines, varying):
    """A table that has seen one head."""
    heads = KnownHeads(16_384)
    heads.remember(head(*lines), READ, varying=varying)
    return heads


def test_a_head_without_varying_fields_is_known_to_the_byte():
    """One byte more or less, or another spelling, is another head."""
    heads = known(b"X: y", varying=0)
    assert heads.by_bytes == {head(b"X: y"): READ}
    assert heads.recall(head(b"X: y")) is None


@pytest.mark.parametrize("name", [b"X-Request-ID", b"x-request-id", b"X-Request-Id"])
def test_another_request_id_is_told_and_everything_else_recalled(name):
    """The usual spellings; the id is the one of this request, not of the first."""
    heads = known(name + b": first", varying=1)
    assert heads.recall(head(name + b": second")) == (READ, b"second", None)
    assert heads.recall(head(name + b": " + b"~" * 128)) == (READ, b"~" * 128, None)


def test_trace_parents_vary_with_and_without_ids():
    """Both fields, in either order, are two outlines; both values are found in both."""
    heads = known(b"traceparent: " + TRACE, b"X-Request-ID: a", varying=2)
    assert heads.recall(head(b"traceparent: x", b"X-Request-ID: b")) == (READ, b"b", b"x")
    assert heads.recall(head(b"X-Request-ID: b", b"traceparent: x")) is None
    heads.remember(head(b"X-Request-ID: a", b"traceparent: " + TRACE), READ, varying=2)
    assert heads.recall(head(b"X-Request-ID: c", b"traceparent: y")) == (READ, b"c", b"y")
    heads.remember(head(b"Traceparent: " + TRACE), READ, varying=1)
    assert heads.recall(head(b"Traceparent: z")) == (READ, None, b"z")


@pytest.mark.parametrize(
    "line",
    [
        b"X-Request-ID: ",
        b"X-Request-ID:b",
        b"X-Request-ID:  b",
        b"X-Request-ID: b ",
        b"X-Request-ID: b c",
        b"X-Request-ID: b\x00",
        b"X-Request-ID: \xff",
        b"X-Request-ID: b\rc",
        b"X-Request-ID: b\nc",
        b"X-Request-ID: " + b"b" * 129,
        b"X-REQUEST-ID: b",
        b"X-Request-ID : b",
        b"X-Request-ID: b\r\nX-Request-ID: c",
        b"X-Request-ID: b\r\nTransfer-Encoding: chunked",
        b"X-Request-ID: b\r\n c",
        b"",
    ],
)
def test_any_other_form_of_the_field_is_left_to_the_parser(line):
    """No value, white space, other bytes, too long, twice, or with company: not the outline that was read."""
    assert known(b"X-Request-ID: a", varying=1).recall(head(line)) is None


@pytest.mark.parametrize(
    ("lines", "varying"),
    [
        ([b"X-Request-ID: a", b"X-Request-ID: b"], 1),
        ([b"X-Request-ID: a", b"X-REQUEST-ID: b"], 1),
        ([b"X-Request-ID: a b"], 1),
        ([b"traceparent: a", b"X-Request-ID: "], 2),
    ],
)
def test_heads_whose_id_could_be_read_in_two_ways_are_not_kept(lines, varying):
    """They are parsed each time."""
    heads = known(*lines, varying=varying)
    assert heads.recall(head(*lines)) is None
    assert heads.by_bytes == {}


def test_a_longer_value_cannot_pass_the_limit_of_headers():
    """Past `header_bytes`, or past what is kept at all, the parser decides."""
    heads = KnownHeads(len(head(b"X-Request-ID: abc")))
    heads.remember(head(b"X-Request-ID: a"), READ, varying=1)
    assert heads.recall(head(b"X-Request-ID: abc")) == (READ, b"abc", None)
    assert heads.recall(head(b"X-Request-ID: abcd")) is None
    long = head(b"X: " + b"y" * KNOWN_HEAD_BYTES_MAX)
    heads.remember(long, READ, varying=0)
    assert heads.by_bytes == {}


def test_the_tables_are_bounded():
    """A client that never repeats a head empties them now and then, and fills nothing."""
    heads = KnownHeads(16_384)
    for number in range(KNOWN_HEADS_MAX + 1):
        heads.remember(head(b"X: %d" % number), READ, varying=0)
        heads.remember(head(b"X: %d" % number, b"X-Request-ID: a"), READ, varying=1)
    assert len(heads.by_bytes) == len(heads._by_outline) == 1
