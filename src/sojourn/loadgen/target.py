"""Where the load goes: an HTTP address, and the bytes of a request to it."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from sojourn.errors import ConfigurationError


class Target(msgspec.Struct, frozen=True):
    """One HTTP endpoint; `path` includes the query."""

    host: str
    port: int
    path: str
    content_type: str = "application/json"

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def request(self, body: bytes) -> bytes:
        """The whole POST request as bytes, ready to be written."""
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.authority}\r\n"
            f"Content-Type: {self.content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode("latin-1") + body


def parse_target(url: str, content_type: str = "application/json") -> Target:
    """Read a URL such as `http://127.0.0.1:8080/functions/digits`.

    Raises:
        ConfigurationError: It is not an http URL with a host, or has characters no request line may carry.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError as err:
        raise ConfigurationError(f"URL {url!r} cannot be read: {err}") from err
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigurationError(
            f"URL {url!r} is not a plain http address; write it like http://127.0.0.1:8080/functions/NAME"
        )
    if not path.isascii() or not path.isprintable() or " " in path or not content_type.isprintable():
        raise ConfigurationError(f"URL {url!r} has characters that must be percent-encoded")
    return Target(parts.hostname, port, path, content_type)
