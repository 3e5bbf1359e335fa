"""A process that is about to run an author's code confines itself: limits, a place of its own, a view of its own."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import sys

from sojourn.errors import SojournError
from sojourn.replica.capabilities import give_up_powers
from sojourn.replica.landlock import hide, stand_alone
from sojourn.wire.spec import Confinement

OOM_SCORE_ADJ = (
    500  # the kernel ends a replica before a server (0), whichever is larger by less than half of all memory
)
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_UMASK = 0o077
_OOM_SCORE = "/proc/self/oom_score_adj"
_MIB = 1024**2


class ConfinementError(SojournError):
    """A process cannot be confined as it was told, and so must not run the author's code."""


def confine(confinement: Confinement) -> None:
    """Put everything in force, in this process and all it starts.

    Raises:
        ConfinementError: Something could not be; the text says what.
    """
    os.umask(_UMASK)
    try:
        _raise_oom_score()
        _limit(confinement)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        give_up_powers()
        if not confinement.uses_landlock:
            be_opaque()
        elif confinement.hidden:
            readable = [confinement.tree] if confinement.tree else []
            hide(confinement.hidden, readable, [confinement.shared] if confinement.shared else [])
        else:
            stand_alone()
        enter_scratch(confinement)
    except (OSError, ValueError) as error:
        raise ConfinementError(f"it could not be confined: {error}") from error


def confine_forked(confinement: Confinement) -> None:
    """What a forked replica does by itself: the rest it has inherited.

    Raises:
        ConfinementError: Something could not be; the text says what.
    """
    try:
        if confinement.uses_landlock:
            stand_alone()  # of its siblings, too
        enter_scratch(confinement)
    except OSError as error:
        raise ConfinementError(f"it could not be confined: {error}") from error


def enter_scratch(confinement: Confinement) -> None:
    """Have what is temporary, and for deployed code home and working directory, in the private directory.

    The working directory shows the top of the tree as links: relative reads work, what is written stays here.

    Raises:
        OSError: It cannot be filled.
    """
    scratch = confinement.scratch
    if not scratch:
        return
    temporary = f"{scratch}/t"
    os.mkdir(temporary, 0o700)  # noqa: PTH102 - pathlib would be paid at every cold start
    os.environ["TMPDIR"] = temporary
    if (module := sys.modules.get("tempfile")) is not None:
        setattr(module, "tempdir", None)  # noqa: B010 - a fork server's, if it was asked for
    if confinement.has_home:
        home, work = f"{scratch}/home", f"{scratch}/work"
        os.mkdir(home, 0o700)  # noqa: PTH102
        os.mkdir(work, 0o700)  # noqa: PTH102
        os.environ["HOME"] = home
        for name in os.listdir(confinement.tree) if confinement.tree else ():  # noqa: PTH208
            os.symlink(f"{confinement.tree}/{name}", f"{work}/{name}")  # noqa: PTH211
        os.chdir(work)


def be_opaque() -> None:
    """Other processes of this user cannot look into this one: what is to be had without Landlock; root looks on.

    Raises:
        OSError: The kernel refused.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def limit_hint(error: BaseException) -> str:
    """Which limit an author's error comes from, and where it is set, to be put behind a message; empty if from none."""
    if isinstance(error, MemoryError):
        most = resource.getrlimit(resource.RLIMIT_DATA)[0]
        if most != resource.RLIM_INFINITY:
            return f"; {memory_words(most)}"
    elif isinstance(error, OSError) and error.errno == errno.EFBIG:
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        if most != resource.RLIM_INFINITY:
            return f"; a replica's files may have {most / _MIB:.6g} MiB (--replica-file-bytes)"
    elif isinstance(error, OSError) and error.errno == errno.EMFILE:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f"; a replica may have {most} descriptors open (--replica-open-files)"
    return ""


def memory_words(limit_bytes: int) -> str:
    """The memory limit of a replica in words, with what sets it."""
    return (
        f"its replica may ask for {limit_bytes / _MIB:.0f} MiB of memory: raise the function's `memory`, "
        "or --replica-memory-headroom"
    )


def _limit(confinement: Confinement) -> None:
    wanted = {
        resource.RLIMIT_DATA: confinement.data_bytes,
        resource.RLIMIT_NOFILE: confinement.open_files,
        resource.RLIMIT_NPROC: confinement.processes,
        resource.RLIMIT_FSIZE: confinement.file_bytes,
    }
    for which, most in wanted.items():
        if most:
            hard = resource.getrlimit(which)[1]
            least = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(which, (least, least))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _raise_oom_score() -> None:
    try:
        with open(_OOM_SCORE, "r+") as file:  # noqa: PTH123 - as above
            if int(file.read()) < OOM_SCORE_ADJ:
                file.seek(0)
                file.write(str(OOM_SCORE_ADJ))
    except OSError:  # no /proc, or one that cannot be written: `sojourn doctor` says so
        return


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
