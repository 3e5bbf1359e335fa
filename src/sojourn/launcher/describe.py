"""What a target declares, learnt without importing it here."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from pathlib import Path

import msgspec

from sojourn.domain.deployment import Description
from sojourn.domain.function import FunctionManifest
from sojourn.errors import TargetError
from sojourn.launcher.isolation import Isolation
from sojourn.launcher.process import Process, allowed_environment, spawn
from sojourn.launcher.session_guard import SessionGuard
from sojourn.wire.spec import Confinement

ANSWER_BYTES_MAX = 16 * 2**20
_LINES_KEPT = 20


class _Answer(msgspec.Struct):
    error: str = ""
    functions: list[FunctionManifest] = []
    dependencies: dict[str, str] = {}


async def describe(
    target: str, timeout_s: float = 60.0, *, root: Path | None = None, confinement: Confinement | None = None
) -> list[FunctionManifest]:
    """Functions of a target (`app.py` or `pkg.module`), described by a short-lived process; see `examine`."""
    return (await examine(target, timeout_s, root=root, confinement=confinement)).functions


async def examine(
    target: str, timeout_s: float = 60.0, *, root: Path | None = None, confinement: Confinement | None = None
) -> Description:
    """Functions of a target, and in a tree the distributions that its import loads; by a short-lived process.

    Args:
        target: File or module; relative to `root`, or else to the working directory.
        timeout_s: How long its import may take, in seconds.
        confinement: Limits of that process (`Isolation.of_import`); None: those of a file of the operator's own.
        root: Tree it lies in (an unpacked bundle), which is only read: the process's working directory and first on
            its import path, and the manifests' `root`. None: no tree, and no dependencies are told.

    Raises:
        TargetError: It is missing, cannot be imported, declares nothing, or took too long.
    """
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    lines: deque[str] = deque(maxlen=_LINES_KEPT)  # the last ones, for when it dies without a word
    answer_fd = os.memfd_create("sojourn-manifest", os.MFD_CLOEXEC)
    with os.fdopen(answer_fd, "rb") as answer, contextlib.closing(SessionGuard()) as guard:
        limits = Isolation().of_import() if confinement is None else confinement
        process = _start(target, root, limits, answer_fd, guard, lines, ended)
        try:
            async with asyncio.timeout(timeout_s):
                cause = await asyncio.shield(ended)
        except TimeoutError:
            raise TargetError(
                f"{target}: its import took longer than {timeout_s:g} s and was stopped{_told(lines)}"
            ) from None
        finally:
            if not ended.done():
                process.kill()
                await _reaped(ended)
        answer.seek(0)
        content = answer.read(ANSWER_BYTES_MAX + 1)
    return _read(target, content, cause, lines)


async def _reaped(ended: asyncio.Future[str]) -> None:
    """Wait until a process that was killed is gone; whoever is cancelled meanwhile, and once more, is so afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not ended.done():
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError as err:
            cancelled = err
    if cancelled is not None:
        raise cancelled


def _start(
    target: str,
    root: Path | None,
    confinement: Confinement,
    answer_fd: int,
    guard: SessionGuard,
    lines: deque[str],
    ended: asyncio.Future[str],
) -> Process:
    place = [] if root is None else ["--root", str(root.absolute())]
    arguments = ["-m", "sojourn.replica.describe", "--fd", str(answer_fd), "--parent", str(os.getpid()), *place]
    arguments += ["--confinement", msgspec.json.encode(confinement).decode(), "--", target]
    try:
        child = spawn(arguments, environment=allowed_environment(os.environ), standard_input=b"", pass_fds=[answer_fd])
        return Process(child, guard=guard, on_line=lambda _stream, line: lines.append(line), on_exit=ended.set_result)
    except ValueError:  # a zero byte, or half a surrogate pair
        raise TargetError(f"{target!r} is neither a file nor a module name") from None
    except OSError as error:
        raise TargetError(f"{target}: the process to describe it could not be started: {error.strerror}") from error


def _read(target: str, content: bytes, cause: str, lines: deque[str]) -> Description:
    if len(content) > ANSWER_BYTES_MAX:
        raise TargetError(f"{target}: its manifest takes more than {ANSWER_BYTES_MAX} bytes; are its examples huge?")
    try:
        answer = msgspec.json.decode(content, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the author's code can write there, too
        raise TargetError(f"{target}: its import ended the process ({cause}){_told(lines)}") from None
    if answer.error:
        raise TargetError(answer.error)
    return Description(functions=answer.functions, dependencies=answer.dependencies)


def _told(lines: deque[str]) -> str:
    text = "\n".join(f"    {line}" for line in lines if line.strip())
    return f"; its last words:\n{text}" if text else ""
