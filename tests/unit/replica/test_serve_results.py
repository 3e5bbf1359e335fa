"""What a function returns or raises, as its replica tells it: each item's own answer, or why there is none."""

import pytest

LOGS = "; `sojourn logs {}` has the traceback"


TROUBLE = """
    import sys
    from typing import Any
    import sojourn

    class Odd:
        pass

    @sojourn.function
    def trouble(items: list[Any]) -> list[Any]:
        match items[0]:
            case "none":
                return None
            case "short":
                return items[1:]
            case "generator":
                return (item for item in items)
            case "text":
                return "x" * len(items)
            case "dict":
                return dict.fromkeys(items)
            case "set":
                return set(items)
            case "tuple":
                return tuple(items)
            case "odd":
                return [Odd(), *items[1:]]
            case "surrogate":
                return [chr(0xD800), *items[1:]]
            case "deep":
                deep = []
                for _ in range(100_000):
                    deep = [deep]
                return [deep, *items[1:]]
            case "raise":
                raise ValueError("what the log may know")
            case "exit":
                sys.exit(3)
            case "item error":
                return [sojourn.ItemError(404, "no such digit"), *items[1:]]
            case "whole item error":
                return sojourn.ItemError(429, "tired")
            case "raised item error":
                raise sojourn.ItemError(404, "gone")
            case "eats its list":
                items.clear()
                return []
        return items
"""


def faults(done):
    """Position, code and status of each fault."""
    return [(fault.position, fault.code, fault.status) for fault in done.faults]


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("none", "returned None; it must return a list of 3"),
        ("short", "returned 2 results for 3 items"),
        ("generator", "returned a generator"),
        ("text", "returned a str"),
        ("dict", "returned a dict"),
        ("set", "returned a set"),
        ("eats its list", "returned 0 results for 3 items"),
    ],
)
def test_a_result_that_is_not_one_per_item_fails_all_of_the_batch(bench, way, expected):
    """Nothing is misaligned: all items are told what the function did, and in which line it stands."""
    replica = bench.serve(TROUBLE)
    done = replica.run(b'"%s"' % way.encode(), b"1", b"2")
    assert faults(done) == [(position, "bad_result", 0) for position in range(3)]
    assert done.bodies == [b""] * 3
    for fault in done.faults:
        assert fault.message.startswith(f"function 'trouble' (app.py:9) {expected}")
    assert replica.run(b"4").bodies == [b"4"]


@pytest.mark.parametrize("way", ["odd", "surrogate", "deep"])
def test_a_result_that_cannot_be_encoded_fails_alone(bench, way):
    """The fault names the type and the author's line; the neighbours are served."""
    done = bench.serve(TROUBLE).run(b'"%s"' % way.encode(), b"1", b"2")
    assert faults(done) == [(0, "bad_result", 0)]
    assert done.bodies == [b"", b"1", b"2"]
    kind = {"odd": "Odd", "surrogate": "str", "deep": "list"}[way]
    assert done.faults[0].message.startswith(f"function 'trouble' (app.py:9) returned a result of type {kind}")


def test_a_raising_function_fails_its_batch_and_the_log_has_the_traceback(bench):
    """Callers are told type and line, no text of the exception and no directory; the next batch is served."""
    replica = bench.serve(TROUBLE)
    for way, kind in (("raise", "ValueError"), ("exit", "SystemExit")):
        done = replica.run(b'"%s"' % way.encode(), b"1")
        assert faults(done) == [(0, "function_raised", 0), (1, "function_raised", 0)]
        line = 36 if way == "raise" else 38
        assert done.faults[0].message == f"function 'trouble' raised {kind} at app.py:{line} in trouble" + LOGS.format(
            "trouble"
        )
    assert replica.run(b"5").bodies == [b"5"]
    assert replica.drain() == 0
    log = replica.output("stderr")
    assert "ValueError: what the log may know" in log
    assert "_call_batch" not in log


def test_item_errors_carry_their_status(bench):
    """In the list one item fails alone; instead of the list all do; raised, only if the item is alone."""
    replica = bench.serve(TROUBLE)
    done = replica.run(b'"item error"', b"1")
    assert (done.bodies, faults(done)) == ([b"", b"1"], [(0, "item_error", 404)])
    assert done.faults[0].message == "no such digit"
    assert faults(replica.run(b'"whole item error"', b"1")) == [(0, "item_error", 429), (1, "item_error", 429)]
    assert faults(replica.run(b'"raised item error"')) == [(0, "item_error", 404)]
    assert [fault.code for fault in replica.run(b'"raised item error"', b"1").faults] == ["function_raised"] * 2


def test_a_tuple_is_as_good_as_a_list(bench):
    """Any sequence of the right length is taken."""
    assert bench.serve(TROUBLE).run(b'"tuple"', b"1").bodies == [b'"tuple"', b"1"]


def test_an_answer_over_the_frame_limit_becomes_a_fault(bench):
    """Giant results fail alone, the largest first, instead of breaking the link or failing their batch."""
    source = """
        import sojourn

        @sojourn.function
        def giant(sizes: list[int]) -> list[str]:
            return ["x" * size for size in sizes]
    """
    replica = bench.serve(source, max_frame_bytes=10_000)
    done = replica.run(b"20000", b"1", b"bad", b"8000", b"5000")
    assert faults(done) == [(0, "bad_result", 0), (2, "malformed", 0), (3, "bad_result", 0)]
    assert [len(body) for body in done.bodies] == [0, 3, 0, 0, 5002]
    assert "takes 20002 bytes, over the limit of 10000" in done.faults[0].message
    assert "item 0 of a batch" in replica.output("stderr")
    assert replica.run(b"3").bodies == [b'"xxx"']
