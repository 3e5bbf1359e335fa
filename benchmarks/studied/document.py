"""The documents of the study: README.md with what was learnt, full tables beside it, and the plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from studied import plots, tables
from studied.findings import BEHIND, gaps, standings
from studied.models import MODELS, OBJECTIVE
from studied.record import Book, Row, by_place

_LEARNT = Path(__file__).with_name("learnt.md")
_CURVES = (("cpu", 4), ("mid", 4), ("gpu", 4), ("gpu", 1))
_CURVE_NOISE = 0.2


def write(book: Book, folder: Path) -> None:
    """Write all documents into a folder.

    Args:
        book: The figures.
        folder: Made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sections = [_head(book), _LEARNT.read_text()]
    if rows := book.parts.get("batching"):
        sections.append(_batching(rows, book, folder))
    if rows := book.parts.get("scaling"):
        sections.append(_scaling(rows, book, folder))
    if rows := book.parts.get("day"):
        sections.append(_day(rows[0], book))
    sections.append(_sources(book))
    (folder / "README.md").write_text("\n".join(sections))


def _head(book: Book) -> str:
    seeds = "; ".join(f"{part}: {facts['seeds']}" for part, facts in book.facts.items() if "seeds" in facts)
    remark = (
        f"\n**Partial:** {', '.join(book.partial)} was interrupted; what is missing is not shown.\n"
        if book.partial
        else ""
    )
    times = ", ".join(
        f"{part} {took_s / 60:.1f} min"
        for part, facts in book.facts.items()
        if isinstance(took_s := facts.get("processor_s", facts.get("wall_s")), int | float)
    )
    return (
        "# The study: batching and scaling policies compared\n\n"
        "Written by `make study`; do not edit it here. The hand-written part is `benchmarks/studied/learnt.md`, the figures are in\n"
        "`benchmarks/results/study.json`. `make study` takes two processes; `benchmarks/study.py --quick` is a small one for a look.\n"
        f"{remark}\n"
        f"All runs are simulated with the code that serves in production, objective {OBJECTIVE}. Under the same seed all policies see\n"
        'the same arrivals. `±` is half of a 95 % confidence interval over the seeds (Student). "In time" is the share of all requests\n'
        "that came, served within the objective; refused, late and expired ones count as misses. Seeds are not those the constants of\n"
        f"policies were chosen with: {seeds}. Time of one core it took: {times}.\n"
    )


def _batching(rows: Sequence[Row], book: Book, folder: Path) -> str:
    order = [each.policy for each in standings(rows)]
    (folder / "batching-near-best.svg").write_text(plots.strip(rows, order))
    curves = []
    present = {row.place[:3] for row in rows}
    for model, replicas in _CURVES:
        if (model, str(replicas), f"{_CURVE_NOISE:g}") in present:
            name = f"batching-load-{model}-{replicas}.svg"
            (folder / name).write_text(plots.load_curves(rows, model, replicas, _CURVE_NOISE))
            curves.append(f"![Goodput over load, {model}, {replicas} replicas]({name})")
    for model in dict.fromkeys(row.place[0] for row in rows):
        text = f"# Batching, model {model}: all figures\n\nThe best of each place is bold. Back to [the study](README.md).\n\n"
        (folder / f"batching-{model}.md").write_text(text + tables.all_batching(rows, model))
    own = gaps(rows, "slo")
    behind = [gap for gap in own if gap.ratio < 1.0 - BEHIND]
    facts = book.facts.get("batching", {})
    full = ", ".join(f"[{model}](batching-{model}.md)" for model in dict.fromkeys(row.place[0] for row in rows))
    return (
        "## Batching\n\n"
        "Pools of a fixed number of replicas; noise is the standard deviation of the logarithm of service times.\n\n"
        f"{tables.models()}\n{tables.shapes()}\n"
        f"Runs count 12 s (n = 1), 6 s (n = 4; gpu 4 s) after {facts.get('transient_s', 5)} s in which policies learn the service times; sparse runs\n"
        "count 120 s. Real traffic: `azure-minutes` plays a recorded minute in a second, another day for each seed, thinned or repeated to\n"
        "the mean rate; `azure-llm` plays another stretch for each seed, time stretched to the mean rate. "
        f"From: {facts.get('azure-minutes', '?')}; {facts.get('azure-llm', '?')}.\n\n"
        "![How near each policy is to the best, place by place](batching-near-best.svg)\n\n"
        f"{tables.ranks(rows)}\n"
        "Mean share of the best's goodput by workload:\n\n"
        f"{tables.by_workload(rows)}\n"
        "### The default against the best of each place\n\n"
        f"The bar is 3 %. The default is behind by more in {len(behind)} of {len(own)} places (bold); columns are model, replicas and noise.\n\n"
        f"{tables.default_everywhere(rows)}\n"
        + (
            '"Sure" says that the interval of the paired difference, corrected for the number of policies, excludes zero.\n\n'
            f"{tables.shortfalls(rows)}\n"
            if behind
            else ""
        )
        + "### Goodput as the load grows\n\n"
        + "\n".join(curves)
        + "\n\nFull figures: "
        + full
        + ".\n\n"
        "### Twice the capacity, against bounds\n\n"
        "*The study's bound* knows the future and lets requests share batches only in the cheapest way (`sojourn.study.goodput_bound`).\n"
        "*Staggered* is n b / l(b) with the largest b for which Q95(b) (1 + 1/n) is within the objective, *alone* the same with l(b) within\n"
        "it: a batch that arrives all at once and waits for nobody. Bold misses 0.95.\n\n"
        f"{tables.twice(rows)}\n"
        "### Habits: what it costs when all is calm\n\n"
        "Poisson at 0.6 of capacity, n = 4, noise 0.1: latency, batch size and busy replicas (mean).\n\n"
        f"{tables.habits(rows, 'steady-0.6', '0.1', '4')}\n"
    )


def _scaling(rows: Sequence[Row], book: Book, folder: Path) -> str:
    facts = book.facts.get("scaling", {})
    sections = []
    for place, policies in by_place(rows).items():
        name = f"scaling-{place[0]}-{place[2]}-{place[1]}.svg"
        title = tables.place_title(place)
        (folder / name).write_text(plots.pareto(policies, title))
        sections.append(
            f"### {title[0].upper()}{title[1:]}\n\n![Attainment against replica time]({name})\n\n{tables.scaled(policies)}"
        )
    return (
        "## Scaling\n\n"
        "Replicas come and go, at most 16; batching is the default, noise 0.1. The rules of others are aimed at what one replica shows at 0.7 of\n"
        "its capacity (requests in flight, busy share, rate), their windows and delays are those they come with: this is what a careful\n"
        "operator would set. `fixed` is the smallest number that holds the objective under the first seed, which nobody knows beforehand.\n"
        "Cold starts at the beginning of a run count.\n\n"
        "Where traffic never pauses the keep-alive has nothing to decide, and only the default one is run; `sparse` and `azure-sparse` run all.\n\n"
        f"`azure-minutes`: the ten functions as one, minutes played {facts.get('speedup', 10):g} times faster, another day for each seed, thinned or repeated to the mean\n"
        f"rate; from {facts.get('azure-minutes', '?')}. `azure-sparse`: {facts.get('sparse_functions', 10):g} functions with less than a call a minute (ten at least), each scaled by itself, 8 h in their own time\n"
        f"and rate, other functions for each seed; from {facts.get('azure-sparse', '?')}.\n\n"
        "In time / replica seconds, with the adaptive keep-alive:\n\n"
        f"{tables.scaling_ranks(rows)}\n"
        "*x least* is replica time over the least with which any policy that knows the future could have had as many in time, or 99 %\n"
        "(`sojourn.study.cost_bound`). Bold is beaten by nobody in both attainment and replica time.\n\n"
        + "\n".join(sections)
    )


def _day(row: Row, book: Book) -> str:
    facts = book.facts.get("day", {})
    took_s, sent = facts.get("processor_s", facts.get("wall_s", 0)), row.mean("sent")
    per_s = sent / took_s if isinstance(took_s, float | int) and took_s else 0.0
    return (
        "## A whole day of ten functions\n\n"
        f"{row.mean('duration') / 3600:g} h of {facts.get('trace', '?')}, as recorded, {row.mean('functions'):.0f} functions in one pool (model {facts.get('model', 'cpu')}, noise 0.1, cold\n"
        f"start {facts.get('cold_start_s', 2):g} s, all defaults): {sent:,.0f} requests in {took_s} s of one core, {per_s:,.0f}/s with batches of {tables.number(row.mean('batch'), 1)} on the mean.\n"
        f"In time {row.mean('within'):.4f}, {row.mean('cost') / 3600:.0f} replica hours, {row.mean('starts'):,.0f} cold starts.\n"
    )


def _sources(book: Book) -> str:
    del book
    names = ", ".join(MODELS)
    return (
        "## Sources\n\n"
        f'Models ({names}) are emulated. Traffic named `azure`: Azure Functions 2019 (M. Shahrad et al., "Serverless in the Wild", USENIX ATC 2020; samples\n'
        'of `beomyeol/faro` and `vhive-serverless/invitro`) and Azure LLM inference 2023 (`Azure/AzurePublicDataset`; P. Patel et al., "Splitwise", ISCA 2024), data\n'
        "under CC-BY 4.0. They are not part of this repository: put them into `../shared/traces` or name the folder in `SOJOURN_TRACES`. Where\n"
        "they are not at hand, synthetic stand-ins of similar shapes take their place, and the names above say so.\n"
    )
