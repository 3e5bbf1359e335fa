"""Follows a server's event stream, across its restarts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from sojourn.cli.http_call import another_named, check_admin, opened, read_answer
from sojourn.errors import ClientError, ConnectionFailedError

# Three heartbeats of the server: a stream that is silent for longer has lost its other end.
_SILENCE_S = 30.0
_RETRY_S = 1.0
_LINE_BYTES_MAX = 1024 * 1024

Told = tuple[str, dict[str, Any]]  # "message" or "dropped", and what came with it


def follow(admin_url: str, path: str, on_break: Callable[[str], None], retry_s: float = _RETRY_S) -> Iterator[Told]:
    """Whatever happens from now on, without end; after a break it goes on where it was.

    Args:
        admin_url: Where the server is.
        path: The stream's path and query.
        on_break: Told once per break, with its cause in one line.
        retry_s: Wait before each further attempt, in seconds, >= 0.

    Raises:
        ClientError: The very first attempt did not succeed, or the server said no.
    """
    last_id = ""
    is_first = True
    is_broken = False
    while True:
        headers = {"accept": "text/event-stream", **({"last-event-id": last_id} if last_id else {})}
        cause = "the server ended the stream"
        try:
            with opened("GET", admin_url, path, timeout_s=_SILENCE_S, headers=headers) as response:
                if response.status != 200:
                    check_admin(read_answer(response, admin_url), admin_url)
                is_first = is_broken = False
                for event_id, kind, data in _messages(response):
                    last_id = event_id or last_id
                    yield kind, json.loads(data)
        except (ClientError, ValueError) as err:
            if is_first and isinstance(err, ConnectionFailedError):
                with another_named():
                    raise
            if is_first:
                raise
            cause = str(err).splitlines()[0]
        if not is_broken:
            is_broken = True
            on_break(cause)
        time.sleep(retry_s)


def _messages(lines: Any) -> Iterator[tuple[str, str, str]]:
    """(id, event, data) of each message of a stream that can be read by line.

    Source: WHATWG HTML, "Interpreting an event stream"; carriage returns as line ends are not sent by our server.
    """
    event_id, kind = "", "message"
    data: list[str] = []
    while line := lines.readline(_LINE_BYTES_MAX):
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if not text:
            if data:
                yield event_id, kind, "\n".join(data)
            event_id, kind, data = "", "message", []
        elif name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id":
            event_id = value
