"""How many threads the pools of BLAS and OpenMP have: one while a fork server imports, the function's number after."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

from sojourn.domain.function import FunctionSettings

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

# Part of a library's file name -> functions of it that size its pool, whichever of them it has. The names with
# `scipy_` and `64_` are those of the OpenBLAS inside the wheels of numpy and scipy.
_SETTERS: dict[str, tuple[str, ...]] = {
    "openblas": (
        "openblas_set_num_threads",
        "openblas_set_num_threads64_",
        "scipy_openblas_set_num_threads",
        "scipy_openblas_set_num_threads64_",
    ),
    "libgomp": ("omp_set_num_threads",),
    "libomp": ("omp_set_num_threads",),
    "libiomp": ("omp_set_num_threads",),
    "libmkl_rt": ("MKL_Set_Num_Threads",),
}


def set_thread_counts(settings: FunctionSettings) -> None:
    """Size the pools of BLAS and OpenMP; must come before the author's code is imported.

    `threads` in the options wins over the environment, which wins over the default taken from `cpus`.
    """
    count = str(settings.thread_count)
    for variable in THREAD_VARIABLES:
        if settings.threads is not None:
            os.environ[variable] = count
        else:
            os.environ.setdefault(variable, count)


class HeldThreads:
    """Holds the pools at one thread from construction on, until `release` in a replica that was forked.

    Libraries read the variables when they are imported, and some start their threads then: a process with
    threads cannot be forked safely.
    """

    def __init__(self) -> None:
        self._before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))

    def release(self, settings: FunctionSettings) -> None:
        """Put the variables back and raise the pools of all libraries that are loaded by now.

        Asked directly, through their own functions: the package threadpoolctl does the same, but need not be
        there. OpenMP keeps the number per thread: threads that the author's code had started keep one each, but
        there are none, else there would have been no fork. A library in no list of ours stays at one thread.
        """
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        set_thread_counts(settings)
        first = os.environ[THREAD_VARIABLES[0]].partition(",")[0].strip()  # OpenMP allows a list, one per level
        count = int(first) if first.isdigit() and int(first) > 0 else settings.thread_count
        if count > 1:
            _raise_pools(count)


def running_threads() -> list[str]:
    """Names of the threads of this process besides the calling one's, sorted.

    Raises:
        OSError: /proc cannot be read.
    """
    names = []
    for task in os.listdir("/proc/self/task"):  # noqa: PTH208 - pathlib would be paid at every cold start
        if int(task) == os.getpid():
            continue
        try:
            with open(f"/proc/self/task/{task}/comm") as comm:  # noqa: PTH123
                names.append(comm.read().strip())
        except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
            continue
    return sorted(names)


def _raise_pools(count: int) -> None:
    for path in _loaded_libraries():
        base = path.rpartition("/")[2]
        for part, setters in _SETTERS.items():
            if part in base:
                _set(path, setters, count)
    torch = sys.modules.get("torch")
    if torch is not None:  # it has a number of its own, beside that of the OpenMP below it
        with contextlib.suppress(Exception):
            torch.set_num_threads(count)


def _set(path: str, setters: tuple[str, ...], count: int) -> None:
    try:
        library = ctypes.CDLL(path)  # it is loaded: this only finds it
    except OSError:
        return
    for setter in setters:
        if hasattr(library, setter):
            getattr(library, setter)(ctypes.c_int(count))


def _loaded_libraries() -> list[str]:
    """Files mapped into this process whose names are in the list above."""
    found = set()
    with open("/proc/self/maps") as maps:  # noqa: PTH123
        for line in maps:
            path = line.partition("/")[2].rstrip("\n")
            if ".so" in path and any(part in path.rpartition("/")[2] for part in _SETTERS):
                found.add("/" + path)
    return sorted(found)
