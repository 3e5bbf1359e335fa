"""A tree that code is loaded from: read-only, shared by all replicas of its functions."""

from __future__ import annotations

import os
import sys

from sojourn.errors import TargetError


def enter_tree(root: str) -> None:
    """Put a tree first on the import path; from now on this process and its children compile nothing into it.

    The modules of a tree are compiled anew in each process that imports them: what one replica left for the next
    would be code that nobody deployed. A function's replicas are forked from one process, so it is paid once.
    """
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    if root in sys.path:
        sys.path.remove(root)
    sys.path.insert(0, root)


def in_tree(text: str, root: str) -> str:
    """The path of a file that a target names relative to a tree.

    Raises:
        TargetError: It would be outside of it.
    """
    # pathlib would be paid at every cold start
    path = os.path.normpath(os.path.join(root, text))  # noqa: PTH118
    inside = os.path.realpath(root).rstrip(os.sep) + os.sep
    if os.path.isabs(text) or not os.path.realpath(path).startswith(inside):  # noqa: PTH117
        raise TargetError(f"{text}: lies outside of the tree; name a file in it, such as app.py")
    return path


def has_module(top: str, root: str) -> bool:
    """Whether a top-level module lies at the root of a tree."""
    path = os.path.join(root, top)  # noqa: PTH118 - as above
    return os.path.isdir(path) or os.path.isfile(f"{path}.py")  # noqa: PTH112, PTH113
