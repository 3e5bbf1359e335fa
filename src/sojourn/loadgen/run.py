"""A run of load on an event loop of its own: the way in for commands and benchmarks."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable

import uvloop

from sojourn.loadgen.generator import Bodies, Check, LoadRun
from sojourn.loadgen.options import LoadOptions
from sojourn.loadgen.target import Target

_DESCRIPTORS_BESIDES = 64


def run_load(
    target: Target,
    arrivals: Iterable[float],
    bodies: Bodies,
    *,
    options: LoadOptions | None = None,
    check: Check | None = None,
    on_progress: Callable[[LoadRun], None] | None = None,
) -> LoadRun:
    """Make a run on an event loop of its own and return it when it has ended. Arguments as in `LoadRun`.

    Raises:
        ClientError: Nothing listens at the target.
    """
    run = LoadRun(target, arrivals, bodies, options=options, check=check, on_progress=on_progress)
    _allow_descriptors(run.options.connections_max + _DESCRIPTORS_BESIDES)
    uvloop.run(run.run())
    return run


def _allow_descriptors(count: int) -> None:
    """Raise this process's limit of open files as far as it may be raised; a shortage shows in the run."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        granted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
