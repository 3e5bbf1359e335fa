"""Why a module was not found, and what to do: a package to install, a file to pack, another version."""

from __future__ import annotations

import sys

from sojourn.replica.dependencies import distribution_of
from sojourn.replica.tree import has_module


def remedy(name: str, root: str) -> str:
    """What is missing, where a module was not found, in words that follow the error's own.

    Args:
        name: The module, as `ModuleNotFoundError.name` has it.
        root: Directory of the author's code.
    """
    top = name.partition(".")[0]
    file = name.replace(".", "/")
    if has_module(top, root):
        return (
            f"{name} is a module of your own, and neither {file}.py nor {file}/ is there; "
            "if it was deployed, does .sojournignore leave it out?"
        )
    if top in sys.stdlib_module_names:
        return f"{name} is of the standard library, but the server's Python was built without it"
    if name != top:
        installed = distribution_of(top)
        if installed:
            return (
                f"{installed} is installed in the server's environment and has no such module; is it another version?"
            )
    return (
        f"the package that provides {top} is not installed in the server's environment, from which functions take "
        f"their dependencies: install it there; if {top} is a module of your own, {top}.py is missing beside the target"
    )
