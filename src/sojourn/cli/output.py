"""What commands print: how to call this program again, and standard output when nobody reads it any more."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


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
