"""What keeps replicas apart on this machine, mechanism by mechanism: on, or off and why."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from sojourn.launcher.isolation import OFF, Isolation
from sojourn.replica.landlock import ABI_MIN, ABI_SCOPES

_MIB = 1024**2
_OOM_SCORE = Path("/proc/self/oom_score_adj")
NOT_ISOLATED = "network, processor time, total disk use, accelerator memory, names and sizes of files (SECURITY.md)"


class Mechanism(msgspec.Struct, frozen=True):
    """One way in which replicas are kept apart.

    Args:
        name: What it is, in two or three words.
        is_on: Whether it is in force.
        found: What exactly is in force, or why it is not.
        remedy: What to do about that; empty if nothing.
    """

    name: str
    is_on: bool
    found: str
    remedy: str = ""


def mechanisms(isolation: Isolation) -> list[Mechanism]:
    """All there are, whether in force or not."""
    return [*_limits(isolation), *_powers(), *_views(isolation)]


def off_in_words(found: Sequence[Mechanism]) -> str:
    """Those that are not in force, each with the reason; `nothing` if all are."""
    return "; ".join(f"{mechanism.name}: {mechanism.found}" for mechanism in found if not mechanism.is_on) or "nothing"


def _limits(isolation: Isolation) -> Iterator[Mechanism]:
    settings = isolation.settings
    if settings.replica_memory_limit == OFF:
        yield Mechanism("memory limit", False, "switched off", "--replica-memory-limit claim")
    else:
        headroom = settings.replica_memory_headroom / _MIB
        yield Mechanism(
            "memory limit", True, f"of functions that declare `memory` and no gpus: that and {headroom:.6g} MiB"
        )
    for name, most, flag in (
        ("open files", settings.replica_open_files, "--replica-open-files"),
        ("file length", settings.replica_file_bytes // _MIB, "--replica-file-bytes"),
    ):
        unit = " MiB" if name == "file length" else ""
        found = f"at most {most}{unit}" if most else "switched off"
        yield Mechanism(name, bool(most), found, "" if most else flag)
    if not os.getuid():
        yield Mechanism("processes", False, "the kernel does not count those of root", "run the server as another user")
    elif not settings.replica_processes:
        yield Mechanism("processes", False, "switched off", "--replica-processes")
    else:
        more = settings.replica_processes
        yield Mechanism("processes", True, f"at most {more} more than the user has when a replica starts")
    yield Mechanism("core dumps", True, "replicas leave none")


def _powers() -> Iterator[Mechanism]:
    yield Mechanism("no new privileges", True, "setuid programs give none")
    given_up = "root's powers over the system are given up" if not os.getuid() else "there are none to give up"
    yield Mechanism("capabilities", True, given_up)
    if os.access(_OOM_SCORE, os.W_OK):
        yield Mechanism("out of memory", True, "the kernel ends a replica before the server")
    else:
        yield Mechanism("out of memory", False, f"{_OOM_SCORE} cannot be written", "mount /proc writable")


def _views(isolation: Isolation) -> Iterator[Mechanism]:
    if not isolation.uses_landlock:
        if isolation.abi >= ABI_MIN:
            why, remedy = "switched off", "--replica-landlock auto"
        else:
            version = f"this kernel has Landlock {isolation.abi}" if isolation.abi else "this kernel has no Landlock"
            why = f"{version}; {ABI_MIN} is needed (Linux 6.2)"
            remedy = "use a newer kernel, boot with lsm=landlock,..., or allow it in the sandbox around the server"
        instead = "" if not os.getuid() else "; other processes of the user cannot look into replicas all the same"
        yield Mechanism("other processes", False, f"{why}{instead}", remedy)
        yield Mechanism("state directory", False, why, remedy)
    else:
        is_scoped = isolation.abi >= ABI_SCOPES
        signals = "nor signalled" if is_scoped else "but signalled: that takes Linux 6.12"
        yield Mechanism("other processes", True, f"cannot be looked into by replicas, {signals}")
        yield _state_directory(isolation)
    yield Mechanism(
        "private directories", True, "temporary files; of deployed functions home and working directory, too"
    )


def _state_directory(isolation: Isolation) -> Mechanism:
    if isolation.hidden_from("", ""):
        return Mechanism("state directory", True, "closed to all functions")
    return Mechanism(
        "state directory",
        True,
        "closed to deployed functions; open to a served file, since it lies below the home, the working directory or "
        "that of temporary files",
    )
