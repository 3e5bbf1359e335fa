"""NaN and infinities in results: JSON has none and msgspec writes them as null, which would be a wrong answer.

The search costs next to nothing where there are none: a result can only hold one if its body holds the
letters of `null`, and then its msgpack form tells, in which such numbers keep their bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

# A double whose exponent is all ones. Bytes of other values may look like it, so a hit is looked into.
_find_not_finite = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]").search


def may_hold_null(bodies: list[bytes]) -> bool:
    """Whether `null` occurs in one of these JSON bodies."""
    joined = bodies[0] if len(bodies) == 1 else b"".join(bodies)
    # Numbers have no u: for them one memchr over all bodies, 20 times cheaper than looking for the word.
    return b"u" in joined and b"null" in joined


def not_finite(result: Any, to_msgpack: Callable[[Any], bytes], plain: Callable[[Any], Any]) -> str:
    """`NaN at $.score` for the first number in `result` that JSON cannot carry; empty if there is none.

    Args:
        result: What has been encoded as JSON without an error.
        to_msgpack: Encodes it as msgpack.
        plain: The hook of both encoders.
    """
    try:
        if _find_not_finite(to_msgpack(result)) is None:
            return ""
    except OverflowError:  # an integer that JSON can hold and msgpack cannot: look at each number
        pass
    waiting = [("$", msgspec.to_builtins(result, enc_hook=plain))]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, float):
            if not math.isfinite(value):
                return f"{'NaN' if math.isnan(value) else 'Infinity'} at `{path}`"
        elif isinstance(value, dict):
            waiting += [(f"{path}.{key}", member) for key, member in reversed(value.items())]
        elif isinstance(value, (list, tuple, set, frozenset)):
            waiting += [(f"{path}[{place}]", member) for place, member in reversed([*enumerate(value)])]
    return ""
