"""A simulated run for people: numbers side by side, a table of functions, why it scaled, the verdict; and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sojourn.cli.run_view import (
    Rows,
    Verdict,
    objective_text,
    outcome_rows,
    print_rows,
    print_verdict,
    served_text,
    service_rows,
    use_rows,
)
from sojourn.domain.scaling import ScalingDecision
from sojourn.domain.wording import counted
from sojourn.report.axis import duration_text, number_text, share_text
from sojourn.report.sim_series import FUNCTION_HEADS
from sojourn.sim.scenario import Run, Scenario
from sojourn.sim.summary import RunSummary
from sojourn.sim.watch import Watch
from sojourn.slo.alert import AlertState
from sojourn.slo.cause import WORDS_OF_CAUSE

FUNCTIONS_SHOWN: Final = 20
_DECISIONS_SHOWN: Final = 5
_MISSED_NAMED: Final = 6
_CAUSES_SHOWN: Final = 3
_ALERTS_SHOWN: Final = 3
_SENTENCES_SHOWN: Final = 12
_WIDE_COLUMNS: Final = 130


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has ended, by itself or not.

    Args:
        scenario: What was simulated.
        run: What came of it.
        decisions: The changes of replicas by function: (seconds since the start, decision).
        is_partial: Whether it was interrupted.
        wall_s: How long it took on this machine, in seconds.
    """

    scenario: Scenario
    run: Run
    decisions: dict[str, list[tuple[float, ScalingDecision]]]
    is_partial: bool
    wall_s: float

    @property
    def by_traffic(self) -> list[str]:
        """The functions, most requests first."""
        functions = self.run.functions
        return sorted(functions, key=lambda name: (-functions[name].sent, name))


def verdict_of(ended: Ended) -> tuple[Verdict, str]:
    """The verdict of a run, and the sentence that says it."""
    total, functions = ended.run.total, ended.run.functions
    so_far = f"Partial, until {duration_text(ended.run.simulated_s)}: " if ended.is_partial else ""
    if nothing := nothing_served(total):
        return "missed" if total.sent else "none", so_far + nothing
    if total.objective_met is None:
        return "none", so_far + served_text(total.outcomes["served"], total.sent)
    kind: Verdict = "met" if total.objective_met else "missed"
    if len(functions) == 1:
        return kind, so_far + objective_text(total.slo, total.within_slo, is_met=total.objective_met)
    missed = [name for name in ended.by_traffic if functions[name].objective_met is False]
    judged = sum(1 for one in functions.values() if one.objective_met is not None)
    text = f"{judged - len(missed)} of {counted(judged, 'function met its', 'functions met their')} objective"
    if missed:
        more = f" and {len(missed) - _MISSED_NAMED} more" if len(missed) > _MISSED_NAMED else ""
        text += f"; missed by {', '.join(missed[:_MISSED_NAMED])}{more}"
    return kind, f"{so_far}{text}. {share_text(total.within_slo)} of all requests were within theirs."


def function_verdict(summary: RunSummary) -> str:
    """The verdict on one of several functions."""
    if nothing := nothing_served(summary):
        return nothing
    if summary.objective_met is None:
        return served_text(summary.outcomes["served"], summary.sent)
    return objective_text(summary.slo, summary.within_slo, is_met=summary.objective_met)


def nothing_served(summary: RunSummary) -> str:
    """Why a run without a single served request says nothing; empty if there was one."""
    if not summary.sent:
        return "Nothing was sent: no arrival counts; raise the rate or the duration, or shorten the transient."
    if summary.outcomes["served"]:
        return ""
    ends = ", ".join(f"{count:,} {name}" for name, count in summary.outcomes.items() if count)
    return f"Nothing was served: none of {counted(summary.sent, 'request')} ({ends or 'none has ended'})."


def left_rows(summary: RunSummary) -> Rows:
    """Replicas and service."""
    rows = use_rows(summary.replica_seconds, summary.replicas_max, summary.cold_starts)
    rows.append(("utilization", share_text(summary.utilization)))
    return rows + service_rows(
        within_slo=summary.within_slo,
        goodput_per_s=summary.goodput_per_s,
        latency_s=summary.latency_s,
        batch_size_mean=summary.batch_size_mean,
    )


def right_rows(summary: RunSummary) -> Rows:
    """What was sent, how it ended, over which time."""
    rows = outcome_rows(summary.sent, summary.rate_per_s, summary.outcomes)
    return [*rows, ("time that counts", duration_text(summary.duration_s))]


def run_rows(ended: Ended) -> Rows:
    """How the simulation itself went."""
    per_s = ended.run.total.sent / max(ended.wall_s, 1e-9)
    return [
        ("simulated in", duration_text(ended.wall_s)),
        ("requests simulated", f"{number_text(float(f'{per_s:.3g}'))}/s"),
        ("seed", f"{ended.scenario.seed}"),
    ]


def function_cells(name: str, summary: RunSummary) -> list[str]:
    """One function in a table under `FUNCTION_HEADS`."""
    return [
        name,
        summary.slo or "-",
        f"{summary.sent:,}",
        share_text(summary.within_slo) if summary.within_slo is not None else "-",
        duration_text(summary.latency_s.p50),
        duration_text(summary.latency_s.p99),
        number_text(summary.goodput_per_s),
        f"{summary.batch_size_mean:.1f}" if summary.batch_size_mean is not None else "-",
        f"{summary.replicas_max:,}",
        duration_text(summary.replica_seconds),
        f"{summary.cold_starts:,}",
    ]


def print_run(console: Console, ended: Ended, remarks: Sequence[str] = ()) -> None:
    """Print the numbers of a run, its functions if they are several, why it scaled, and the verdict."""
    run = ended.run
    print_rows(console, left_rows(run.total), [*right_rows(run.total), *run_rows(ended)])
    if len(run.functions) > 1:
        console.print()
        _print_functions(console, ended)
    _print_decisions(console, ended)
    for said in watched_sentences(ended):
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    for remark in remarks:
        console.print(f"note: {remark}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    verdict, text = verdict_of(ended)
    print_verdict(console, verdict, text)


def _print_functions(console: Console, ended: Ended) -> None:
    names = ended.by_traffic
    left_out = {"objective", "mean batch", "goodput/s", "replica time"} if console.width < _WIDE_COLUMNS else set()
    shown = [place for place, head in enumerate(FUNCTION_HEADS) if head not in left_out]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for head in (FUNCTION_HEADS[place] for place in shown):
        table.add_column(head, justify="left" if head == "function" else "right", no_wrap=True)
    for name in names[:FUNCTIONS_SHOWN]:
        summary = ended.run.functions[name]
        style = None if summary.objective_met is None else "" if summary.objective_met else "red"
        cells = function_cells(name, summary)
        table.add_row(*(escape(cells[place]) for place in shown), style=style)
    console.print(table)
    if len(names) > FUNCTIONS_SHOWN:
        console.print(f"and {len(names) - FUNCTIONS_SHOWN} more with less traffic; --json has them all", style="dim")


def last_decisions(ended: Ended, names: Sequence[str], count: int) -> list[tuple[float, ScalingDecision]]:
    """The last changes of these functions' replicas, in order of time."""
    found = [one for name in names for one in ended.decisions[name][-count:]]
    return sorted(found, key=lambda one: one[0])[-count:]


def _print_decisions(console: Console, ended: Ended) -> None:
    several = len(ended.run.functions) > 1
    decisions = last_decisions(ended, list(ended.run.functions), _DECISIONS_SHOWN)
    if not decisions:
        return
    console.print("\nwhy it scaled, last:", style="dim", highlight=False)
    for at_s, decision in decisions:
        name = f"{decision.function} " if several else ""
        console.print(f"  {at_s:10,.2f} s  {name}{decision.sentence()}", markup=False, highlight=False, soft_wrap=True)
    console.print()


def watched_sentences(ended: Ended) -> list[str]:
    """What a server's monitor would have said: what spent the error budget, and which alerts fired when."""
    said = []
    several = len(ended.run.watches) > 1
    for name, watch in ended.run.watches.items():
        of = f"{name}: " if several else ""
        bad = sum(watch.causes)
        for cause, count in sorted(watch.bad_by_cause.items(), key=lambda one: -one[1])[:_CAUSES_SHOWN]:
            said.append(f"{of}{share_text(count / bad)} of {counted(bad, 'bad request')} {WORDS_OF_CAUSE[cause]}")
        fired = [(at_s, rule) for at_s, rule, state in watch.alerts if state is AlertState.FIRING]
        said += [f"{of}alert {rule} after {duration_text(at_s)}" for at_s, rule in fired[:_ALERTS_SHOWN]]
    return said[:_SENTENCES_SHOWN]


def as_json(
    ended: Ended, policies: dict[str, dict[str, Any]], remarks: Sequence[str], asked: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The run for programs: the keys all commands share, what only a simulation knows, and what was asked for."""
    run, scenario = ended.run, ended.scenario
    fields: dict[str, Any] = msgspec.to_builtins(run.total) | ({"asked": asked} if asked is not None else {})
    return fields | {
        "partial": ended.is_partial,
        "seed": scenario.seed,
        "transient_s": scenario.transient_s,
        "simulated_s": run.simulated_s,
        "wall_s": ended.wall_s,
        "notes": list(remarks),
        "functions": {
            name: msgspec.to_builtins(summary)
            | policies[name]
            | {
                "decisions": [
                    {"at_s": at_s, **msgspec.to_builtins(decision)}
                    for at_s, decision in ended.decisions[name][-_DECISIONS_SHOWN:]
                ],
                **_watched(run.watches.get(name)),
            }
            for name, summary in run.functions.items()
        },
    }


def _watched(watch: Watch | None) -> dict[str, Any]:
    if watch is None:
        return {"bad_by_cause": {}, "alerts": []}
    return {
        "bad_by_cause": {cause.value: count for cause, count in watch.bad_by_cause.items()},
        "alerts": [{"at_s": at_s, "rule": rule, "state": state.value} for at_s, rule, state in watch.alerts],
    }
