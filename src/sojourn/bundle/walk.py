"""Which files of a directory go into a bundle, or all the reasons why it cannot be packed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

import msgspec

from sojourn.bundle.ignore import IGNORE_FILE, VENV_MARK, IgnoreRules
from sojourn.bundle.limits import BundleLimits, size_text
from sojourn.bundle.names import FILE, NameBook, name_fault, shown
from sojourn.bundle.source import Source
from sojourn.domain.wording import counted
from sojourn.errors import BundleError, ConfigurationError

_ENTRIES_MAX: Final = 500_000  # looked at; whoever packs a home directory by mistake is told soon
_FAULTS_SHOWN: Final = 20
_IGNORE_BYTES_MAX: Final = 2**20
_LARGEST_SHOWN: Final = 5
_LINKS_DEPTH_MAX: Final = 64


class PackedFile(msgspec.Struct, frozen=True):
    """A file that is to be packed.

    Args:
        name: Its path in the bundle.
        path: Where it lies; for a link, where the file that it leads to lies.
        status: What `lstat` said of that file; it must still be so when it has been read.
    """

    name: str
    path: str
    status: os.stat_result

    @property
    def is_executable(self) -> bool:
        """Whether its owner may execute it."""
        return bool(self.status.st_mode & stat.S_IXUSR)


def files_of(source: Source, limits: BundleLimits) -> list[PackedFile]:
    """The files to pack, sorted by name.

    A link is taken as what it leads to, if that lies in the tree and is not left out.

    Raises:
        BundleError: Links that lead out, sockets, devices, names that cannot be used, files that cannot be read,
            or too much of it; all in one message.
        ConfigurationError: `.sojournignore` cannot be read.
    """
    walk = _Walk(source, limits)
    walk.run()
    files = sorted(walk.files, key=lambda file: file.name.encode("utf-8", "surrogateescape"))
    faults = walk.faults + _size_faults(files, walk.directories, limits, is_whole=walk.is_whole)
    if not source.package and not faults and not any(file.name == source.target for file in files):
        faults = [f"{source.target} itself is left out; look at {IGNORE_FILE}"]
    if not files and not faults:
        faults = [f"there is nothing to pack in {source.package}; look at {IGNORE_FILE}"]
    if faults:
        more = len(faults) - _FAULTS_SHOWN
        shown_faults = faults[:_FAULTS_SHOWN] + ([f"... and {more} more"] if more > 0 else [])
        raise BundleError(f"{source.target} cannot be packed:\n" + "\n".join(f"  {fault}" for fault in shown_faults))
    return files


class _Walk:
    def __init__(self, source: Source, limits: BundleLimits) -> None:
        self._root = os.path.realpath(source.root)
        self._begin = source.package
        self._limits = limits
        self._rules = IgnoreRules(_ignore_lines(Path(self._root)))
        self._names = NameBook()
        self._left = _ENTRIES_MAX
        self.files: list[PackedFile] = []
        self.faults: list[str] = []
        self.is_whole = True

    def run(self) -> None:
        begin = os.path.realpath(os.path.join(self._root, self._begin))  # noqa: PTH118 - as os.scandir gives them
        self._inside = begin
        self._directory(begin, self._begin, (begin,))

    @property
    def directories(self) -> int:
        """Directories that the files need."""
        return self._names.directories

    def _directory(self, path: str, name: str, above: tuple[str, ...]) -> None:
        """Go through one directory; `above` are the real paths of those it was reached through."""
        try:
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            self.faults.append(f"{shown(name or '.')}: cannot be read: {error.strerror}")
            return
        if name and any(entry.name == VENV_MARK for entry in entries):
            return
        for entry in entries:
            self._left -= 1
            if self._left < 0:
                self.is_whole = False
                return
            self._entry(entry.path, f"{name}/{entry.name}" if name else entry.name, above)

    def _entry(self, path: str, name: str, above: tuple[str, ...]) -> None:
        is_link = False
        try:
            status = os.lstat(path)
            is_link = stat.S_ISLNK(status.st_mode)
            # What a link is called decides first, so that a link may be left out wherever it leads.
            leads_to_directory = is_link and os.path.isdir(path)  # noqa: PTH112
            if self._rules.ignores(name, is_directory=leads_to_directory or stat.S_ISDIR(status.st_mode)):
                return
            if is_link:
                path = os.path.realpath(path, strict=True)
                fault = self._link_fault(path, above)
                if fault is not None:
                    self.faults.append(f"{shown(name)}: {fault}")
                    return
                status = os.lstat(path)
        except OSError as error:
            self.faults.append(f"{shown(name)}: {'a link that leads nowhere' if is_link else error.strerror}")
            return
        if stat.S_ISDIR(status.st_mode):
            self._directory(path, name, (*above, path))
        elif stat.S_ISREG(status.st_mode):
            self._file(PackedFile(name, path, status))
        else:
            self.faults.append(f"{shown(name)}: {_kind(status.st_mode)}; leave it out with a line in {IGNORE_FILE}")

    def _link_fault(self, real: str, above: tuple[str, ...]) -> str | None:
        if real != self._inside and not real.startswith(self._inside + os.sep):
            return (
                "a link that leads out of the tree; put a copy in its place, or leave it out "
                f"with a line in {IGNORE_FILE}"
            )
        if real in above or len(above) > _LINKS_DEPTH_MAX:
            return "a link to a directory that it lies in"
        inner = os.path.relpath(real, self._root)
        if self._rules.ignores_deeply(inner) or (os.path.isdir(real) and self._rules.ignores(inner, is_directory=True)):  # noqa: PTH112
            return f"a link to {shown(inner)}, which is left out"
        return None

    def _file(self, file: PackedFile) -> None:
        fault = name_fault(file.name, self._limits) or self._names.fault_of(file.name, FILE)
        if fault is None and not os.access(file.path, os.R_OK):
            fault = "this user may not read it"
        if fault is None:
            self.files.append(file)
        else:
            self.faults.append(f"{shown(file.name)}: {fault}")


def _ignore_lines(root: Path) -> list[str]:
    path = root / IGNORE_FILE
    try:
        with path.open("rb") as file:
            content = file.read(_IGNORE_BYTES_MAX + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > _IGNORE_BYTES_MAX:
        raise ConfigurationError(f"{path}: more than {_IGNORE_BYTES_MAX} bytes are not read")
    try:
        return content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: must be UTF-8: {error}") from error


def _kind(mode: int) -> str:
    if stat.S_ISSOCK(mode):
        return "a socket"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "neither a file nor a directory"


def _size_faults(files: list[PackedFile], directories: int, limits: BundleLimits, *, is_whole: bool) -> list[str]:
    total = sum(file.status.st_size for file in files)
    faults = []
    if not is_whole:
        faults.append(f"more than {_ENTRIES_MAX} files and directories: is this the right one?")
    if len(files) > limits.files:
        faults.append(f"{len(files)} files, and at most {limits.files} may be packed")
    if directories > limits.files:
        faults.append(f"{directories} directories, and at most {limits.files} may be packed")
    if total > limits.bytes:
        faults.append(f"{size_text(total)}, and at most {size_text(limits.bytes)} may be packed")
    if faults:
        largest = ", ".join(
            f"{name} ({counted(count, 'file')}, {size_text(size)})" for name, count, size in largest_directories(files)
        )
        faults.append(f"the largest parts: {largest}; leave out with lines in {IGNORE_FILE} what is not needed to run")
    return faults


def largest_directories(files: list[PackedFile]) -> list[tuple[str, int, int]]:
    """Where the files and bytes of a tree are: directories of its top, or deeper where nearly all of one is.

    Returns:
        Path with `/` at its end, number of files and bytes, at most five, the largest first; by the greater of the two
        shares, so that many small files are seen as well as few large ones.
    """
    total_count, total_bytes = len(files), sum(file.status.st_size for file in files)
    sums: dict[str, tuple[int, int]] = {}
    for file in files:
        parts = file.name.split("/")
        for depth in range(len(parts)):
            key = "/".join(parts[: depth + 1]) + ("/" if depth < len(parts) - 1 else "")
            count, size = sums.get(key, (0, 0))
            sums[key] = count + 1, size + file.status.st_size
    children: dict[str, list[str]] = {}
    for key in sums:
        children.setdefault(key.rstrip("/").rpartition("/")[0], []).append(key)

    def share(key: str) -> float:
        count, size = sums[key]
        return max(count / max(total_count, 1), size / max(total_bytes, 1))

    found = []
    for top in sorted(children.get("", []), key=share, reverse=True)[:_LARGEST_SHOWN]:
        key = top
        while (inner := max(children.get(key.rstrip("/"), []), key=share, default="")).endswith("/") and share(
            inner
        ) > 0.9 * share(key):
            key = inner
        found.append((key, *sums[key]))
    return found
