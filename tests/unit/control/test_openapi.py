"""Routes, their scopes and their description are one thing: none without the others."""

from __future__ import annotations

import asyncio
import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import msgspec
import pytest
from openapi_spec_validator import validate
from starlette.routing import Route

from sojourn.control.app import application
from sojourn.control.docs_page import docs_page
from sojourn.control.endpoint import OPEN, Answered, Endpoint, EndpointRoute, EndpointTable
from sojourn.control.openapi import openapi_document
from sojourn.domain.access import ADMIN, DEPLOY, READ
from sojourn.errors import ConfigurationError

_SPEC = spec_from_file_location("overview", Path(__file__).with_name("overview.py"))
_MODULE = module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
admin_server = _MODULE.admin_server


@pytest.fixture(scope="module")
def table():
    """The table of a port that has started."""

    async def started():
        server = admin_server()
        await server.start("127.0.0.1", 0)
        await server.close()
        return server.table

    return asyncio.run(started())


@pytest.fixture(scope="module")
def document(table):
    return json.loads(msgspec.json.encode(openapi_document(table, "1.2.3")))


async def answer(request):
    """Something."""


def test_every_live_route_declares_who_may_use_it(table):
    """Whatever the application answers, health alone without a key."""
    routes = application(table).routes
    assert all(isinstance(route, EndpointRoute) for route in routes)
    endpoints = [endpoint for route in routes for endpoint in route.endpoints.values()]
    assert sorted(endpoints, key=id) == sorted(table.endpoints, key=id)
    assert {endpoint.path for endpoint in endpoints if endpoint.scope == OPEN} == {"/healthz"} == set(table.open_paths)
    assert {endpoint.scope for endpoint in endpoints} <= {READ, DEPLOY, ADMIN, OPEN}


@pytest.mark.parametrize("scope", [None, "", "everything", "invoke"])
def test_a_route_without_a_scope_of_ours_fails_at_start(scope):
    """It is refused where it is declared."""
    with pytest.raises(ConfigurationError, match="route GET /x: scope must be one of"):
        Endpoint("GET", "/x", answer, scope, "server")
    with pytest.raises(TypeError, match="scope"):
        Endpoint("GET", "/x", answer)


def test_a_route_that_nobody_could_understand_fails_at_start():
    """No docstring, no such method, or the same twice."""

    async def silent(request):
        pass

    with pytest.raises(ConfigurationError, match=r"method must be.*no docstring"):
        Endpoint("FETCH", "/x", silent, READ, "server")
    once = Endpoint("GET", "/x", answer, READ, "server")
    with pytest.raises(ConfigurationError, match="declared twice: GET /x"):
        EndpointTable([once, once])


def test_the_description_has_every_route_and_no_other(table, document):
    """With its scope, its parameters and its body; each operation under a name of its own."""
    described = {
        (method.upper(), path): told for path, methods in document["paths"].items() for method, told in methods.items()
    }
    declared = {(one.method, re.sub(r":\w+\}", "}", one.path)): one for one in table.endpoints}
    assert described.keys() == declared.keys()
    for key, told in described.items():
        endpoint = declared[key]
        assert told["security"] == (
            [] if endpoint.scope == OPEN else [{"key": [scope]} for scope in (endpoint.scope, *endpoint.also)]
        )
        parameters = told.get("parameters", [])
        assert {one["name"] for one in parameters if one["in"] == "query"} == {one.name for one in endpoint.query}
        assert {one["name"] for one in parameters if one["in"] == "path"} == set(re.findall(r"\{(\w+)\}", key[1]))
        assert ("requestBody" in told) == (endpoint.body is not None)
        assert str(endpoint.answer.status) in told["responses"]
        assert ("401" in told["responses"]) == (endpoint.scope != OPEN)
    names = [told["operationId"] for told in described.values()]
    assert len(names) == len(set(names))


def test_the_description_is_openapi(document):
    """By the official schema, and every reference leads somewhere."""
    validate(document)
    assert document["openapi"].startswith("3.1")
    text = json.dumps(document)
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert referred <= document["components"]["schemas"].keys()
    assert document["info"]["version"] == "1.2.3"


def test_every_error_has_the_one_shape(document):
    """Whatever the status."""
    shape = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
    errors = [
        response["content"]
        for methods in document["paths"].values()
        for told in methods.values()
        for status, response in told["responses"].items()
        if status >= "400"
    ]
    assert len(errors) > 30
    assert all(content == shape for content in errors)
    assert set(document["components"]["schemas"]["ErrorBody"]["required"]) == {"error", "code", "request_id"}


def test_fields_are_told_where_they_stand(document):
    """What a docstring says of a field is beside it, those of a base class included, and not in the summary."""
    schemas = document["components"]["schemas"]
    assert schemas["KeyMade"]["properties"]["secret"]["description"].startswith("Its text")
    assert schemas["KeyMade"]["properties"]["state"]["description"].startswith("Whether it is honoured now")
    assert schemas["FunctionDetail"]["properties"]["queue_depth"]["description"] == "Requests waiting."
    for name, schema in schemas.items():
        assert "Args:" not in schema.get("description", ""), name


def test_a_new_route_appears_in_all_three():
    """Application, document and page, from one declaration."""

    class Rolled(msgspec.Struct):
        """A rollout.

        Args:
            share: Of the traffic, in
                [0, 1].
        """

        share: float

    async def roll_back(request):
        """Go back to the revision `before`.

        At once.
        """

    path = "/api/v1/functions/{name}/rollback"
    declared = Endpoint(
        "POST", path, roll_back, DEPLOY, "a new chapter", Answered(Rolled, status=202), errors={409: "Busy."}
    )
    table = EndpointTable([declared])
    (route,) = application(table).routes
    assert isinstance(route, Route)
    assert (route.path, route.methods) == (path, {"POST"})
    document = openapi_document(table, "1")
    validate(document)
    told = document["paths"][path]["post"]
    assert told["summary"] == "Go back to the revision `before`."
    assert told["description"] == "At once.\n\nNeeds a key with scope `deploy` or `admin`."
    assert set(told["responses"]) == {"202", "401", "403", "404", "409", "421"}
    assert (
        document["components"]["schemas"]["Rolled"]["properties"]["share"]["description"]
        == "Of the traffic, in [0, 1]."
    )
    page = docs_page(document, "/s.css")
    assert "<code>before</code>" in page
    assert "<h2>A new chapter</h2>" in page
    assert "rollback" in page


def test_the_page_is_complete_local_and_without_a_script(table, document):
    """Every operation and every schema; nothing from elsewhere, nothing that the content policy forbids."""
    page = docs_page(document, "/docs/style.css")
    for methods in document["paths"].values():
        for told in methods.values():
            assert f'id="{told["operationId"]}"' in page
    for name in document["components"]["schemas"]:
        assert f'id="schema-{name}"' in page
    assert "<script" not in page
    assert "style=" not in page
    assert "<style" not in page
    assert "//" not in re.sub(r"<code>[^<]*</code>", "", page)
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert all(f'id="{target}"' in page for target in targets)
    assert 'content="width=device-width' in page


def test_what_docstrings_say_cannot_become_markup():
    """They are text, wherever they stand."""

    async def odd(request):
        """A <script> & `<b>`."""

    table = EndpointTable([Endpoint("GET", "/x", odd, READ, "server")])
    page = docs_page(openapi_document(table, "<1>"), "/s.css")
    assert "<script" not in page
    assert "A &lt;script&gt; &amp; <code>&lt;b&gt;</code>." in page
    assert "&lt;1&gt;" in page


def test_the_page_tells_the_bounds_of_numbers_as_people_say_them(document):
    """Both ends, and one that is left out."""
    page = docs_page(document, "/s.css")
    assert "<small>query, integer, 1 to 10000</small>" in page
    assert "number, &gt; 0, ≤ " in page
