"""The tar format, as far as bundles need it: plain files and directories, and nothing else.

The standard library's reader is not used on what strangers send: for one header it reads as many bytes as that
header asks for, follows chains of headers by recursion, and guesses at numbers and encodings. Here each header
has a bound, may come once, and what is not known is refused by name.

Source:
    POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from typing import Final

import msgspec

from sojourn.bundle.names import shown
from sojourn.errors import BundleError

BLOCK: Final = 512
EXTENDED_BYTES_MAX: Final = 8 * 1024  # of the header that brings a long name: names are far shorter
_PADDING_BYTES_MAX: Final = 1024 * 1024  # zeros after the end; GNU tar fills up to 10 KiB unless told otherwise
_MAGICS: Final = (b"ustar\x0000", b"ustar  \x00")
_EMPTY: Final = bytes(BLOCK)
_FILE_KINDS: Final = (b"0", b"\0")
_DIRECTORY: Final = b"5"
_REFUSED: Final = {
    b"1": "hard links are not taken",
    b"2": "symbolic links are not taken",
    b"3": "devices are not taken",
    b"4": "devices are not taken",
    b"6": "named pipes are not taken",
    b"7": "contiguous files are not taken",
    b"S": "sparse files are not taken",
    b"K": "long names of links are not taken, as links are not",
    b"g": "global extended headers are not taken",
}
# What a pax header may say besides the path; none of it is kept.
_HARMLESS: Final = frozenset({"atime", "comment", "ctime", "gid", "gname", "mtime", "uid", "uname"})
_HARMLESS_PREFIXES: Final = ("LIBARCHIVE.", "SCHILY.dev", "SCHILY.ino", "SCHILY.nlink", "SCHILY.fflags")


class Entry(msgspec.Struct, frozen=True):
    """A file or directory of an archive, as its header tells it.

    Args:
        name: Its path as it is written there, not judged yet.
        is_directory: Whether it is a directory; then it has no content.
        is_executable: Whether its owner may execute it.
        size: Bytes of content that follow.
    """

    name: str
    is_directory: bool
    is_executable: bool
    size: int


Read = Callable[[int], bytes]


def file_header(name: str, size: int, *, is_executable: bool) -> bytes:
    """The header of a file, the same for the same arguments: no time, no owner.

    Args:
        name: Its path; a long one, or one that is not ASCII, takes an extended header.
        size: Its content's bytes.
        is_executable: Whether it is packed with mode 0755 or 0644.
    """
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o755 if is_executable else 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """What follows a content of `size` bytes, up to the next block."""
    return bytes(-size % BLOCK)


def read_entry(read: Read) -> Entry | None:
    """The next entry; its content and `padding` are to be read next. None at the archive's end.

    Args:
        read: Gives exactly as many bytes as asked for, fewer only where the archive ends.

    Raises:
        BundleError: The header is broken, or of a kind that is not taken; the message names the entry and the rule.
    """
    long_name = ""
    for _ in range(2):  # a header that brings a long name, and the one that it belongs to
        block = read(BLOCK)
        if block == _EMPTY:
            if long_name:
                raise BundleError(f"{shown(long_name)}: the archive ends where this entry should follow")
            _end(read)
            return None
        kind, name, size, mode = _fields(block)
        if kind in {b"x", b"L"}:
            if long_name:
                raise BundleError(f"{shown(long_name)}: two extended headers for one entry are not taken")
            long_name = _long_name(read, kind, size)
            continue
        if kind in _REFUSED:
            raise BundleError(f"{shown(long_name or name)}: {_REFUSED[kind]}")
        if kind not in {*_FILE_KINDS, _DIRECTORY}:
            raise BundleError(f"{shown(long_name or name)}: entries of the kind {kind!r} are not taken")
        name = long_name or name
        is_directory = kind == _DIRECTORY
        if is_directory and size:
            raise BundleError(f"{shown(name)}: a directory with content is not taken")
        if not is_directory and name.endswith("/"):
            raise BundleError(f"{shown(name)}: a file whose name ends in a slash is not taken")
        return Entry(name, is_directory, bool(mode & 0o100), size)
    raise BundleError(f"{shown(long_name)}: two extended headers for one entry are not taken")


def _fields(block: bytes) -> tuple[bytes, str, int, int]:
    """Kind, name, size and mode of a header block.

    Raises:
        BundleError: It is none.
    """
    if len(block) < BLOCK:
        raise BundleError("the archive is cut off: a header or its end is missing; send it again")
    name = _text(block[0:100])
    if _number(block[148:156], name) != sum(block[:148]) + sum(block[156:]) + 8 * 32:
        raise BundleError(
            f"{shown(name)}: the checksum of its header is wrong; the archive is damaged or no tar archive"
        )
    magic = block[257:265]
    if magic not in _MAGICS:
        raise BundleError(f"{shown(name)}: not a ustar header; pack with `sojourn deploy` or with `tar --format=pax`")
    prefix = _text(block[345:500]) if magic == _MAGICS[0] else ""  # GNU's format has times and the like there
    kind = block[156:157]
    return kind, f"{prefix}/{name}" if prefix else name, _number(block[124:136], name), _number(block[100:108], name)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes, name: str) -> int:
    """A number in octal digits; those of base 256, for sizes from 8 GiB, are beyond any limit of ours."""
    text = field.rstrip(b" \0").lstrip(b" ")
    if any(digit not in b"01234567" for digit in text):
        raise BundleError(f"{shown(name)}: a number of its header is not octal: {field[:12]!r}")
    return int(text, 8) if text else 0


def _long_name(read: Read, kind: bytes, size: int) -> str:
    """The name in an extended header."""
    if size > EXTENDED_BYTES_MAX:
        raise BundleError(f"an extended header of {size} bytes is not taken; {EXTENDED_BYTES_MAX} are the most")
    data = read(size + len(padding(size)))
    if len(data) < size + len(padding(size)):
        raise BundleError("the archive is cut off inside an extended header; send it again")
    if kind == b"L":
        return _text(data[:size])
    name = ""
    for key, value in _records(data[:size]):
        if key == "path":
            if name:
                raise BundleError(f"{shown(name)}: an extended header with two paths is not taken")
            name = value
        elif key not in _HARMLESS and not key.startswith(_HARMLESS_PREFIXES):
            raise BundleError(f"an extended header with {shown(key)} is not taken")
    return name


def _records(data: bytes) -> list[tuple[str, str]]:
    """Keyword and value of each record of a pax header: a length, `KEY=VALUE`, the end of the line."""
    found = []
    while data:
        digits, space, _ = data[:8].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        record = data[len(digits) + 1 : length]
        key, equals, value = record[:-1].partition(b"=")
        if length > len(data) or not record.endswith(b"\n") or not equals or not key:
            raise BundleError("an extended header that cannot be read is not taken")
        found.append((_whole(key), _whole(value)))
        data = data[length:]
    return found


def _whole(field: bytes) -> str:
    return field.decode("utf-8", "surrogateescape")  # with what stands after a zero byte: the rules of names see it


def _end(read: Read) -> None:
    """Check what follows the first block of zeros: another one, then nothing but zeros."""
    if read(BLOCK) != _EMPTY:
        raise BundleError("the archive's end is cut off or followed by something else; send it again")
    for _ in range(_PADDING_BYTES_MAX // BLOCK):
        block = read(BLOCK)
        if not block:
            return
        if block.strip(b"\0"):
            raise BundleError("something follows the archive's end; nothing may")
    raise BundleError(f"more than {_PADDING_BYTES_MAX} zeros follow the archive's end")
