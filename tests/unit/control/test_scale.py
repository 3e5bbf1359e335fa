"""`PUT /api/v1/functions/{name}/scale` over real HTTP: what changes, and what is refused before anything does."""

from __future__ import annotations

import asyncio
import http.client
import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from sojourn.domain.scaling import ReplicaLimits

_SPEC = spec_from_file_location("overview", Path(__file__).with_name("overview.py"))
_MODULE = module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
SmallOverview, admin_server = _MODULE.SmallOverview, _MODULE.admin_server

JSON = {"content-type": "application/json"}


def put(body, headers=None, name="digits", method="PUT"):
    """Status, answer, and the limits of `digits` afterwards."""
    overview = SmallOverview()

    def ask(port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, f"/api/v1/functions/{name}/scale", content, JSON if headers is None else headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    async def main():
        server = admin_server(overview)
        _, port = await server.start("127.0.0.1", 0)
        try:
            return await asyncio.to_thread(ask, port)
        finally:
            await server.close()

    status, answer = asyncio.run(main())
    return status, answer, overview.limits["digits"]


def test_limits_are_set_and_the_new_state_comes_back():
    """Either or both; a content type may have parameters."""
    status, answer, limits = put(
        {"min_replicas": 1, "max_replicas": 4}, {"content-type": "application/json; charset=utf-8"}
    )
    assert (status, limits) == (200, ReplicaLimits(min_replicas=1, max_replicas=4))
    assert answer["limits"] == {"min_replicas": 1, "max_replicas": 4}
    assert (answer["name"], answer["last_scaling"]) == ("digits", None)
    assert put({"min_replicas": 2})[2] == ReplicaLimits(min_replicas=2)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body cannot be used"),
        (b"[1]", "the body cannot be used"),
        (b'{"min_replicas": 1', "the body cannot be used"),
        (b"\xff", "the body cannot be used"),
        ({"min_replicas": "1"}, "$.min_replicas"),
        ({"min_replicas": 1.5}, "$.min_replicas"),
        ({"min": 1}, "unknown field `min`"),
        ({}, "give min_replicas, max_replicas or both"),
        ({"min_replicas": None}, "give min_replicas, max_replicas or both"),
        ({"min_replicas": -1}, "min_replicas must be in [0, 10000], not -1"),
        ({"max_replicas": 0}, "max_replicas must be in [1, 10000], not 0"),
        ({"min_replicas": 10**30}, ""),
        ({"min_replicas": 3, "max_replicas": 2}, "min_replicas 3 lies above max_replicas 2"),
    ],
)
def test_a_body_that_cannot_be_used_changes_nothing(body, told):
    """400, with the place of the fault."""
    status, answer, limits = put(body)
    assert (status, limits) == (400, ReplicaLimits())
    assert told in answer["error"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 415, "unsupported_content_type"),
        ({"content-type": "text/plain"}, 415, "unsupported_content_type"),
        ({"content-type": "application/x-www-form-urlencoded"}, 415, "unsupported_content_type"),
        ({**JSON, "sec-fetch-site": "cross-site"}, 403, "other_site"),
        ({**JSON, "sec-fetch-site": "same-site"}, 403, "other_site"),
        ({**JSON, "host": "evil.example"}, 421, "host_not_allowed"),
    ],
)
def test_a_page_of_another_site_changes_nothing(headers, status, code):
    """Neither by a form, nor by a script, nor under a name that was made to resolve to this machine."""
    got, answer, limits = put({"min_replicas": 5}, headers)
    assert (got, answer["code"], limits) == (status, code, ReplicaLimits())


def test_too_long_a_body_is_refused():
    """It is not read to its end."""
    status, answer, limits = put(b" " * 5000 + b'{"min_replicas": 5}')
    assert (status, answer["code"], limits) == (413, "body_too_large", ReplicaLimits())


def test_other_methods_and_unknown_functions_are_told():
    """With the way out."""
    assert put({"min_replicas": 1}, method="POST")[:2][0] == 405
    status, answer, _ = put({"min_replicas": 1}, name="nobody")
    assert (status, answer["code"]) == (404, "unknown_function")
    assert "digits, sums" in answer["error"]
