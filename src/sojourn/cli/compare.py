"""`sojourn compare`: policies side by side on the same arrivals, with intervals, verdicts and the limits of all policies."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console

from sojourn.cli.compare_options import StudyBar, agree, split_list, study_options, wide_console
from sojourn.cli.compare_view import page_of, print_comparison
from sojourn.cli.options import rate as read_rate
from sojourn.cli.output import refuse_other_files
from sojourn.cli.run_view import write_page
from sojourn.cli.simulate_options import Asked, Rates
from sojourn.cli.simulate_scenario import scenario_of
from sojourn.config.policies import policy_text, read_batching, read_keepalive, read_scaling
from sojourn.domain.function import FunctionManifest
from sojourn.domain.policy import BATCHING_BY_NAME, KEEPALIVE_BY_NAME, SCALING_BY_NAME, FixedReplicas
from sojourn.domain.wording import counted
from sojourn.errors import ConfigurationError
from sojourn.launcher.describe import describe
from sojourn.report.compare_page import render
from sojourn.study.compare import Case, compared
from sojourn.study.runs import Runs
from sojourn.workload.spec import ArrivalSpec, arrivals_listed, parse_arrivals

CASES_MAX: Final = 20_000
_INTERRUPTED, _ERROR = 130, 1
_DESCRIBE_S = 60.0
_REPLACED: Final = ("batching", "scaling", "replicas", "keepalive", "arrivals_text", "rate")


class Workload(msgspec.Struct, frozen=True):
    """One kind of traffic of a comparison."""

    name: str
    text: str
    spec: ArrivalSpec
    rate_per_s: float | None


class Choice(msgspec.Struct, frozen=True):
    """One combination of policies; None is what the function says itself."""

    name: str
    batching: Any = None
    scaling: Any = None
    keepalive: Any = None


@click.command()
@study_options(
    click.option(
        "--batching",
        multiple=True,
        metavar="POLICIES",
        help=f"With commas between them (repeatable), parameters if need be: {', '.join(BATCHING_BY_NAME)}.",
    ),
    click.option(
        "--scaling",
        multiple=True,
        metavar="POLICIES",
        help=f"As above: {', '.join(SCALING_BY_NAME)}.",
    ),
    click.option("--replicas", multiple=True, metavar="N[,N]", help="Also pools that always have N replicas."),
    click.option("--keepalive", multiple=True, metavar="POLICIES", help=f"As above: {', '.join(KEEPALIVE_BY_NAME)}."),
    click.option(
        "--arrivals",
        "arrivals_text",
        multiple=True,
        metavar="KIND",
        help=f"One of {arrivals_listed()}, with parameters if need be (repeatable) [poisson].",
    ),
    click.option("--rate", multiple=True, metavar="PER_SECOND[,...]", help="Mean arrival rates, each with each KIND."),
    replaced=_REPLACED,
)
def compare(**given: Any) -> int:
    r"""Compare policies on the functions of TARGET (a Python file or module), or on a modelled one, in virtual time.

    Every combination of --batching, --scaling (with --replicas) and --keepalive runs on every combination of --arrivals
    and --rate, once per seed. Under the same seed all policies see the same arrivals. Figures are means with 95 %
    confidence intervals; a policy is called worse than the best only with evidence. Beside them stand the limits that no
    policy can pass.

    \b
    sojourn compare --model 0.0005,0.005,0.1 --slo "99% < 100ms" --batching slo,window,latency --replicas 1 \
        --arrivals poisson --arrivals bursty --rate 800 --html out.html

    Ctrl-C ends it; what is done until then is printed, marked as partial.

    Exit codes: 0 good, 1 error or nothing was run, 2 wrong usage, 130 interrupted.
    """
    try:
        cases, remarks = cases_of(given)
    except ConfigurationError as err:
        raise click.UsageError(str(err)) from err
    jobs = min(given["jobs"], len(cases))
    agree(cases[0].scenario, len(cases), jobs, is_agreed=given["yes"], what="a comparison")
    with StudyBar(Console(stderr=True), "comparing") as bar, Runs(jobs, bar.show) as runs:
        outcomes = runs.run([case.scenario for case in cases])
    comparison = compared(cases, outcomes)
    slo = next((each.settings.slo for each in cases[0].scenario.functions if each.settings.slo), None)
    page = page_of(comparison, title="Comparison of policies", slo=slo, setting=_setting(cases), remarks=remarks)
    if given["html"] is not None:
        write_page(given["html"], render(page))
    if given["as_json_"]:
        fields = msgspec.to_builtins(comparison)
        fields |= {"slo": str(slo) if slo else None, "is_partial": comparison.is_partial, "remarks": list(remarks)}
        sys.stdout.buffer.write(msgspec.json.encode(fields) + b"\n")
        sys.stdout.buffer.flush()
    else:
        print_comparison(wide_console(), comparison, page)
        if given["html"] is not None:
            click.echo(f"report: {given['html']}")
    if comparison.is_partial:
        return _INTERRUPTED
    return 0 if comparison.runs_done else _ERROR


def cases_of(given: dict[str, Any]) -> tuple[list[Case], tuple[str, ...]]:
    """All runs of a comparison, workload by workload and seed by seed, and what its user should be told.

    Raises:
        click.UsageError: Options do not go together.
        ConfigurationError: One of them cannot be read.
    """
    manifests = described(given["target"])
    choices, workloads = _choices(given), _workloads(given)
    count = len(choices) * len(workloads) * given["seeds"]
    if count > CASES_MAX:
        raise click.UsageError(f"these are {count:,} runs; ask for at most {CASES_MAX:,} at a time")
    fixed = {name: value for name, value in given.items() if name in Asked.__struct_fields__}
    cases: list[Case] = []
    remarks: dict[str, None] = {}
    for workload, seed in product(workloads, range(given["seed"], given["seed"] + given["seeds"])):
        for choice in choices:
            asked = Asked(
                **fixed
                | {"batching": choice.batching, "scaling": choice.scaling, "keepalive": choice.keepalive}
                | {"arrivals": workload.spec, "arrivals_text": workload.text, "rate": Rates(workload.rate_per_s)}
                | {"seed": seed, "replicas": None}
            )
            composed = scenario_of(asked, manifests)
            remarks.update(dict.fromkeys(composed.remarks))
            cases.append(Case(workload.name, choice.name, seed, composed.scenario))
    return cases, tuple(remarks)


def described(target: str | None) -> Sequence[FunctionManifest]:
    """What a target declares; nothing without one."""
    if target is None:
        return ()
    refuse_other_files(target)
    return asyncio.run(describe(target, _DESCRIBE_S))


def _choices(given: dict[str, Any]) -> list[Choice]:
    batching: list[Any] = [read_batching(text) for text in split_list(given["batching"])]
    scaling: list[Any] = [read_scaling(text) for text in split_list(given["scaling"])]
    scaling += [FixedReplicas(replicas=_whole(text)) for text in split_list(given["replicas"])]
    keepalive: list[Any] = [read_keepalive(text) for text in split_list(given["keepalive"])]
    choices = [
        Choice(_name(batching, scaling, keepalive, *combination), *combination)
        for combination in product(batching or [None], scaling or [None], keepalive or [None])
    ]
    unique = {choice.name: choice for choice in choices}
    return list(unique.values())


def _name(
    batching: Sequence[Any], scaling: Sequence[Any], keepalive: Sequence[Any], one: Any, two: Any, three: Any
) -> str:
    """What tells a combination from the others: the policies of those kinds that have several."""
    kinds = ((batching, one, ""), (scaling, two, ""), (keepalive, three, "keep "))
    varied = [
        f"{prefix}{_short(spec)}" for several, spec, prefix in kinds if len(several) > 1 or (several and not prefix)
    ]
    return " + ".join(varied) or "as declared"


def _short(spec: Any) -> str:
    return counted(spec.replicas, "replica") if isinstance(spec, FixedReplicas) else policy_text(spec)


def _whole(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise click.UsageError(f"--replicas must be whole numbers in [1, 10000], not {text!r}")
    return int(text)


def _workloads(given: dict[str, Any]) -> list[Workload]:
    try:
        rates: list[float | None] = [read_rate(text) for text in split_list(given["rate"])]
    except click.BadParameter as err:
        raise click.UsageError(f"--rate: {err}") from err
    workloads = []
    for text, rate_per_s in product(given["arrivals_text"] or ("poisson",), rates or [None]):
        spec = parse_arrivals(text)
        shown = f"trace:{Path(text.partition(':')[2]).name}" if text.startswith("trace:") else text
        name = shown if rate_per_s is None else f"{shown} {rate_per_s:g}/s"
        workloads.append(Workload(name, text, spec, rate_per_s))
    return list({workload.name: workload for workload in workloads}.values())


def _setting(cases: Sequence[Case]) -> str:
    """What all runs have in common, in a line."""
    scenario = cases[0].scenario
    names = [each.settings.name for each in scenario.functions]
    who = names[0] if len(names) == 1 else f"{len(names)} functions"
    service = scenario.functions[0].service
    times = f"{service.beta_s * 1e3:g} ms + {service.alpha_s * 1e3:g} ms per item" if len(names) == 1 else ""
    noise = f", noise {service.sigma:g}" if service.sigma and times else ""
    return ", ".join(part for part in (who, times + noise, f"{scenario.duration_s:g} s of arrivals") if part)
