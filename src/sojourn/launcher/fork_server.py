"""The launcher's side of one fork server: its process, whether it is prepared, who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping

import msgspec

from sojourn.domain.function import FunctionManifest
from sojourn.launcher.forking import Forking
from sojourn.launcher.process import Child, Process, spawn
from sojourn.launcher.session_guard import SessionGuard
from sojourn.wire.spec import Confinement, ForkServerSpec, Prepared

_PREPARED_BYTES_MAX = 64 * 1024


class ForkServer:
    """A process that has imported a function's code and forks replicas of it.

    The constructor starts it and must run on the event loop's thread.

    Args:
        manifest: The function.
        confinement: Its limits, which its replicas inherit.
        environment: All the variables it and its replicas get.
        guard: Kills its process group should this process be killed.
        on_line: Called on the loop with (stream, line) for what is printed while it imports.
        on_prepared: Called once on the loop when it can be asked for replicas, or says that it never can.
        on_exit: Called once on the loop with the cause in words, after it has ended.

    Raises:
        OSError: It could not be started.
    """

    def __init__(
        self,
        manifest: FunctionManifest,
        confinement: Confinement,
        *,
        environment: Mapping[str, str],
        guard: SessionGuard,
        on_line: Callable[[str, str], None],
        on_prepared: Callable[[Prepared], None],
        on_exit: Callable[[str], None],
    ) -> None:
        self.is_prepared = False
        self.is_told_to_end = False
        self._on_prepared = on_prepared
        self._on_exit = on_exit
        self._waiting: list[Forking] = []
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        told = ForkServerSpec(
            manifest=manifest, launcher_pid=os.getpid(), control_fd=theirs.fileno(), confinement=confinement
        )
        try:
            with theirs:
                child = spawn(
                    ["-m", "sojourn.replica.fork_server"],
                    environment=environment,
                    standard_input=msgspec.json.encode(told) + b"\n",
                    pass_fds=[theirs.fileno()],
                )
            whole = msgspec.structs.replace(child, reap=lambda: _reap_group(child))
            self._process = Process(whole, guard=guard, on_line=on_line, on_exit=self._ended)
        except OSError:
            self._control.close()
            raise
        self._is_heard = True
        asyncio.get_running_loop().add_reader(self._control, self._heard)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fork(self, forking: Forking) -> None:
        """Have a replica forked, now or as soon as the code is imported.

        Raises:
            OSError: It cannot be asked.
        """
        if self.is_prepared:
            forking.ask(self._control)
        else:
            self._waiting.append(forking)

    def forget(self, forking: Forking) -> None:
        """Nobody wants this replica any more, which has not been asked for yet; an import without others is ended."""
        self._waiting.remove(forking)
        if not self._waiting:
            self.kill()

    def take_waiting(self) -> list[Forking]:
        """Those who wait for the import; they are the caller's to see to from now on."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def hang_up(self) -> None:
        """Let it end when it has done what it was asked for."""
        self.is_told_to_end = True
        self._stop_hearing()
        self._control.close()

    def kill(self) -> None:
        """End it now; its replicas live on."""
        self.is_told_to_end = True
        self._process.kill()

    def _heard(self) -> None:
        """It said that it is prepared; the end of the socket is told by the process, too."""
        try:
            prepared = msgspec.json.decode(self._control.recv(_PREPARED_BYTES_MAX), type=Prepared)
        except (OSError, msgspec.MsgspecError):
            self._stop_hearing()
            self._process.kill()  # most likely it has ended
            return
        self.is_prepared = True
        self._on_prepared(prepared)

    def _stop_hearing(self) -> None:
        if self._is_heard:
            self._is_heard = False
            with contextlib.suppress(OSError):
                asyncio.get_running_loop().remove_reader(self._control)

    def _ended(self, cause: str) -> None:
        self._stop_hearing()
        self._control.close()
        self._on_exit(cause)


def _reap_group(child: Child) -> int:
    """Reap a fork server that was killed with its group, and what it had just forked, which is ours by now."""
    status = child.reap()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-child.pid, 0)
    return status
