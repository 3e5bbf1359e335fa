"""The event log: one line per event with named fields, to a file descriptor, never in the caller's way."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
LINE_BYTES_MAX = 4096  # PIPE_BUF: a pipe that polls as writable takes this much whole and at once
_ESCAPES_KEPT = 4096
_LEVELS = ("debug", "info", "warning", "error")
_LEVEL_COLOUR = {"debug": "2", "info": "32", "warning": "33", "error": "31"}


class EventLog:
    """Writes events such as `event_log.info("replica.ready", replica=1, cold_start_s=0.8)`.

    Text for people (`12:00:00.000 info    replica.ready replica=1 cold_start_s=0.8`), or one JSON object
    per line. Control characters are escaped, so a line stays a line and a terminal stays sane. A sink
    that is gone, full or stalled never raises or blocks: the event is dropped, counted in `dropped`, and
    the next line that gets through is preceded by a `log.dropped` line.

    Args:
        fd: File descriptor to write to; 2 is standard error.
        log_format: `"text"` or `"json"`.
        wall_clock: Seconds since the epoch, for the time stamp only.
        log_level: The least level that is written.
    """

    def __init__(
        self,
        fd: int = 2,
        log_format: LogFormat = "text",
        wall_clock: Callable[[], float] = time.time,
        log_level: LogLevel = "info",
    ) -> None:
        self._fd = fd
        self._is_json = log_format == "json"
        self._wall_clock = wall_clock
        self._has_colour = not self._is_json and "NO_COLOR" not in os.environ and _is_terminal(fd)
        self._written = frozenset(_LEVELS[_LEVELS.index(log_level) :])
        self._unreported = 0
        self.dropped = 0

    def debug(self, event: str, **fields: Any) -> None:
        """Of interest while looking for a fault."""
        self._emit("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Something normal happened."""
        self._emit("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Serving goes on, but somebody should look."""
        self._emit("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something failed that was meant to work."""
        self._emit("error", event, fields)

    def _emit(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if level not in self._written:
            return
        at_s = self._wall_clock()
        line = self._line(at_s, level, event, fields)
        if self._unreported:
            line = self._line(at_s, "warning", "log.dropped", {"events": self._unreported}) + line
        if self._write(line[:LINE_BYTES_MAX]):
            self._unreported = 0
        else:
            self._unreported += 1
            self.dropped += 1

    def _write(self, line: bytes) -> bool:
        try:
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            ready = poll.poll(0)
            if not ready or not ready[0][1] & select.POLLOUT:
                return False
            return os.write(self._fd, line) == len(line)
        except OSError:  # BrokenPipe, ENOSPC, a closed descriptor: nobody to tell it to
            return False

    def _line(self, at_s: float, level: str, event: str, fields: dict[str, Any]) -> bytes:
        if self._is_json:
            return _json_line(at_s, level, event, fields)
        return self._text_line(at_s, level, event, fields)

    def _text_line(self, at_s: float, level: str, event: str, fields: dict[str, Any]) -> bytes:
        clock = time.strftime("%H:%M:%S", time.localtime(at_s)) + f".{int(at_s % 1 * 1000):03d}"
        padded = f"{level:<7}"
        if self._has_colour:
            padded = f"\x1b[{_LEVEL_COLOUR[level]}m{padded}\x1b[0m"
        words = [clock, padded, escaped(event), *(f"{escaped(key)}={shown(value)}" for key, value in fields.items())]
        return _clipped(" ".join(words).encode("utf-8", "backslashreplace"), b"...\n")


def _json_line(at_s: float, level: str, event: str, fields: dict[str, Any]) -> bytes:
    head = {"time": utc_text(at_s), "level": level, "event": _encodable(event)}
    line = msgspec.json.encode({**head, **{key: json_value(value) for key, value in fields.items()}}) + b"\n"
    if len(line) <= LINE_BYTES_MAX:
        return line
    # A cut object is not JSON: keep the start of each long value instead.
    share = max(16, (LINE_BYTES_MAX - 256) // (8 * max(1, len(fields))))
    short = {key[:64]: shown(value, share)[:share] for key, value in list(fields.items())[:24]}
    return msgspec.json.encode({**head, "event": str(event)[:128], **short, "clipped": True}) + b"\n"


def utc_text(at_s: float) -> str:
    """An instant (seconds since the epoch) as ISO 8601 in UTC, to the millisecond: `2026-01-31T12:00:00.250Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_s)) + f".{int(at_s % 1 * 1000):03d}Z"


def json_value(value: Any) -> Any:
    """The value itself if JSON has it, else its text; never raises."""
    if value is None or isinstance(value, bool | int | float):
        return value if not isinstance(value, int) or abs(value) < 2**63 else str(value)
    if isinstance(value, str):
        return _encodable(value)
    try:
        msgspec.json.encode(value)
    except Exception:  # noqa: BLE001 (any value may be logged; its text is always at hand)
        return _encodable(_text(value))
    return value


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as err:  # noqa: BLE001 (a broken __str__ must not break the caller)
        return f"<{type(value).__name__}: no text, {type(err).__name__}>"


def shown(value: Any, characters_max: int = LINE_BYTES_MAX) -> str:
    """A field's value in a text line: escaped, in quotes if it could be read as more than one word.

    Of a value that is longer no more than `characters_max` is looked at: a function may print what is all escapes.
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return "none"
    text = escaped(_text(value)[:characters_max])
    if not text or any(character in text for character in ' "='):
        return '"' + text.replace('"', '\\"') + '"'
    return text


class _Escapes(dict[int, str]):
    """What stands for each character; those that were met are remembered, since one by one they cost a loop its time."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        escape = character if character.isprintable() else character.encode("unicode_escape").decode()
        if len(self) < _ESCAPES_KEPT:
            self[code] = escape
        return escape


_ESCAPES = _Escapes()


def escaped(text: str) -> str:
    """The text with everything unprintable as an escape sequence, so that a terminal stays sane."""
    if text.isprintable():
        return text
    return text.translate(_ESCAPES)


def _clipped(line: bytes, end: bytes) -> bytes:
    if len(line) < LINE_BYTES_MAX:
        return line + b"\n"
    return line[: LINE_BYTES_MAX - len(end)].decode("utf-8", "ignore").encode() + end


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
