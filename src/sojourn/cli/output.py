"""What commands share: how to call this program again, output nobody reads any more, targets that are no Python."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from sojourn.errors import TargetError


def abandon_stdout() -> None:
    """Point standard output nowhere, so that neither we nor the interpreter's last flush stumble over it again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def own_command() -> str:
    """How to call this program from any directory: by name if the shell finds it, else by its place."""
    script = Path(sys.argv[0])
    found = shutil.which("sojourn")
    if script.name != "sojourn" or not script.is_file():
        return "sojourn" if found else f"{shlex.quote(sys.executable)} -m sojourn.cli.main"
    if found and Path(found).samefile(script):
        return "sojourn"
    return shlex.quote(str(script.absolute()))


def refuse_other_files(target: str) -> None:
    """Say at once that a file is no Python file, rather than that no module has its name."""
    path = Path(target)
    if (path.is_file() and path.suffix != ".py") or path.is_dir():
        raise TargetError(f"{target}: not a Python file; give a file such as app.py or a module such as pkg.module")
    if path.suffix == ".py" and not path.exists():
        raise TargetError(f"{target}: there is no such file here ({Path.cwd()})")
