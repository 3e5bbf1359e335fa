"""`sojourn replay`: a server's journal in the simulator, step by step, or its traffic under other policies."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from sojourn.cli.fixed_pool import with_room
from sojourn.cli.options import json_option, parse_objective
from sojourn.cli.simulate_options import start_duration
from sojourn.cli.simulate_report import policies_of
from sojourn.cli.simulate_view import Ended, as_json, print_run
from sojourn.config.policies import read_batching, read_scaling
from sojourn.domain.function import FunctionSettings
from sojourn.domain.policy import FixedReplicas
from sojourn.domain.wording import counted
from sojourn.errors import ConfigurationError, SojournError
from sojourn.sim.replay import arrivals_of, service_of
from sojourn.sim.replay import replay as play_again
from sojourn.sim.scenario import Prepared, Scenario, SimulatedFunction, Traffic
from sojourn.telemetry.journal_file import RecordedJournal, read_journal
from sojourn.workload.spec import parse_arrivals

_LEAD_S = 1e-3
_DIFFERS, _OBJECTIVE_MISSED = 1, 3


@click.command()
@click.argument("journal", type=click.Path(path_type=Path))
@click.option("--slo", metavar="TEXT", help="Another objective.")
@click.option("--batching", metavar="POLICY", help="Another batching policy, such as window or fixed:size=8,wait=5ms.")
@click.option("--scaling", metavar="POLICY", help="Another scaling policy, such as concurrency:target=4.")
@click.option("--replicas", type=click.IntRange(1), metavar="N", help="So many replicas all the time.")
@click.option("--cold-start", type=start_duration, metavar="DURATION", default="0s", help="How long starts take [0s].")
@click.option(
    "--traffic", "is_traffic", is_flag=True, help="Simulate with the journal's traffic though nothing is changed."
)
@click.option("--seed", default=1, show_default=True, help="Of the service times.")
@json_option
def replay(
    journal: Path,
    *,
    slo: str | None,
    batching: str | None,
    scaling: str | None,
    replicas: int | None,
    cold_start: float,
    is_traffic: bool,
    seed: int,
    as_json: bool,
) -> int:
    """Play JOURNAL (of `sojourn journal NAME`) again.

    As it is, each recorded event is shown to a fresh dispatcher at its instant, and what it decides is compared with what
    the server decided: nothing in production depends on anything but these. With an option that changes something, or with
    --traffic, its requests and the service times of its batches make a new run, as of `sojourn simulate`.

    Exit codes: 0 good, 1 error or another decision than recorded, 2 wrong usage, 3 objective missed in a new run.
    """
    if replicas is not None and scaling is not None:
        raise click.UsageError("--replicas N is short for --scaling fixed:replicas=N: give one of them")
    try:
        recorded = read_journal(journal)
        changes = _changes(slo, batching, scaling, replicas)
        if is_traffic or changes or cold_start:
            settings = with_room(msgspec.structs.replace(recorded.head.settings, **changes))
            return _run(recorded, settings, cold_start, seed, as_json=as_json)
    except ConfigurationError as err:
        raise click.UsageError(str(err)) from err
    return _play(recorded, as_json=as_json)


def _changes(slo: str | None, batching: str | None, scaling: str | None, replicas: int | None) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if slo is not None:
        changes |= {"slo": parse_objective(slo), "timeout_s": None}
    if batching is not None:
        changes["batching"] = read_batching(batching)
    if scaling is not None:
        changes["scaling"] = read_scaling(scaling)
    if replicas is not None:
        changes["scaling"] = FixedReplicas(replicas=replicas)
    return changes


def _play(recorded: RecordedJournal, *, as_json: bool) -> int:
    try:
        played = play_again(recorded)
    except ConfigurationError as err:
        raise SojournError(f"{err} (`sojourn replay --traffic`)") from err
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(played) + b"\n")
    elif played.differs_at is None:
        click.echo(f"{counted(played.steps, 'step')} played again: every decision is the one recorded")
    else:
        at_s, event, _ = recorded.steps[played.differs_at]
        click.echo(f"step {played.differs_at:,} at {at_s:.6f} s differs, {event}")
        click.echo(f"  recorded: {played.expected}\n  now:      {played.found}")
    return 0 if played.differs_at is None else _DIFFERS


def _run(
    recorded: RecordedJournal, settings: FunctionSettings, cold_start_s: float, seed: int, *, as_json: bool
) -> int:
    arrivals = tuple(arrivals_of(recorded))
    if not arrivals:
        raise ConfigurationError("the journal holds no request")
    scenario = Scenario(
        functions=(
            SimulatedFunction(
                settings=settings,
                service=service_of(recorded, cold_start_s=cold_start_s),
                traffic=Traffic(parse_arrivals("poisson"), recorded=arrivals),
            ),
        ),
        duration_s=arrivals[-1].at_s + _LEAD_S,
        seed=seed,
    )
    prepared, began_s = Prepared(scenario, watches=True), time.perf_counter()
    prepared.go()
    assert prepared.simulation is not None, "a scenario has a function"
    ended = Ended(
        scenario=scenario,
        run=prepared.finished(),
        decisions={name: result.decisions for name, result in prepared.simulation.results.items()},
        is_partial=False,
        wall_s=time.perf_counter() - began_s,
    )
    remarks = (
        ["cold starts take no time here; say how long they do, such as --cold-start 2s"] if not cold_start_s else []
    )
    _tell(ended, settings, remarks, is_json=as_json)
    return _OBJECTIVE_MISSED if ended.run.total.objective_met is False else 0


def _tell(ended: Ended, settings: FunctionSettings, remarks: list[str], *, is_json: bool) -> None:
    if not is_json:
        print_run(Console(), ended, remarks)
        return
    policies = {settings.name: policies_of(ended.scenario.functions[0])}
    sys.stdout.buffer.write(msgspec.json.encode(as_json(ended, policies, remarks)) + b"\n")
