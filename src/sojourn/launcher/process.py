"""One child process on the event loop: its own session, its input given, its output read, its end seen."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from sojourn.launcher.output import LineReader
from sojourn.launcher.session_guard import SessionGuard

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
_ALLOWED_PREFIXES = ("CUDA_", "HF_", "LC_", "NVIDIA_", "SOJOURN_FN_", "TORCH_")


def allowed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of `environment` that a process running user code gets."""
    return {
        name: value
        for name, value in environment.items()
        if name in _ALLOWED_NAMES or name.startswith(_ALLOWED_PREFIXES)
    }


class Process:
    """A running `python -P -m MODULE ...` whose whole session ends with it.

    The constructor starts it and must run on the event loop's thread: the child is killed by the kernel
    when that thread ends.

    Args:
        arguments: What follows `python` on the command line.
        environment: All the variables it gets.
        guard: Kills its process group should this process be killed.
        standard_input: Bytes it finds on its standard input.
        on_line: Called on the loop with (`"stdout"` or `"stderr"`, line).
        on_exit: Called once on the loop, after the last line, with the cause in words.
        pass_fds: Further descriptors it inherits.

    Raises:
        OSError: It could not be started.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        guard: SessionGuard,
        standard_input: bytes,
        on_line: Callable[[str, str], None],
        on_exit: Callable[[str], None],
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_exit = on_exit
        self._kill_timer: asyncio.TimerHandle | None = None
        self._guard = guard
        self._child = _start(arguments, environment, standard_input, pass_fds)
        self.pid = self._child.pid
        guard.watch(self.pid)
        try:
            # A descriptor of the process instead of SIGCHLD: exact, and no business of the loop's kind.
            self._pidfd = os.pidfd_open(self.pid)
            self._readers = [
                LineReader(_detach(self._child.stdout), lambda line: on_line("stdout", line)),
                LineReader(_detach(self._child.stderr), lambda line: on_line("stderr", line)),
            ]
        except OSError:  # out of descriptors: nobody could see to this child
            self.kill()
            self._child.communicate()
            guard.forget(self.pid)
            raise
        for reader in self._readers:
            reader.start()
        self._loop.add_reader(self._pidfd, self._ended)

    @property
    def is_told_to_end(self) -> bool:
        """Whether it was asked to end and has a time by which it is killed."""
        return self._kill_timer is not None

    def terminate(self, grace_s: float) -> None:
        """Send SIGTERM; whoever is left of the session after `grace_s` seconds gets SIGKILL."""
        if self._kill_timer is None:
            self._signal(signal.SIGTERM)
            self._kill_timer = self._loop.call_later(max(0.0, grace_s), self.kill)

    def kill(self) -> None:
        """Send SIGKILL to the whole session."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Until `_ended` has reaped the child, its pid and process group cannot belong to anybody else.
        if self._child.returncode is None:
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                return

    def _ended(self) -> None:
        self.kill()  # what it started and left behind goes with it
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._guard.forget(self.pid)  # before it is reaped: afterwards the number may be given to others
        status = self._child.wait()
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        for reader in self._readers:
            reader.finish()
        self._on_exit(_cause(status))


def _start(
    arguments: Sequence[str], environment: Mapping[str, str], standard_input: bytes, pass_fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    # A file in memory instead of a pipe: writing never waits for the child, however much it is.
    input_fd = os.memfd_create("sojourn-stdin", os.MFD_CLOEXEC)
    with os.fdopen(input_fd, "w+b") as source:
        source.write(standard_input)
        source.flush()
        source.seek(0)
        return subprocess.Popen(  # noqa: S603 - our own interpreter; no shell
            [sys.executable, "-P", *arguments],  # -P: what lies in the working directory hides no module
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )


def _detach(pipe: IO[bytes] | None) -> int:
    """The descriptor of a pipe, without the file object around it."""
    assert pipe is not None
    fd = os.dup(pipe.fileno())
    pipe.close()
    return fd


def _cause(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
