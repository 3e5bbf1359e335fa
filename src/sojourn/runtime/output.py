"""What replicas print: the last lines of each function, and a copy in the event log."""

from __future__ import annotations

from collections import deque
from itertools import islice

from sojourn.telemetry.log import EventLog
from sojourn.telemetry.log_files import LogFiles

_LINES_KEPT = 1000


class ReplicaOutput:
    """Keeps the last lines that a function's replicas wrote to standard output and error.

    Args:
        event_log: Where each line is repeated.
        lines_kept: Lines kept per function, >= 1.
        files: Where each line is kept for longer; None: nowhere.
    """

    def __init__(self, event_log: EventLog, lines_kept: int = _LINES_KEPT, files: LogFiles | None = None) -> None:
        self._event_log = event_log
        self._lines_kept = lines_kept
        self._files = files
        self._lines: dict[str, deque[str]] = {}

    def record(self, function: str, replica_id: int, stream: str, line: str) -> None:
        """Take one line without its line end; `stream` is "stdout" or "stderr"."""
        kept = self._lines.get(function)
        if kept is None:
            kept = self._lines[function] = deque(maxlen=self._lines_kept)
        kept.append(f"[{replica_id}] {line}")
        if self._files is not None:
            self._files.write(function, replica_id, stream, line)
        self._event_log.info("replica.output", function=function, replica=replica_id, stream=stream, line=line)

    def tail(self, function: str, lines: int) -> list[str]:
        """The last `lines` lines of a function, oldest first, each with its replica's number in front."""
        kept = self._lines.get(function)
        if not kept or lines <= 0:
            return []
        return list(islice(kept, max(len(kept) - lines, 0), None))

    def path(self, function: str) -> str | None:
        """The file that a function's lines go to, once there are any; None: none is kept."""
        return str(self._files.path(function)) if self._files is not None else None

    def forget(self, function: str) -> None:
        """Drop the lines of a function that is gone."""
        self._lines.pop(function, None)
