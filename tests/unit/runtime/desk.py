"""A function's service at a desk: callers who write down what they hear, replicas that answer when told, a clock set by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps

from sojourn.core.admission import QueueBounds
from sojourn.domain.event import ReplicaLeased
from sojourn.domain.function import FunctionManifest, FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import BATCHING_BY_NAME
from sojourn.domain.request import Fault
from sojourn.runtime.service import FunctionService
from sojourn.telemetry.journal import Journal
from sojourn.telemetry.meter import FunctionMeter
from sojourn.telemetry.trace_store import TraceStore
from sojourn.wire.message import ContentKind, Done, ItemFault

PROMISED = SLO(0.1)


class Listener:
    """A caller that writes down what it hears."""

    trace = None

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.timing = b""

    def name(self) -> str:
        return f"r{id(self)}"

    def outbox(self) -> None:
        return None

    def answer(self, body: bytes, kind: ContentKind, timing: bytes) -> None:
        self.heard.append(body)
        self.timing = timing

    def refuse(
        self, fault: Fault, message: str, status: int = 0, retry_after_s: float = 0.0, timing: bytes = b""
    ) -> None:
        self.heard.append((fault, status))
        self.timing = timing


class Link:
    """A replica that keeps what it is sent until the story has it answer."""

    def __init__(self, replica_id: int) -> None:
        self.replica_id = replica_id
        self.batches: list[tuple[int, int]] = []
        self.messages: list[object] = []
        self.dropped = ""

    def run(self, batch_id: int, bodies: list[bytes], kinds: bytes) -> None:
        self.batches.append((batch_id, len(bodies)))

    def send(self, message: object) -> None:
        self.messages.append(message)

    def drop(self, cause: str) -> None:
        self.dropped = cause


class Owner:
    """Whoever runs the service; it is told of replicas, and does nothing about them."""

    def lease_returned(self, replica_id: int) -> None: ...

    def demand_reported(self, report: object) -> None: ...

    def replica_suspected(self, suspect: object) -> None: ...

    def objective_infeasible(self, function: str, why: str) -> None: ...

    def cause_of(self, function: str) -> str:
        return ""


class Desk:
    """A service with replicas, at an instant of the story's choice."""

    def __init__(
        self,
        replicas: int = 1,
        *,
        queue: int = 100,
        batch: int = 4,
        slo: SLO | None = PROMISED,
        now_s: float = 100.0,
        batching: str = "latency",
    ) -> None:
        self.now_s = now_s
        self.look_s = 0.0  # what each look at the clock takes
        settings = FunctionSettings(
            name="f",
            slo=slo,
            max_batch_size=batch,
            timeout_s=1.0,
            start_timeout_s=5.0,
            batching=BATCHING_BY_NAME[batching],
        )
        self.traces = TraceStore()
        self.meter = FunctionMeter("f", "r", (0.1, 1.0), has_objective=slo is not None)
        self.service = FunctionService(
            FunctionManifest(target="app.py", attribute="f", settings=settings, revision="r"),
            self.meter,
            QueueBounds(requests=queue),
            Journal(100),
            Owner(),
            self.traces,
            clock=self._clock,
        )
        self.links: dict[int, Link] = {}
        for number in range(1, replicas + 1):
            self.lease(number)

    def _clock(self) -> float:
        self.now_s += self.look_s
        return self.now_s

    def lease(self, number: int) -> None:
        """A replica is ready from now on."""
        self.service.links[number] = self.links[number] = Link(number)
        self.service.happened(ReplicaLeased(number))

    def submit(self, body: bytes = b"1", client_timeout_s: float | None = None) -> tuple[Listener, int]:
        caller = Listener()
        return caller, self.service.submit(caller, body, ContentKind.JSON, 1, client_timeout_s)

    def answer(self, link: Link, faults: list[ItemFault] | None = None) -> None:
        batch_id, size = link.batches[-1]
        self.service.batch_done(link, done(batch_id, size, faults))

    @property
    def counted(self) -> dict[str, int]:
        """Requests that ended, by outcome; those that never happened are left out."""
        return {outcome: count for outcome, count in self.meter.snapshot().requests.items() if count}

    @property
    def objective(self) -> tuple[int, int]:
        """How many met the objective, of how many that count."""
        return self.meter.slo_good, self.meter.slo_events


def done(batch_id: int, size: int, faults: list[ItemFault] | None = None) -> Done:
    return Done(batch_id, 0.0, 0.0, 0.0, 0.0, [b"r%d" % place for place in range(size)], b"", faults or [])


def answer_all(desk: Desk, link: Link, took_s: float = 0.0) -> None:
    """The replica answers what it has, after so long."""
    desk.now_s += took_s
    batch_id, size = link.batches[-1]
    at_s = desk.now_s
    bodies = [b"r"] * size
    desk.service.batch_done(link, Done(batch_id, at_s - took_s, at_s - took_s, at_s, at_s, bodies, b"", []))


def on_a_loop(story: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Run a story where timers can be armed; none is waited for."""

    @wraps(story)
    def test(*args: object, **kwargs: object) -> None:
        asyncio.run(story(*args, **kwargs))

    return test
