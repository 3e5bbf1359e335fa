"""The items that batches are made of."""

import pytest

from sojourn.calibrate.items import Items, example_items
from sojourn.domain.function import FunctionManifest, FunctionSettings
from sojourn.errors import ConfigurationError


def manifest(*examples):
    settings = FunctionSettings(name="digits")
    return FunctionManifest(target="app.py", attribute="F", settings=settings, revision="r", examples=list(examples))


def test_items_are_taken_in_turn_over_and_over():
    """A batch may be longer than all there is; each item knows its place."""
    items = Items([b"1", b"2", b"3"], "items.jsonl")
    assert items.take(2) == [(0, b"1"), (1, b"2")]
    assert items.take(5) == [(2, b"3"), (0, b"1"), (1, b"2"), (2, b"3"), (0, b"1")]
    assert items.take(1) == [(1, b"2")]
    assert items.name(2) == "item 3 of items.jsonl"


def test_without_examples_the_message_says_how_to_give_some():
    """On the command line, or in the declaration."""
    assert example_items(manifest("1", "2")).take(2) == [(0, b"1"), (1, b"2")]
    with pytest.raises(ConfigurationError, match=r"'digits' declares no examples.*--data FILE.*examples=\[\.\.\.\]"):
        example_items(manifest())
