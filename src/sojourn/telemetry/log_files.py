"""What replicas print, in files: rotated, bounded per function, written by a thread so that nobody waits for a disk."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

DIRECTORY: Final = "logs"
_QUEUE_BYTES_MAX: Final = 8 * 2**20
_LINE_OVERHEAD_BYTES: Final = 128  # of memory per line, besides its text
_OPEN_MAX: Final = 64
_CLOSE_WITHIN_S: Final = 5.0
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_WITHOUT_REVISION: Final = "replicas"

_Line = tuple[str, float, str]  # deployment, when, text


class LogFiles:
    """Writes lines to `<directory>/<function>/<revision>.log`; `close` waits for what is on its way, within bounds.

    A file that has reached its size is renamed to `.log.1`, that one to `.log.2` and so on; of a function's files only the
    latest are kept. A disk that is full or gone loses lines, not requests: they are counted, and the count is written
    before the next line that gets through.

    Args:
        directory: Where; made when the first line comes, for its owner only.
        file_bytes: Length at which a file is rotated, >= 1.
        files: Files kept per function, the one in use included, >= 1.
        on_fault: Called by the thread with a cause when lines begin to be lost, and with an empty one when they no longer are.
        wall_clock: Seconds since the epoch.
    """

    def __init__(
        self,
        directory: Path,
        file_bytes: int,
        files: int,
        on_fault: Callable[[str], None],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.dropped = 0
        self._directory = directory
        self._file_bytes = file_bytes
        self._files = files
        self._on_fault = on_fault
        self._wall_clock = wall_clock
        self._queue: deque[_Line] = deque()
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._unreported: dict[str, int] = {}  # lines lost, by deployment
        self._is_closing = False
        self._is_faulty = False
        self._open: dict[str, int] = {}  # descriptors of the files in use, by deployment, the least used first
        self._thread = threading.Thread(target=self._work, name="log-files", daemon=True)
        self._is_started = False

    def path(self, deployment: str) -> Path:
        """The file in use of a deployment: `name@revision`, or a name alone."""
        function, _, revision = deployment.partition("@")
        for part in (function, revision or _WITHOUT_REVISION):
            if _SAFE.fullmatch(part) is None:
                raise ValueError(f"{deployment!r} cannot be part of a file's name")
        return self._directory / function / f"{revision or _WITHOUT_REVISION}.log"

    def write(self, deployment: str, replica_id: int, stream: str, line: str) -> None:
        """Have a line written; never waits, and drops it if too many are on their way."""
        text = f"[{replica_id}] {stream} {line}"
        cost = len(text) + _LINE_OVERHEAD_BYTES
        with self._changed:
            if self._is_closing or self._queued_bytes + cost > _QUEUE_BYTES_MAX:
                self._lost(deployment, 1)
                return
            self._queue.append((deployment, self._wall_clock(), text))
            self._queued_bytes += cost
            if not self._is_started:
                self._is_started = True
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Write what is on its way, for a few seconds at most; later lines are dropped."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._is_started:
            self._thread.join(_CLOSE_WITHIN_S)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._is_closing:
                    self._changed.wait()
                if not self._queue:
                    break
                lines = list(self._queue)
                self._queue.clear()
                self._queued_bytes = 0
                unreported, self._unreported = self._unreported, {}
            self._write_all(lines, unreported)
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def _write_all(self, lines: list[_Line], unreported: dict[str, int]) -> None:
        by_deployment: dict[str, list[str]] = {}
        for deployment, at_s, text in lines:
            by_deployment.setdefault(deployment, []).append(f"{_instant(at_s)} {text}\n")
        for deployment, texts in by_deployment.items():
            lost = unreported.pop(deployment, 0)
            first = [f"{_instant(self._wall_clock())} [{lost} lines lost]\n"] if lost else []
            fault = self._append(deployment, first + texts)
            if fault:
                with self._changed:
                    self._lost(deployment, len(texts), again=lost)
            self._tell(fault)
        with self._changed:
            for deployment, count in unreported.items():  # nothing to write to them meanwhile
                self._unreported[deployment] = self._unreported.get(deployment, 0) + count

    def _append(self, deployment: str, texts: list[str]) -> str:
        """Write lines, rotating between them; why not, in words, or empty."""
        try:
            path = self.path(deployment)
            size, pending = self._size(deployment, path), bytearray()
            for text in texts:
                data = text.encode("utf-8", "backslashreplace")
                filled = size + len(pending)
                if filled and filled + len(data) > self._file_bytes:
                    self._flush(deployment, pending)
                    self._rotate(deployment, path)
                    size = 0
                pending += data
            self._flush(deployment, pending)
        except (OSError, ValueError) as error:
            self._forget(deployment)
            return f"{getattr(error, 'strerror', None) or error}"
        return ""

    def _size(self, deployment: str, path: Path) -> int:
        """Length of the file in use, opened if need be."""
        fd = self._open.pop(deployment, None)
        if fd is not None and os.fstat(fd).st_nlink == 0:  # somebody removed it
            os.close(fd)
            fd = None
        if fd is None:
            for directory in (self._directory, path.parent):  # `parents=True` would make the first one for all to read
                directory.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self._prune(path)
        self._open[deployment] = fd
        while len(self._open) > _OPEN_MAX:
            self._forget(next(iter(self._open)))
        return os.fstat(fd).st_size

    def _flush(self, deployment: str, pending: bytearray) -> None:
        view = memoryview(bytes(pending))
        pending.clear()
        while view:
            view = view[os.write(self._open[deployment], view) :]

    def _rotate(self, deployment: str, path: Path) -> None:
        self._forget(deployment)
        for number in range(self._files - 1, 0, -1):
            older, newer = _numbered(path, number), _numbered(path, number - 1)
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        if self._files == 1:
            path.unlink(missing_ok=True)
        self._size(deployment, path)

    def _prune(self, path: Path) -> None:
        """Remove the oldest files of a function beyond those to be kept, whichever revisions they are of."""
        found = [(file.stat().st_mtime, file) for file in path.parent.glob("*.log*") if file != path]
        for _, file in sorted(found, reverse=True)[self._files - 1 :]:
            file.unlink(missing_ok=True)

    def _forget(self, deployment: str) -> None:
        fd = self._open.pop(deployment, None)
        if fd is not None:
            os.close(fd)

    def _lost(self, deployment: str, count: int, again: int = 0) -> None:
        """Count lines that were not written (`again`: counted before)."""
        self.dropped += count
        if deployment in self._unreported or len(self._unreported) < _OPEN_MAX:
            self._unreported[deployment] = self._unreported.get(deployment, 0) + count + again

    def _tell(self, fault: str) -> None:
        if bool(fault) != self._is_faulty:
            self._is_faulty = bool(fault)
            self._on_fault(fault)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path


def _instant(at_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_s)) + f".{int(at_s % 1 * 1000):03d}Z"
