"""`sojourn simulate`: a function, its policies and a pool under any traffic, in virtual time."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console

from sojourn.cli.options import report_file
from sojourn.cli.output import refuse_other_files
from sojourn.cli.run_view import write_page
from sojourn.cli.simulate_estimate import ASK_BEYOND_S, Estimate, estimate
from sojourn.cli.simulate_options import Asked, scenario_options
from sojourn.cli.simulate_progress import SimulationBar
from sojourn.cli.simulate_report import policies_of, report_of
from sojourn.cli.simulate_scenario import scenario_of
from sojourn.cli.simulate_view import Ended, as_json, nothing_served, print_run
from sojourn.domain.function import FunctionManifest
from sojourn.errors import ConfigurationError, SojournError
from sojourn.launcher.describe import describe
from sojourn.launcher.machine import machine_resources
from sojourn.report.sim_page import render
from sojourn.sim.scenario import Prepared, Scenario
from sojourn.telemetry.journal_file import JournalHead, write_journal

_ERROR, _OBJECTIVE_MISSED, _INTERRUPTED = 1, 3, 130
_JOURNAL_STEPS = 5_000_000
_MEMORY_SHARE = 0.5
_DESCRIBE_S = 60.0


@click.command()
@scenario_options
@click.option("--json", "as_json_", is_flag=True, help="Print the result as JSON.")
@click.option("--html", type=report_file, metavar="FILE", help="Write a report with plots.")
@click.option(
    "--journal", type=click.Path(path_type=Path), metavar="FILE", help="Write the journal of the one function."
)
@click.option("--yes", is_flag=True, help="Do not ask, however long it will take.")
def simulate(asked: Asked, *, as_json_: bool, html: Path | None, journal: Path | None, yes: bool) -> int:
    """Simulate the functions of TARGET (a Python file or module), or a modelled one, in virtual time.

    The scheduler, the policies and the scaling are those that serve in production; only replicas are modelled: from a
    profile (`sojourn profile`), or as --model says. Nothing of TARGET runs except its import, to read its options, which
    options here replace.

    \b
    sojourn simulate --model 0.0005,0.005 --slo 50ms --rate 800
    sojourn simulate app.py --profile digits.profile.json --arrivals bursty --rate 300 --html out.html

    Ctrl-C ends the run; what was simulated until then is printed, marked as partial.

    Exit codes: 0 good, 1 error or nothing served, 2 wrong usage, 3 objective missed, 130 interrupted.
    """  # noqa: D301 (click reads \b: these lines stay as they are)
    manifests = _described(asked.target) if asked.target is not None else ()
    try:
        composed = scenario_of(asked, manifests)
        expected = estimate(composed.scenario)
    except ConfigurationError as err:
        raise click.UsageError(str(err)) from err
    if journal is not None and journal.exists():
        raise click.UsageError(f"--journal {journal}: there is such a file already, and it would be overwritten")
    if journal is not None and len(composed.scenario.functions) > 1:
        raise click.UsageError("--journal is that of one function; pick one with --function NAME")
    _agree(expected, is_agreed=yes)
    prepared, ended = _run(composed.scenario, charts=html is not None, keeps_journal=journal is not None)
    if journal is not None:
        _write_journal(journal, prepared)
    remarks = (*(("interrupted: partial results",) if ended.is_partial else ()), *composed.remarks)
    if html is not None:
        assert prepared.simulation is not None, "a scenario has a function"
        page = report_of(
            ended,
            prepared.simulation.results,
            title=_title(asked, ended),
            arrivals=asked.arrivals_text,
            remarks=remarks,
        )
        write_page(html, render(page))
    if as_json_:
        policies = {each.settings.name: policies_of(each) for each in composed.scenario.functions}
        sys.stdout.buffer.write(msgspec.json.encode(as_json(ended, policies, remarks, asked.told())) + b"\n")
        sys.stdout.buffer.flush()
        if nothing := nothing_served(ended.run.total):
            click.echo(nothing, err=True)
    else:
        print_run(Console(), ended, remarks)
        if html is not None:
            click.echo(f"report: {html}")
    return _exit_code(ended)


def _described(target: str) -> Sequence[FunctionManifest]:
    refuse_other_files(target)
    return asyncio.run(describe(target, _DESCRIBE_S))


def _agree(expected: Estimate, *, is_agreed: bool) -> None:
    """Go on only if the run fits into memory, and if it takes long only with its user's word.

    Raises:
        SojournError: It does not fit, or the user said no.
        click.UsageError: There is nobody to ask.
    """
    has_bytes = machine_resources().memory_bytes
    if expected.memory_bytes > _MEMORY_SHARE * has_bytes:
        raise SojournError(
            f"this run is too large: {expected.text()}, and it would need about {expected.memory_bytes / 2**30:,.1f} GiB of "
            f"memory where this machine has {has_bytes / 2**30:,.1f}; shorten it (--duration), lower the --rate, or take a "
            "share of a trace (trace:FILE,share=0.1)"
        )
    if expected.time_s <= ASK_BEYOND_S or is_agreed:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"this run would be a long one, {expected.text()}; say --yes to run it, or ask for less")
    if not click.confirm(f"This will be {expected.text()}. Go on?", err=True):
        raise SojournError("nothing was simulated")


def _write_journal(path: Path, prepared: Prepared) -> None:
    """As `sojourn journal` gets it from a server; `sojourn replay` plays it again."""
    kept, settings = prepared.journal, prepared.scenario.functions[0].settings
    assert kept is not None, "it was asked for"
    head = JournalHead(function=settings.name, revision="simulated", settings=settings, dropped=kept.dropped)
    write_journal(path, head, kept.tail(len(kept)))


def _run(scenario: Scenario, *, charts: bool, keeps_journal: bool = False) -> tuple[Prepared, Ended]:
    """Run to the end, or until interrupted."""
    prepared = Prepared(scenario, charts=charts, watches=True, journal_steps=_JOURNAL_STEPS if keeps_journal else 0)
    began_s, is_partial = time.perf_counter(), False
    try:
        with SimulationBar(Console(stderr=True), prepared):
            prepared.go()
    except KeyboardInterrupt:
        is_partial = True
    wall_s = time.perf_counter() - began_s
    assert prepared.simulation is not None, "a scenario has a function"
    results = prepared.simulation.results
    return prepared, Ended(
        scenario=scenario,
        run=prepared.finished(),
        decisions={name: result.decisions for name, result in results.items()},
        is_partial=is_partial,
        wall_s=wall_s,
    )


def _title(asked: Asked, ended: Ended) -> str:
    names = list(ended.run.functions)
    of = Path(asked.target).name if asked.target else names[0] if len(names) == 1 else f"{len(names):,} functions"
    return f"Simulation of {of}"


def _exit_code(ended: Ended) -> int:
    """130 interrupted, 1 nothing served, 3 objective missed, 0 good."""
    if ended.is_partial:
        return _INTERRUPTED
    if nothing_served(ended.run.total):
        return _ERROR
    return _OBJECTIVE_MISSED if ended.run.total.objective_met is False else 0
