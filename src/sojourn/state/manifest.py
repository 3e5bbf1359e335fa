"""What a backup says of itself: what is in it, in which order, and the checksum of each file."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from sojourn.errors import StateError

FORM: Final = 1
MANIFEST_NAME: Final = "manifest.json"
CHECKSUM_NAME: Final = "manifest.json.sha256"
MANIFEST_BYTES_MAX: Final = 64 * 1024 * 1024
_BUNDLE_FILE: Final = re.compile(r"bundles(/[0-9a-f]{64}(/[^/\0]+)*)?")


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file or directory of a backup.

    Args:
        name: Its path in the state directory.
        mode: Permissions, of which only those of 0o777 count.
        size: Bytes of a file; 0 for a directory.
        sha256: Of a file's content, in hex; empty for a directory.
    """

    name: str
    mode: int
    size: int = 0
    sha256: str = ""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return not self.sha256


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first thing in a backup.

    Args:
        sojourn_backup: The form of the file, 1.
        written_by: The version of sojourn that wrote it.
        state_version: The version of the state file in it.
        made_at_s: When, in seconds since the epoch.
        entries: What follows, in order; a directory stands before what is in it.
    """

    sojourn_backup: int = FORM
    written_by: str
    state_version: int
    made_at_s: float
    entries: list[Entry]


def read_manifest(content: bytes, databases: frozenset[str]) -> Manifest:
    """The manifest of a backup, every name in it checked.

    Args:
        content: Its JSON.
        databases: Names that files outside the bundles may have.

    Raises:
        StateError: It is of another form, or names what cannot be part of a state.
    """
    try:
        form = msgspec.json.decode(content, type=dict[str, msgspec.Raw]).get("sojourn_backup")
        if form is not None and bytes(form) != str(FORM).encode():
            raise StateError(f"it is a backup of form {bytes(form).decode()[:20]}; this program reads form {FORM}")
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as err:
        raise StateError(f"its manifest cannot be understood ({err})") from err
    directories = {""}
    seen: set[str] = set()
    for entry in manifest.entries:
        parts = entry.name.split("/")
        is_allowed = entry.name in databases and not entry.is_directory
        is_allowed = is_allowed or (_BUNDLE_FILE.fullmatch(entry.name) is not None and not {".", ".."} & set(parts))
        if not is_allowed or entry.name in seen or "/".join(parts[:-1]) not in directories or entry.size < 0:
            raise StateError(f"its manifest names {entry.name[:200]!r}, which cannot be part of a state")
        seen.add(entry.name)
        if entry.is_directory:
            directories.add(entry.name)
    return manifest
