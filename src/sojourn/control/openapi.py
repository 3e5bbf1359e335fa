"""The API's description in OpenAPI 3.1, made from the endpoints and the types they read and answer.

Source: OpenAPI Specification 3.1.1; its schemas are JSON Schema 2020-12, which msgspec writes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from sojourn.control.asked import JsonBody
from sojourn.control.endpoint import OPEN, Endpoint, EndpointTable
from sojourn.domain.access import ADMIN
from sojourn.domain.answer import ErrorBody

Document = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
_CONVERTER: Final = re.compile(r"\{(\w+):\w+\}")
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_SECTION: Final = re.compile(r"\n\s*\n(Args|Raises|Source|Returns):[^\S\n]*\n")
_FIELD: Final = re.compile(r"(\w+): (.*)")
_ABOUT: Final = """Tells and changes what a Sojourn server does. Every error has one shape, `ErrorBody`.

While the server has no key, everything is allowed. With the first one every request but those of health needs
`authorization: Bearer KEY`; what a key must allow stands with each operation, and `admin` allows everything.
A key that may not know of a function is answered as if there were none of that name.

Requests that break HTTP or its bounds here are answered 400, 408, 431 or 505 and the connection is closed."""
_PATH_PARAMETERS: Final = {
    "name": "Name of a function.",
    "request_id": "What the client was told in `x-request-id`.",
    "id": "Id of a key: the eight hexadecimal digits in its text.",
    "revision": "Revision of a function: twelve hexadecimal digits.",
}
_ERRORS: Final = {
    400: "A parameter or the body cannot be used; the text names it.",
    401: "No key came, or one that is not honoured.",
    403: "The key has no scope for this, or the request comes from a page of another site.",
    404: "No such function is deployed, or the key has no scope for it.",
    413: "The body is too large.",
    415: "The body has another content type.",
    421: "The Host header names another server.",
}
_TAGS: Final = {
    "functions": "What is served.",
    "objectives": "Whether objectives are held.",
    "requests": "Single requests and decisions.",
    "deployments": "Which code serves.",
    "keys": "Who may do what.",
    "server": "The server as a whole.",
    "pages": "Pages for people, and this description.",
}


def openapi_document(table: EndpointTable, version: str) -> Document:
    """The description of all endpoints.

    Args:
        table: The endpoints.
        version: Of the server.
    """
    kinds = list(_kinds(table.endpoints))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    _explain(kinds, components)
    schema_of = dict(zip(map(id, kinds), schemas, strict=True))
    paths: Document = {}
    for endpoint in table.endpoints:
        path = _CONVERTER.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, path, schema_of)
    used = dict.fromkeys(endpoint.tag for endpoint in table.endpoints)
    tags = [tag for tag in _TAGS if tag in used] + [tag for tag in used if tag not in _TAGS]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sojourn management API",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag, "description": _TAGS.get(tag, "")} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of this server (`sojourn key create`).",
                },
            },
        },
    }


def _kinds(endpoints: Iterable[Endpoint]) -> Iterable[Any]:
    """Every type that is read or answered, once."""
    found: dict[int, Any] = {id(ErrorBody): ErrorBody}
    for endpoint in endpoints:
        kinds = [endpoint.answer.kind, endpoint.body.kind if isinstance(endpoint.body, JsonBody) else None]
        found.update((id(kind), kind) for kind in kinds if kind is not None)
    return found.values()


def _operation(endpoint: Endpoint, path: str, schema_of: dict[int, Any]) -> Document:
    summary, _, description = inspect.cleandoc(endpoint.run.__doc__ or "").partition("\n\n")
    told: Document = {
        "operationId": f"{endpoint.tag}.{getattr(endpoint.run, '__name__', 'run')}",
        "tags": [endpoint.tag],
        "summary": " ".join(summary.split()),
        "security": [] if endpoint.scope == OPEN else [{"key": [scope]} for scope in (endpoint.scope, *endpoint.also)],
        "responses": _responses(endpoint, schema_of),
    }
    if endpoint.scope != OPEN:
        scopes = " or ".join(f"`{scope}`" for scope in dict.fromkeys((endpoint.scope, *endpoint.also, ADMIN)))
        description = f"{description}\n\nNeeds a key with scope {scopes}.".strip()
    if description:
        told["description"] = description
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": _about(name)}
        for name in _PARAMETER.findall(path)
    ] + [
        {"name": one.name, "in": "query", "required": False, "schema": one.schema, "description": one.about}
        for one in endpoint.query
    ]
    if parameters:
        told["parameters"] = parameters
    if endpoint.body is not None:
        told["requestBody"] = _request_body(endpoint, schema_of)
    return told


def _about(name: str) -> str:
    return _PATH_PARAMETERS.get(name, name.replace("_", " ").capitalize() + ".")


def _request_body(endpoint: Endpoint, schema_of: dict[int, Any]) -> Document:
    body = endpoint.body
    if isinstance(body, JsonBody):
        media = {"schema": schema_of[id(body.kind)], "example": msgspec.json.decode(body.example)}
        return {"required": True, "content": {"application/json": media}}
    assert body is not None, "the caller has looked"
    return {"required": True, "content": {content_type: {} for content_type in body.content_types}}


def _responses(endpoint: Endpoint, schema_of: dict[int, Any]) -> Document:
    answer = endpoint.answer
    schema = {} if answer.kind is None else schema_of[id(answer.kind)]
    content: Document = {}
    for content_type in answer.content_types:
        is_json = content_type == "application/json"
        content[content_type] = {"schema": schema if is_json else {"type": "string"}}
    responses: Document = {str(answer.status): {"description": "Done.", "content": content}}
    of_errors = {"application/json": {"schema": schema_of[id(ErrorBody)]}}
    for status, about in sorted(_errors(endpoint).items()):
        responses[str(status)] = {"description": about, "content": of_errors}
    return responses


def _errors(endpoint: Endpoint) -> dict[int, str]:
    """When it answers which error status."""
    is_change = endpoint.method != "GET"
    comes = {
        400: bool(endpoint.query) or endpoint.body is not None,
        401: endpoint.scope != OPEN,
        403: is_change or (endpoint.scope != OPEN and not endpoint.is_of_function),
        404: endpoint.is_of_function,
        413: endpoint.body is not None,
        415: endpoint.body is not None,
        421: True,
    }
    return {status: about for status, about in _ERRORS.items() if comes[status]} | endpoint.errors


def _explain(kinds: Iterable[Any], components: dict[str, Any]) -> None:
    """Put what docstrings say of fields beside the fields, and leave of each docstring what it says of the whole."""
    for name, component in components.items():
        about, fields = _read_docstring(component.get("description", ""))
        for kind in kinds:
            if isinstance(kind, type) and kind.__name__ == name:
                for base in kind.__mro__[1:-1]:  # fields are told where they are declared
                    fields = _read_docstring(base.__doc__ or "")[1] | fields
        if about:
            component["description"] = about
        for field, schema in component.get("properties", {}).items():
            if field in fields:
                schema.setdefault("description", fields[field])


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """What a docstring says of the whole, and of each field in its section `Args`."""
    about, *sections = _SECTION.split("\n" + inspect.cleandoc(text))
    fields: dict[str, str] = {}
    for title, body in zip(sections[::2], sections[1::2], strict=False):
        if title == "Args":
            field = ""
            for line in inspect.cleandoc(body).splitlines():
                found = _FIELD.fullmatch(line)
                if found is not None:
                    field = found[1]
                    fields[field] = found[2]
                elif field:
                    fields[field] = f"{fields[field]} {line.strip()}"
    return " ".join(about.split()), fields
