"""Heads that were read before: a client sends the same one over and over, and need not be parsed again."""

from __future__ import annotations

import re
from typing import Final

from sojourn.gateway.head import RequestHead

KNOWN_HEADS_MAX: Final = 1024
KNOWN_HEAD_BYTES_MAX: Final = 2048

# Fields whose value is another one in each request. A value of 1 to 128 visible characters cannot end
# its line, and nothing depends on it: an id is echoed, a trace parent that cannot be read is passed over.
VARYING: Final = frozenset({b"x-request-id", b"traceparent"})
_VARYING_LINE: Final = re.compile(rb"\r\n([xX]-[rR]equest-[iI][dD]|[tT]raceparent): ([\x21-\x7e]{1,128})(?=\r\n)")

_Outline = tuple[bytes, ...]


class KnownHeads:
    """Two tables from the bytes of a request head to what the parser read in them.

    `by_bytes` is looked up by the head as it came. Heads with varying fields are kept by their outline:
    everything but the values of those fields, cut at the same places. Two heads of one outline differ
    in opaque values only, so that a look-up can tell nothing else than a parse would. Only heads that
    were accepted are kept; a full table is emptied.

    Args:
        header_bytes: The limit of that name. A head longer than this, request line included, is parsed
            each time unless it is known to the byte: another value might have made it too long.
    """

    __slots__ = ("_by_outline", "_outlined_bytes_max", "by_bytes")

    def __init__(self, header_bytes: int) -> None:
        self.by_bytes: dict[bytes, RequestHead] = {}
        self._by_outline: dict[_Outline, tuple[RequestHead, int, int]] = {}
        self._outlined_bytes_max = min(header_bytes, KNOWN_HEAD_BYTES_MAX)

    def remember(self, head_bytes: bytes, head: RequestHead, *, varying: int) -> None:
        """Keep what was read in a head, for the next time.

        Args:
            head_bytes: The head as it came, the blank line included.
            head: What was read in it.
            varying: How many of the varying fields it has, each counted once.
        """
        if not varying:
            if len(head_bytes) <= KNOWN_HEAD_BYTES_MAX:
                _make_room(self.by_bytes)
                self.by_bytes[head_bytes] = head
            return
        # A field that came twice, without a value or in an unusual spelling: to be parsed each time.
        names = [name.lower() for name, _ in _VARYING_LINE.findall(head_bytes)]
        if len(names) != varying or any(head_bytes.lower().count(b"\r\n" + name + b":") > 1 for name in VARYING):
            return
        _make_room(self._by_outline)
        outline, _ = _outline_of(head_bytes)
        id_at, trace_at = (names.index(name) if name in names else -1 for name in (b"x-request-id", b"traceparent"))
        self._by_outline[outline] = (head, id_at, trace_at)

    def forget(self) -> None:
        """Have every head parsed again: who may do what has changed."""
        self.by_bytes.clear()
        self._by_outline.clear()

    def recall(self, head_bytes: bytes) -> tuple[RequestHead, bytes | None, bytes | None] | None:
        """What a head with varying fields says, its request id and trace parent; None if it has to be parsed."""
        if not self._by_outline or len(head_bytes) > self._outlined_bytes_max:
            return None
        outline, values = _outline_of(head_bytes)
        known = self._by_outline.get(outline)
        if known is None:
            return None
        head, id_at, trace_at = known
        return head, values[id_at] if id_at >= 0 else None, values[trace_at] if trace_at >= 0 else None


def _outline_of(head_bytes: bytes) -> tuple[_Outline, list[bytes]]:
    """A head without the values of its varying fields, and those values."""
    pieces = _VARYING_LINE.split(head_bytes)
    values = pieces[2::3]
    del pieces[2::3]
    return tuple(pieces), values


def _make_room(table: dict[bytes, RequestHead] | dict[_Outline, tuple[RequestHead, int, int]]) -> None:
    if len(table) >= KNOWN_HEADS_MAX:
        table.clear()
