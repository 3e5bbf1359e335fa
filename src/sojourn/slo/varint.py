"""Whole numbers in as few bytes as they need: seven bits a byte, the smallest first (LEB128)."""

from __future__ import annotations

_BITS_MAX = 63


def write_varint(packed: bytearray, number: int) -> None:
    """Append `number` (>= 0)."""
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)


def read_varint(packed: bytes, at: int) -> tuple[int, int]:
    """The number that begins at place `at`, and the place behind it.

    Raises:
        ValueError: The bytes end within the number, or it has more than 63 bits.
    """
    number = shift = 0
    while shift < _BITS_MAX and at < len(packed):
        byte = packed[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte <= 0x7F:
            return number, at
        shift += 7
    raise ValueError(f"no number ends at byte {at} of {len(packed)}")
