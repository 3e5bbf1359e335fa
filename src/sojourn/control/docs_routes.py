"""The routes that describe the others: for programs, and as a page."""

from __future__ import annotations

from importlib.resources import files

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from sojourn import __version__
from sojourn.control.docs_page import docs_page
from sojourn.control.endpoint import Answered, Endpoint, EndpointTable
from sojourn.control.openapi import openapi_document
from sojourn.domain.access import READ

STYLE = "/docs/style.css"


class DocsRoutes:
    """One method per route; `describe` must be called before the first request."""

    def __init__(self) -> None:
        self._document = b""
        self._page = ""
        self._style = (files("sojourn.control") / "docs.css").read_bytes()

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        return [
            Endpoint("GET", "/openapi.json", self.openapi, READ, "pages", Answered(dict)),
            Endpoint("GET", "/docs", self.docs, READ, "pages", Answered(None, ("text/html",))),
            Endpoint("GET", STYLE, self.style, READ, "pages", Answered(None, ("text/css",))),
        ]

    def describe(self, table: EndpointTable) -> None:
        """Write both descriptions; they do not change while the server runs."""
        document = openapi_document(table, __version__)
        self._document = msgspec.json.encode(document)
        self._page = docs_page(document, STYLE)

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002 (the shape of a route)
        """This description, for programs: OpenAPI 3.1."""
        return Response(self._document, media_type="application/json")

    async def docs(self, request: Request) -> Response:  # noqa: ARG002 (the shape of a route)
        """This description, as a page."""
        return HTMLResponse(self._page)

    async def style(self, request: Request) -> Response:  # noqa: ARG002 (the shape of a route)
        """How that page looks."""
        return Response(self._style, media_type="text/css")
