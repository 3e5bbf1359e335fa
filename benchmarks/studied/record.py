"""What the study keeps of its runs: one row per policy in a place, with each figure seed by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from sojourn.sim.scenario import Scenario
from sojourn.study.outcome import RunOutcome
from sojourn.study.runs import Runs
from sojourn.study.statistics import MeanInterval, confidence_of_each, mean_interval, paired_difference

_DIGITS = 5


class Trial(NamedTuple):
    """One run to do.

    Args:
        place: What the policies are compared on, such as (model, replicas, noise, workload).
        policy: Who is tried.
        seed: Of the run.
        scenario: The run.
        facts: What a table should know besides.
    """

    place: tuple[str, ...]
    policy: str
    seed: int
    scenario: Scenario
    facts: dict[str, float]


class Row(msgspec.Struct, frozen=True):
    """A policy in a place over its seeds.

    Args:
        place: As of the trials.
        policy: Likewise.
        seeds: Those that were run.
        figures: Values by the figure's name, in the order of the seeds; None where a run does not know it.
    """

    place: tuple[str, ...]
    policy: str
    seeds: list[int]
    figures: dict[str, list[float | None]]

    def known(self, figure: str) -> list[float]:
        """The values of a figure that are known."""
        return [value for value in self.figures.get(figure, []) if value is not None]

    def mean(self, figure: str) -> float:
        """Its mean; not a number if it is never known."""
        values = self.known(figure)
        return sum(values) / len(values) if values else float("nan")

    def interval(self, figure: str) -> MeanInterval:
        """Its mean with the confidence interval."""
        return mean_interval(self.known(figure))


Fact = str | int | float


class Book(msgspec.Struct):
    """All rows of the study by part, and how it was made.

    Args:
        parts: Rows by the part's name.
        facts: By part: lengths, seeds, traces, time it took.
        partial: Parts that were interrupted.
    """

    parts: dict[str, list[Row]] = msgspec.field(default_factory=dict)
    facts: dict[str, dict[str, Fact]] = msgspec.field(default_factory=dict)
    partial: list[str] = msgspec.field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Book:
        """What was kept; empty if nothing was."""
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.is_file() else cls()

    def write(self, path: Path) -> None:
        """Keep it, a row per line, so that a change shows which rows changed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        encode = msgspec.json.encode
        parts = ",\n".join(
            f"{encode(name).decode()}: [\n" + ",\n".join(encode(row).decode() for row in rows) + "\n]"
            for name, rows in self.parts.items()
        )
        facts, partial = encode(self.facts).decode(), encode(self.partial).decode()
        text = f'{{"facts": {facts},\n"partial": {partial},\n"parts": {{\n{parts}\n}}}}\n'
        whole = path.with_suffix(".new")
        whole.write_text(text)
        whole.replace(path)


def figures_of(outcome: RunOutcome) -> dict[str, float | None]:
    """What is kept of a run."""
    total, limits = outcome.total, outcome.limits
    used = total.utilization
    return {
        "sent": float(total.sent),
        "within": total.within_slo,
        "goodput": total.goodput_per_s,
        "p99": total.latency_s.p99,
        "batch": total.batch_size_mean,
        "busy": None if used is None else used * total.replica_seconds / total.duration_s,
        "cost": total.replica_seconds,
        "starts": float(total.cold_starts),
        "most": limits.on_time_most / total.duration_s if limits else None,
        "least": limits.replica_seconds_least if limits else None,
        "least_held": limits.replica_seconds_objective if limits else None,
    }


def rows_of(trials: Sequence[Trial], outcomes: Sequence[RunOutcome | None]) -> list[Row]:
    """The rows of what was run, in the order of the trials."""
    rows: dict[tuple[tuple[str, ...], str], Row] = {}
    for trial, outcome in zip(trials, outcomes, strict=True):
        if outcome is None:
            continue
        row = rows.setdefault((trial.place, trial.policy), Row(trial.place, trial.policy, [], {}))
        row.seeds.append(trial.seed)
        for name, value in (figures_of(outcome) | trial.facts).items():
            row.figures.setdefault(name, []).append(None if value is None else float(f"{value:.{_DIGITS}g}"))
    return list(rows.values())


def tried(runs: Runs, trials: Sequence[Trial]) -> list[Row]:
    """Run them; after an interruption only whole rows and those seeds that are done are in the answer."""
    return rows_of(trials, runs.run([trial.scenario for trial in trials]))


def by_place(rows: Iterable[Row]) -> dict[tuple[str, ...], dict[str, Row]]:
    """Rows by place and policy, in their order."""
    places: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        places.setdefault(row.place, {})[row.policy] = row
    return places


class Gap(NamedTuple):
    """How far a policy is from the best of its place.

    Args:
        place: Where.
        best: Who is best by the mean.
        ratio: The policy's mean goodput over that of the best.
        is_sure: Whether the interval of the paired difference, corrected for the number of policies, excludes zero.
    """

    place: tuple[str, ...]
    best: str
    ratio: float
    is_sure: bool


def gap_of(policies: dict[str, Row], policy: str, figure: str = "within", among: Callable[[str], bool] = bool) -> Gap:
    """Compare a policy with the best on the seeds that all have run."""
    others = {name: row for name, row in policies.items() if name == policy or among(name)}
    seeds = set.intersection(*(set(row.seeds) for row in others.values()))
    values = {
        name: [value or 0.0 for seed, value in zip(row.seeds, row.figures[figure], strict=True) if seed in seeds]
        for name, row in others.items()
    }
    best = max(values, key=lambda name: sum(values[name]))
    own, top = sum(values[policy]), sum(values[best])
    confidence = confidence_of_each(len(values) - 1)
    is_sure = (
        best != policy and len(seeds) > 1 and paired_difference(values[policy], values[best], confidence).is_below(0.0)
    )
    return Gap(policies[policy].place, best, own / top if top else 1.0, is_sure)
