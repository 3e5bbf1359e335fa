"""Carries records of the standard `logging` module, which libraries use, into the event log."""

from __future__ import annotations

import logging

from sojourn.telemetry.log import EventLog


class LoggingBridge(logging.Handler):
    """A logging handler that turns each record into one event named after its logger.

    Args:
        event_log: Where the events go.
        level: Records below it are left out.
    """

    def __init__(self, event_log: EventLog, level: int = logging.WARNING) -> None:
        super().__init__(level)
        self._event_log = event_log

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; one that cannot be formatted is told as such."""
        try:
            message = record.getMessage()
        except Exception as err:  # noqa: BLE001 (a wrong format string must not break the caller)
            message = f"{record.msg!r} cannot be formatted: {err}"
        fields = {"message": message}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            fields["error"] = f"{type(error).__name__}: {error}"
            fields["traceback"] = logging.Formatter().formatException(record.exc_info)
        write = self._event_log.error if record.levelno >= logging.ERROR else self._event_log.warning
        write(record.name, **fields)
