"""Tells how objectives stand: now, by window and over their history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from typing import Final

from msgspec.structs import replace

from sojourn.domain.objective import DAY_S, DEFAULT_WINDOW_S, SLO
from sojourn.runtime.alert_book import Counted
from sojourn.runtime.lineage import Lineage
from sojourn.runtime.slo_watch import SLOWatch
from sojourn.slo.alert import AlertState, BurnAlert, Severity, burn_rules
from sojourn.slo.budget import Budget, budget, burn_rate
from sojourn.slo.cause import CAUSES, WORDS_OF_CAUSE, WORDS_OF_INFEASIBLE, Cause
from sojourn.slo.cells import merged_cells, quantiles_since
from sojourn.slo.monitor import FINE_KEPT, FINE_S, HOUR_S, MINUTE_S, MINUTES_KEPT
from sojourn.slo.rows import PackedCell
from sojourn.slo.status import (
    AlertStatus,
    CauseStatus,
    FormerObjective,
    Gap,
    HistoryCell,
    HistoryState,
    HistoryStatus,
    ObjectiveStatus,
    SLOHistory,
    SLOStatus,
    WindowStatus,
)
from sojourn.slo.tally import Counts
from sojourn.telemetry.history import Run
from sojourn.telemetry.log import utc_text
from sojourn.telemetry.status import ObjectiveSnapshot

HISTORY_ALERT: Final = "history-lost"
_CELLS_SHOWN_MAX: Final = 360
_FINE_WINDOW_S: Final = float(FINE_S * FINE_KEPT)
_GAP_S_MIN: Final = 1.0
_CELL_S_MIN: Final = 1e-3  # whoever divides by it finds no zero
GAPS_TOLD_MAX: Final = 100
_UNITS: Final = ((DAY_S, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s"))
_UNPROMISED_S: Final = (300.0, 3600.0, 6 * 3600.0)  # windows shown where no objective names any


def window_name(window_s: float) -> str:
    """A window as people write it: "5m", "6h", "30d"; in seconds if it is no whole number of anything longer."""
    for unit_s, unit in _UNITS:
        if window_s >= unit_s and window_s % unit_s == 0:
            return f"{window_s / unit_s:.0f}{unit}"
    return f"{window_s:.0f}s"


def windows_of(slo: SLO | None) -> list[float]:
    """The windows an objective is looked at over, ascending: those of its alerts, and its own as the last [s].

    Without an objective only latencies are told, and those are kept for six hours.
    """
    if slo is None:
        return [*_UNPROMISED_S]
    alerted = {length_s for rule in burn_rules(slo.window_s) for length_s in (rule.long_s, rule.short_s)}
    return [*sorted(length_s for length_s in alerted if length_s < round(slo.window_s)), slo.window_s]


def objective_snapshot(slo: SLO, monitor: Counted, alerts: Iterable[BurnAlert], now_s: float) -> ObjectiveSnapshot:
    """What a scrape shows of an objective; costs a few look-ups."""
    burn_rates: dict[str, float] = {}
    total = good = 0
    for window_s in windows_of(slo):
        total, good = monitor.total_good(now_s, window_s)
        burn = burn_rate(total, good, slo.objective)
        if burn is not None:
            burn_rates[window_name(window_s)] = burn
    left = budget(Counts(total=total, good=good), slo, None)
    return ObjectiveSnapshot(
        latency_s=slo.latency_s,
        objective=slo.objective,
        window_s=slo.window_s,
        budget_remaining=left.remaining_ratio,
        burn_rates=burn_rates,
        alerts={(alert.rule.name, alert.rule.severity.value): alert.state is AlertState.FIRING for alert in alerts},
        attainment=good / total if total else None,
    )


class SLOView:
    """Answers what is asked of objectives. Call it on the loop; what takes a while is awaited elsewhere.

    Args:
        watch: Knows the functions, their alerts and the history.
        clock: Monotonic seconds.
    """

    def __init__(self, watch: SLOWatch, clock: Callable[[], float]) -> None:
        self._lineages = watch.lineages
        self._watch = watch
        self._clock = clock

    async def status(self, name: str) -> SLOStatus | None:
        """How a function's objective stands; None for an unknown function."""
        monitor = self._lineages.get(name)
        if monitor is None or monitor.live is None:
            return None
        service = monitor.live
        now_s, slo = self._clock(), service.manifest.settings.slo
        lengths_s = windows_of(slo)
        known = [monitor.counts(now_s, window_s) for window_s in lengths_s]
        whole = known[-1]
        packed = monitor.fine_cells(now_s, _FINE_WINDOW_S)
        covered_s = monitor.covers_s(now_s)
        begins_s = now_s - lengths_s[-1] + self._watch.offset_s
        former = self._watch.objectives.former(name, begins_s) if slo else []
        overdue = monitor.overdue(now_s)
        alerts = [*self._alerts(name, slo, former, overdue, now_s), *self._history_alert()]
        grains_s = [monitor.grain_s(now_s, window_s) for window_s in lengths_s]
        runs = self._watch.keeper.runs
        gaps = gaps_between(runs, begins_s)
        known_s = _known_s(runs, begins_s, now_s + self._watch.offset_s, covered_s)
        latencies = await self._watch.elsewhere(
            lambda: quantiles_since(packed, [now_s + self._watch.offset_s - length_s for length_s in lengths_s])
        )
        windows = [
            WindowStatus(
                name=window_name(window_s),
                window_s=window_s,
                total=counts.total,
                good=counts.good,
                attainment=counts.attainment,
                burn_rate=burn_rate(counts.total, counts.good, slo.objective) if slo else None,
                latency_s=latency if window_s <= _FINE_WINDOW_S else None,
                grain_s=grain_s,
            )
            for window_s, counts, latency, grain_s in zip(lengths_s, known, latencies, grains_s, strict=True)
        ]
        return SLOStatus(
            function=name,
            revision=service.revision,
            objective=_objective(slo),
            is_met=whole.attainment >= slo.objective if slo and whole.attainment is not None else None,
            known_s=known_s,
            total=whole.total,
            good=whole.good,
            client_faults=whole.client_faults,
            cancelled=whole.cancelled,
            client_timeouts=whole.client_timeouts,
            overdue=overdue,
            budget=_budget(slo, whole, monitor, now_s),
            windows=windows,
            alerts=alerts,
            causes=_causes(whole, is_infeasible=service.infeasible is not None),
            gaps=gaps[-GAPS_TOLD_MAX:],
            gaps_left_out=max(len(gaps) - GAPS_TOLD_MAX, 0),
            history=HistoryStatus(
                state=self._watch.keeper.state,
                why=self._watch.keeper.why,
                since=utc_text(self._watch.keeper.since_s + self._watch.offset_s),
            ),
            former_objectives=former,
            infeasible=service.infeasible,
        )

    async def history(self, name: str, window_s: float | None) -> SLOHistory | None:
        """What happened over a window, in at most 360 cells; None for an unknown function.

        Args:
            name: The function.
            window_s: Length of the window; None takes the objective's, or what is known of it if that is shorter.
        """
        monitor = self._lineages.get(name)
        if monitor is None or monitor.live is None:
            return None
        now_s, slo = self._clock(), monitor.live.manifest.settings.slo
        whole_s = slo.window_s if slo else DEFAULT_WINDOW_S
        ends_at_s, runs = now_s + self._watch.offset_s, self._watch.keeper.runs
        known_s = max(min(monitor.covers_s(now_s), ends_at_s - runs[0].started_at_s), float(FINE_S))
        shown_s = min(whole_s, known_s) if window_s is None else window_s
        if self._watch.keeper.state is HistoryState.OFF:
            shown_s = min(shown_s, _FINE_WINDOW_S)  # of what lies before only sums are known
        begins_at_s = ends_at_s - shown_s
        whole = monitor.total_good(now_s, whole_s)
        packed: list[PackedCell] | None = None
        length_s = MINUTE_S if shown_s <= MINUTE_S * MINUTES_KEPT else HOUR_S
        is_fine = shown_s <= _FINE_WINDOW_S and self._watch.keeper.state is not HistoryState.KEPT
        if not is_fine and shown_s > _FINE_WINDOW_S / 6:
            packed = await self._kept_cells(name, length_s, begins_at_s, now_s)
        if packed is None:
            shown_s = min(shown_s, _FINE_WINDOW_S)
            begins_at_s = ends_at_s - shown_s
            packed = monitor.fine_cells(now_s, shown_s)
            length_s = max((cell.length_s for cell in packed), default=FINE_S)
        cell_s = length_s * -(-int(shown_s // length_s + 1) // _CELLS_SHOWN_MAX)
        cells = await self._watch.elsewhere(lambda: list(merged_cells(packed, cell_s)))
        # What the cells do not show came before them: so the budget that is drawn ends at the one that is told.
        total_before = max(whole[0] - sum(cell.total for cell in cells), 0)
        good_before = min(max(whole[1] - sum(cell.good for cell in cells), 0), total_before)
        gaps = gaps_between(runs, begins_at_s)
        return SLOHistory(
            function=name,
            objective=_objective(slo),
            begins_at_s=begins_at_s,
            ends_at_s=ends_at_s,
            cell_s=cell_s,
            cells=_known_part(cells, runs[0].started_at_s, ends_at_s),
            gaps=gaps[-GAPS_TOLD_MAX:],
            gaps_left_out=max(len(gaps) - GAPS_TOLD_MAX, 0),
            total_before=total_before,
            good_before=good_before,
        )

    async def _kept_cells(self, name: str, length_s: int, since_s: float, now_s: float) -> list[PackedCell] | None:
        """Minutes or hours of the history, with those that only memory has; None if the file cannot be read now."""
        until_s, in_memory = now_s + self._watch.offset_s, self._lineages[name].open_rows(now_s)
        kept = await self._watch.keeper.read(lambda history: history.rows(name, length_s, since_s, until_s))
        if kept is None:
            return None
        rows = {(row.starts_at_s, row.revision): row.packed for row in kept}
        for row in in_memory:
            if row.cell_s == length_s and row.starts_at_s + length_s > since_s:
                rows[row.starts_at_s, row.revision] = row.packed
        return [PackedCell(starts_at_s, length_s, packed) for (starts_at_s, _), packed in sorted(rows.items())]

    def _alerts(
        self, name: str, slo: SLO | None, former: Sequence[FormerObjective], overdue: int, now_s: float
    ) -> Iterator[AlertStatus]:
        """The alerts with the burn rates of this instant: those they were last stepped with may be a second old."""
        monitor, offset_s = self._lineages[name], self._watch.offset_s

        def burning(window_s: float) -> float | None:
            total, good = monitor.total_good(now_s, window_s)
            return burn_rate(total + overdue, good, slo.objective) if slo else None

        for alert in self._watch.alerts[name]:
            rule, clear_s = alert.rule, alert.clear_since_s
            since = utc_text(alert.since_s + offset_s)
            yield AlertStatus(
                rule=rule.name,
                severity=rule.severity,
                state=alert.state,
                since=None if alert.state is AlertState.INACTIVE and not alert.since_s else since,
                long_s=rule.long_s,
                short_s=rule.short_s,
                factor=rule.factor,
                long_burn=burning(rule.long_s),
                short_burn=burning(rule.short_s),
                clear_since=None if clear_s is None else utc_text(clear_s + offset_s),
                resolved_at=None if clear_s is None else utc_text(clear_s + rule.resolve_s + offset_s),
                is_of_former_objective=bool(former) and since < former[-1].ends_at,
            )

    def _history_alert(self) -> list[AlertStatus]:
        """Losing history is an alert itself: after a restart the budget would be wrong."""
        watch = self._watch
        if watch.keeper.state is not HistoryState.FAILING:
            return []
        since = utc_text(watch.keeper.since_s + watch.offset_s)
        return [
            AlertStatus(
                rule=HISTORY_ALERT,
                severity=Severity.TICKET,
                state=AlertState.FIRING,
                since=since,
                long_s=0.0,
                short_s=0.0,
                factor=0.0,
            )
        ]


def _objective(slo: SLO | None) -> ObjectiveStatus | None:
    if slo is None:
        return None
    return ObjectiveStatus(text=str(slo), latency_s=slo.latency_s, objective=slo.objective, window_s=slo.window_s)


def _budget(slo: SLO | None, whole: Counts, monitor: Lineage, now_s: float) -> Budget | None:
    if slo is None:
        return None
    present_s = burn_rules(slo.window_s)[0].long_s
    return budget(whole, slo, burn_rate(*monitor.total_good(now_s, present_s), slo.objective))


def _causes(counts: Counts, *, is_infeasible: bool) -> list[CauseStatus]:
    found = [(count, cause) for count, cause in zip(counts.bad_by_cause, CAUSES, strict=True) if count]
    words = {**WORDS_OF_CAUSE, Cause.SERVICE_TIME: WORDS_OF_INFEASIBLE} if is_infeasible else WORDS_OF_CAUSE
    return [
        CauseStatus(
            cause=cause,
            requests=count,
            share=count / counts.bad,
            sentence=f"{_percent(count / counts.bad)} of bad requests {words[cause]}",
        )
        for count, cause in sorted(found, key=lambda pair: -pair[0])
    ]


def _percent(share: float) -> str:
    if share < 0.01:
        return "less than 1 %"
    return f"{share:.0%}".replace("%", " %") if share >= 1 or round(share * 100) < 100 else "more than 99 %"


def _known_part(cells: Sequence[HistoryCell], began_at_s: float, now_s: float) -> list[HistoryCell]:
    """The cells without what lies before the first server or after now, so that rates are those of the time they are of."""
    found = list(cells)
    if found and found[0].starts_at_s < began_at_s < found[0].starts_at_s + found[0].duration_s:
        ends_at_s = found[0].starts_at_s + found[0].duration_s
        found[0] = replace(found[0], starts_at_s=began_at_s, duration_s=ends_at_s - began_at_s)
    if found and found[-1].starts_at_s + found[-1].duration_s > now_s:
        found[-1] = replace(found[-1], duration_s=max(now_s - found[-1].starts_at_s, _CELL_S_MIN))
    return found


def gaps_between(runs: Iterable[Run], since_s: float) -> list[Gap]:
    """The times between runs that lie after `since_s`; restarts in order only if they took a while.

    Those with no more than a moment of a run between them, of which nothing was saved, are one.

    Args:
        runs: By their beginning.
        since_s: In seconds since the epoch.
    """
    found: list[tuple[float, float, bool]] = []
    known_until_s, is_ended = inf, True
    for run in runs:
        begins_s, ends_s = known_until_s, run.started_at_s
        if ends_s >= begins_s and ends_s > since_s and (ends_s - begins_s >= _GAP_S_MIN or not is_ended):
            if found and begins_s - found[-1][1] < FINE_S and found[-1][2] is is_ended:
                begins_s = found.pop()[0]
            found.append((begins_s, ends_s, is_ended))
        if known_until_s == inf or run.saved_until_s >= known_until_s:
            known_until_s, is_ended = run.saved_until_s, run.is_ended
    return [
        Gap(
            begins_at=utc_text(begins_s),
            ends_at=utc_text(ends_s),
            duration_s=ends_s - begins_s,
            was_planned=was_planned,
        )
        for begins_s, ends_s, was_planned in found
    ]


def _known_s(runs: Sequence[Run], begins_s: float, ends_s: float, covered_s: float) -> float:
    """How much of a window is known: since its begin, the first count or the first run, the gaps since then left out."""
    if not covered_s:
        return 0.0
    from_s = max(begins_s, ends_s - covered_s, runs[0].started_at_s if runs else begins_s)
    missing_s = sum(
        gap.duration_s for gap in gaps_between(runs, from_s)
    )  # one that begins before it counts whole, at worst
    return max(ends_s - from_s - missing_s, 0.0)
