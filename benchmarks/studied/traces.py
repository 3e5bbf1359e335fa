"""Real traffic for the study, and what stands in for it where the recordings are not at hand.

The recordings are not part of the project. They are looked for in `../shared/traces` beside the repository, or where
SOJOURN_TRACES says. Stand-ins are drawn from coarse figures of them (mean rate, day and night, silence, bursts), not
from the recordings themselves; they have the shapes, not the values.
"""

from __future__ import annotations

import os
from array import array
from functools import lru_cache
from math import cos, pi
from pathlib import Path
from random import Random
from typing import NamedTuple

from sojourn.workload.arrivals import steps
from sojourn.workload.draws import poisson_count
from sojourn.workload.modulated import mmpp
from sojourn.workload.recorded import Counts, Instants
from sojourn.workload.spec import ArrivalSpec
from sojourn.workload.trace import Trace, trace_of_instants
from sojourn.workload.trace_file import read_trace

MINUTE_S, DAY_S = 60.0, 86_400.0
TEN_FUNCTIONS = "azure_functions_2019_10f_14d_per_minute.csv"
MANY_FUNCTIONS = "azure_functions_2019_500f_8h.csv"
LLM = "azure_llm_2023_code.csv"
SPARSE_BELOW_PER_MINUTE = 1.0
_STAND_IN_SEED = 2019


class Source(NamedTuple):
    """A trace and where it is from.

    Args:
        name: The recording's file name.
        is_real: Whether it is the recording; else its stand-in.
        trace: The requests.
    """

    name: str
    is_real: bool
    trace: Trace

    @property
    def told(self) -> str:
        """How tables and captions name it."""
        return self.name if self.is_real else f"synthetic stand-in for {self.name}"


def folder() -> Path:
    """Where recordings are looked for."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "traces"
    return Path(os.environ.get("SOJOURN_TRACES", beside))


@lru_cache(maxsize=8)
def source(name: str) -> Source:
    """The recording of this file name, or its stand-in."""
    path = folder() / name
    if path.is_file():
        return Source(name, is_real=True, trace=read_trace(path))
    rng = Random(_STAND_IN_SEED)  # noqa: S311 - arrivals are no secret
    makers = {TEN_FUNCTIONS: _ten_functions, MANY_FUNCTIONS: _many_functions, LLM: _llm}
    return Source(name, is_real=False, trace=makers[name](rng))


def played(trace: Trace, *, scale: str = "time") -> ArrivalSpec:
    """A trace in memory as arrivals, as the text `trace:FILE,scale=...` would play it."""
    return ArrivalSpec("trace", {"share": 1.0, "scale": scale, "within": "uniform", "burst": 2.0}, trace)


def sparse_functions(trace: Trace, count: int, number: int) -> Trace:
    """Some of the functions called less than once a minute, but ten times at least; another choice for each number."""
    minutes = trace.duration_s / MINUTE_S
    listed = sorted(
        (one.requests, name)
        for name, one in trace.functions.items()
        if 10 <= one.requests < SPARSE_BELOW_PER_MINUTE * minutes
    )
    stride = max(len(listed) // count, 1)
    return trace.select([name for _, name in listed[number % stride :: stride][:count]])


class _Habit(NamedTuple):
    """A function's traffic in coarse figures."""

    mean_per_minute: float
    swing: float = 0.0  # of day and night
    on_share: float = 1.0  # of minutes with calls
    stay_minutes: float = 5.0  # mean length of a stretch with calls
    is_timer: bool = False


_HABITS = (
    _Habit(1000.0, swing=0.3),
    _Habit(700.0, swing=0.8),
    _Habit(600.0, swing=0.6),
    _Habit(400.0, swing=0.9),
    _Habit(300.0, swing=0.5, on_share=0.6),
    _Habit(200.0, swing=0.7, on_share=0.4),
    _Habit(230.0),
    _Habit(60.0, is_timer=True),
    _Habit(20.0, on_share=0.11),
    _Habit(6.0, on_share=0.2, stay_minutes=2.0),
)


def _ten_functions(rng: Random) -> Trace:
    days = 14
    functions = {f"f-{number}": _counts(habit, days * 1440, rng) for number, habit in enumerate(_HABITS)}
    return Trace(functions, days * DAY_S)


def _many_functions(rng: Random) -> Trace:
    minutes = 480
    functions = {}
    for number in range(500):
        mean_per_minute = 10 ** rng.uniform(-2.3, 0.8)
        habit = _Habit(mean_per_minute, on_share=min(mean_per_minute, 1.0), stay_minutes=1.5)
        functions[f"f{number:03}"] = _counts(habit, minutes, rng)
    return Trace(functions, minutes * MINUTE_S)


def _llm(rng: Random) -> Trace:
    """Sessions with silence between them, and now and then a few dozens of requests at once."""
    sessions = list(mmpp([0.0, 9.0], [45.0, 15.0], 3400.0, rng))
    bursts = [at_s + 0.02 * copy for at_s in steps([(0.01, 3400.0)], rng) for copy in range(rng.randint(5, 60))]
    return trace_of_instants({"all": Instants(array("d", sorted(sessions + bursts)))})


def _counts(habit: _Habit, minutes: int, rng: Random) -> Counts:
    """Counts per minute: stretches with and without calls (a Markov chain), and within them day, night and chance."""
    leaves = 1.0 / habit.stay_minutes
    comes = leaves * habit.on_share / (1.0 - habit.on_share) if habit.on_share < 1.0 else 1.0
    is_on, counts = rng.random() < habit.on_share, array("I")
    for minute in range(minutes):
        level = 1.0 + habit.swing * cos(2 * pi * (minute / 1440 - 0.6))
        wanted = habit.mean_per_minute * level / habit.on_share * rng.uniform(0.85, 1.15)
        count = round(wanted) if habit.is_timer else poisson_count(wanted, rng)
        counts.append(count if is_on else 0)
        is_on = rng.random() >= leaves if is_on else rng.random() < comes
        is_on = is_on or habit.on_share == 1.0
    return Counts(counts, MINUTE_S)
