"""The life of a replica: dial in, load, serve, close."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import msgspec

from sojourn.errors import ProtocolError
from sojourn.replica.blocking import serve_blocking
from sojourn.replica.confine import ConfinementError
from sojourn.replica.load import LoadFailedError, Loading, settle
from sojourn.replica.log import author_traceback, print_author_traceback, tell
from sojourn.replica.place import sendable
from sojourn.replica.process import Terminated, ignore_signals, leave
from sojourn.wire.frame import encode
from sojourn.wire.message import PROTOCOL_VERSION, Fatal, Hello, Ready
from sojourn.wire.spec import Confinement, ForkServerSpec, ReplicaSpec

Told = TypeVar("Told", ReplicaSpec, ForkServerSpec)

_TRACEBACK_LIMIT = 32 * 1024
_HANG_UP_WITHIN_S = 2.0


def read_told(kind: type[Told]) -> Told:
    """The line of JSON on standard input; `keep_input_from_author` comes next.

    Raises:
        ProtocolError: It is something else.
    """
    with open(0, "rb", closefd=False) as told:
        line = told.readline()
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"standard input must hold one line of JSON, a {kind.__name__}: {error}") from error


def keep_input_from_author() -> None:
    """Put /dev/null in place of standard input: the author's code must neither read ours nor wait for it."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def let_go_of_output() -> None:
    """Put /dev/null in place of standard output and error: the server need not keep them open to read any more."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)


def live(spec: ReplicaSpec, loading: Loading, confine: Callable[[Confinement], None]) -> NoReturn:
    """Be the replica that the spec describes; ends the process.

    Args:
        spec: What to be, and where to dial in.
        loading: Its cold start, of which a fork server may have done a part.
        confine: Puts its limits in force, before the author's code runs.
    """
    try:
        keep_input_from_author()
        leave(_serve(spec, loading, confine))
    except Terminated:
        leave(0)
    except (ProtocolError, OSError) as error:
        tell(f"replica: {error}")
        leave(1)
    except BaseException as error:  # noqa: BLE001 - such as sys.exit in a task that the author left in the loop
        print_author_traceback(error)
        leave(1)


def _serve(spec: ReplicaSpec, loading: Loading, confine: Callable[[Confinement], None]) -> int:
    """Dial in, load, serve; the exit status."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.connect(spec.socket_path)
    except OSError as error:
        tell(f"replica {spec.replica_id}: the server's socket cannot be reached: {error.strerror}")
        return 1
    link.sendall(encode(Hello(PROTOCOL_VERSION, spec.token, spec.replica_id, os.getpid())))
    try:
        try:
            confine(spec.confinement)
        except ConfinementError as error:
            raise LoadFailedError(str(error)) from None
        subject, is_async = loading.import_code()
        if is_async:
            _serve_async(link, loading, subject, spec)
        model = loading.construct(subject)
        loading.warm_up(model)
    except LoadFailedError as error:
        _report(link, error)
        return 1
    try:
        link.sendall(encode(Ready(loading.import_s, loading.load_s, loading.warmup_s)))
        is_drained = serve_blocking(link, model, spec.max_frame_bytes)
        ignore_signals()  # a server that said Drain sends SIGTERM too: it must not interrupt `close`
    except Terminated:
        is_drained = True
    if is_drained:
        _close(model.called)
    return 0 if is_drained else 1


def _serve_async(link: socket.socket, loading: Loading, subject: Any, spec: ReplicaSpec) -> NoReturn:
    import asyncio  # noqa: PLC0415 - only `async` functions pay for it

    from sojourn.replica.concurrent import serve_concurrent  # noqa: PLC0415 - as above

    asyncio.run(serve_concurrent(link, loading, subject, spec.max_frame_bytes))
    raise AssertionError("unreachable: the coroutine ends the process")


def _report(link: socket.socket, error: LoadFailedError) -> None:
    """Tell the server why there is no model; it puts the traceback into the log of this replica."""
    cause = error.__cause__
    text = "" if cause is None else author_traceback(cause).encode("utf-8", "backslashreplace").decode()
    link.sendall(encode(Fatal(sendable(str(error)), text[-_TRACEBACK_LIMIT:])))
    # A server that sees this process end before it has read why would never know: wait until it hangs up.
    ignore_signals()
    link.shutdown(socket.SHUT_WR)
    link.settimeout(_HANG_UP_WITHIN_S)
    with contextlib.suppress(OSError):
        while link.recv(4096):
            pass


def _close(called: Any) -> None:
    """Call the author's `close()` if there is one; its failure is told, but the replica ends all the same."""
    close = getattr(called, "close", None)
    if close is None:
        return
    try:
        settle(close())
    except BaseException as error:  # noqa: BLE001 - nothing may keep the process from ending
        print_author_traceback(error)
