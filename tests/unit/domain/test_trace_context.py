"""The `traceparent` header against the table of the W3C recommendation."""

from __future__ import annotations

import pytest

from sojourn.domain.trace_context import own_ids, read_traceparent

TRACE, PARENT, OURS = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


@pytest.mark.parametrize("version", ["00", "cc", "01"])
def test_a_good_header_is_read(version):
    """Later versions are read as the first; we answer in our own."""
    found = read_traceparent(f"{version}-{TRACE}-{PARENT}-01".encode(), OURS)
    assert (found.trace_id, found.parent_id, found.span_id, found.flags) == (TRACE, PARENT, OURS, "01")
    assert found.traceparent == f"00-{TRACE}-{OURS}-01".encode()


def test_later_versions_may_have_more():
    """What follows the flags belongs to a version we do not know."""
    assert read_traceparent(f"cc-{TRACE}-{PARENT}-01-what-the-future".encode(), OURS) is not None


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-0x",
        f"cc-{TRACE}-{PARENT}-01.more",
    ],
)
def test_a_header_that_cannot_be_read_is_as_none(value):
    """The request is served without it."""
    assert read_traceparent(value.encode(), OURS) is None


def test_own_ids_belong_to_the_request_id():
    """The same request gets the same trace wherever it is shown."""
    trace_id, span_id = own_ids("abc")
    assert (len(trace_id), len(span_id)) == (32, 16)
    assert own_ids("abc") == (trace_id, span_id) != own_ids("abd")
    int(trace_id + span_id, 16)
