"""What `deploy` sends: the source tree of a target, packed."""

from __future__ import annotations

import io
from pathlib import Path


def packed(path: str | Path) -> tuple[bytes, str]:
    """The archive of the tree a target lies in, and the target as the server has to name it.

    Args:
        path: A file such as `app.py`, a directory with one, or a module such as `pkg.module` in the working directory.

    Raises:
        TargetError: There is no such target.
        ConfigurationError: `.sojournignore` cannot be read.
        BundleError: The tree cannot be packed.
    """
    from sojourn.bundle.pack import pack  # noqa: PLC0415 - whoever deploys nothing needs none of it

    output = io.BytesIO()
    done = pack(Path.cwd(), str(path), output)
    return output.getvalue(), done.target
