"""Where in the author's code something is or went wrong, as `file.py:line` without directories."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import CodeType
from typing import Any

from sojourn.replica.process import Terminated

_OWN_DIRECTORY = os.path.dirname(__file__) + os.sep  # noqa: PTH120 - pathlib would be paid at every cold start
_TEXT_LIMIT = 300
_SENDABLE_LIMIT = 8192


def code_of(called: Callable[..., Any]) -> CodeType | None:
    """The code behind a function, or behind a class's `__call__`; decorators are looked through."""
    subject: Any = called.__call__ if isinstance(called, type) else called
    for _ in range(32):  # a bound, should `__wrapped__` go round in a circle
        wrapped = getattr(subject, "__wrapped__", None)
        if wrapped is None:
            break
        subject = wrapped
    code = getattr(subject, "__code__", None)
    return code if isinstance(code, CodeType) else None


def place_of(called: Callable[..., Any]) -> str:
    """`app.py:12` for a function or the `__call__` of a class; its module where there is no source."""
    code = code_of(called)
    if code is None:
        return f"module {getattr(called, '__module__', 'unknown')}"
    return f"{_base(code.co_filename)}:{code.co_firstlineno}"


def place_of_error(error: BaseException, root: str) -> str:
    """`app.py:12 in __call__`: the author's innermost line that `error` passed through.

    Args:
        error: A caught exception.
        root: Directory of the author's code; lines elsewhere are named only if there is none inside.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_base(error.filename)}:{error.lineno or 0}"
    theirs = others = ""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        name = code.co_filename
        text = f"{_base(name)}:{trace.tb_lineno} in {code.co_name}"
        if is_inside(name, root):
            theirs = text
        elif not is_own_file(name):
            others = text
        trace = trace.tb_next
    return theirs or others or "an unknown place"


def is_inside(file: str, root: str) -> bool:
    """Whether `file` is the author's own: below `root`, and not of an environment that lies there too."""
    prefix = root.rstrip(os.sep) + os.sep
    return file.startswith(prefix) and "site-packages" not in file[len(prefix) :]


def is_own_file(file: str) -> bool:
    """Whether `file` is of this package's replica or of the import system: frames that tell the author nothing."""
    return file.startswith((_OWN_DIRECTORY, "<frozen"))


def sendable(text: str) -> str:
    """`text` as it may travel: valid UTF-8 (the rest with backslashes), 8192 characters at most."""
    if len(text) > _SENDABLE_LIMIT:
        text = text[:_SENDABLE_LIMIT] + "..."
    return str.encode(text, "utf-8", "backslashreplace").decode()


def one_line(error: BaseException) -> str:
    """`ValueError: text`, on one line of bounded length; never raises, whatever the exception's `__str__` does."""
    try:
        text = sendable(" ".join(str(error).split()))
    except Terminated:
        raise
    except BaseException:  # noqa: BLE001 - the author's exceptions run code of their own
        text = "(its text cannot be had)"
    if len(text) > _TEXT_LIMIT:
        text = text[:_TEXT_LIMIT] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _base(file: str) -> str:
    return file.rpartition(os.sep)[2]
