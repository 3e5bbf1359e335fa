"""Answers as errors, and what good ones tell beside their result."""

import json

import pytest

from sojourn import errors
from sojourn.client.answers import batch_size_in, error_class, error_in, json_in, phases_in, retry_after
from sojourn.client.conversation import Answer
from sojourn.domain.request import Fault
from sojourn.gateway.response import STATUS_OF_FAULT

DEEP = b'{"error": "x", "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def refused(status: int, code: str, **headers: str) -> Answer:
    body = json.dumps({"error": "what, where, how", "code": code, "request_id": "r-1"}).encode()
    return Answer(status, {"content-type": "application/json", **headers}, body)


def test_every_code_of_the_gateway_has_a_class_that_agrees_with_its_status():
    """No fault falls through to a general error; a code never means another class than its status, but for two."""
    for fault in Fault:
        if fault in {Fault.CLIENT_GONE, Fault.ITEM_ERROR}:  # never sent; of any status
            continue
        by_code = error_class(STATUS_OF_FAULT[fault], fault.value)
        assert by_code not in {errors.ServerError, errors.RequestError}, fault
        if STATUS_OF_FAULT[fault] != 500:
            assert by_code is error_class(STATUS_OF_FAULT[fault], "a code of next year"), fault


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "no_valid_key", errors.UnauthenticatedError),
        (403, "other_site", errors.ForbiddenError),
        (404, "unknown_function", errors.NotFoundError),
        (409, "new_code", errors.RequestError),
        (409, "deployment_conflict", errors.NotDeployableError),
        (422, "import_failed", errors.NotDeployableError),
        (503, "too_many_connections", errors.UnavailableError),
        (429, "too_many_pipelined", errors.OverloadedError),
        (500, "internal_error", errors.ServerError),
        (507, "new_code", errors.ServerError),
        (429, "item_error", errors.ItemFailedError),
    ],
)
def test_a_code_that_is_not_known_is_judged_by_its_status(status, code, kind):
    """So that a newer server is understood; what the function itself said stays the function's."""
    error = error_in(refused(status, code), "http://x", "mine")
    assert type(error) is kind
    assert (error.status, error.code, error.request_id) == (status, code, "r-1")


def test_an_error_repeats_what_the_server_said():
    """Message, code, status, request and when to come back are there, one by one and in its text."""
    error = error_in(refused(429, "overloaded", **{"retry-after": "3"}), "http://x", "mine")
    assert error.message == "what, where, how"
    assert error.retry_after_s == 3.0
    assert str(error) == "what, where, how (429 overloaded, request r-1)"


@pytest.mark.parametrize(
    "body", [b"<html>Bad gateway</html>", b"", b"[]", b'{"error": 1}', b'{"detail": "x"}', b"\xff", DEEP]
)
def test_an_answer_of_a_proxy_is_told_as_one(body):
    """Neither a refusal nor a lost replica: it says what came and from where, and nothing is retried."""
    error = error_in(Answer(503, {"content-type": "text/html; charset=x"}, body), "http://x", "mine")
    assert type(error) is errors.UnusableAnswerError
    assert not isinstance(error, errors.RefusedError)
    assert "http://x" in str(error)
    assert "status 503" in str(error)
    assert error.request_id == "mine"


def test_good_answers_are_no_errors_and_redirects_are():
    """2xx passes; 3xx is followed nowhere, since the key would go along."""
    assert error_in(Answer(201, {}, b""), "x", "") is None
    assert type(error_in(Answer(302, {"location": "http://evil"}, b""), "x", "")) is errors.UnusableAnswerError


def test_a_page_of_something_else_is_no_answer_of_the_api():
    """A 200 with HTML says what it began with."""
    with pytest.raises(errors.UnusableAnswerError, match="<html>"):
        json_in(Answer(200, {}, b"<html>hello"), "http://x", dict)
    with pytest.raises(errors.UnusableAnswerError, match=r"begins: '\{"):
        json_in(Answer(200, {}, DEEP), "http://x", dict)


@pytest.mark.parametrize(("text", "seconds"), [(None, None), ("7", 7.0), ("-1", None), ("Wed, 21 Oct", None)])
def test_retry_after_is_read_where_it_is_a_number(text, seconds):
    """A date, which our server never sends, is as good as none."""
    assert retry_after(text) == seconds


def test_server_timing_is_read_in_seconds():
    """Phases in their order; the batch has a size and no time; nonsense is left out."""
    timing = 'admission;dur=0.5, queue;dur=2.25, service;dur=10, batch;desc="16", bad;dur=x, worse;dur=nan, alone'
    assert phases_in(timing) == {"admission": 0.0005, "queue": 0.00225, "service": 0.01}
    assert list(phases_in(timing)) == ["admission", "queue", "service"]
    assert batch_size_in(timing) == 16
    assert (phases_in(""), batch_size_in("")) == ({}, None)
