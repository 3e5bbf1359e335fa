"""What a profile tells of the machine it was measured on, and nothing that names it."""

from __future__ import annotations

import asyncio
import platform
from pathlib import Path
from time import monotonic
from typing import Final

from sojourn.config.profile import Lateness, Machine
from sojourn.launcher.machine import machine_resources
from sojourn.report.statistics import quantile

_CPU_INFO: Final = Path("/proc/cpuinfo")
_TIMERS: Final = 100
_TIMER_S: Final = 0.003
_NAME_CHARACTERS_MAX: Final = 200


def machine_facts(lateness: Lateness | None) -> Machine:
    """Cores, model of the processor, version of Python."""
    return Machine(
        cores=machine_resources().cpus,
        processor=_processor(_CPU_INFO),
        python_version=platform.python_version(),
        timer_lateness=lateness,
    )


async def timer_lateness() -> Lateness:
    """How late the timers of this event loop fire, measured for a third of a second."""
    loop = asyncio.get_running_loop()
    late_s = []
    for _ in range(_TIMERS):
        fired: asyncio.Future[float] = loop.create_future()
        due_at_s = monotonic() + _TIMER_S  # the loop's own time may be coarse
        timer = loop.call_later(_TIMER_S, _fire, fired)
        try:
            late_s.append(max(await fired - due_at_s, 0.0))
        finally:
            timer.cancel()
    late_s.sort()
    p50_s, p95_s, p99_s, max_s = (quantile(late_s, share) or 0.0 for share in (0.5, 0.95, 0.99, 1.0))
    return Lateness(p50_s=p50_s, p95_s=p95_s, p99_s=p99_s, max_s=max_s)


def _fire(fired: asyncio.Future[float]) -> None:
    if not fired.done():
        fired.set_result(monotonic())


def _processor(cpu_info: Path) -> str:
    """The model name that the kernel tells; other architectures have none, there it is that of the architecture."""
    try:
        text = cpu_info.read_text(errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "model name":
            return " ".join(value.split())[:_NAME_CHARACTERS_MAX]
    return platform.machine()
