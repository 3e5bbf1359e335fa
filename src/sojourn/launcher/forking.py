"""A replica on its way: asked of a fork server, not yet born."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from time import monotonic

import msgspec

from sojourn.launcher.adoption import ADOPTION
from sojourn.launcher.process import Child
from sojourn.launcher.streams import Streams
from sojourn.wire.spec import Birth, ForkRequest

_BIRTH_BYTES_MAX = 4096


class Forking:
    """From the wish for a replica to its process. Ends with one call of `on_born` or `on_failed`.

    Args:
        told: What the replica will find on its standard input.
        on_born: Called on the loop with the process and with what lets it go on, once a keeper has it.
        on_failed: Called on the loop with the reason why there is no process (empty if it was told already), and
            whether the same would happen again: it is the code that cannot be forked.
    """

    def __init__(
        self, told: bytes, on_born: Callable[[Child, Callable[[], None]], None], on_failed: Callable[[str, bool], None]
    ) -> None:
        self._told = told
        self._on_born = on_born
        self._on_failed = on_failed
        self._asked_at_s = monotonic()
        self._birth: socket.socket | None = None
        self._streams: Streams | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether the fork server was told of it, so that there may be a process by now."""
        return self._birth is not None

    def ask(self, control: socket.socket) -> None:
        """Have it forked; for a fork server that is prepared, which answers at once.

        Raises:
            OSError: The fork server cannot be asked, or no descriptors are left; nothing is under way.
        """
        streams = Streams(self._told)
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                request = msgspec.json.encode(ForkRequest(asked_at_s=self._asked_at_s))
                ADOPTION.begin()  # before it is asked: it may have forked by the time we go on
                try:
                    socket.send_fds(control, [request], [theirs.fileno(), *streams.theirs])
                except OSError:
                    ADOPTION.end()
                    ours.close()
                    raise
        except OSError:
            streams.close_ours()
            raise
        finally:
            streams.close_theirs()
        ours.setblocking(False)
        self._birth, self._streams = ours, streams
        asyncio.get_running_loop().add_reader(ours, self._answered)

    def give_up(self) -> None:
        """There will be no process, for nobody was asked for it; why was told elsewhere."""
        self._on_failed("", False)

    def _answered(self) -> None:
        """There is a process, or there will be none."""
        assert self._birth is not None
        assert self._streams is not None
        birth, streams = self._birth, self._streams
        asyncio.get_running_loop().remove_reader(birth)
        ADOPTION.end()
        answer = _read(birth)
        if answer is None or not _is_our_child(answer.pid):
            birth.close()
            streams.close_ours()
            if answer is None:
                self._on_failed("the fork server ended", False)
            else:
                self._on_failed(answer.why_not or "what it forked had died before it was seen", bool(answer.why_not))
            return

        def go() -> None:
            with contextlib.suppress(OSError):  # it has died meanwhile: its end is on its way
                birth.send(b"\n")

        child = Child(answer.pid, streams.output_fd, streams.error_fd, lambda: _reap(answer.pid))
        try:
            self._on_born(child, go)
        finally:
            birth.close()  # a replica that was not told to go on ends


def _read(birth: socket.socket) -> Birth | None:
    try:
        return msgspec.json.decode(birth.recv(_BIRTH_BYTES_MAX), type=Birth)
    except (OSError, msgspec.MsgspecError):
        return None


def _is_our_child(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _reap(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
