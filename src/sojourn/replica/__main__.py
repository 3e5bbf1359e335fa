"""`python -m sojourn.replica`: one replica, told by a line of JSON on its standard input what to be."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import Any, NoReturn

import msgspec

from sojourn.errors import ProtocolError
from sojourn.replica.blocking import serve_blocking
from sojourn.replica.load import LoadFailedError, Loading, set_thread_counts, settle
from sojourn.replica.log import author_traceback, print_author_traceback, tell
from sojourn.replica.place import sendable
from sojourn.replica.process import Terminated, die_with_parent, end_on_signals, ignore_signals, leave
from sojourn.wire.frame import encode
from sojourn.wire.message import PROTOCOL_VERSION, Fatal, Hello, Ready
from sojourn.wire.spec import ReplicaSpec

_TRACEBACK_LIMIT = 32 * 1024
_HANG_UP_WITHIN_S = 2.0


def main() -> NoReturn:
    """Be the replica that the spec describes; ends the process."""
    end_on_signals()
    try:
        leave(_serve(_read_spec()))
    except Terminated:
        leave(0)
    except (ProtocolError, OSError) as error:
        tell(f"replica: {error}")
        leave(1)
    except BaseException as error:  # noqa: BLE001 - such as sys.exit in a task that the author left in the loop
        print_author_traceback(error)
        leave(1)


def _read_spec() -> ReplicaSpec:
    line = sys.stdin.buffer.readline()
    try:
        spec = msgspec.json.decode(line, type=ReplicaSpec)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"standard input must hold one line of JSON, a ReplicaSpec: {error}") from error
    # The author's code must neither read our input nor wait for it.
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return spec


def _serve(spec: ReplicaSpec) -> int:
    """Dial in, load, serve; the exit status."""
    if not die_with_parent(spec.launcher_pid):
        return 1
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # whole lines, while they are news
    os.environ.update(spec.environment)
    set_thread_counts(spec.manifest.settings)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.connect(spec.socket_path)
    except OSError as error:
        tell(f"replica {spec.replica_id}: the server's socket cannot be reached: {error.strerror}")
        return 1
    link.sendall(encode(Hello(PROTOCOL_VERSION, spec.token, spec.replica_id, os.getpid())))
    loading = Loading(spec.manifest)
    try:
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


if __name__ == "__main__":
    main()
