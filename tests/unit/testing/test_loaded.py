"""Functions without a server: what comes back, and what is raised, is what a replica gives."""

import asyncio
import dataclasses
import gc
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import sojourn
import sojourn.testing
from sojourn import errors

sys.path.insert(0, str(Path(__file__).parent))
from served_functions import Shout, echo, halve


@dataclasses.dataclass
class Point:
    x: float
    y: float


@sojourn.function(max_batch_size=4)
def mirror(points: list[Point]) -> list[Point]:
    return [Point(point.y, point.x) for point in points]


@sojourn.function
def too_few(items: list[int]) -> list[int]:
    return items[1:]


@sojourn.function
def nothing(items: list[int]) -> None:
    return None


@sojourn.function
def odd_results(items: list[int]) -> list[object]:
    return [{1: object()} if item == 1 else math.nan if item == 2 else item for item in items]


@sojourn.function(batchable=False)
def one(item: int) -> int:
    if item < 0:
        raise sojourn.ItemError(402, "pay first")
    return item + 1


@sojourn.function
def shape(arrays: list[np.ndarray]) -> list[list[int]]:
    return [list(array.shape) for array in arrays]


@sojourn.function
def size(bodies: list[bytes]) -> list[bytes]:
    return [str(len(body)).encode() for body in bodies]


def test_an_item_is_what_a_client_sends_and_a_result_what_it_gets():
    """Dataclasses are decoded from JSON, results are plain data unless a type is asked for."""
    assert sojourn.testing.call(mirror, Point(1, 2)) == {"x": 2.0, "y": 1.0}
    assert sojourn.testing.call(mirror, {"x": 1, "y": 2}, result_type=Point) == Point(2, 1)
    assert sojourn.testing.call(shape, np.zeros((2, 3))) == [2, 3]
    assert sojourn.testing.call(size, b"\xff\x00") == b"2"
    assert sojourn.testing.call(one, 1, content_type="application/msgpack") == 2


def test_a_class_is_loaded_once_warmed_up_and_closed():
    """Constructor, warm-up, example, calls and close, in the order of a replica's life."""
    with sojourn.testing.loaded(Shout) as shout:
        assert shout.call("a") == "A"
        assert shout.call_batch(["b", "c"]) == ["B", "C"]
        assert sojourn.testing.call(shout, "d") == "D"
        instance = shout.instance
    assert instance.done == ["loaded", "warmed up", "1 at once", "1 at once", "2 at once", "1 at once", "closed"]
    with pytest.raises(errors.ConfigurationError, match="not loaded"):
        shout.call("e")


def test_batches_are_no_longer_than_the_function_takes():
    """Nine items for a function of four at once are three calls."""
    with sojourn.testing.loaded(mirror) as held:
        assert held.call_batch([Point(n, 0) for n in range(9)], result_type=Point) == [Point(0, n) for n in range(9)]


def test_an_async_function_runs_in_a_loop_of_its_own():
    """From a plain test, and from one that itself runs in a loop."""
    assert sojourn.testing.call_batch(echo, [1, 2]) == [1, 2]

    async def inside() -> int:
        return sojourn.testing.call(echo, 7)

    assert asyncio.run(inside()) == 7


@pytest.mark.parametrize(
    ("function", "item", "error", "status", "words"),
    [
        (mirror, {"x": "a", "y": 1}, errors.ItemInvalidError, 422, r"Expected `float`, got `str` - at `\$\.x`"),
        (mirror, b"{}", errors.MalformedError, 415, "does not take raw bytes"),
        (too_few, 1, errors.BadResultError, 500, r"test_loaded\.py:\d+\) returned 0 results for 1 items"),
        (nothing, 1, errors.BadResultError, 500, r"test_loaded\.py:\d+\) returned None"),
        (odd_results, 1, errors.BadResultError, 500, "cannot be encoded"),
        (odd_results, 2, errors.BadResultError, 500, "NaN"),
        (halve, 3, errors.FunctionRaisedError, 500, r"raised ValueError at served_functions\.py:\d+ in _half$"),
        (one, -1, errors.ItemFailedError, 402, "pay first"),
    ],
)
def test_failures_are_those_of_a_replica_with_the_authors_line(function, item, error, status, words):
    """Wrong items, wrong lengths, what cannot be encoded and what was raised: class, status and place."""
    with pytest.raises(error) as raised:
        sojourn.testing.call(function, item)
    assert type(raised.value) is error
    assert raised.value.status == status
    assert re.search(words, raised.value.message)
    assert "sojourn logs" not in str(raised.value)


def test_what_the_function_raised_is_the_cause():
    """So that pytest shows the author's traceback."""
    with pytest.raises(errors.FunctionRaisedError) as raised:
        sojourn.testing.call(halve, 3)
    assert isinstance(raised.value.__cause__, ValueError)
    assert str(raised.value.__cause__) == "3 is odd"


def test_a_bad_item_fails_alone():
    """Errors stand in their places, or the first one is raised."""
    results = sojourn.testing.call_batch(odd_results, [0, 1, "x", 3], return_errors=True)
    assert [results[0], type(results[1]), type(results[2]), results[3]] == [
        0,
        errors.BadResultError,
        errors.ItemInvalidError,
        3,
    ]
    with pytest.raises(errors.BadResultError):
        sojourn.testing.call_batch(odd_results, [0, 1, "x", 3])


def test_a_class_that_cannot_be_loaded_says_where():
    """The phase, the error and the author's line; the error itself is the cause."""

    @sojourn.function
    class Broken:
        def __init__(self) -> None:
            raise RuntimeError("no weights")

        def __call__(self, items: list[int]) -> list[int]:
            return items

    with pytest.raises(
        errors.TargetError, match=r"__init__ raised RuntimeError: no weights at test_loaded\.py"
    ) as raised:
        sojourn.testing.call(Broken, 1)
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_what_is_not_declared_or_cannot_be_served_is_told():
    """A plain function, a function that takes no list, an example that is no item."""
    with pytest.raises(errors.ConfigurationError, match=r"put @sojourn\.function above it"):
        sojourn.testing.call(len, 1)

    @sojourn.function
    def listless(item: int) -> int:
        return item

    with pytest.raises(errors.TargetError, match=r"write `item: list\[int\]`"):
        sojourn.testing.call(listless, 1)

    @sojourn.function(examples=["x"])
    def example(items: list[int]) -> list[int]:
        return items

    with pytest.raises(errors.TargetError, match=r"examples\[0\]"):
        sojourn.testing.call(example, 1)


def test_ctrl_c_in_a_function_ends_the_test():
    """It is the one at the keyboard, and no failure of the function's."""

    @sojourn.function
    def interrupted(items: list[int]) -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sojourn.testing.call(interrupted, 1)


def test_the_process_of_the_test_is_left_as_it_was():
    """No object is hidden from its garbage collector."""
    before = gc.get_freeze_count()
    sojourn.testing.call(Shout, "a")
    assert gc.get_freeze_count() == before
