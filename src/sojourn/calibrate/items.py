"""The items that batches are made of: given ones, in turn, over and over."""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.domain.function import FunctionManifest
from sojourn.errors import ConfigurationError


class Items:
    """Hands out items in turn, without end.

    Args:
        bodies: Items as JSON, at least one.
        source: How errors name where they are from.
    """

    def __init__(self, bodies: Sequence[bytes], source: str) -> None:
        self._bodies = bodies
        self._source = source
        self._at = 0

    def take(self, count: int) -> list[tuple[int, bytes]]:
        """The next `count` items, each with its place among those given, from 0."""
        places = [(self._at + offset) % len(self._bodies) for offset in range(count)]
        self._at = (self._at + count) % len(self._bodies)
        return [(place, self._bodies[place]) for place in places]

    def name(self, place: int) -> str:
        """How to tell people of the item at a place."""
        return f"item {place + 1} of {self._source}"


def example_items(manifest: FunctionManifest) -> Items:
    """The examples that a function declares.

    Raises:
        ConfigurationError: It declares none.
    """
    if not manifest.examples:
        raise ConfigurationError(
            f"function {manifest.name!r} declares no examples, so there is nothing to measure it with: give items with "
            "--data FILE (one JSON item per line), or declare some: @sojourn.function(..., examples=[...])"
        )
    return Items([example.encode() for example in manifest.examples], f"the examples of {manifest.name!r}")
