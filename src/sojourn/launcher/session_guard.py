"""What replicas started ends with the server, even if the server is killed outright and can do nothing about it."""

from __future__ import annotations

import contextlib
import os
import subprocess

_SHELL = "/bin/sh"
# Told of process groups line by line. The pipe ends when the server has, however it did: the rest is killed.
_SCRIPT = """
trap '' HUP INT QUIT TERM
groups=" "
while read -r verb group; do
    case $verb in
        watch) groups="$groups$group " ;;
        forget) case $groups in *" $group "*) groups="${groups%% $group *} ${groups#* $group }" ;; esac ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
"""


class SessionGuard:
    """A tiny process beside the server that kills the process groups it was told of when the server has died.

    A replica asks the kernel to be killed with the server, but what the author's code started from it
    (workers, `subprocess`) does not. A shell that waits for the end of a pipe does it for all replicas
    at once: 0.1 to 0.3 MB of memory per server, nothing per replica but a line in the pipe. While the
    server lives, it sees to the groups itself. Out of reach is what left its replica's process group
    (`start_new_session=True`); and without a `/bin/sh`, or with the guard killed, only the kernel's
    signal to the replica itself is left.
    """

    def __init__(self) -> None:
        self._shell: subprocess.Popen[bytes] | None = None
        self._fd = -1  # the only writing end of the guard's pipe; no child inherits it
        self._started = False

    def watch(self, group: int) -> None:
        """A process group that must not outlive this process; the first one starts the guard."""
        if not self._started:
            self._start()
        self._tell(f"watch {group}\n")

    def forget(self, group: int) -> None:
        """A process group that is gone: its number may soon be somebody else's."""
        self._tell(f"forget {group}\n")

    def close(self) -> None:
        """End the guard; groups it still watches are killed."""
        if self._shell is None:
            return
        os.close(self._fd)
        try:
            self._shell.wait(timeout=1.0)  # it has at most a few signals to send
        except subprocess.TimeoutExpired:
            self._shell.kill()
            self._shell.wait()
        self._shell, self._fd, self._started = None, -1, False

    def _start(self) -> None:
        self._started = True
        reading, self._fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)  # should somebody stop the guard, the server goes on
        try:
            self._shell = subprocess.Popen(  # noqa: S603 - a constant script; what it reads are numbers
                [_SHELL, "-c", _SCRIPT],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                start_new_session=True,  # a Ctrl-C at the server's terminal is none of its business
            )
        except OSError:
            os.close(self._fd)
        finally:
            os.close(reading)

    def _tell(self, line: str) -> None:
        if self._shell is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, line.encode())
