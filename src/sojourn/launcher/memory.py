"""The memory of a process, fairly counted."""

from __future__ import annotations

import os
from pathlib import Path


def memory_bytes(pid: int) -> int | None:
    """Memory that a process takes: its own, and of what it shares its part (PSS), in bytes.

    Added up over processes it counts each page once. The kernel walks all pages of the process for it: some
    milliseconds for a large one, so call it off the event loop.

    Args:
        pid: The process.

    Returns:
        None if the process is gone. Of one that is not ours to look into, all that is resident.

    Source:
        man 5 proc, /proc/pid/smaps_rollup.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return _resident_bytes(pid)
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name == "Pss":
            return int(rest.split()[0]) * 1024
    return None


def _resident_bytes(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
