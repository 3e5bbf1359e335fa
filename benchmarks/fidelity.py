"""Does the simulator tell what a real server does? The same arrivals, live and in virtual time, side by side.

An emulated accelerator (5 ms + 0.5 ms x b, noise 10 %, b <= 32, 99 % < 50 ms) is measured three times: by `sojourn profile` on a
machine that is idle otherwise; by the journal of a server under other traffic, whose batches hold what a busy server adds; and by
`sojourn profile --journal` of both. All make modelled replicas. Then Poisson arrivals, bursts and a ramp go to a real server with real processes, and to the
simulator; and a step to a server that scales. A shared machine is faster in one minute than in the next, so that each run is
simulated once more with replicas made from its own journal: what is off then is the simulator's alone. Compared are the share in time, p50 and p99 as the server counts them (until an
answer is handed to the transport), the mean batch and the replica time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

import harness
import msgspec

from sojourn.cli.http_call import admin_json, call
from sojourn.cli.replica_use import replica_use
from sojourn.client.server_process import ServerProcess
from sojourn.config.profile_file import read_profile
from sojourn.core.controller import Controller
from sojourn.core.dispatcher import Dispatcher
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import parse_slo
from sojourn.domain.resources import Resources
from sojourn.loadgen.options import LoadOptions
from sojourn.loadgen.result import summarize
from sojourn.loadgen.run import run_load
from sojourn.loadgen.target import parse_target
from sojourn.policy.batching.catalogue import batching_policy
from sojourn.report.statistics import LatencyQuantiles
from sojourn.sim.driver import Simulation
from sojourn.sim.from_profile import service_of
from sojourn.sim.machines import Machines
from sojourn.sim.replay import service_of as service_of_journal
from sojourn.sim.replica import ColdStart, ModelledService
from sojourn.telemetry.journal_file import read_journal
from sojourn.workload.arrivals import on_off, poisson, steps

ALPHA_S, BETA_S, JITTER, BATCH_MAX = 0.0005, 0.005, 0.1, 32
OBJECTIVE = parse_slo("99% < 50ms")
LEAD_S = 5.0  # a server is ready before the load begins
BAR = 0.10
ATTEMPTS_MAX = 4
JOURNAL = ("--journal-steps", "1000000")
OWN = "own journal"


class Shape(NamedTuple):
    """One kind of arrivals; `replicas` is the ceiling, and where it is above 1 the function scales by itself."""

    name: str
    replicas: int = 1

    def arrivals_s(self, duration_s: float, seed: int) -> list[float]:
        """Instants, the same for both."""
        rng = Random(f"{self.name} {seed}")  # noqa: S311 - repeatable
        if self.name == "poisson":
            return list(poisson(900.0, duration_s, rng))
        if self.name == "bursts":
            return list(on_off(450.0, duration_s, rng, on_share=0.4, period_s=2.0, phases="fixed"))
        if self.name == "ramp":
            pieces = 10
            return list(steps([(100.0 + 1200.0 * piece / pieces, duration_s / pieces) for piece in range(pieces)], rng))
        return list(steps([(200.0, duration_s / 3), (2000.0, duration_s / 3), (200.0, duration_s / 3)], rng))


SHAPES = (Shape("poisson"), Shape("bursts"), Shape("ramp"), Shape("step, scaling", 4))


class Seen(NamedTuple):
    """What one side came to."""

    within: float
    p50_s: float
    p99_s: float
    batch_mean: float
    replica_seconds: float


def measured_service(budget_s: float, folder: Path, journal: Path | None = None) -> ModelledService:
    """What `sojourn profile` finds out about the accelerator, on the server's core, and from a server's journal."""
    data = folder / "item.json"
    data.write_text('{"id": 1}\n')
    output = folder / "accelerator.profile.json"
    command = [
        *harness.pinned(harness.SERVER_CORE), sys.executable, "-m", "sojourn.cli.main", "profile",
        f"{harness.EXAMPLES / 'accelerator.py'}:accelerator",
        "--data", str(data), "--budget", f"{budget_s:g}s", "--output", str(output), "--json",
        *(["--journal", str(journal)] if journal is not None else []),
    ]  # fmt: skip
    subprocess.run(command, env={**os.environ, **environment(1)}, check=True, stdout=subprocess.DEVNULL)
    return service_of(read_profile(output), largest=BATCH_MAX)


def keep_journal(server: ServerProcess, path: Path) -> None:
    """Write down what the server did."""
    path.write_bytes(call("GET", server.admin_url, "/api/v1/functions/accelerator/journal", timeout_s=60.0).body)


def journalled(path: Path, start_phases: ColdStart | None) -> ModelledService:
    """What the journal of a server tells of its batches; cold starts are those given."""
    return msgspec.structs.replace(service_of_journal(read_journal(path)), start_phases=start_phases)


def busy_journal(path: Path) -> None:
    """Write down the journal of a server under other traffic."""
    rng = Random("calibration")  # noqa: S311 - repeatable
    arrivals_s = steps([(rate, 2.0) for rate in (200.0, 1200.0, 500.0, 1000.0, 300.0, 800.0)], rng)
    with harness.start_server("accelerator.py", environment(1), JOURNAL) as server:
        run_load(
            parse_target(f"{server.url}/functions/accelerator"),
            list(arrivals_s),
            lambda index: b'{"id":%d}' % index,
            options=LoadOptions(connections_max=10_000),
        )
        keep_journal(server, path)


def environment(replicas: int) -> dict[str, str]:
    """The accelerator's variables."""
    return {
        "SOJOURN_FN_ALPHA_S": str(ALPHA_S),
        "SOJOURN_FN_BETA_S": str(BETA_S),
        "SOJOURN_FN_JITTER": str(JITTER),
        "SOJOURN_FN_MAX_BATCH": str(BATCH_MAX),
        "SOJOURN_FN_SLO": str(OBJECTIVE),
        "SOJOURN_FN_MAX_REPLICAS": str(replicas),
    }


class Live(NamedTuple):
    """A run of a real server, and its replicas as its journal tells of them."""

    seed: int
    seen: Seen
    service: ModelledService


def live(shape: Shape, duration_s: float, seed: int, start_phases: ColdStart | None, folder: Path) -> Live | None:
    """A real server under these arrivals; None if the load generator was never on time."""
    journal = folder / "own.journal"
    for _ in range(ATTEMPTS_MAX):
        with harness.start_server("accelerator.py", environment(shape.replicas), JOURNAL) as server:
            before = replica_use(server.admin_url, "accelerator")
            run = run_load(
                parse_target(f"{server.url}/functions/accelerator"),
                shape.arrivals_s(duration_s, seed),
                lambda index: b'{"id":%d}' % index,
                options=LoadOptions(connections_max=10_000),
            )
            use = replica_use(server.admin_url, "accelerator").since(before)
            told = admin_json(server.admin_url, "/api/v1/functions/accelerator")["latency_s"]
            keep_journal(server, journal)
        service = journalled(journal, start_phases)
        result = summarize(run, duration_s=duration_s, slo=OBJECTIVE)
        if not result.void:
            seen = Seen(
                result.within_slo or 0.0,
                told["p50"] or 0.0,
                told["p99"] or 0.0,
                result.batch_size_mean or 0.0,
                use.replica_seconds,
            )
            return Live(seed, seen, service)
        print(f"{shape.name}: void, again: {result.void_reason}", file=sys.stderr)
    return None


def simulated(shape: Shape, service: ModelledService, duration_s: float, seed: int) -> Seen:
    """The same arrivals in virtual time."""
    settings = FunctionSettings(
        name="accelerator", slo=OBJECTIVE, max_batch_size=BATCH_MAX, max_replicas=shape.replicas, cpus=0.1
    )
    machine = Resources(2.0, 0.0, 2**40)
    simulation = Simulation(
        Dispatcher(settings, batching_policy(settings.batching)),
        Controller(Random(seed), machine),  # noqa: S311 - repeatable
        service,
        Random(seed),  # noqa: S311 - as above
        machines=Machines([machine]),
    )
    result = simulation.run([LEAD_S + at_s for at_s in shape.arrivals_s(duration_s, seed)])
    told = LatencyQuantiles.of(sorted(result.latencies_s))
    return Seen(
        result.within_share, told.p50 or 0.0, told.p99 or 0.0, result.batch_size_mean, result.replica_seconds - LEAD_S
    )


def row_of(label: str, seen: Seen) -> list[str]:
    """A line of the table."""
    return [
        label, f"{seen.within:.4f}", f"{seen.p50_s * 1e3:.1f} ms", f"{seen.p99_s * 1e3:.1f} ms", f"{seen.batch_mean:.1f}",
        f"{seen.replica_seconds:.1f}",
    ]  # fmt: skip


def middle(rows: Sequence[Seen]) -> Seen:
    """The median of each figure."""
    return Seen(*(median(row[field] for row in rows) for field in range(len(Seen._fields))))


def off(one: float, other: float) -> float:
    """How far the simulated figure is from the live one, as a share of the live one."""
    return abs(other - one) / one if one else abs(other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=20.0, help="seconds of each run")
    parser.add_argument(
        "--runs", type=int, default=3, help="runs of each shape, with other arrivals; medians are compared"
    )
    parser.add_argument("--budget", type=float, default=30.0, help="seconds for the profile")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results instead of results/local")
    options = parser.parse_args()
    harness.pin_this_process()
    with tempfile.TemporaryDirectory() as folder:
        compare(options, Path(folder))


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Measure, run live and simulate, print what came of it and write it down."""
    busy = folder / "busy.journal"
    busy_journal(busy)
    idle = measured_service(options.budget, folder)
    models = {
        "profile": idle,
        "profile --journal": measured_service(options.budget, folder, busy),
        "journal": journalled(busy, idle.start_phases),
    }
    for name, service in models.items():
        times = [service.mean_s(size) * 1e3 for size in (1, 8, 16)]
        print(f"{name}: batches of 1, 8, 16 take {', '.join(f'{time:.2f}' for time in times)} ms", file=sys.stderr)
    rows, results = [], []
    for shape in SHAPES:
        runs = [live(shape, options.duration, seed, idle.start_phases, folder) for seed in range(1, options.runs + 1)]
        lives = [run for run in runs if run is not None]
        if not lives:
            print(f"{shape.name}: the load generator was never on time; nothing can be said", file=sys.stderr)
            continue
        one = middle([run.seen for run in lives])
        rows.append(row_of(f"{shape.name}, live", one))
        result: dict[str, object] = {"shape": shape.name, "live": one._asdict()}
        for name in (*models, OWN):
            other = middle(
                [simulated(shape, models.get(name, run.service), options.duration, run.seed) for run in lives]
            )
            distance = {field: off(getattr(one, field), getattr(other, field)) for field in Seen._fields}
            result[name] = {"simulated": other._asdict(), "off": distance}
            rows.append(row_of(f"  by {name}", other))
            rows.append(["    off by", *(f"{distance[field]:.1%}" for field in Seen._fields)])
        results.append(result)
    harness.print_table(["arrivals", "in time", "p50", "p99", "mean batch", "replica-s"], rows)
    for name in (*models, OWN):
        worst = {
            field: max((row[name]["off"][field] for row in results if row["shape"] != SHAPES[-1].name), default=0.0)  # type: ignore[index]
            for field in ("within", "p99_s")
        }
        print(
            f"{name}: poisson, bursts and ramp: in time off by at most {worst['within']:.1%}, p99 {worst['p99_s']:.1%} "
            f"(bar: {BAR:.0%})"
        )
    kept = {"objective": str(OBJECTIVE), "duration_s": options.duration, "runs": options.runs, "shapes": results}
    print(f"written: {harness.save('fidelity', json.loads(json.dumps(kept)), keep=options.keep)}")


if __name__ == "__main__":
    main()
