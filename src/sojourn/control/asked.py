"""What a request to the admin port may ask: each parameter and body says what it may be, and reads itself by that.

What cannot be used is an error that says how to ask. `schema` and `media` are the same facts for the API's description.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

BODY_BYTES_MAX: Final = 4096
_DIGITS_MAX = 18

_T = TypeVar("_T")


class WholeNumber(msgspec.Struct, frozen=True):
    """A query parameter that is a whole number in [low, high]; `default` if it is not given."""

    name: str
    about: str
    low: int
    high: int
    default: int | None = None

    def of(self, request: Request) -> int | None:
        """Its value.

        Raises:
            HTTPException: 400, it is something else.
        """
        text = request.query_params.get(self.name)
        if text is None:
            return self.default
        is_number = text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
        if not (is_number and self.low <= int(text) <= self.high):
            raise HTTPException(
                400, f"{self.name} must be a whole number in [{self.low}, {self.high}], not {text[:40]!r}"
            )
        return int(text)

    @property
    def schema(self) -> dict[str, Any]:
        """What it may be, as JSON schema."""
        told = {"type": "integer", "minimum": self.low, "maximum": self.high}
        return told if self.default is None else {**told, "default": self.default}


class Switch(msgspec.Struct, frozen=True):
    """A query parameter that is yes or no; no if it is not given."""

    name: str
    about: str

    def of(self, request: Request) -> bool:
        """Its value.

        Raises:
            HTTPException: 400, it is something else.
        """
        text = request.query_params.get(self.name, "0").lower()
        if text not in {"1", "0", "true", "false"}:
            raise HTTPException(400, f"{self.name} must be 1 or 0, not {text[:40]!r}")
        return text in {"1", "true"}

    @property
    def schema(self) -> dict[str, Any]:
        """What it may be, as JSON schema."""
        return {"enum": ["0", "1", "false", "true"], "default": "0"}


class Choice(msgspec.Struct, frozen=True):
    """A query parameter that is one of a few words; None if it is not given."""

    name: str
    about: str
    choices: type[StrEnum]

    def of(self, request: Request) -> Any:
        """Its value, a member of `choices`.

        Raises:
            HTTPException: 400, it is something else.
        """
        text = request.query_params.get(self.name)
        if text is not None and text not in set(self.choices):
            raise HTTPException(400, f"{self.name} must be one of {', '.join(self.choices)}, not {text[:40]!r}")
        return None if text is None else self.choices(text)

    @property
    def schema(self) -> dict[str, Any]:
        """What it may be, as JSON schema."""
        return {"enum": [str(one) for one in self.choices]}


class Text(msgspec.Struct, frozen=True):
    """A query parameter that is any text; None if it is not given."""

    name: str
    about: str

    def of(self, request: Request) -> str | None:
        """Its value."""
        return request.query_params.get(self.name)

    @property
    def schema(self) -> dict[str, Any]:
        """What it may be, as JSON schema."""
        return {"type": "string"}


QueryParameter = WholeNumber | Switch | Choice | Text


def refuse_other_sites(request: Request) -> None:
    """Keep pages of other sites in the user's browser from doing what more than reads a page.

    Browsers say so themselves; whoever is no browser has no such header and is not meant.

    Raises:
        HTTPException: 403, the request comes from another site's page.
    """
    if request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise HTTPException(403, "pages of other sites may not ask for this; open this port's own pages, or use a tool")


class JsonBody(msgspec.Struct, Generic[_T], frozen=True):
    """A body in JSON.

    A form of another site can send no such content type without asking first, and nobody answers it yes.

    Args:
        kind: What it must be.
        example: A good one, for errors and for the description.
        bytes_max: Most bytes it may have.
    """

    kind: type[_T]
    example: str
    bytes_max: int = BODY_BYTES_MAX

    async def of(self, request: Request) -> _T:
        """It, decoded; it has not been read yet.

        Raises:
            HTTPException: 413, 415, or 400 with the place of the fault.
        """
        _refuse_other_types(request, ("application/json",))
        body = bytearray()
        async for part in _bounded(request, self.bytes_max, f"; {self.example} would do"):
            body += part
        try:
            return msgspec.json.decode(body, type=self.kind)
        except msgspec.DecodeError as err:
            raise HTTPException(
                400, f"the body cannot be used: {str(err)[:200]}; send for example {self.example}"
            ) from err

    @property
    def content_types(self) -> Sequence[str]:
        """The content types it may have."""
        return ("application/json",)


class RawBody(msgspec.Struct, frozen=True):
    """A body that is not JSON, read piece by piece.

    Args:
        content_types: Those it may have; none of them may be one that a form can send.
        bytes_max: Most bytes it may have.
    """

    content_types: tuple[str, ...]
    bytes_max: int

    async def of(self, request: Request) -> AsyncIterator[bytes]:
        """Its pieces as they come.

        Raises:
            HTTPException: 413 or 415.
        """
        _refuse_other_types(request, self.content_types)
        async for part in _bounded(request, self.bytes_max, ""):
            yield part


RequestBody = JsonBody[Any] | RawBody


def _refuse_other_types(request: Request, content_types: Sequence[str]) -> None:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in content_types:
        wanted = " or ".join(content_types)
        raise HTTPException(415, f"send content-type: {wanted}, not {content_type[:60] or 'none'!r}")


async def _bounded(request: Request, bytes_max: int, hint: str) -> AsyncIterator[bytes]:
    received = 0
    async for part in request.stream():
        received += len(part)
        if received > bytes_max:
            raise HTTPException(413, f"the body may have {bytes_max} bytes at most{hint}")
        yield part
