"""The tables of the study as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from math import isnan

from studied import scaling
from studied.findings import BEHIND, NEAR_BOUND, doubled, front, gaps, of_bound, standings
from studied.models import MODELS
from studied.record import Row, by_place, gap_of
from studied.workloads import WORKLOADS

from sojourn.study.statistics import MeanInterval, mean_interval

_NONE = "-"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns, the first to the left and the others to the right."""
    marks = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, marks, *rows)) + "\n"


def number(value: float, digits: int = 3) -> str:
    """A figure, or a dash if it is not known."""
    return _NONE if isnan(value) else f"{value:.{digits}f}"


def spread(interval: MeanInterval, digits: int = 3, scale: float = 1.0) -> str:
    """A mean with half the width of its interval."""
    told = f"{interval.mean * scale:.{digits}f}"
    return told if interval.low is None else f"{told} ± {interval.half_width * scale:.{digits}f}"


def place_text(place: Sequence[str]) -> str:
    """A place of the batching part in words."""
    model, replicas, noise, workload = place
    return f"{model}, n = {replicas}, noise {noise}, {workload}"


def models() -> str:
    """The models and what their replicas can do."""
    return table(
        ["model", "time of a batch of b", "capacity with n = 1 [1/s]", "n = 4 [1/s]", "stands for"],
        [
            [
                model.name,
                f"{model.beta_s * 1e3:g} + {model.alpha_s * 1e3:g} b ms",
                f"{model.capacity_per_s(1):.0f}",
                f"{model.capacity_per_s(4):.0f}",
                model.about,
            ]
            for model in MODELS.values()
        ],
    )


def shapes() -> str:
    """The workloads of the batching part."""
    return table(
        ["workload", "arrivals (rates as shares of the pool's capacity)"],
        [[workload.name, workload.about] for workload in WORKLOADS],
    )


def ranks(rows: Sequence[Row]) -> str:
    """How each policy stands over all places."""
    return table(
        ["policy", "mean of the best's goodput", "least", "where", f"more than {BEHIND:.0%} behind"],
        [
            [
                f"**{each.policy}**" if each.policy == "slo" else each.policy,
                number(each.mean),
                number(each.least),
                place_text(each.where),
                f"{each.behind} of {each.places}",
            ]
            for each in standings(rows)
        ],
    )


def by_workload(rows: Sequence[Row]) -> str:
    """Mean share of the best's goodput, by workload and policy, over models, pools and noises."""
    places = by_place(rows)
    policies = list(dict.fromkeys(row.policy for row in rows))
    lines = []
    for workload in dict.fromkeys(place[3] for place in places):
        here = [found for place, found in places.items() if place[3] == workload]
        means = [
            sum(gap_of(found, policy).ratio for found in here if policy in found) / len(here) for policy in policies
        ]
        best = max(means)
        lines.append([workload, *(f"**{mean:.3f}**" if mean >= best - 5e-4 else number(mean) for mean in means)])
    return table(["workload", *policies], lines)


def default_everywhere(rows: Sequence[Row], policy: str = "slo") -> str:
    """The default's share of the best's goodput in each place; bold where it is more than 3 % behind."""
    found = {gap.place: gap.ratio for gap in gaps(rows, policy)}
    pools = list(dict.fromkeys(place[:3] for place in found))
    lines = []
    for workload in dict.fromkeys(place[3] for place in found):
        cells = []
        for pool in pools:
            ratio = found.get((*pool, workload), float("nan"))
            cells.append(f"**{ratio:.3f}**" if ratio < 1.0 - BEHIND else number(ratio))
        lines.append([workload, *cells])
    heads = [f"{model} n={replicas} {noise}" for model, replicas, noise in pools]
    return table(["workload", *heads], lines)


def shortfalls(rows: Sequence[Row], policy: str = "slo") -> str:
    """Each place where the default is more than 3 % behind."""
    places = by_place(rows)
    behind = sorted((gap for gap in gaps(rows, policy) if gap.ratio < 1.0 - BEHIND), key=lambda gap: gap.ratio)
    return table(
        ["place", "in time", "best", "in time", "ratio", "sure"],
        [
            [
                place_text(gap.place),
                spread(places[gap.place][policy].interval("within")),
                gap.best,
                spread(places[gap.place][gap.best].interval("within")),
                number(gap.ratio),
                "yes" if gap.is_sure else "no",
            ]
            for gap in behind
        ],
    )


def twice(rows: Sequence[Row], policy: str = "slo") -> str:
    """The default at twice the capacity; bold where it misses 0.95 of a bound."""

    def cell(value: float) -> str:
        return number(value) if value >= NEAR_BOUND else f"**{value:.3f}**"

    return table(
        [
            "pool",
            "of the study's bound",
            "of n b / l(b), staggered",
            "of n b / l(b), alone",
            "best policy",
            "it, of the bound",
        ],
        [
            [
                f"{each.model}, n = {each.replicas}, noise {each.noise:g}",
                cell(each.of_bound),
                cell(each.of_staggered),
                cell(each.of_alone),
                each.best,
                number(each.best_of_bound),
            ]
            for each in doubled(rows, policy)
        ],
    )


def habits(rows: Sequence[Row], workload: str, noise: str, replicas: str) -> str:
    """How policies differ where all is calm: latency, batches, busy replicas."""
    places = by_place(rows)
    policies = list(dict.fromkeys(row.policy for row in rows))
    models = [model for model in MODELS if (model, replicas, noise, workload) in places]
    lines = []
    for policy in policies:
        cells = [policy]
        for model in models:
            row = places[model, replicas, noise, workload][policy]
            cells += [
                number(row.mean("within")),
                number(row.mean("p99") * 1e3, 0),
                number(row.mean("batch"), 1),
                number(row.mean("busy"), 2),
            ]
        lines.append(cells)
    heads = [f"{model}: {what}" for model, what in product(models, ("in time", "p99 [ms]", "batch", "busy"))]
    return table(["policy", *heads], lines)


def all_batching(rows: Sequence[Row], model: str) -> str:
    """Everything of a model's places."""
    lines = []
    for place, policies in by_place(rows).items():
        if place[0] != model:
            continue
        best = gap_of(policies, "slo").best
        for row in policies.values():
            shares = of_bound(row)
            lines.append([
                f"n = {place[1]}, noise {place[2]}, {place[3]}",
                f"**{row.policy}**" if row.policy == best else row.policy,
                spread(row.interval("within")),
                spread(row.interval("goodput"), 1),
                spread(mean_interval(shares)) if shares else _NONE,
                number(row.mean("p99") * 1e3, 0),
                number(row.mean("batch"), 1),
                number(row.mean("busy"), 2),
            ])  # fmt: skip
    heads = ["place", "policy", "in time", "goodput [1/s]", "of the bound", "p99 [ms]", "batch", "busy replicas"]
    return table(heads, lines)


def scaled(policies: dict[str, Row]) -> str:
    """All policies in one place of the scaling part."""
    on_front = front(policies)
    lines = []
    for row in policies.values():
        least = row.mean("least_held")
        fixed = f"fixed ({row.mean('fixed'):.0f})" if row.policy == "fixed" else row.policy
        lines.append([
            f"**{fixed}**" if row.policy in on_front else fixed,
            spread(row.interval("within").clipped(0.0, 1.0), 4),
            spread(row.interval("cost"), 0),
            number(row.mean("cost") / row.mean("least"), 2),
            number(row.mean("cost") / least, 2),
            number(row.mean("starts"), 1),
        ])  # fmt: skip
    heads = ["policy", "in time", "replica time [s]", "x least for as many", "x least for 99 %", "cold starts"]
    return table(heads, lines)


def scaling_ranks(rows: Sequence[Row]) -> str:
    """Attainment and replica time of each rule in each place, with the default keep-alive."""
    lines = []
    names = ["slo", "concurrency", "ongoing", "utilization", "rps", "fixed"]
    for place, policies in by_place(rows).items():
        cells = [f"{place[0]}, {place[2]}, start {place[1]} s"]
        for name in names:
            row = policies.get(name) or policies.get(f"{name}, adaptive")
            cells.append(_NONE if row is None else f"{row.mean('within'):.4f} / {row.mean('cost'):,.0f}")
        lines.append(cells)
    return table(["place", *names], lines)


def place_title(place: Sequence[str]) -> str:
    """A place of the scaling part in words."""
    model, cold_start_s, workload = place
    found = next((each for each in scaling.PLACES if each.name == tuple(place)), None)
    rate = f", {found.rate_per_s:.3g}/s on the mean" if found is not None and found.rate_per_s else ""
    return f"{model}, {workload}{rate}, cold start {cold_start_s} s"
