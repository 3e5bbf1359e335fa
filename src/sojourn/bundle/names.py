"""Which names files of a bundle may have; packing and unpacking hold to the same rules."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Final

from sojourn.bundle.limits import BundleLimits

PART_BYTES_MAX: Final = 255  # of one name between slashes; NAME_MAX of Linux file systems
_SHOWN_MAX: Final = 120
# Characters that are not seen, or that make a line look like another: controls, format characters (such as
# those that turn the writing direction), halves of surrogate pairs, separators of lines and paragraphs.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
DIRECTORY, FILE = "directory", "file"


def name_fault(name: str, limits: BundleLimits) -> str | None:
    """Which rule a path (`/` between its parts, from the root of the tree) breaks, in words; None if it may be used.

    Args:
        name: The path as it stands in an archive or on disk; bytes that are no UTF-8 as surrogate escapes.
        limits: For its length and depth.
    """
    if not name:
        return "names must not be empty"
    parts = name.split("/")
    try:
        lengths = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "names must be valid UTF-8"
    # In this order: what is named first is the rule that matters most.
    rules = (
        (name.startswith("/"), "absolute paths are not taken"),
        (".." in parts, "`..` would lead out of the tree"),
        ("" in parts or "." in parts, "paths must be plain: no `.`, no empty part between slashes"),
        ("\\" in name, "backslashes are not taken: elsewhere they separate directories"),
        (
            any(unicodedata.category(character) in _UNSEEN for character in name),
            "control characters and others that cannot be seen are not taken",
        ),
        (max(lengths) > PART_BYTES_MAX, f"a name between slashes takes at most {PART_BYTES_MAX} bytes"),
        (
            sum(lengths) + len(parts) - 1 > limits.name_bytes,
            f"a path takes at most {limits.name_bytes} bytes",
        ),
        (len(parts) - 1 > limits.depth, f"a file lies at most {limits.depth} directories deep"),
    )
    return next((text for is_broken, text in rules if is_broken), None)


class NameBook:
    """The paths of one tree so far: each is there once, and no two could be taken for each other.

    Every directory that a path names on its way counts as a path, so that `A/x` and `a/y` are told apart too.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._explicit: set[str] = set()  # directories that stood there themselves
        self._by_key: dict[bytes, str] = {}
        self.directories = 0

    def fault_of(self, name: str, kind: str) -> str | None:
        """Note a path whose own rules are kept (`name_fault`); why it cannot stand beside the others, or None.

        Args:
            name: The path.
            kind: `FILE` or `DIRECTORY`.
        """
        end = name.find("/")
        while end >= 0:
            fault = self._note(name[:end], DIRECTORY)
            if fault is not None:
                return fault
            end = name.find("/", end + 1)
        if kind == FILE and self._kinds.get(name) == FILE:
            return "there are two files of this name"
        if kind == DIRECTORY and name in self._explicit:
            return "there are two directories of this name"
        fault = self._note(name, kind)
        if fault is None and kind == DIRECTORY:
            self._explicit.add(name)
        return fault

    def _note(self, name: str, kind: str) -> str | None:
        known = self._kinds.get(name)
        if known is None:
            key = _key(name)
            other = self._by_key.setdefault(key, name)
            if other != name:
                return f"it differs from {shown(other)} by case or Unicode form only"
            self._kinds[name] = kind
            self.directories += kind == DIRECTORY
            return None
        return None if known == kind else f"{shown(name)} is a file and a directory"


def _key(name: str) -> bytes:
    """What names have in common that some file systems take for the same; of fixed length, as some letters unfold to 18.

    Source:
        Unicode Standard, section 3.13, D146 (compatibility caseless matching).
    """
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", name).casefold()).casefold()
    return hashlib.blake2b(unicodedata.normalize("NFKD", folded).encode(), digest_size=16).digest()


def shown(name: str) -> str:
    """A path as an error shows it: in quotes, of bounded length, what cannot be seen as escapes."""
    text = (
        ascii(name[:_SHOWN_MAX])
        if any(unicodedata.category(one) in _UNSEEN for one in name)
        else repr(name[:_SHOWN_MAX])
    )
    return text + ("..." if len(name) > _SHOWN_MAX else "")
