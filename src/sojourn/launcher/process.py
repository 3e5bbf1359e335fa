"""One child process on the event loop: started in its own session, its output read, its end seen."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

import msgspec

from sojourn.launcher.output import LineReader
from sojourn.launcher.session_guard import SessionGuard
from sojourn.launcher.streams import Streams

# What a child sees of our environment; credentials and the like are none of its business.
_ALLOWED_NAMES = frozenset(
    {
        "HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "PATH",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONHOME",
        "PYTHONPATH",
        "TMPDIR",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
        "XDG_CACHE_HOME",
    }
)
_ALLOWED_PREFIXES = ("CUDA_", "HF_", "LC_", "NVIDIA_", "TORCH_")
_USERS_PREFIX = "SOJOURN_FN_"  # set for functions on purpose, secrets included
_SECRET_WORDS = ("CREDENTIAL", "KEY", "PASSWD", "PASSWORD", "SECRET", "TOKEN")  # such as HF_TOKEN


def allowed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of `environment` that a process running user code gets."""
    return {name: value for name, value in environment.items() if _is_allowed(name)}


def _is_allowed(name: str) -> bool:
    if name in _ALLOWED_NAMES or name.startswith(_USERS_PREFIX):
        return True
    return name.startswith(_ALLOWED_PREFIXES) and not any(word in name.upper() for word in _SECRET_WORDS)


_REMIND_AFTER_S = 0.5


class Child(msgspec.Struct, frozen=True):
    """A process that has just begun, and what its keeper needs.

    Args:
        pid: Its process id, which is that of its group and session too.
        output_fd: Reading end of its standard output.
        error_fd: Reading end of its standard error.
        reap: Waits for its end, once; the exit status, or minus the signal that ended it.
    """

    pid: int
    output_fd: int
    error_fd: int
    reap: Callable[[], int]


class Process:
    """Keeps a running process whose whole session ends with it.

    Construct it on the event loop's thread.

    Args:
        child: The process; its descriptors belong to this object from now on.
        guard: Kills its process group should this process be killed.
        on_line: Called on the loop with (`"stdout"` or `"stderr"`, line).
        on_exit: Called once on the loop, after the last line, with the cause in words.

    Raises:
        OSError: No descriptors are left to see to it; it was killed.
    """

    def __init__(
        self,
        child: Child,
        *,
        guard: SessionGuard,
        on_line: Callable[[str, str], None],
        on_exit: Callable[[str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_exit = on_exit
        self._kill_timer: asyncio.TimerHandle | None = None
        self._remind_timer: asyncio.TimerHandle | None = None
        self._guard = guard
        self._child = child
        self._is_reaped = False
        self.pid = child.pid
        guard.watch(self.pid)
        try:
            # A descriptor of the process instead of SIGCHLD: exact, and no business of the loop's kind.
            self._pidfd = os.pidfd_open(self.pid)
        except OSError:
            self.kill()
            child.reap()
            guard.forget(self.pid)
            os.close(child.output_fd)
            os.close(child.error_fd)
            raise
        self._readers = [
            LineReader(child.output_fd, lambda line: on_line("stdout", line)),
            LineReader(child.error_fd, lambda line: on_line("stderr", line)),
        ]
        for reader in self._readers:
            reader.start()
        self._loop.add_reader(self._pidfd, self._ended)

    @property
    def is_told_to_end(self) -> bool:
        """Whether it was asked to end and has a time by which it is killed."""
        return self._kill_timer is not None

    def terminate(self, grace_s: float) -> None:
        """Send SIGTERM, and once more a little later; whoever is left of the session after `grace_s` seconds gets SIGKILL."""
        if self._kill_timer is None:
            self._signal(signal.SIGTERM)
            self._kill_timer = self._loop.call_later(max(0.0, grace_s), self.kill)
            if grace_s > _REMIND_AFTER_S:
                self._remind_timer = self._loop.call_later(_REMIND_AFTER_S, self._remind)

    def kill(self) -> None:
        """Send SIGKILL to the whole session."""
        self._signal(signal.SIGKILL)

    def _remind(self) -> None:
        # A signal that arrives just before an interpreter begins to wait in the kernel is noticed with the next one.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        # Until `_ended` has reaped the child, its pid and process group cannot belong to anybody else.
        if not self._is_reaped:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _ended(self) -> None:
        self.kill()  # what it started and left behind goes with it
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._guard.forget(self.pid)  # before it is reaped: afterwards the number may be given to others
        status = self._child.reap()
        self._is_reaped = True
        for timer in (self._kill_timer, self._remind_timer):
            if timer is not None:
                timer.cancel()
        for reader in self._readers:
            reader.finish()
        self._on_exit(_cause(status))


def spawn(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    standard_input: bytes,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start `python -P ARGUMENTS` in a session of its own; a `Process` keeps it from then on.

    Call it on the event loop's thread: the child is killed by the kernel when that thread ends.

    Args:
        arguments: What follows `python` on the command line.
        environment: All the variables it gets.
        standard_input: Bytes it finds on its standard input.
        pass_fds: Further descriptors it inherits.

    Raises:
        OSError: It could not be started.
    """
    streams = Streams(standard_input)
    input_fd, output_end, error_end = streams.theirs
    try:
        started = subprocess.Popen(  # noqa: S603 - our own interpreter; no shell
            [sys.executable, "-P", *arguments],  # -P: what lies in the working directory hides no module
            stdin=input_fd,
            stdout=output_end,
            stderr=error_end,
            env=dict(environment),
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    except BaseException:
        streams.close_ours()
        raise
    finally:
        streams.close_theirs()
    return Child(started.pid, streams.output_fd, streams.error_fd, started.wait)


def _cause(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
