"""Where a server is: a URL, checked and taken apart; and the TLS it is spoken to with."""

from __future__ import annotations

import ssl
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from sojourn.errors import ConfigurationError

DEFAULT_URL: Final = "http://127.0.0.1:8080"
DEFAULT_ADMIN_URL: Final = "http://127.0.0.1:8081"
_PORT_OF_SCHEME = {"http": 80, "https": 443}


class Endpoint(msgspec.Struct, frozen=True):
    """One port of a server.

    Args:
        host: Name or address, without brackets.
        port: In [1, 65535].
        is_tls: Whether HTTPS is spoken.
        prefix: Path before every path, without a slash at its end.
    """

    host: str
    port: int
    is_tls: bool = False
    prefix: str = ""

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{'https' if self.is_tls else 'http'}://{self.authority}{self.prefix}"


def parse_endpoint(url: str) -> Endpoint:
    """The endpoint of a URL such as `http://127.0.0.1:8080`.

    Raises:
        ConfigurationError: It is none, or it has a part that would be dropped.
    """
    try:
        parts = urlsplit(url)
        port = _PORT_OF_SCHEME.get(parts.scheme, 0) if parts.port is None else parts.port
        host = (parts.hostname or "").encode("idna").decode() if ":" not in (parts.hostname or "") else parts.hostname
    except (ValueError, UnicodeError):
        parts, port, host = urlsplit(""), 0, None
    if parts.scheme not in _PORT_OF_SCHEME or not host or not port or any(mark in host for mark in " \t\r\n"):
        shown = "this (not shown: there may be a password in it)" if "@" in url else repr(url)
        raise ConfigurationError(f"{shown} is not the URL of a server; write it like {DEFAULT_URL}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            "the URL of a server has no user, query or fragment; give the key as api_key, and write the URL like "
            + DEFAULT_URL
        )
    return Endpoint(host, port, parts.scheme == "https", quote(parts.path.rstrip("/"), safe="/%"))


def tls_context(verify: bool | str | ssl.SSLContext) -> ssl.SSLContext:  # noqa: FBT001 - as `Client` has it
    """How certificates are judged.

    Args:
        verify: True: by the authorities of this machine; a path: by those in that file; False: not at all; or a context.

    Raises:
        ConfigurationError: The file cannot be used.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    if isinstance(verify, str):
        try:
            return ssl.create_default_context(cafile=verify)
        except OSError as error:  # ssl.SSLError is one, too
            raise ConfigurationError(
                f"verify={verify!r}: not a readable file of certificates in PEM form ({error.strerror or error})"
            ) from error
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
