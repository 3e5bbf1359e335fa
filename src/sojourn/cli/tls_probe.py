"""Looks whether a port speaks TLS, for hints: whose certificate it shows does not matter, since nothing is told to it."""

from __future__ import annotations

import contextlib
import socket
import ssl
from urllib.parse import SplitResult

_WITHIN_S = 2.0


def unjudging() -> ssl.SSLContext:
    """TLS with whoever is there; good for looking, never for sending a key or data."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def hint_at_https(place: SplitResult) -> str:
    """What to say of a plain request that came to nothing, if its port speaks TLS; else nothing.

    Args:
        place: Where the request went: scheme, host and port count.
    """
    if place.scheme != "http" or not _speaks_tls(place.hostname or "", place.port or 80):
        return ""
    return "this port speaks TLS; write https:// instead of http://"


def _speaks_tls(host: str, port: int) -> bool:
    with (
        contextlib.suppress(OSError),  # ssl.SSLError is one, too
        socket.create_connection((host, port), _WITHIN_S) as link,
        unjudging().wrap_socket(link, server_hostname=host),
    ):
        return True
    return False
