"""The arrivals of the batching study by name: shapes at a share of a pool's capacity, and slices of real traffic."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from studied.models import Model
from studied.traces import DAY_S, LLM, MINUTE_S, TEN_FUNCTIONS, played, source

from sojourn.sim.scenario import Traffic
from sojourn.workload.spec import parse_arrivals

TRANSIENT_S = 5.0
SPARSE_PER_S, SPARSE_S = 2.0, 120.0
MINUTES_PER_SECOND = 60.0  # how much faster the per-minute trace is played here
_SLICES = 5


class Span(NamedTuple):
    """How long a run is: a transient that does not count, then what counts."""

    counted_s: float
    transient_s: float = TRANSIENT_S

    @property
    def length_s(self) -> float:
        """Both."""
        return self.counted_s + self.transient_s


Maker = Callable[[float, Span, int], Traffic]


class Workload(NamedTuple):
    """A shape of arrivals.

    Args:
        name: Short.
        about: What arrives.
        load: Mean rate as a share of the pool's capacity; None where the rate is absolute.
        make: Traffic from the mean rate, the run's length and the number of the replication.
        replicas: Pools it is played to.
    """

    name: str
    about: str
    load: float | None
    make: Maker
    replicas: tuple[int, ...] = (1, 4)

    def rate_per_s(self, model: Model, replicas: int) -> float:
        """Mean arrival rate."""
        return SPARSE_PER_S if self.load is None else self.load * model.capacity_per_s(replicas)

    def span(self, counted_s: float) -> Span:
        """Length of a run; sparse arrivals need longer ones."""
        return Span(max(counted_s, SPARSE_S) if self.load is None else counted_s)


def _kind(text: str) -> Maker:
    """Generated arrivals; `{day}`, `{at}` and `{decay}` depend on the length of the run."""

    def made(rate_per_s: float, span: Span, _number: int) -> Traffic:
        at_s, decay_s = span.transient_s + span.counted_s / 4, span.counted_s / 10
        return Traffic(
            parse_arrivals(text.format(day=f"{span.counted_s:g}s", at=f"{at_s:g}s", decay=f"{decay_s:g}s")), rate_per_s
        )

    return made


def _minutes(rate_per_s: float, span: Span, number: int) -> Traffic:
    """The ten functions together: a slice of another day for each replication, a recorded minute in a second."""
    trace = source(TEN_FUNCTIONS).trace
    start_s = (2 * number + 1) % 14 * DAY_S + 9 * 60 * MINUTE_S
    piece = trace.between(start_s, start_s + (int(span.length_s) + 1) * MINUTES_PER_SECOND)
    # More or fewer of them, not stretched: a second stays a recorded minute.
    spec = played(piece.faster(MINUTES_PER_SECOND), scale="rate")
    return Traffic(spec, rate_per_s)


def _llm(rate_per_s: float, span: Span, number: int) -> Traffic:
    """As many of the LLM requests as the run takes, another stretch for each replication, brought to the mean rate."""
    trace = source(LLM).trace
    share = min(rate_per_s * span.length_s / trace.requests, 1.0)
    start_s = (1.0 - share) * (number % _SLICES) / (_SLICES - 1) * trace.duration_s
    piece = trace.between(start_s, start_s + share * trace.duration_s)
    return Traffic(played(piece), rate_per_s)


WORKLOADS = (
    Workload("steady-0.6", "Poisson at 0.6 of capacity", 0.6, _kind("poisson")),
    Workload("steady-0.9", "Poisson at 0.9", 0.9, _kind("poisson")),
    Workload("steady-1.1", "Poisson at 1.1", 1.1, _kind("poisson")),
    Workload("steady-2", "Poisson at twice the capacity", 2.0, _kind("poisson")),
    Workload("on-off", "a third of each second at 1.8, else nothing", 0.6, _kind("bursty:on=0.3333,period=1s")),
    Workload("mmpp", "jumps at random between 0.4 (3 s) and 1.6 (1 s)", 0.7, _kind("mmpp:rates=1/4,stays=3s/1s")),
    Workload("diurnal", "one day in the length of a run, up to 1.2", 0.7, _kind("diurnal:swing=0.8,period={day}")),
    Workload("flash", "0.3, then a jump to 2.3 that decays", 0.5, _kind("flash:peak=8,at={at},decay={decay}")),
    Workload("sparse", f"Poisson at {SPARSE_PER_S:g}/s", None, _kind("poisson")),
    Workload("azure-minutes", "ten Azure functions together, at 0.7 on the mean", 0.7, _minutes),
    Workload("azure-llm", "Azure LLM requests, at 0.6 on the mean", 0.6, _llm, replicas=(1,)),
)
