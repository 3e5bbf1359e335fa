"""The address of a tree: a hash of what its files contain, not of how they were packed."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Final

from sojourn.bundle.disk import fail

DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES: Final = 2**18
_HEADER: Final = b"sojourn bundle 1\0"


class TreeDigest:
    """Collects the files of a tree in any order; `hexdigest` is the same for the same files.

    A file counts by its path, its executable bit and its content; neither times nor owners do, and a directory
    is no more than the beginning of a path.
    """

    def __init__(self) -> None:
        self._entries: dict[bytes, bytes] = {}

    def add(self, path: str, *, is_executable: bool, content: bytes) -> None:
        """One file.

        Args:
            path: From the root of the tree, `/` between its parts.
            is_executable: Whether its owner may execute it.
            content: SHA-256 of its bytes, 32 bytes.
        """
        self._entries[path.encode()] = (b"x" if is_executable else b"-") + content

    def hexdigest(self) -> str:
        """64 hex digits."""
        total = hashlib.sha256(_HEADER)
        for path, rest in sorted(self._entries.items()):
            total.update(len(path).to_bytes(4, "big") + path + rest)  # lengths keep neighbours apart
        return total.hexdigest()


def digest_of(root: Path) -> str:
    """The digest of a tree on disk; text that is no digest where there is something that no bundle holds.

    Raises:
        OSError: It cannot be read.
    """
    digest = TreeDigest()
    for directory, folders, names, fd in os.fwalk(root, onerror=fail):
        if not folders and not names and Path(directory) != root:
            return "of no bundle (an empty directory)"
        if any(stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode) for name in folders):
            return "of no bundle (a link)"
        for name in names:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                return "of no bundle (neither a file nor a directory)"
            path = os.path.relpath(f"{directory}/{name}", root)
            try:
                path.encode()
            except UnicodeEncodeError:
                return "of no bundle (a name that is no UTF-8)"
            content = _content_digest(name, fd)
            digest.add(path, is_executable=bool(status.st_mode & stat.S_IXUSR), content=content)
    return digest.hexdigest()


def _content_digest(name: str, directory_fd: int) -> bytes:
    content = hashlib.sha256()
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory_fd)
    with os.fdopen(fd, "rb", buffering=0) as file:
        while data := file.read(_CHUNK_BYTES):
            content.update(data)
    return content.digest()
