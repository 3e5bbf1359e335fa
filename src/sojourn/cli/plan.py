"""`sojourn plan`: the smallest pool for a traffic, the largest traffic of a pool, and what more traffic costs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, Final

import click
import msgspec
from rich.console import Console

from sojourn.cli.compare import described
from sojourn.cli.compare_options import StudyBar, agree, study_options, wide_console
from sojourn.cli.plan_view import Answer, page_of, print_plan
from sojourn.cli.run_view import write_page
from sojourn.cli.simulate_estimate import expected_requests
from sojourn.cli.simulate_options import Asked, Rates, start_duration
from sojourn.cli.simulate_scenario import scenario_of
from sojourn.domain.function import FunctionManifest
from sojourn.domain.objective import SLO
from sojourn.domain.policy import FixedReplicas
from sojourn.domain.scaling import REPLICAS_MAX
from sojourn.errors import ConfigurationError
from sojourn.report.axis import duration_text
from sojourn.report.plan_page import render
from sojourn.sim.scenario import Scenario
from sojourn.study.outcome import RunOutcome
from sojourn.study.plan import Plan, Planner, fewest_replicas, points_of_a_pool_search, points_of_a_rate_search
from sojourn.study.runs import Runs
from sojourn.study.statistics import CONFIDENCE
from sojourn.workload.spec import parse_arrivals

_NOT_FOUND, _INTERRUPTED = 3, 130
_MOST: Final = 1000
_TIMES_MAX: Final = 12
_SETTLING_S: Final = 1.0
_SEEDS_MIN: Final = 2
_LOOKED_AHEAD_MAX: Final = 3_000_000  # requests over all seeds, which are kept in memory for it
_RunAll = Callable[[Sequence[Scenario]], list[RunOutcome | None]]


@click.command()
@study_options(
    click.option(
        "--find",
        type=click.Choice(["pool", "rate"]),
        default="pool",
        show_default=True,
        help="The smallest pool for --rate, or the largest rate for --replicas.",
    ),
    click.option("--replicas", type=click.IntRange(1, REPLICAS_MAX), metavar="N", help="The pool, with --find rate."),
    click.option("--times", metavar="N[,N]", help="Also for so many times the traffic, such as 1,2,5,10."),
    click.option(
        "--transient",
        type=start_duration,
        metavar="DURATION",
        help="Requests that arrive before this are served but not counted [a cold start and a second, at most a quarter].",
    ),
    replaced=("replicas", "transient"),
)
def plan(**given: Any) -> int:
    r"""Find the smallest pool that holds the objective of TARGET (a Python file or module), or of a modelled function.

    Pools are of a fixed size, or with --scaling POLICY at most of that size. Each size runs once per seed; it counts as
    holding only if the whole 95 % confidence interval of the attainment reaches the objective.

    \b
    sojourn plan --model 0.0005,0.005,0.1 --slo "99% < 100ms" --rate 3000
    sojourn plan --model 0.0005,0.005,0.1 --slo "99% < 100ms" --rate 3000 --times 1,2,5,10 --html plan.html
    sojourn plan --model 0.0005,0.005,0.1 --slo "99% < 100ms" --find rate --replicas 4

    Ctrl-C ends it; what was looked at until then is printed, marked as partial.

    Exit codes: 0 found, 1 error, 2 wrong usage, 3 nothing holds the objective, 130 interrupted.
    """
    try:
        question = Question(given)
        question.agree(is_agreed=given["yes"])
        question.look_ahead()
    except ConfigurationError as err:
        raise click.UsageError(str(err)) from err
    with StudyBar(Console(stderr=True), "planning") as bar, Runs(min(given["jobs"], given["seeds"]), bar.show) as runs:
        answers = question.answers(runs.run)
    page = page_of(
        answers,
        slo=question.slo,
        setting=question.setting,
        remarks=question.remarks,
        seeds=given["seeds"],
        confidence=CONFIDENCE,
    )
    if given["html"] is not None:
        write_page(given["html"], render(page))
    if given["as_json_"]:
        fields = {
            "slo": str(question.slo),
            "find": given["find"],
            "confidence": CONFIDENCE,
            "seeds": question.seeds,
            "transient_s": question.transient_s,
            "is_partial": any(answer.plan.is_partial for answer in answers),
            "answers": [msgspec.to_builtins(answer) for answer in answers],
            "remarks": list(question.remarks),
        }
        sys.stdout.buffer.write(msgspec.json.encode(fields) + b"\n")
        sys.stdout.buffer.flush()
    else:
        print_plan(wide_console(), page)
        if given["html"] is not None:
            click.echo(f"report: {given['html']}")
    if any(answer.plan.is_partial for answer in answers):
        return _INTERRUPTED
    return 0 if all(answer.plan.chosen is not None for answer in answers) else _NOT_FOUND


class Question:
    """What is asked for, read once.

    Args:
        given: Options by name.

    Raises:
        click.UsageError: Options do not go together, or something is missing.
        ConfigurationError: One of them cannot be read.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self._manifests: Sequence[FunctionManifest] = described(given["target"])
        self._finds_pool = given["find"] == "pool"
        self.seeds = list(range(given["seed"], given["seed"] + given["seeds"]))
        if given["seeds"] < _SEEDS_MIN:
            raise click.UsageError("one seed has no interval, and so no verdict: --seeds 2 or more")
        self._times = _times(given["times"])
        self._refuse_contradictions()
        fields = {name: value for name, value in given.items() if name in Asked.__struct_fields__}
        self._asked = Asked(
            **fields | {"arrivals": parse_arrivals(given["arrivals_text"]), "seed": self.seeds[0], "transient": 0.0}
        )
        trace = self._asked.arrivals.trace
        if trace is not None:
            # More traffic of the same shape: requests are repeated or left out, time is not stretched.
            spec = msgspec.structs.replace(
                self._asked.arrivals, values={**self._asked.arrivals.values, "scale": "rate"}
            )
            duration_s = self._asked.duration or trace.duration_s
            self._asked = msgspec.structs.replace(self._asked, arrivals=spec, duration=duration_s)
        self._rate_per_s = self._base_rate()
        composed = scenario_of(msgspec.structs.replace(self._asked, rate=Rates(self._rate_per_s)), self._manifests)
        self.remarks = composed.remarks
        self.slo = self._objective(composed.scenario)
        self.transient_s = _transient_s(composed.scenario, given["transient"])
        self._most = given["max_replicas"] or _MOST
        self._fewest: dict[float, int | None] = {}
        function = composed.scenario.functions[0]
        self._cores_each = function.settings.cpus
        self._capacity_per_s = function.service.capacity_per_s(function.settings.largest_batch, given["replicas"] or 1)
        self.setting = (
            f"{function.settings.name}, {given['arrivals_text']}, {composed.scenario.duration_s:g} s of arrivals, "
            + (f"the first {duration_text(self.transient_s)} not counted" if self.transient_s else "all counted")
        )

    def agree(self, *, is_agreed: bool) -> None:
        """Ask before long work. Of several searches the longest counts for each: the estimate is rather too high."""
        if self._finds_pool:
            times = max(self._times)
            typical = self._scenario_at(self._about(times), times * self._rate_per_s, self.seeds[0])
            points = sum(points_of_a_pool_search(self._about(each)) for each in self._times)
        else:
            typical = self._scenario_at(self._given["replicas"], self._capacity_per_s, self.seeds[0])
            points = points_of_a_rate_search()
        jobs = min(self._given["jobs"], len(self.seeds))
        agree(typical, points * len(self.seeds), jobs, is_agreed=is_agreed, what="a plan")

    def look_ahead(self) -> None:
        """The pools below which no policy can hold the objective: where searches begin. Not for very many requests."""
        for times in self._times if self._finds_pool else ():
            rate_per_s = times * self._rate_per_s
            scenarios = [self._scenario_at(1, rate_per_s, seed) for seed in self.seeds]
            if expected_requests(scenarios[0]) * len(scenarios) <= _LOOKED_AHEAD_MAX:
                self._fewest[times] = fewest_replicas(scenarios, self.slo.objective, self._most)

    def _about(self, times: float) -> int:
        """Replicas that the work alone keeps busy in full batches."""
        return min(max(ceil(times * self._rate_per_s / self._capacity_per_s), 1), self._most)

    def answers(self, run_all: _RunAll) -> list[Answer]:
        """Search."""
        planner = Planner(self._scenario_at, self.slo.objective, self.seeds, run_all)
        if not self._finds_pool:
            found = planner.largest_rate(self._given["replicas"], about_per_s=float(f"{self._capacity_per_s:.4g}"))
            return [Answer(find="rate", times=1.0, plan=found, fewest_replicas=None, cores_each=self._cores_each)]
        return [self._pool_answer(planner, times) for times in self._times]

    def _pool_answer(self, planner: Planner, times: float) -> Answer:
        rate_per_s, fewest = times * self._rate_per_s, self._fewest.get(times, 0)
        if fewest is None:
            remark = (
                f"no policy can hold the objective with up to {self._most} replicas: one request alone may be too slow, or the "
                "traffic too much (--max-replicas allows larger pools)"
            )
            found = Plan(rate_per_s=rate_per_s, replicas=None, chosen=None, curve=[], remarks=[remark])
        else:
            found = planner.smallest_pool(
                rate_per_s,
                impossible=max(fewest - 1, 0),
                about=self._about(times) if not fewest else 1,
                most=self._most,
            )
        return Answer(find="pool", times=times, plan=found, fewest_replicas=fewest or None, cores_each=self._cores_each)

    # ---- reading

    def _scenario_at(self, replicas: int, rate_per_s: float, seed: int) -> Scenario:
        asked = msgspec.structs.replace(self._asked, rate=Rates(rate_per_s), seed=seed, transient=self.transient_s)
        if asked.scaling is None or isinstance(asked.scaling, FixedReplicas):
            asked = msgspec.structs.replace(asked, scaling=None, replicas=replicas, max_replicas=replicas)
        else:
            asked = msgspec.structs.replace(asked, replicas=None, max_replicas=replicas)
        if asked.min_replicas is not None and asked.min_replicas > replicas:
            asked = msgspec.structs.replace(asked, min_replicas=replicas)
        return scenario_of(asked, self._manifests).scenario

    def _refuse_contradictions(self) -> None:
        given, faults = self._given, []
        if self._finds_pool and given["replicas"] is not None:
            faults.append("--replicas N is the pool whose largest traffic is looked for: add --find rate")
        if not self._finds_pool and given["replicas"] is None:
            faults.append("--find rate: say of which pool, --replicas N")
        if not self._finds_pool and given["times"] is not None:
            faults.append("--times multiplies --rate, which --find rate looks for")
        if given["rate"].by_name:
            faults.append("a plan is for one function: --rate PER_SECOND, without a name")
        if faults:
            raise click.UsageError("; ".join(faults))

    def _base_rate(self) -> float:
        given, trace = self._asked.rate.each_per_s, self._asked.arrivals.trace
        if given is not None:
            return given
        if trace is not None:
            return trace.mean_rate_per_s * float(self._asked.arrivals.values["share"])
        if not self._finds_pool:
            return 1.0  # replaced by what is looked for
        raise click.UsageError("say how much traffic there is: --rate 200 (requests per second)")

    def _objective(self, scenario: Scenario) -> SLO:
        if len(scenario.functions) != 1:
            names = ", ".join(each.settings.name for each in scenario.functions[:8])
            raise click.UsageError(f"a plan is for one function, and these are {names}; pick one with --function NAME")
        slo = scenario.functions[0].settings.slo
        if slo is None:
            raise click.UsageError('say what is promised: --slo "99% < 100ms"')
        return slo


def _transient_s(scenario: Scenario, given_s: float | None) -> float:
    """What is not counted at the beginning: a pool that stands is planned for, not one that is being started."""
    if given_s is not None:
        return given_s
    service = scenario.functions[0].service
    phases = service.start_phases
    start_s = service.cold_start_s
    if phases is not None:
        start_s = phases.spawn_s + phases.import_s + phases.load_s + phases.warm_up_s
    return min(start_s + _SETTLING_S, scenario.duration_s / 4)


def _times(text: str | None) -> list[float]:
    if text is None:
        return [1.0]
    try:
        times = sorted({float(part) for part in text.split(",")})
    except ValueError:
        times = []
    if not times or not all(0 < each <= 1e6 for each in times) or len(times) > _TIMES_MAX:
        raise click.UsageError(f"--times: write up to {_TIMES_MAX} numbers > 0 such as 1,2,5,10, not {text!r}")
    return times
