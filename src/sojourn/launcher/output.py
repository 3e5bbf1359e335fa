"""What a process prints, line by line, within bounds whatever it prints."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

LINE_BYTES_MAX = 8 * 1024
LINES_PER_S_MAX = 1000
READS_PER_S_MAX = 256  # of 64 KiB at most, the size of a pipe: 16 MiB a second
_READ_BYTES = 64 * 1024
_READS_AT_END_MAX = 64


class LineReader:
    """Reads one pipe on the event loop and hands over its lines.

    A line is cut at `LINE_BYTES_MAX`, and lines beyond `LINES_PER_S_MAX` in a second are counted instead
    of handed over. After `READS_PER_S_MAX` reads in a second it reads on in the next one: a process that
    floods its output waits for room in the pipe then, up to a second, instead of costing us a core.

    Args:
        fd: Reading end of a pipe; owned and closed by this object.
        on_line: Called on the loop with each line, without its end.
    """

    def __init__(self, fd: int, on_line: Callable[[str], None]) -> None:
        self._fd = fd
        self._on_line = on_line
        self._line = bytearray()  # the beginning of the next line, at most LINE_BYTES_MAX long
        self._cut_bytes = 0  # of that line, beyond the limit
        self._second = 0
        self._lines_in_second = 0
        self._reads_in_second = 0
        self._pause: asyncio.TimerHandle | None = None
        self._lines_dropped = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to read, on the running loop."""
        os.set_blocking(self._fd, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)

    def finish(self) -> None:
        """The process has ended: hand over what is left in the pipe and close it."""
        for _ in range(_READS_AT_END_MAX):  # a bound: a grandchild may still be writing
            if self._loop is None or not self._read():
                break
        self._close()

    def _readable(self) -> None:
        if not self._read() or self._reads_in_second < READS_PER_S_MAX:
            return
        assert self._loop is not None
        self._loop.remove_reader(self._fd)
        self._pause = self._loop.call_later(self._second + 1 - self._loop.time(), self._resume)

    def _resume(self) -> None:
        assert self._loop is not None
        self._pause = None
        self._reads_in_second = 0  # also if the clock is a hair before the second
        self._loop.add_reader(self._fd, self._readable)

    def _read(self) -> bool:
        """Take what is there; False if there was nothing."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._close()
            return False
        self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        assert self._loop is not None
        second = int(self._loop.time())
        if second != self._second:
            self._tell_dropped()
            self._second, self._lines_in_second, self._reads_in_second = second, 0, 0
        self._reads_in_second += 1
        room = LINES_PER_S_MAX - self._lines_in_second
        *lines, rest = data.split(b"\n", room) if room else [data]
        for line in lines:
            self._append(line)
            self._end_line()
        self._lines_in_second += len(lines)
        if dropped := rest.count(b"\n"):  # counting is cheap: a flood costs the server next to nothing
            self._lines_dropped += dropped
            self._line.clear()
            self._cut_bytes = 0
            rest = rest.rpartition(b"\n")[2]
        self._append(rest)

    def _append(self, piece: bytes) -> None:
        room = LINE_BYTES_MAX - len(self._line)
        self._line += piece[:room]
        self._cut_bytes += max(0, len(piece) - room)

    def _end_line(self) -> None:
        text = self._line.decode(errors="replace").rstrip("\r")
        if self._cut_bytes:
            text += f" ... [{self._cut_bytes} bytes cut]"
        self._line.clear()
        self._cut_bytes = 0
        self._on_line(text)

    def _tell_dropped(self) -> None:
        if self._lines_dropped:
            self._on_line(f"[{self._lines_dropped} lines dropped: more than {LINES_PER_S_MAX} in a second]")
            self._lines_dropped = 0

    def _close(self) -> None:
        if self._loop is None:
            return
        if self._pause is None:
            self._loop.remove_reader(self._fd)
        else:
            self._pause.cancel()
        if self._line:
            self._end_line()
        self._tell_dropped()
        os.close(self._fd)
        self._loop = None
