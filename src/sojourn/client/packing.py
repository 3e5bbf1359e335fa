"""What `deploy` sends: the source tree of a target, packed."""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path

from sojourn.errors import TargetError


def packed(path: str | Path) -> tuple[bytes, str]:
    """The archive of the directory a target lies in, and the target as the server has to name it.

    Args:
        path: A file such as `app.py`, or a module such as `pkg.module` in the working directory.

    Raises:
        TargetError: There is no such file or module.
        BundleError: The tree cannot be packed.
    """
    root, target = root_and_target(path)
    output = io.BytesIO()
    import_module("sojourn.bundle.pack").pack(root, target, output)
    return output.getvalue(), target


def root_and_target(path: str | Path) -> tuple[Path, str]:
    """The directory to pack, and the target inside it.

    Raises:
        TargetError: There is no such file or module.
    """
    text = str(path)
    file = Path(text)
    if file.suffix == ".py" or file.is_file():
        if not file.is_file():
            raise TargetError(f"{text}: no such file; give a file such as app.py or a module such as pkg.module")
        return file.resolve().parent, file.name
    parts = text.split(".")
    if not all(part.isidentifier() for part in parts):
        raise TargetError(f"{text}: neither a file nor a module; give one such as app.py or pkg.module")
    root = Path.cwd()
    module = root.joinpath(*parts)
    if not module.with_suffix(".py").is_file() and not (module / "__init__.py").is_file():
        raise TargetError(f"{text}: no such module in {root}; run where its package lies, or give a file")
    return root, text
