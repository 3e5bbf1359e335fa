"""How large a bundle may be."""

from __future__ import annotations

from typing import Final

import msgspec

from sojourn.errors import ConfigurationError

BYTES_MAX: Final = 8**11 - 1  # eleven octal digits


class BundleLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one source tree, the same for those who pack it and those who take it in.

    Args:
        files: Most files, and most directories, >= 1.
        bytes: Most bytes of all files together, in [1, 8 GiB): a header of tar holds no more.
        archive_bytes: Most bytes of the packed archive, >= 1.
        name_bytes: Longest path of a file in UTF-8 from the root of the tree, in bytes, >= 1.
        depth: Most directories above a file, >= 0.
        ratio: Most bytes that a byte of the archive may become, once there are `ratio_from_bytes`, >= 1. Deflate
            reaches 1032 at most, on one repeated byte; source code and weights stay below 20.
        ratio_from_bytes: Below so many unpacked bytes no ratio is looked at: a small tree may hold a file of zeros.

    Raises:
        ConfigurationError: A bound is too small to be one; all are named.
    """

    files: int = 10_000
    bytes: int = 512 * 2**20
    archive_bytes: int = 512 * 2**20
    name_bytes: int = 512
    depth: int = 32
    ratio: int = 200
    ratio_from_bytes: int = 32 * 2**20

    def __post_init__(self) -> None:
        least = {"depth": 0, "ratio_from_bytes": 0}
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        faults = [
            f"{name} must be >= {least.get(name, 1)}, not {value}"
            for name, value in values.items()
            if value < least.get(name, 1)
        ]
        if self.bytes > BYTES_MAX:
            faults.append(f"bytes must be <= {BYTES_MAX}, not {self.bytes}")
        if faults:
            raise ConfigurationError("limits of bundles: " + "; ".join(faults))


DEFAULT_LIMITS = BundleLimits()


def size_text(count: int) -> str:
    """A number of bytes as people read it: `512 B`, `3.4 kB`, `1.2 GB`."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"
