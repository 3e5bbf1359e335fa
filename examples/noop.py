"""A function that gives its items back: what is left is the cost of the platform itself.

Used by `benchmarks/overhead.py`. Serve it and ask it:

    sojourn serve examples/noop.py
    sojourn invoke noop '{"any": "JSON"}'
"""

from __future__ import annotations

from typing import Any

import sojourn


@sojourn.function(max_batch_size=64)
def noop(items: list[Any]) -> list[Any]:
    """The items, unchanged."""
    return items
