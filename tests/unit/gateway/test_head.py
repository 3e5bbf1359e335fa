"""What the headers of a request say, or why they cannot be obeyed."""

import pytest

from sojourn.domain.request import Fault, Priority
from sojourn.gateway.head import framing_fault, positive_seconds, read_head, request_id_of
from sojourn.gateway.limits import Limits
from sojourn.gateway.refusal import Refusal
from sojourn.gateway.response import Persistence
from sojourn.wire.message import ContentKind

LIMITS = Limits(body_bytes=100)


def read(headers, version="1.1"):
    """Read a head with the test's limits."""
    return read_head(b"/functions/f", version, headers, Persistence.KEEP, LIMITS)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (None, ContentKind.JSON),
        (b"", ContentKind.JSON),
        (b"application/json", ContentKind.JSON),
        (b"Application/JSON; charset=utf-8", ContentKind.JSON),
        (b"application/msgpack", ContentKind.MSGPACK),
        (b"application/x-msgpack ;v=1", ContentKind.MSGPACK),
        (b"application/octet-stream", ContentKind.BYTES),
    ],
)
def test_content_types_name_a_kind(text, kind):
    """Case and parameters of a content type do not matter, and none at all means JSON."""
    assert read({} if text is None else {b"content-type": text}).kind is kind


@pytest.mark.parametrize(
    "headers",
    [{b"content-type": b"text/plain"}, {b"content-type": b";"}, {b"content-encoding": b"gzip"}],
)
def test_other_forms_are_refused_by_their_code(headers):
    """Unknown types and compressed bodies are 415, never guessed at."""
    refusal = read(headers)
    assert (refusal.status, refusal.fault) == (415, Fault.UNSUPPORTED_CONTENT_TYPE)


@pytest.mark.parametrize(
    ("text", "priority"),
    [(b"critical", Priority.CRITICAL), (b"Default", Priority.DEFAULT), (b"best-effort", Priority.BEST_EFFORT)],
)
def test_priorities_are_named(text, priority):
    """The three classes of the contract, in any case."""
    assert read({b"x-priority": text}).priority is priority


@pytest.mark.parametrize(
    ("text", "value_s"), [(b"0.5", 0.5), (b"2", 2.0), (b".25", 0.25), (b"1e-05", 1e-5), (b"3.", 3.0)]
)
def test_timeouts_are_decimal_seconds(text, value_s):
    """Whatever a float is printed as by common languages is understood."""
    assert positive_seconds(text) == value_s


@pytest.mark.parametrize(
    "text",
    [b"", b"0", b"-1", b"+1", b"nan", b"inf", b"1e999", b"1s", b" 1", b"1_0", b".", b"0x1", b"1" * 400, b"1e-999"],
)
def test_timeouts_that_are_no_positive_finite_number_are_refused(text):
    """The refusal is a 400 that names the header."""
    refusal = read({b"x-request-timeout-seconds": text})
    assert (refusal.status, refusal.fault) == (400, Fault.BAD_REQUEST)
    assert "x-request-timeout-seconds" in refusal.message


def test_a_bad_priority_is_refused_by_name():
    """The refusal lists what may be sent."""
    refusal = read({b"x-priority": b"urgent"})
    assert (refusal.status, refusal.fault) == (400, Fault.BAD_REQUEST)
    assert "best-effort" in refusal.message


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        (b"a", b"a"),
        (b"~" * 128, b"~" * 128),
        (b"~" * 129, None),
        (b"", None),
        (b"a b", None),
        (b"a\tb", None),
        (b"\xff", None),
    ],
)
def test_only_safe_request_ids_are_echoed(sent, echoed):
    """1 to 128 visible ASCII characters come back; anything else is replaced by the caller."""
    assert request_id_of({b"x-request-id": sent}) == echoed


@pytest.mark.parametrize(("length", "is_refused"), [(b"100", False), (b"101", True), (b"9" * 18, True)])
def test_a_body_past_the_limit_is_refused_from_its_announced_length(length, is_refused):
    """413 before a byte of the body, naming the setting; the limit itself is still allowed."""
    answer = read({b"content-length": length})
    assert isinstance(answer, Refusal) is is_refused
    if is_refused:
        assert answer.status == 413
        assert "body_bytes" in answer.message


def test_only_the_known_expectation_is_met():
    """100-continue with a body is promised on HTTP/1.1 only; any other expectation is 417."""
    assert read({b"expect": b"100-Continue", b"content-length": b"1"}).expects_continue
    assert not read({b"expect": b"100-continue", b"content-length": b"0"}).expects_continue
    assert not read({b"expect": b"100-continue", b"content-length": b"1"}, "1.0").expects_continue
    assert read({b"expect": b"200-ok"}).status == 417


@pytest.mark.parametrize(
    ("version", "headers", "options", "status"),
    [
        ("1.1", {b"host": b"a"}, {}, None),
        ("1.0", {}, {}, None),
        ("1.1", {b"host": b"a", b"transfer-encoding": b"Chunked"}, {}, None),
        ("1.1", {}, {}, 400),
        ("2.0", {b"host": b"a"}, {}, 505),
        ("0.9", {}, {}, 505),
        ("1.1", {b"host": b"a"}, {"repeated": b"host"}, 400),
        ("1.1", {b"host": b"a"}, {"asks_upgrade": True}, 501),
        ("1.1", {b"host": b"a", b"transfer-encoding": b"gzip, chunked"}, {}, 501),
        ("1.1", {b"host": b"a", b"transfer-encoding": b"chunked", b"content-length": b"1"}, {}, 400),
        ("1.0", {b"transfer-encoding": b"chunked"}, {}, 400),
    ],
)
def test_requests_that_could_be_read_in_two_ways_are_refused(version, headers, options, status):
    """Smuggling rests on framing two parsers understand differently; such requests are not taken."""
    fault = framing_fault(version, headers, **{"repeated": b"", "asks_upgrade": False, **options})
    assert (None if fault is None else fault.status) == status
