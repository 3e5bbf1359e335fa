"""Which source files of a directory have changed since they were looked at last."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from sojourn.errors import ConfigurationError

FILES_MAX: Final = 10_000
_SUFFIXES: Final = (".py", ".toml", ".json", ".yaml", ".yml", ".txt")
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})

Look = dict[str, tuple[int, int]]  # modification time [ns] and size by path


def look(root: Path) -> Look:
    """Source files below a directory, as they are now; hidden ones and installed packages are left out.

    Raises:
        ConfigurationError: There are more than ten thousand.
    """
    found: Look = {}
    for directory, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _SKIPPED]
        for name in names:
            if name.endswith(_SUFFIXES) and not name.startswith("."):
                path = os.path.join(directory, name)  # noqa: PTH118 (many, and often)
                try:
                    now = os.stat(path)  # noqa: PTH116 (as above)
                except OSError:  # it has gone meanwhile
                    continue
                found[path] = (now.st_mtime_ns, now.st_size)
        if len(found) > FILES_MAX:
            raise ConfigurationError(
                f"{root}: more than {FILES_MAX:,} source files to watch; put the app into a directory of its own"
            )
    return found


def changed(before: Look, after: Look) -> list[str]:
    """Paths that are new, gone or different, in order."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
