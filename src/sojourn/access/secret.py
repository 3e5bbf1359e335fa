"""The text of an API key: how it is made, how it is known to be whole, and what is kept of it."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from typing import Final

SECRET_BYTES: Final = 32
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY_LENGTH: Final = 43  # 62^43 > 2^256
_CHECK_LENGTH: Final = 6  # 62^6 > 2^32
_FORM: Final = re.compile(rf"sj_([0-9a-f]{{8}})_([0-9A-Za-z]{{{_BODY_LENGTH}}})([0-9A-Za-z]{{{_CHECK_LENGTH}}})")


def new_secret(random_bytes: Callable[[int], bytes]) -> tuple[str, str]:
    """A key's id and its text, `sj_<id>_<256 random bits><checksum>`: letters and digits, chosen by one double click.

    Args:
        random_bytes: So many bytes nobody can guess, such as `os.urandom`.
    """
    key_id = random_bytes(4).hex()
    unchecked = f"sj_{key_id}_{_in_base_62(int.from_bytes(random_bytes(SECRET_BYTES)), _BODY_LENGTH)}"
    return key_id, unchecked + _checksum(unchecked)


def id_of(text: str) -> str | None:
    """The id in a key's text; None if the text is not a whole key: cut off, mistyped or something else.

    Whoever calls can be told so, since nothing is looked up and the checksum is no secret.
    """
    found = _FORM.fullmatch(text)
    if found is None or _checksum(text[:-_CHECK_LENGTH]) != found[3]:
        return None
    return found[1]


def digest_of(text: str) -> bytes:
    """What is kept of a key: SHA-256 of its text."""
    return hashlib.sha256(text.encode("ascii", "replace")).digest()


def _checksum(text: str) -> str:
    return _in_base_62(zlib.crc32(text.encode("ascii")), _CHECK_LENGTH)


def _in_base_62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
