"""What is left when there is too much: goodput, refusals, memory and recovery of a real server past its capacity.

Two emulated accelerators (examples/accelerator.py, b <= 32, one replica). The fast one takes 5 ms + 0.5 ms x b under
an objective of 50 ms, so it can do 1,523/s; it gets 1, 1.5 and 2 times that, and a burst. The slow one takes
20 ms + 2 ms x b under 200 ms, 381/s, so that one load generator can send 10 times as much. Arrivals are Poisson,
open-loop. Runs in which the generator itself was late are void and made again.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

import harness

from sojourn.client.server_process import ServerProcess
from sojourn.domain.objective import SLO
from sojourn.domain.request import Outcome
from sojourn.loadgen.generator import LoadRun
from sojourn.loadgen.options import LoadOptions
from sojourn.loadgen.record import OUTCOMES
from sojourn.loadgen.result import summarize
from sojourn.loadgen.run import run_load
from sojourn.loadgen.target import parse_target
from sojourn.report.statistics import quantile
from sojourn.workload.arrivals import poisson, steps

BATCH_MAX = 32
ATTEMPTS_MAX = 4
CONNECTIONS_MAX = 15_000  # at 10 times the capacity all that wait for an answer hold one
SETTLE_S = 5.0  # at 0.5 of capacity, before each run: the server learns and forgets what was before
GOODPUT_BAR, GOODPUT_10X_BAR = 0.95, 0.85
REFUSAL_P99_BAR_S, REFUSAL_COST_BAR = 0.020, 0.015
RECOVERY_BAR_S, RECOVERY_WATCH_S, RECOVERY_SHARE, RECOVERY_IN_A_ROW = 10.0, 20.0, 0.99, 3
BURST = ((300.0, 5.0), (1200.0, 2.0), (300.0, 5.0))  # requests per second, seconds
BURST_BAR = 0.999
PAGE_KB = 4


class Device(NamedTuple):
    """An emulated accelerator and its objective."""

    alpha_s: float
    beta_s: float
    slo: SLO

    @property
    def capacity_per_s(self) -> float:
        """Requests per second in full batches."""
        return BATCH_MAX / (self.beta_s + self.alpha_s * BATCH_MAX)

    def serve(self) -> ServerProcess:
        """A server of it; enter it to start it."""
        environment = {
            "SOJOURN_FN_ALPHA_S": str(self.alpha_s),
            "SOJOURN_FN_BETA_S": str(self.beta_s),
            "SOJOURN_FN_MAX_BATCH": str(BATCH_MAX),
            "SOJOURN_FN_SLO": str(self.slo),
        }
        return harness.start_server("accelerator.py", environment)


FAST = Device(0.0005, 0.005, SLO(latency_s=0.05, objective=0.99))
SLOW = Device(0.002, 0.020, SLO(latency_s=0.2, objective=0.99))


class Run(NamedTuple):
    """What one valid run came to; `processor_s` is the server's, `rss_kb` its largest."""

    load: float
    goodput_share: float
    within: float
    outcomes: dict[str, int]
    statuses: dict[str, int]
    served_s_p99: float | None
    refused_s_p50: float | None
    refused_s_p90: float | None
    refused_s_p99: float | None
    processor_s: float
    rss_kb: int
    per_second: list[float]

    @property
    def served(self) -> int:
        """Requests answered with a result, in time or late."""
        return self.outcomes[Outcome.SERVED.value]

    @property
    def turned_away(self) -> int:
        """Requests that got no result: refused at once, or given up after waiting."""
        return sum(self.outcomes.values()) - self.served


class Bench:
    """Runs against one server; each has its own seed."""

    def __init__(self, device: Device, server: ServerProcess) -> None:
        self._device = device
        self._target = parse_target(f"{server.url}/functions/accelerator")
        self._pid = server.pid
        self._seeds = itertools.count(1)
        self.voids = 0

    def at(self, load: float, duration_s: float) -> Run | None:
        """A run at `load` times the capacity."""
        rate_per_s = load * self._device.capacity_per_s
        return self._valid(f"{load:g} x capacity", load, duration_s, lambda rng: poisson(rate_per_s, duration_s, rng))

    def through(self, name: str, pieces: Sequence[tuple[float, float]]) -> Run | None:
        """A run at rates that change in steps."""
        duration_s = sum(seconds for _, seconds in pieces)
        mean_per_s = sum(rate_per_s * seconds for rate_per_s, seconds in pieces) / duration_s
        return self._valid(name, mean_per_s / self._device.capacity_per_s, duration_s, lambda rng: steps(pieces, rng))

    def _valid(
        self, name: str, load: float, duration_s: float, arrivals: Callable[[Random], Iterable[float]]
    ) -> Run | None:
        """A run that is not void, or None after several that were."""
        for _ in range(ATTEMPTS_MAX):
            rng = Random(next(self._seeds))  # noqa: S311 - arrivals are no secret
            self._send(poisson(0.5 * self._device.capacity_per_s, SETTLE_S, rng))
            before_s = harness.processor_s(self._pid)
            log, rss_kb = self._send(arrivals(rng))
            processor_s = harness.processor_s(self._pid) - before_s
            result = summarize(log, duration_s=duration_s, slo=self._device.slo)
            if result.void:
                self.voids += 1
                print(f"{name}: void, again: {result.void_reason}", file=sys.stderr)
                continue
            run = Run(
                load=load,
                goodput_share=result.goodput_per_s / self._device.capacity_per_s,
                within=result.within_slo or 0.0,
                outcomes=result.outcomes,
                statuses={str(status): count for status, count in sorted(log.log.statuses.items())},
                served_s_p99=result.latency_s.p99,
                **_refusal_quantiles(log),
                processor_s=processor_s,
                rss_kb=rss_kb,
                per_second=_within_per_second(log, duration_s, self._device.slo.latency_s),
            )
            print(f"{name}: goodput {run.goodput_share:.3f} of capacity, {run.statuses}", file=sys.stderr)
            return run
        print(f"{name}: {ATTEMPTS_MAX} runs in a row were void; left out", file=sys.stderr)
        return None

    def _send(self, arrivals: Iterable[float]) -> tuple[LoadRun, int]:
        peak_kb = _resident_kb(self._pid)

        def look(_: LoadRun) -> None:
            nonlocal peak_kb
            peak_kb = max(peak_kb, _resident_kb(self._pid))

        options = LoadOptions(connections_max=CONNECTIONS_MAX)
        return run_load(self._target, arrivals, _body, options=options, on_progress=look), peak_kb


def recovery_s(per_second: list[float], from_s: int) -> float:
    """Seconds after `from_s` until attainment is back for three seconds in a row; infinite if it never is."""
    for start in range(from_s, len(per_second) - RECOVERY_IN_A_ROW + 1):
        if min(per_second[start : start + RECOVERY_IN_A_ROW]) >= RECOVERY_SHARE:
            return float(start - from_s)
    return float("inf")


def refusal_cost_s(served_alone: Run, overloaded: Run) -> tuple[float, float]:
    """Processor time of the server per served request and per one turned away, in seconds.

    What a served request costs is taken from a run in which nearly all were served; of an overloaded run the
    rest is divided among those turned away. Neither is below the 10 ms in which the kernel counts.
    """
    each_s = served_alone.processor_s / max(served_alone.served, 1)
    rest_s = overloaded.processor_s - overloaded.served * each_s
    return each_s, rest_s / max(overloaded.turned_away, 1)


def _fast(options: argparse.Namespace) -> tuple[dict[str, list[Run | None]], int]:
    """Runs on the fast accelerator by name, and how many were void."""
    with FAST.serve() as server:
        bench = Bench(FAST, server)
        runs = {
            f"{load:g}x": [bench.at(load, options.duration) for _ in range(options.runs)] for load in (1.0, 1.5, 2.0)
        }
        runs["burst"] = [bench.through("burst", BURST) for _ in range(options.runs)]
    return runs, bench.voids


def _slow(options: argparse.Namespace) -> tuple[dict[str, list[Run | None]], int]:
    """Runs on the slow accelerator by name, and how many were void."""
    capacity = SLOW.capacity_per_s
    fall = ((10 * capacity, options.recovery_after), (0.5 * capacity, RECOVERY_WATCH_S))
    with SLOW.serve() as server:
        bench = Bench(SLOW, server)
        runs = {
            f"slow {load:g}x": [bench.at(load, options.duration) for _ in range(options.runs)] for load in (0.8, 1, 10)
        }
        runs["recovery"] = [bench.through("10x, then 0.5x", fall) for _ in range(options.runs)]
    return runs, bench.voids


def _rows(runs: dict[str, list[Run]], recovery_from_s: int) -> tuple[list[list[str]], dict[str, object]]:
    """The table's rows and the same figures by name."""
    figures: dict[str, object] = {}
    rows = []
    for name in ("1x", "1.5x", "2x", "slow 1x", "slow 10x"):
        bar = {"2x": GOODPUT_BAR, "slow 10x": GOODPUT_10X_BAR}.get(name)
        share = _median(run.goodput_share for run in runs[name])
        figures[f"goodput_share_{name}"] = share
        rows.append([f"{name}: goodput", _show(share, "{:.3f} of capacity"), f">= {bar}" if bar else ""])
        rows.append([f"{name}: outcomes (first run)", _outcomes(runs[name]), ""])
        for what, which in (("served", "p99"), ("refused", "p50"), ("refused", "p99")):
            value_s = _median(getattr(run, f"{what}_s_{which}") for run in runs[name])
            figures[f"{what}_s_{which}_{name}"] = value_s
            limit = f"< {REFUSAL_P99_BAR_S * 1e3:g} ms" if (what, which) == ("refused", "p99") else ""
            rows.append([f"{name}: {which} of {what}", _show(value_s, "{:.1f} ms", 1e3), limit])
    costs = [refusal_cost_s(*pair) for pair in zip(runs["slow 0.8x"], runs["slow 10x"], strict=False)]
    served_s, refused_s = _median(cost[0] for cost in costs), _median(cost[1] for cost in costs)
    service_s = 1 / SLOW.capacity_per_s
    rows += [
        ["server's processor per served request", _show(served_s, "{:.0f} us", 1e6), ""],
        ["server's processor per request turned away at 10x", _show(refused_s, "{:.0f} us", 1e6), ""],
        [
            "  as a share of a served one's time on the accelerator",
            _show(refused_s, "{:.2%}", 1 / service_s),
            f"<= {REFUSAL_COST_BAR:.1%}",
        ],
    ]
    rss_kb = {name: _median(run.rss_kb for run in runs[f"slow {name}"]) for name in ("1x", "10x")}
    rows += [[f"server's memory at {name}, peak", _show(kb, "{:.1f} MiB", 1 / 1024), ""] for name, kb in rss_kb.items()]
    back_s = _median(recovery_s(run.per_second, recovery_from_s) for run in runs["recovery"])
    burst = _median(run.within for run in runs["burst"])
    rows += [
        ["10x, then 0.5x: back to 99 % within", _show(back_s, "{:.0f} s"), f"<= {RECOVERY_BAR_S:g} s"],
        ["burst 300 -> 1,200 -> 300/s: inside", _show(burst, "{:.4f}"), f">= {BURST_BAR}"],
    ]
    figures |= {
        "served_processor_s": served_s,
        "turned_away_processor_s": refused_s,
        "rss_kb_1x": rss_kb["1x"],
        "rss_kb_10x": rss_kb["10x"],
        "recovery_s": None if back_s == float("inf") else back_s,
        "burst_within": burst,
    }
    return rows, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="runs of each, at least 3 for a figure to publish")
    parser.add_argument("--duration", type=float, default=15.0, help="seconds of each run at one load")
    parser.add_argument("--recovery-after", type=float, default=10.0, help="seconds at 10x before the load falls")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    harness.pin_this_process()
    fast, fast_voids = _fast(options)
    slow, slow_voids = _slow(options)
    runs = {name: [run for run in made if run is not None] for name, made in (fast | slow).items()}
    voids = fast_voids + slow_voids
    rows, figures = _rows(runs, round(options.recovery_after))
    harness.print_table(["", "measured", "bar"], rows)
    print(f"void runs made again or left out: {voids}")
    results = {
        "capacity_per_s": {"fast": FAST.capacity_per_s, "slow": SLOW.capacity_per_s},
        **figures,
        "void_runs": voids,
        "runs": {name: [run._asdict() for run in made] for name, made in runs.items()},
    }
    print(f"written: {harness.save('overload', results, keep=options.keep)}")


def _body(index: int) -> bytes:
    return b'{"id":%d}' % index


def _resident_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KB


def _refusal_quantiles(run: LoadRun) -> dict[str, float | None]:
    """From the intended instant to the refusal; the median tells those at the door from those after a wait."""
    shed = OUTCOMES.index(Outcome.SHED)
    columns = zip(run.log.latency_s, run.log.outcome, strict=True)
    ordered = sorted(latency_s for latency_s, outcome in columns if outcome == shed)
    return {f"refused_s_p{round(100 * share)}": quantile(ordered, share) for share in (0.5, 0.9, 0.99)}


def _within_per_second(run: LoadRun, duration_s: float, limit_s: float) -> list[float]:
    """Share inside the objective of the requests of each second; 1 for a second without any."""
    sent, inside = ([0] * round(duration_s) for _ in range(2))
    served = OUTCOMES.index(Outcome.SERVED)
    for at_s, latency_s, outcome in zip(run.log.intended_at_s, run.log.latency_s, run.log.outcome, strict=True):
        second = min(int(at_s), len(sent) - 1)
        sent[second] += 1
        inside[second] += outcome == served and latency_s <= limit_s
    return [good / count if count else 1.0 for good, count in zip(inside, sent, strict=True)]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _show(value: float | None, form: str, factor: float = 1.0) -> str:
    return "-" if value is None else form.format(value * factor)


def _outcomes(runs: list[Run]) -> str:
    if not runs:
        return "void"
    return ", ".join(f"{name} {count:,}" for name, count in runs[0].outcomes.items() if count)


if __name__ == "__main__":
    main()
