"""Both clients with real servers and replicas: what users do, overload, restarts, kills, and calls given up."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest

import sojourn
from sojourn import errors

sys.path.insert(0, str(Path(__file__).parent))
from server import PATIENCE_S, Server, wait_until

APP = """
import dataclasses, os, time
import sojourn

HERE = os.path.dirname(os.path.abspath(__file__))

@dataclasses.dataclass
class Point:
    x: float
    y: float

@sojourn.function(max_batch_size=16, min_replicas=1)
def mirror(points: list[Point]) -> list[Point]:
    return [Point(point.y, point.x) for point in points]

@sojourn.function
def total(rows: list[list[float]]) -> list[float]:
    return [sum(row) for row in rows]

@sojourn.function
def sizes(bodies: list[bytes]) -> list[bytes]:
    return [str(len(body)).encode() for body in bodies]

@sojourn.function
def mood(items: list[str]) -> list[str]:
    return [bad(item) if item.startswith("bad") else item for item in items]

def bad(item):
    if item == "bad":
        raise ValueError("no mood")
    return sojourn.ItemError(418, "a teapot") if item == "bad-pot" else {1, object()}

@sojourn.function(slo="99% < 200ms", overload="shed", max_batch_size=1, max_replicas=1)
def crowded(items: list[int]) -> list[int]:
    time.sleep(0.02)
    return items

@sojourn.function(max_batch_size=1, max_replicas=1, timeout_s=60)
def hold(items: list[str]) -> list[str]:
    for item in items:
        open(os.path.join(HERE, item + ".in"), "w").close()
        while not os.path.exists(os.path.join(HERE, item + ".out")):
            time.sleep(0.005)
    return items
"""


@dataclasses.dataclass
class Point:
    x: float
    y: float


SMALL_APP = APP.partition("@sojourn.function")[0] + "@sojourn.function" + APP.rpartition("@sojourn.function")[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("client"), APP) as running:
        yield running


@pytest.fixture
def client(server):
    with sojourn.Client(server.inference.geturl(), server.admin.geturl()) as one:
        yield one


def test_items_and_results_keep_their_types(client):
    """Dataclasses, arrays, bytes and msgpack go in; plain data or the type asked for comes out."""
    assert client.invoke("mirror", Point(1, 2)) == {"x": 2.0, "y": 1.0}
    assert client.invoke("mirror", {"x": 1, "y": 2}, result_type=Point) == Point(2, 1)
    assert client.invoke("total", np.ones(3)) == 3.0
    assert client.invoke("total", [1.5], content_type="application/msgpack") == 1.5
    assert client.invoke("sizes", b"\x00" * 3_000_000) == b"3000000"


def test_a_reply_tells_where_the_time_went(client):
    """Request id, phases in seconds that fit into the latency, the batch; the id finds the request on the server."""
    reply = client.invoke_detailed("mirror", Point(1, 2), request_id="client-1", priority="critical", timeout_s=20)
    assert (reply.request_id, reply.status, reply.attempts) == ("client-1", 200, 1)
    assert reply.batch_size >= 1
    assert {"queue", "service"} <= set(reply.phases_s)
    assert 0 < sum(reply.phases_s.values()) <= reply.latency_s


@pytest.mark.parametrize(
    ("function", "item", "error", "status", "code", "words"),
    [
        ("mirror", {"x": "a", "y": 2}, errors.ItemInvalidError, 422, "item_invalid", "Expected `float`"),
        ("mirror", b"{}", errors.MalformedError, 415, "unsupported_content_type", "does not take raw bytes"),
        ("mood", "bad", errors.FunctionRaisedError, 500, "function_raised", "app.py:30 in bad"),
        ("mood", "bad-set", errors.BadResultError, 500, "bad_result", "cannot be encoded"),
        ("mood", "bad-pot", errors.ItemFailedError, 418, "item_error", "a teapot"),
        ("nobody", 1, errors.NotFoundError, 404, "not_found", "nobody"),
        ("mirror@000000000000", 1, errors.NotFoundError, 404, "not_found", "mirror@000000000000"),
    ],
)
def test_each_failure_has_its_class(client, function, item, error, status, code, words):
    """With the server's own words, status, code and the id of the request."""
    with pytest.raises(error, match=words) as raised:
        client.invoke(function, item, request_id="r-1")
    assert type(raised.value) is error
    assert (raised.value.status, raised.value.code, raised.value.request_id) == (status, code, "r-1")
    assert raised.value.attempts == 1


def test_map_keeps_order_and_failures_in_their_places(client):
    """A thousand items by 32 at once; one that fails is an error where its result would be."""
    assert list(client.map("total", ([float(n)] for n in range(1000)), concurrency=32)) == [
        float(n) for n in range(1000)
    ]
    results = list(client.map("mood", ["a", "bad", "b"], return_errors=True))
    assert [results[0], type(results[1]), results[2]] == ["a", errors.FunctionRaisedError, "b"]


def test_threads_share_a_client(client):
    """Sixteen threads of a hundred calls: each gets its own answers."""

    def talk(thread: int) -> list[float]:
        return [client.invoke("total", [thread, call / 100]) for call in range(100)]

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(talk, range(16))) == [
            [thread + call / 100 for call in range(100)] for thread in range(16)
        ]


def test_the_platform_is_asked_and_told(server, client):
    """Functions, one in full, its objective, events since a number, and other limits of its replicas."""
    assert {function["name"] for function in client.functions()} >= {"mirror", "total", "crowded"}
    revision = client.describe("mirror")["revision"]
    assert client.invoke("mirror", Point(1, 2), revision=revision) == {"x": 2.0, "y": 1.0}
    assert client.slo("crowded")["objective"] is not None
    page = client.events(function="mirror", limit=2)
    assert len(page["events"]) <= 2
    assert client.scale("mirror", max_replicas=3)["name"] == "mirror"
    assert any(event["event"] for event in client.events(since=page["next_since"])["events"])
    with pytest.raises(errors.RequestError, match="min_replicas"):
        client.scale("mirror")
    with pytest.raises(errors.NotFoundError, match="deployed: "):
        client.describe("nobody")
    with sojourn.Client(admin_url=server.inference.geturl()) as lost, pytest.raises(errors.NotFoundError):
        lost.functions()


def test_overload_is_told_as_such(server):
    """Sixty-four at once for a function that serves fifty a second within 200 ms: some are refused, none is lost."""
    once = sojourn.RetryPolicy(attempts_max=1)
    with sojourn.Client(server.inference.geturl(), retry=once) as client:
        for item in range(5):
            client.invoke("crowded", item)
        results = list(client.map("crowded", range(128), concurrency=64, return_errors=True))
    refused = [result for result in results if isinstance(result, errors.ClientError)]
    assert refused
    assert {type(error) for error in refused} == {errors.OverloadedError}
    assert all(error.retry_after_s >= 1 for error in refused)
    assert all(result == item or isinstance(result, errors.OverloadedError) for item, result in enumerate(results))


def test_a_map_slows_down_to_what_the_server_takes(server):
    """Sixty-four at once for a function that serves fifty a second within 200 ms: items come in order, none is lost."""

    def sent() -> int:
        lines = server.ask("/metrics").body.decode().splitlines()
        return sum(
            int(float(line.split()[-1]))
            for line in lines
            if line.startswith('sojourn_requests_total{function="crowded"') and '"cancelled"' not in line
        )

    async def mapped() -> list:
        async with sojourn.AsyncClient(server.inference.geturl()) as client:
            return [r async for r in client.map("crowded", range(80), concurrency=64, return_errors=True)]

    with sojourn.Client(server.inference.geturl()) as client:
        for results in (
            lambda: list(client.map("crowded", range(80), concurrency=64, return_errors=True)),
            lambda: asyncio.run(mapped()),
        ):
            before = sent()
            came = results()
            failed = [result for result in came if isinstance(result, errors.ClientError)]
            assert [result for result in came if result not in failed] == [
                n for n in range(80) if came[n] not in failed
            ]
            assert len(failed) <= 8
            assert {type(error) for error in failed} <= {errors.OverloadedError, errors.ExpiredError}
            assert sent() - before <= 2 * 80 + 64
        assert client.retries_left == sojourn.RetryPolicy().budget_burst


def test_leaving_a_map_early_ends_its_threads(server):
    """Those that wait for their turn, too."""
    with sojourn.Client(server.inference.geturl()) as client:
        with client.map("crowded", range(10_000), concurrency=64) as results:
            next(results)
        threads = [each for each in threading.enumerate() if each.name.startswith("sojourn-map")]
        for thread in threads:
            thread.join(PATIENCE_S)
        assert not any(thread.is_alive() for thread in threads)


def test_a_slow_answer_ends_with_the_time_of_its_call(server, client):
    """The caller is told, with the name its request has on the server."""
    with pytest.raises(errors.ExpiredError) as raised:
        client.invoke("hold", "slow", timeout_s=0.3)
    assert raised.value.request_id
    (server.directory / "slow.out").touch()
    with pytest.raises(errors.ConfigurationError, match="timeout_s"):
        client.invoke("hold", "slow", timeout_s=0)


def test_a_cancelled_call_is_cancelled_on_the_server(server):
    """Its client goes, and the outcome of the request is `cancelled`."""

    def counted() -> float:
        lines = server.ask("/metrics").body.decode().splitlines()
        ours = [line for line in lines if line.startswith('sojourn_requests_total{function="hold"')]
        return sum(float(line.split()[-1]) for line in ours if 'outcome="cancelled"' in line)

    before = counted()

    async def main() -> None:
        async with sojourn.AsyncClient(server.inference.geturl()) as client:
            call = asyncio.create_task(client.invoke("hold", "given-up"))
            await asyncio.to_thread(wait_until, (server.directory / "given-up.in").exists, "the call to run")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.to_thread(wait_until, lambda: counted() == before + 1, "the request to be cancelled")
            (server.directory / "given-up.out").touch()
            assert await client.invoke("total", [1.0]) == 1.0

    asyncio.run(main())


def test_many_tasks_share_an_async_client(server):
    """Five hundred at once over 32 connections, and an asynchronous source mapped."""

    async def source():
        for n in range(300):
            yield [float(n)]

    async def main() -> None:
        async with sojourn.AsyncClient(server.inference.geturl(), server.admin.geturl(), connections=32) as client:
            calls = [client.invoke("total", [float(n)]) for n in range(500)]
            assert await asyncio.gather(*calls) == [float(n) for n in range(500)]
            assert [r async for r in client.map("total", source())] == [float(n) for n in range(300)]
            assert {function["name"] for function in await client.functions()} >= {"mirror"}

    asyncio.run(main())


def test_a_kill_and_a_restart(tmp_path):
    """Who was being served learns that it may have run; who calls meanwhile is served by the next server."""
    (tmp_path / "one").mkdir()
    with Server(tmp_path / "one", SMALL_APP) as first:
        port = str(first.inference.port)
        # Twenty waits of up to half a minute in all probability last longer than any start here.
        patient = sojourn.RetryPolicy(attempts_max=20, backoff_s=0.2, backoff_s_max=4.0, budget_burst=100)
        with sojourn.Client(first.inference.geturl(), retry=patient) as client:
            told: list[BaseException] = []

            def call() -> None:
                try:
                    client.invoke("hold", "killed")
                except errors.ClientError as error:
                    told.append(error)

            thread = threading.Thread(target=call)
            thread.start()
            wait_until((first.directory / "killed.in").exists, "the call to run")
            first.stopped_by_test = True
            first.process.send_signal(signal.SIGKILL)
            first.process.wait(PATIENCE_S)
            thread.join(PATIENCE_S)
            assert [type(error) for error in told] == [errors.ConnectionLostError]
            with ThreadPoolExecutor(1) as threads:
                meanwhile = threads.submit(client.invoke_detailed, "hold", "later")
                (tmp_path / "two").mkdir()
                (tmp_path / "two" / "later.out").touch()
                with Server(tmp_path / "two", SMALL_APP, "--port", port):
                    reply = meanwhile.result(PATIENCE_S)
                    assert reply.result == "later"
                    assert reply.attempts > 1


def test_a_reply_is_plain_data(client):
    """It can be encoded and shown, for logs."""
    assert msgspec.json.decode(msgspec.json.encode(client.invoke_detailed("total", [1.0])))["result"] == 1.0
