"""What this machine has for replicas: cores, accelerators, memory, as far as this process may use them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sojourn.domain.resources import Resources

_CGROUP = Path("/sys/fs/cgroup")
_DEVICES = Path("/dev")
_NVIDIA = re.compile(r"nvidia[0-9]+")


def machine_resources(cgroup: Path = _CGROUP, devices: Path = _DEVICES) -> Resources:
    """Cores this process may run on, accelerators it can see, and memory, within the limits of its control group.

    Args:
        cgroup: Where control groups (version 2) are mounted.
        devices: Where device files are.
    """
    return Resources(_cpus(cgroup), _gpus(devices), _memory_bytes(cgroup))


def _cpus(cgroup: Path) -> float:
    cores = float(len(os.sched_getaffinity(0)))
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit() and int(period) > 0:
        return min(cores, int(quota) / int(period))
    return cores


def _gpus(devices: Path) -> float:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return float(len([name for name in visible.split(",") if name.strip() and name.strip() != "-1"]))
    try:
        return float(sum(1 for entry in devices.iterdir() if _NVIDIA.fullmatch(entry.name)))
    except OSError:
        return 0.0


def _memory_bytes(cgroup: Path) -> int:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _read(cgroup / "memory.max")
    return min(total, int(limit)) if limit.isdigit() else total


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
