"""Where the tree of a target lies, and how the target is called in it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from sojourn.errors import TargetError

_HELP: Final = "expected a file such as app.py, a directory with an app.py in it, or a module such as pkg.module"
_FILE: Final = "app.py"


class Source(msgspec.Struct, frozen=True):
    """A tree to be packed.

    Args:
        root: Its directory.
        target: What is to be served, relative to `root`: a file's name, or a module.
        package: The only directory of `root` that is packed, for a module; empty for all of it.
    """

    root: Path
    target: str
    package: str = ""


def find_source(base: Path, target: str) -> Source:
    """The tree that belongs to a target.

    For a file it is the directory it lies in; for a directory, that one with its `app.py`; for `pkg.module`, the
    directory in which `pkg` lies, of which `pkg` alone is packed. A module that is a single file, with no package
    around it, is taken as that file, so that what it imports from beside it comes along.

    Args:
        base: Directory a relative target begins at.
        target: A path or a module name.

    Raises:
        TargetError: There is no such thing.
    """
    path = base / target
    if path.is_dir() and not _is_package(path, target):
        if not (path / _FILE).is_file():
            raise TargetError(f"{target}: the directory has no {_FILE}; name the file to serve")
        return Source(path, _FILE)
    if target.endswith(".py") or "/" in target:
        if not path.is_file():
            raise TargetError(f"{target}: no such file; {_HELP}")
        if not target.endswith(".py"):
            raise TargetError(f"{target}: not a Python file; {_HELP}")
        return Source(path.parent, path.name)
    if not all(part.isidentifier() for part in target.split(".")):
        raise TargetError(f"{target!r} is neither a file nor a module name; {_HELP}")
    return _module_source(base, target)


def _is_package(path: Path, target: str) -> bool:
    return target.isidentifier() and (path / "__init__.py").is_file() and not (path / _FILE).is_file()


def _module_source(base: Path, target: str) -> Source:
    top, *rest = target.split(".")
    if not rest and (base / f"{top}.py").is_file():
        return Source(base, f"{top}.py")
    if not (base / top).is_dir():
        raise TargetError(f"{target}: no module {top!r} in {base}; run this where {top} lies, or name a file")
    inner = base.joinpath(top, *rest)
    if not inner.with_name(f"{inner.name}.py").is_file() and not inner.is_dir():
        raise TargetError(f"{target}: the package {top!r} has no module {target!r}")
    return Source(base, target, top)
