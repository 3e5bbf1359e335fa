"""A plain function's replica: what it takes, how it talks to its server, and how it ends."""

import os

import msgspec
import pytest

from sojourn.wire.message import PROTOCOL_VERSION, Cancel, ContentKind, Drain, Hello, Ping, Ready, Run

JSON, MSGPACK, BYTES = bytes([ContentKind.JSON]), bytes([ContentKind.MSGPACK]), bytes([ContentKind.BYTES])

ECHO = """
    import msgspec, sojourn

    class Item(msgspec.Struct):
        id: int

    @sojourn.function(max_batch_size=64)
    def echo(items: list[Item]) -> list[int]:
        return [item.id for item in items]
"""

LOGS = "; `sojourn logs {}` has the traceback"


def faults(done):
    """Position, code and status of each fault."""
    return [(fault.position, fault.code, fault.status) for fault in done.faults]


def test_handshake_tells_who_it_is_and_how_long_it_took(bench):
    """HELLO with version, token, id and pid; READY with the phases of the cold start."""
    replica = bench.start(ECHO)
    assert replica.receive() == Hello(PROTOCOL_VERSION, "once", 7, replica.process.pid)
    ready = replica.receive()
    assert type(ready) is Ready
    assert min(ready.import_s, ready.load_s, ready.warmup_s) >= 0


def test_answers_are_in_the_order_of_the_items(bench):
    """Sixty-four ids come back as they went, and the stamps are in order."""
    done = bench.serve(ECHO).run(*(b'{"id":%d}' % number for number in range(64)), batch_id=9)
    assert done.batch_id == 9
    assert [int(body) for body in done.bodies] == list(range(64))
    assert (done.kinds, done.faults) == (b"", [])
    assert done.received_at_s <= done.decoded_at_s <= done.called_at_s <= done.encoded_at_s


def test_invalid_items_fail_alone(bench):
    """Bad JSON, the wrong type, bad UTF-8, deep nesting and raw bytes never reach the model; neighbours are served."""
    bodies = [
        b'{"id":0}',
        b"{bad",
        b'{"id":"two"}',
        b'{"id":3}',
        b'"\xff"',
        b"",
        b'{"x":' + b"[" * 100_000,
        b"raw",
        b'{"id":8}',
    ]
    kinds = JSON * 7 + BYTES + JSON
    done = bench.serve(ECHO).run(*bodies, kinds=kinds)
    assert done.bodies == [b"0", b"", b"", b"3", b"", b"", b"", b"", b"8"]
    assert faults(done) == [
        (1, "malformed", 0),
        (2, "item_invalid", 0),
        (4, "malformed", 0),
        (5, "malformed", 0),
        (6, "malformed", 0),
        (7, "unsupported_content_type", 0),
    ]
    messages = {fault.position: fault.message for fault in done.faults}
    schema = "; `sojourn describe echo` shows the schema"
    assert messages[2] == "item of 'echo': Expected `int`, got `str` - at `$.id`" + schema
    assert messages[5] == "item of 'echo': the body is empty; send one JSON item" + schema
    assert messages[1].startswith("item of 'echo': the body is not valid JSON: ")
    assert "nested too deeply" in messages[6]


def test_a_batch_without_valid_items_does_not_call_the_model(bench):
    """The model sees nothing of a batch in which nothing is valid."""
    replica = bench.serve(ECHO.replace("return [", "print('called'); return ["))
    done = replica.run(b"1", b"2")
    assert faults(done) == [(0, "item_invalid", 0), (1, "item_invalid", 0)]
    assert done.bodies == [b"", b""]
    assert replica.drain() == 0
    assert replica.output("stdout") == ""


def test_content_kinds_mix_in_one_batch(bench):
    """What came as msgpack is answered in msgpack, bytes results travel as they are, JSON stays JSON."""
    source = """
        from typing import Any
        import sojourn

        @sojourn.function
        def kinds(items: list[Any]) -> list[Any]:
            return [item[::-1] if isinstance(item, bytes) else {"got": item} for item in items]
    """
    replica = bench.serve(source)
    done = replica.run(b"1", msgspec.msgpack.encode([2]), b"\x00abc", kinds=JSON + MSGPACK + BYTES)
    assert done.bodies == [b'{"got":1}', msgspec.msgpack.encode({"got": [2]}), b"cba\x00"]
    assert done.kinds == JSON + MSGPACK + BYTES
    assert replica.run(b"\xc1", kinds=MSGPACK).faults[0].code == "malformed"


def test_arrays_in_and_out(bench):
    """Nested lists become numpy arrays of the annotated dtype; arrays and their scalars go out as numbers."""
    pytest.importorskip("numpy")
    source = """
        import numpy as np
        import numpy.typing as npt
        import sojourn

        @sojourn.function
        def total(arrays: list[npt.NDArray[np.float32]]) -> list[dict]:
            if len(arrays) == 2:
                return np.stack([array.sum(axis=0) for array in arrays])
            return [{"sum": array.sum(), "dtype": str(array.dtype), "itself": array} for array in arrays]
    """
    replica = bench.serve(source)
    assert replica.run(b"[[1,2],[3,4]]").bodies == [b'{"sum":10.0,"dtype":"float32","itself":[[1.0,2.0],[3.0,4.0]]}']
    assert replica.run(b"[[1,2],[3,4]]", b"[[5,6]]").bodies == [b"[4.0,6.0]", b"[5.0,6.0]"]
    done = replica.run(b"[[1],[2,3]]", b'["a"]', b"7", b"[null]")
    assert [fault.code for fault in done.faults] == ["item_invalid"] * 4


def test_bytes_items(bench):
    """A function of bytes gets the body as it is, or base64 in JSON."""
    source = """
        import sojourn

        @sojourn.function
        def size(blobs: list[bytes]) -> list[int]:
            return [len(blob) for blob in blobs]
    """
    done = bench.serve(source).run(b"\xff\x00", b'"AAAA"', kinds=BYTES + JSON)
    assert done.bodies == [b"2", b"3"]
    assert done.kinds == b""


def test_one_item_at_a_time(bench):
    """batchable=False gets items, not lists, and each fails on its own."""
    source = """
        import sojourn

        @sojourn.function(batchable=False)
        def inverse(number: float) -> float:
            if number < 0:
                raise sojourn.ItemError(422, "negative")
            return 1 / number
    """
    done = bench.serve(source).run(b"2", b"0", b"-1", b'"x"', b"4")
    assert done.bodies == [b"0.5", b"", b"", b"", b"0.25"]
    assert faults(done) == [(1, "function_raised", 0), (2, "item_error", 422), (3, "item_invalid", 0)]
    assert done.faults[0].message == "function 'inverse' raised ZeroDivisionError at app.py:8 in inverse" + LOGS.format(
        "inverse"
    )


def test_ping_drain_and_close(bench):
    """PING is echoed; DRAIN finishes what was sent before, calls close() and exits 0."""
    source = """
        import sojourn

        @sojourn.function
        class Model:
            def __call__(self, items: list[int]) -> list[int]:
                return items

            def close(self):
                print("closed")
    """
    replica = bench.serve(source)
    replica.send(Ping(5))
    assert replica.receive() == Ping(5)
    replica.send(Run(1, [b"1"]), Drain())
    assert replica.receive().bodies == [b"1"]
    assert replica.receive() is None
    assert replica.status() == 0
    assert replica.output("stdout") == "closed\n"


def test_a_queued_batch_that_was_cancelled_is_answered_but_not_run(bench):
    """CANCEL that arrives with its batch saves the call; a batch already answered is left alone."""
    source = ECHO.replace("return [", "print(items); return [")
    replica = bench.serve(source)
    replica.send(Run(1, [b'{"id":1}']), Run(2, [b'{"id":2}']), Cancel(2), Cancel(99))
    assert replica.receive().bodies == [b"1"]
    assert faults(replica.receive()) == [(0, "client_gone", 0)]
    assert replica.drain() == 0
    assert replica.output("stdout") == "[Item(id=1)]\n"


def test_output_is_the_process_output_line_by_line(bench):
    """Prints go to file descriptors 1 and 2 at each line's end, also from below Python."""
    source = """
        import os, sys, sojourn

        @sojourn.function
        def talk(items: list[int]) -> list[int]:
            print("out", end=""); print(" line"); print("err", file=sys.stderr)
            os.write(1, b"raw\\n")
            assert os.readlink("/proc/self/fd/0") == "/dev/null"
            return items
    """
    replica = bench.serve(source)
    assert replica.run(b"1").faults == []
    assert replica.output("stdout") == "out line\nraw\n"
    assert replica.output("stderr") == "err\n"


def test_sigterm_ends_cleanly(bench):
    """SIGTERM calls close() and exits 0 without a traceback."""
    source = ECHO + "    echo.close = lambda: print('closed')\n"
    replica = bench.serve(source)
    replica.process.terminate()
    assert replica.receive() is None
    assert replica.status() == 0
    assert (replica.output("stdout"), replica.output("stderr")) == ("closed\n", "")


def test_sigterm_ends_a_call_too(bench, fifo):
    """A function that is waiting for something is interrupted, even inside `except Exception`."""
    source = f"""
        import sojourn, threading

        @sojourn.function
        def stuck(items: list[int]) -> list[int]:
            with open({str(fifo)!r}, "w"):
                pass
            try:
                threading.Event().wait()
            except Exception:
                pass
            return items
    """
    replica = bench.serve(source)
    replica.send(Run(1, [b"1"]))
    with fifo.open() as begun:
        begun.read()
    replica.process.terminate()
    assert replica.receive() is None
    assert replica.status() == 0


def test_end_of_the_link_ends_the_replica(bench):
    """A server that hangs up needs no replica, and threads the author left behind do not hold it."""
    source = ECHO + "    import threading; threading.Thread(target=threading.Event().wait).start()\n"
    replica = bench.serve(source)
    replica.link.close()
    assert replica.status() == 1


def test_drain_does_not_wait_for_stray_threads(bench):
    """The author's thread that never ends does not keep a drained replica alive; exit handlers run."""
    source = ECHO + (
        "    import atexit, threading; threading.Thread(target=threading.Event().wait).start()\n"
        "    atexit.register(print, 'bye')\n"
    )
    replica = bench.serve(source)
    assert replica.drain() == 0
    assert replica.output("stdout") == "bye\n"


def test_rubbish_from_the_server_ends_the_replica(bench):
    """A link that cannot be understood is given up, with the reason in the log."""
    replica = bench.serve(ECHO)
    replica.link.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert replica.receive() is None
    assert replica.status() == 1
    assert "unknown kind" in replica.output("stderr")


def test_thread_pools_are_sized_before_the_import(bench):
    """`threads` wins; the environment of the spec reaches the author's code."""
    source = """
        import os, sojourn
        SEEN = [os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "SOJOURN_FN_X")]

        @sojourn.function(threads=3)
        def seen(items: list[int]) -> list[list[str]]:
            return [SEEN for _ in items]
    """
    os.environ["SOJOURN_FN_X"] = "1"  # only for the describe process, which imports the module too
    os.environ["MKL_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "9"
    try:
        replica = bench.serve(source, environment={"SOJOURN_FN_X": "here"})
    finally:
        for name in ("SOJOURN_FN_X", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
            del os.environ[name]
    assert replica.run(b"0").bodies == [b'["3","3","here"]']
