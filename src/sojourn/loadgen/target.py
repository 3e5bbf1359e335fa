"""Where the load goes: an HTTP address, and the bytes of a request to it."""

from __future__ import annotations

import ssl
from functools import cache
from urllib.parse import urlsplit

import msgspec

from sojourn.errors import ConfigurationError


class Target(msgspec.Struct, frozen=True):
    """One HTTP endpoint; `path` includes the query.

    `api_key` goes with each request, if it is not empty; `is_secure` says https.
    """

    host: str
    port: int
    path: str
    content_type: str = "application/json"
    is_secure: bool = False
    api_key: str = ""

    def __repr__(self) -> str:
        """Without the key."""
        return f"Target({self.origin}{self.path})"

    @property
    def origin(self) -> str:
        """Scheme, host and port as they stand in a URL."""
        return f"{'https' if self.is_secure else 'http'}://{self.authority}"

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How connections are made secure; None for plain http."""
        return _trusting() if self.is_secure else None

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def request(self, body: bytes) -> bytes:
        """The whole POST request as bytes, ready to be written."""
        key = f"Authorization: Bearer {self.api_key}\r\n" if self.api_key else ""
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.authority}\r\n{key}"
            f"Content-Type: {self.content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode("latin-1") + body


@cache
def _trusting() -> ssl.SSLContext:
    """What the system trusts, and what SSL_CERT_FILE names."""
    return ssl.create_default_context()


def parse_target(url: str, content_type: str = "application/json", api_key: str = "") -> Target:
    """Read a URL such as `http://127.0.0.1:8080/functions/digits`.

    Raises:
        ConfigurationError: It is not an http or https URL with a host, or has characters no request line may carry.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as err:
        raise ConfigurationError(f"URL {url!r} cannot be read: {err}") from err
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            f"URL {url!r} is not an http or https address; write it like http://127.0.0.1:8080/functions/NAME"
        )
    if not path.isascii() or not path.isprintable() or " " in path or not content_type.isprintable():
        raise ConfigurationError(f"URL {url!r} has characters that must be percent-encoded")
    return Target(parts.hostname, port, path, content_type, parts.scheme == "https", api_key)
