"""An async function's replica: many batches at once, each answered when it is done."""

from sojourn.wire.message import Cancel, Done, Drain, Fatal, Ping, Run

LOGS = "; `sojourn logs {}` has the traceback"
GATES = """
    import asyncio, sojourn

    GATES = {}

    @sojourn.function(batchable=False, concurrency=8)
    class Gate:
        def __init__(self):
            asyncio.get_running_loop()  # there is one, for clients that need it

        async def __call__(self, item: dict) -> dict:
            gate = GATES.setdefault(item["gate"], asyncio.Event())
            if item.get("open"):
                gate.set()
            elif item.get("raise"):
                raise KeyError("gate")
            elif item.get("cancel itself"):
                raise asyncio.CancelledError
            else:
                await gate.wait()
            return item

        async def close(self):
            print("closed")
"""


def gate(name, **more):
    """Body of an item for GATES."""
    fields = "".join(f',"{key}":true' for key in more)
    return b'{"gate":"%s"%s}' % (name.encode(), fields.replace("_", " ").encode())


def codes(done):
    """Codes of the faults."""
    return [fault.code for fault in done.faults]


def test_batches_overlap_and_are_answered_when_done(bench):
    """Two calls wait for a third that comes later: without concurrency nothing would ever be answered."""
    replica = bench.serve(GATES)
    replica.send(Run(1, [gate("a")]), Run(2, [gate("b")]))
    assert replica.run(gate("b", open=1), batch_id=3).batch_id in {2, 3}
    assert replica.receive().batch_id in {2, 3}
    assert replica.run(gate("a", open=1), batch_id=4).batch_id in {1, 4}
    done = replica.receive()
    assert done.batch_id in {1, 4}
    assert done.received_at_s <= done.decoded_at_s <= done.called_at_s <= done.encoded_at_s


def test_answers_belong_to_their_batch(bench):
    """Fifty overlapping batches opened in reverse order each bring back their own item."""
    replica = bench.serve(GATES)
    replica.send(*(Run(number, [gate(f"g{number}")]) for number in range(50)))
    replica.send(*(Run(100 + number, [gate(f"g{number}", open=1)]) for number in reversed(range(50))))
    answers = {}
    for _ in range(100):
        done = replica.receive()
        answers[done.batch_id] = done.bodies
    assert answers == {number: [gate(f"g{number}")] for number in range(50)} | {
        100 + number: [gate(f"g{number}", open=1)] for number in range(50)
    }


def test_cancel_stops_the_call_and_frees_its_place(bench):
    """A cancelled batch is answered as such at once; others go on, and its number may be used again."""
    replica = bench.serve(GATES)
    replica.send(Run(1, [gate("a")]), Run(2, [gate("a")]), Cancel(1), Cancel(77))
    assert codes(replica.receive()) == ["client_gone"]
    assert replica.run(gate("x", open=1), batch_id=1).bodies == [gate("x", open=1)]
    replica.send(Run(3, [gate("a", open=1)]))
    assert {replica.receive().batch_id, replica.receive().batch_id} == {2, 3}


def test_a_raising_call_fails_alone(bench):
    """An exception, a CancelledError of the author's own, an invalid item: faults of their batch only."""
    replica = bench.serve(GATES)
    replica.send(Run(1, [gate("a")]))
    done = replica.run(gate("b", **{"raise": 1}), batch_id=2)
    assert done.faults[0].message == "function 'gate' raised KeyError at app.py:16 in __call__" + LOGS.format("gate")
    assert codes(replica.run(gate("b", cancel_itself=1), batch_id=3)) == ["function_raised"]
    assert codes(replica.run(b"[1]", batch_id=4)) == ["item_invalid"]
    assert replica.run(gate("a", open=1), batch_id=5).faults == []
    assert replica.receive().faults == []


def test_ping_is_answered_while_calls_wait(bench):
    """A waiting call does not make the replica look dead."""
    replica = bench.serve(GATES)
    replica.send(Run(1, [gate("a")]), Ping(3))
    assert replica.receive() == Ping(3)


def test_drain_waits_for_the_calls_and_closes(bench):
    """DRAIN lets what runs finish, answers it, awaits close() and exits 0."""
    replica = bench.serve(GATES)
    replica.send(Run(1, [gate("a")]), Drain(), Run(2, [gate("a", open=1)]))
    assert {replica.receive().batch_id, replica.receive().batch_id} == {1, 2}
    assert replica.receive() is None
    assert replica.status() == 0
    assert replica.output("stdout") == "closed\n"


def test_drain_when_idle(bench):
    """Nothing runs: the end comes at once."""
    assert bench.serve(GATES).drain() == 0


def test_sigterm_drains(bench):
    """SIGTERM is as good as DRAIN."""
    replica = bench.serve(GATES)
    replica.process.terminate()
    assert replica.receive() is None
    assert replica.status() == 0
    assert (replica.output("stdout"), replica.output("stderr")) == ("closed\n", "")


def test_end_of_the_link_ends_the_replica_with_calls_in_it(bench):
    """A server that hangs up gets no answer any more; a call that swallows its cancellation does not hold us."""
    replica = bench.serve(GATES)
    replica.send(Run(1, [gate("a")]), Ping(1))
    assert replica.receive() == Ping(1)
    replica.link.close()
    assert replica.status() == 1


def test_rubbish_from_the_server_ends_the_replica(bench):
    """A link that cannot be understood is given up, with the reason in the log."""
    replica = bench.serve(GATES)
    replica.send(Fatal("x", "y"))
    assert replica.receive() is None
    assert replica.status() == 1
    assert "which only a replica may send" in replica.output("stderr")


def test_batches_for_async_functions(bench):
    """An `async def` without batchable=False gets the list; large answers are not cut."""
    source = """
        import sojourn

        @sojourn.function(examples=[1, 2])
        async def repeat(counts: list[int]) -> list[str]:
            return ["x" * count for count in counts]
    """
    replica = bench.serve(source)
    done = replica.run(b"3000000", b"2", b"bad")
    assert type(done) is Done
    assert [len(body) for body in done.bodies] == [3_000_002, 4, 0]
    assert codes(done) == ["malformed"]
    replica.send(Run(2, [b"3000000"]), Drain())
    assert len(replica.receive().bodies[0]) == 3_000_002
    assert replica.receive() is None
    assert replica.status() == 0
