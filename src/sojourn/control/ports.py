"""What the admin port needs to know of the running server, as a protocol."""

from __future__ import annotations

from typing import Protocol

from sojourn.telemetry.status import FunctionDetail, FunctionSnapshot, FunctionStatus


class Overview(Protocol):
    """A view of all functions; every method is quick, is called on the server's loop and changes nothing."""

    def functions(self) -> list[FunctionStatus]:
        """One row per function, in order of their names."""

    def function(self, name: str) -> FunctionDetail | None:
        """All there is to show of one function, or None if there is no such function."""

    def snapshots(self) -> list[FunctionSnapshot]:
        """Counters and gauges of every function now."""

    def output(self, name: str, lines: int) -> list[str] | None:
        """The last `lines` lines a function's replicas wrote, oldest first; None for an unknown function."""
