"""Records of the logging module reach the event log as one line each."""

from __future__ import annotations

import json
import logging
import os

from sojourn.telemetry.bridge import LoggingBridge
from sojourn.telemetry.log import EventLog


def test_warnings_and_errors_of_libraries_become_events():
    """Level, logger and traceback are kept; what is below the level is left out; a bad format is told."""
    reading, writing = os.pipe()
    logger = logging.getLogger("library")
    handler = LoggingBridge(EventLog(writing, "json"))
    logger.addHandler(handler)
    logger.propagate = False
    logger.info("not shown")
    logger.warning("slow by %d", 3)
    try:
        1 / 0  # noqa: B018 (the division is the fault)
    except ZeroDivisionError:
        logger.exception("failed")
    logger.error("%d", "x")
    logger.removeHandler(handler)
    os.close(writing)
    with os.fdopen(reading) as lines:
        slow, failed, odd = (json.loads(line) for line in lines)
    assert (slow["level"], slow["event"], slow["message"]) == ("warning", "library", "slow by 3")
    assert failed["error"] == "ZeroDivisionError: division by zero"
    assert "Traceback" in failed["traceback"]
    assert "cannot be formatted" in odd["message"]
