"""`python -m sojourn.replica.fork_server`: imports a function's code once, then forks replicas that have it.

Started by the launcher with a `ForkServerSpec` on its standard input. It says `Prepared` on its control
socket and answers each `ForkRequest` there with a `Birth` on the socket that came with it. It never runs the
function: what it forks does, as a child of the launcher. It ends when the launcher closes the control socket.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from typing import NoReturn

import msgspec

from sojourn.replica.confine import confine, confine_forked
from sojourn.replica.forking import (
    be_called,
    flush_all,
    fork_for_adoption,
    open_descriptors,
    reseed,
    why_not_fork,
)
from sojourn.replica.life import keep_input_from_author, let_go_of_output, live, read_told
from sojourn.replica.log import print_author_traceback, tell
from sojourn.replica.preparation import Preparation
from sojourn.replica.process import Terminated, die_with_parent, end_on_signals, leave
from sojourn.replica.threads import HeldThreads
from sojourn.wire.spec import Birth, ForkRequest, ForkServerSpec, Prepared, ReplicaSpec

_REQUEST_BYTES_MAX = 4096
_DESCRIPTORS = 4  # of a request: the socket for the birth, then standard input, output and error


def main() -> NoReturn:
    """Serve forks until the launcher hangs up; ends the process."""
    end_on_signals()
    try:
        spec = read_told(ForkServerSpec)
        if not die_with_parent(spec.launcher_pid):
            os._exit(1)
        server = ForkServer(spec)
        server.prepare()
        server.serve()
    except Terminated:
        # Not `leave`: what the author's code wants done at the end is done by the replicas, who used it.
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - the launcher sees the end, and goes on without a fork server
        tell(f"fork server: {error}")
        print_author_traceback(error)
        os._exit(1)


class ForkServer:
    """One function's fork server. Construct, `prepare`, `serve`.

    Args:
        spec: What the launcher told.
    """

    def __init__(self, spec: ForkServerSpec) -> None:
        self._spec = spec
        self._control = socket.socket(fileno=spec.control_fd)
        self._preparation = Preparation(spec.manifest)
        self._threads = HeldThreads()
        self._descriptors: frozenset[int] = frozenset()

    def prepare(self) -> None:
        """Import the code (and load a model to be shared), and tell the launcher how that went."""
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # as in every replica
        keep_input_from_author()
        confine(self._spec.confinement)
        self._descriptors = open_descriptors()
        preparation = self._preparation
        preparation.prepare()
        flush_all()
        let_go_of_output()
        gc.freeze()  # a collection in a replica would write to every object, and so copy the memory it shares
        prepared = Prepared(
            import_s=preparation.import_s,
            load_s=preparation.load_s,
            warmup_s=preparation.warmup_s,
            failure="" if preparation.fault is None else str(preparation.fault),
            why_not=why_not_fork(self._descriptors),
        )
        self._control.sendall(msgspec.json.encode(prepared))

    def serve(self) -> NoReturn:
        """Fork a replica for each request until the launcher hangs up."""
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._control, _REQUEST_BYTES_MAX, _DESCRIPTORS)
            if not data:
                os._exit(0)
            request = msgspec.json.decode(data, type=ForkRequest)
            try:
                why_not = why_not_fork(self._descriptors | frozenset(descriptors))
                if not why_not:
                    flush_all()
                    if fork_for_adoption():
                        self._be_replica(request, descriptors)
            except OSError as error:
                why_not = f"it could not be forked: {error.strerror}"
            if why_not:
                os.write(descriptors[0], msgspec.json.encode(Birth(why_not=why_not)))
            for fd in descriptors:
                os.close(fd)

    def _be_replica(self, request: ForkRequest, descriptors: list[int]) -> NoReturn:
        """What a new process does instead of serving forks."""
        try:
            spec = self._be_born(descriptors)
        except Terminated:
            leave(0)
        except BaseException as error:  # noqa: BLE001 - nothing may go back into the loop above
            tell(f"a forked replica could not begin: {error}")
            leave(1)
        self._threads.release(spec.manifest.settings)
        self._preparation.count_from(request.asked_at_s)
        live(spec, self._preparation, confine_forked)

    def _be_born(self, descriptors: list[int]) -> ReplicaSpec:
        self._control.close()
        birth, *streams = descriptors
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
            os.close(fd)
        if not die_with_parent(self._spec.launcher_pid):
            why_not = "the kernel did not make it a child of the server (PR_SET_CHILD_SUBREAPER)"
            os.write(birth, msgspec.json.encode(Birth(why_not=why_not)))
            os._exit(1)
        os.write(birth, msgspec.json.encode(Birth(pid=os.getpid())))
        if not os.read(birth, 1):  # the launcher does not know us, or has ended
            os._exit(1)
        os.close(birth)
        be_called(sys.executable, "-P", "-m", "sojourn.replica")
        reseed()
        return read_told(ReplicaSpec)


if __name__ == "__main__":
    main()
