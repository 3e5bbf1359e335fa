"""Whatever the author's code does, each batch gets exactly one answer and the replica serves the next one."""

import json

import pytest

from sojourn.wire.message import Drain, Run

HOSTILE = """
    import asyncio, os, sys
    from collections.abc import Sequence
    from typing import Any
    import sojourn

    class Dumb(Exception):
        def __str__(self):
            sys.exit("no text")

    class Late:
        def tolist(self):
            raise RuntimeError("late device error")

    class LateDumb:
        def tolist(self):
            raise Dumb

    class Lazy(Sequence):
        def __init__(self, count):
            self.count = count
        def __len__(self):
            return self.count
        def __getitem__(self, index):
            if index == self.count - 1:
                raise RuntimeError("lazy")
            return index

    class Endless(Lazy):
        def __getitem__(self, index):
            return index

    class Exiting:
        def tolist(self):
            sys.exit(3)

    class Bent(sojourn.ItemError):
        def __init__(self):
            pass

    def edited(status, message):
        error = sojourn.ItemError(422, "x")
        error.status, error.message = status, message
        return error

    def act(items):
        match items[0]:
            case "surrogate item error":
                return [sojourn.ItemError(422, chr(0xD800)), *items[1:]]
            case "long item error":
                return [sojourn.ItemError(422, "x" * 1_000_000), *items[1:]]
            case "bent item error":
                return [Bent(), *items[1:]]
            case "edited item error":
                return [edited("x", 3), *items[1:]]
            case "late":
                return Late()
            case "late item":
                return [Late(), *items[1:]]
            case "late dumb item":
                return [LateDumb(), *items[1:]]
            case "lazy":
                return Lazy(len(items))
            case "endless":
                return Endless(len(items))
            case "exiting item":
                return [Exiting(), *items[1:]]
            case "exit":
                sys.exit(3)
            case "interrupt":
                raise KeyboardInterrupt
            case "cancelled":
                raise asyncio.CancelledError
            case "dumb":
                raise Dumb
            case "surrogate":
                raise ValueError(chr(0xD800))
            case "surrogate class":
                raise type("Odd", (Exception,), {"__module__": chr(0xD800)})
            case "closed then raise":
                os.close(2)
                raise ValueError("nobody hears")
            case "closed stderr then raise":
                sys.stderr.close()
                raise ValueError("nobody hears")
            case "cancels its task":
                asyncio.current_task().cancel()
            case "closed all":
                os.closerange(0, 3)
                return None
            case "no stderr":
                sys.stderr = None
                return None
        return items

    @sojourn.function(CONCURRENT)
    DEF hostile(items: list[Any]) -> list[Any]:
        return act(items)
"""
TYPED = """
    import dataclasses, sys
    import sojourn

    class Dumb(Exception):
        def __str__(self):
            raise KeyboardInterrupt

    @dataclasses.dataclass
    class Item:
        way: str

        def __post_init__(self):
            match self.way:
                case "exit":
                    sys.exit(4)
                case "interrupt":
                    raise KeyboardInterrupt
                case "dumb":
                    raise Dumb
                case "surrogate":
                    raise ValueError(chr(0xD800))

    @sojourn.function(CONCURRENT)
    DEF typed(items: list[Item]) -> list[str]:
        return [item.way for item in items]
"""


@pytest.fixture(params=["def", "async def"])
def hostile(request, bench):
    """Serves a source as a plain and as an async function."""

    def serve(source):
        options = "concurrency=2" if request.param == "async def" else ""
        return bench.serve(source.replace("DEF", request.param).replace("CONCURRENT", options))

    return serve


def codes(done):
    """Code of each item's fault, None where it was served."""
    found = {fault.position: str(fault.code) for fault in done.faults}
    assert all(fault.message for fault in done.faults)
    return [found.get(position) for position in range(len(done.bodies))]


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("surrogate item error", ["item_error", None]),
        ("long item error", ["item_error", None]),
        ("bent item error", ["bad_result", None]),
        ("edited item error", ["bad_result", None]),
        ("late", ["function_raised"] * 2),
        ("late item", ["bad_result", None]),
        ("late dumb item", ["bad_result", None]),
        ("lazy", ["function_raised"] * 2),
        ("endless", ["bad_result"] * 2),
        ("exiting item", ["bad_result", None]),
        ("exit", ["function_raised"] * 2),
        ("interrupt", ["function_raised"] * 2),
        ("cancelled", ["function_raised"] * 2),
        ("dumb", ["function_raised"] * 2),
        ("surrogate", ["function_raised"] * 2),
        ("surrogate class", ["function_raised"] * 2),
        ("closed then raise", ["function_raised"] * 2),
        ("closed stderr then raise", ["function_raised"] * 2),
        ("closed all", ["bad_result"] * 2),
        ("no stderr", ["bad_result"] * 2),
    ],
)
def test_every_batch_is_answered(hostile, way, expected):
    """More often than there are slots; then an ordinary batch is served by the same process."""
    replica = hostile(HOSTILE)
    for number in range(3):
        done = replica.run(json.dumps(way).encode(), b"1", batch_id=number)
        assert done is not None, "the replica died"
        assert (done.batch_id, codes(done)) == (number, expected)
    assert replica.run(b'"fine"', b"2").bodies == [b'"fine"', b"2"]
    assert replica.drain() == 0


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("exit", "function_raised"),
        ("interrupt", "function_raised"),
        ("dumb", "function_raised"),
        ("surrogate", "item_invalid"),
    ],
)
def test_items_that_cannot_be_built_fail_alone(hostile, way, expected):
    """What the author's item types raise while they are decoded is the fault of that item."""
    replica = hostile(TYPED)
    done = replica.run(b'{"way":"%s"}' % way.encode(), b'{"way":"fine"}')
    assert done is not None, "the replica died"
    assert codes(done) == [expected, None]
    assert done.bodies[1] == b'"fine"'
    assert replica.run(b'{"way":"on"}').bodies == [b'"on"']


def test_a_task_that_the_author_cancels_is_answered(bench):
    """Only the server may say that nobody waits any more: this batch has callers, and they are told."""
    source = HOSTILE.replace("DEF", "async def").replace("CONCURRENT", "")
    replica = bench.serve(source.replace("return act(items)", "act(items); await asyncio.sleep(0); return items"))
    assert codes(replica.run(b'"cancels its task"', b"1")) == ["function_raised"] * 2
    assert replica.run(b"2").bodies == [b"2"]


def test_texts_reach_the_caller_readably(hostile):
    """What is not Unicode is spelt with backslashes, what is long is cut."""
    replica = hostile(HOSTILE)
    assert replica.run(b'"surrogate item error"').faults[0].message == "\\ud800"
    assert replica.run(b'"long item error"').faults[0].message == "x" * 8192 + "..."


@pytest.mark.parametrize("phase", ["__init__", "warmup", "close"])
@pytest.mark.parametrize("call", ["def", "async def"])
@pytest.mark.parametrize("raised", ["SystemExit(1)", "KeyboardInterrupt"])
def test_exits_in_any_phase_are_the_authors_faults(bench, phase, call, raised):
    """Raised while loading they are told; raised while closing they do not change the end."""
    source = f"""
        import sojourn

        @sojourn.function
        class Model:
            def {phase}(self):
                raise {raised}

            {call} __call__(self, items: list[int]) -> list[int]:
                return items
    """
    if phase == "close":
        replica = bench.serve(source)
        assert replica.drain() == 0
        assert raised.split("(")[0] in replica.output("stderr")
        return
    replica = bench.start(source)
    replica.receive()
    name = raised.replace("(", ": ").strip(")")
    assert replica.receive().cause == f"{phase} raised {name} at app.py:7 in {phase}"
    replica.link.close()
    assert replica.status() == 1


def test_a_stray_task_that_exits_ends_the_replica_with_its_traceback(bench):
    """`sys.exit` in a task of the author's ends the loop itself: told in the log, status 1, no waiting for threads."""
    source = """
        import asyncio, sys, threading, sojourn

        async def leave():
            sys.exit("stray")

        @sojourn.function
        async def start(items: list[int]) -> list[int]:
            threading.Thread(target=threading.Event().wait).start()
            asyncio.create_task(leave())
            await asyncio.Event().wait()
    """
    replica = bench.serve(source)
    replica.send(Run(1, [b"1"]))
    assert codes(replica.receive()) == ["function_raised"]
    assert replica.receive() is None
    assert replica.status() == 1
    assert "SystemExit: stray" in replica.output("stderr")


@pytest.mark.parametrize("call", ["def", "async def"])
def test_sigterm_does_not_interrupt_close(bench, fifo, call):
    """A server that said Drain sends SIGTERM too: `close` goes on to its end."""
    source = f"""
        import sojourn

        @sojourn.function
        class Model:
            {call} __call__(self, items: list[int]) -> list[int]:
                return items

            {call} close(self):
                with open({str(fifo)!r}) as told:
                    print("waited", flush=True)
                    told.read()
                print("closed")
    """
    replica = bench.serve(source)
    replica.send(Drain())
    with fifo.open("w") as tell:
        replica.process.terminate()
        tell.write("on")
    assert replica.status() == 0
    assert replica.output("stdout") == "waited\nclosed\n"
    assert replica.output("stderr") == ""
