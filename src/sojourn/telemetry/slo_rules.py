"""Objectives as rules of Prometheus and as specifications of Sloth, on the counters of `/metrics`.

Names of recorded series are those Sloth records, so that its dashboards show them. Ratios are those of counts over their
window: recorded from the counters, not averaged from shorter ones.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sojourn.domain.objective import DAY_S, SLO
from sojourn.slo.alert import BAD_MIN, EVENTS_MIN, BurnRule, Severity, burn_rules

GOOD: Final = "sojourn_slo_good_total"
EVENTS: Final = "sojourn_slo_events_total"
_UNITS: Final = ((DAY_S, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s"))
_OUTSIDE: Final = re.compile(r"[^a-zA-Z0-9]+")


def prometheus_duration(window_s: float) -> str:
    """A duration as Prometheus writes it: "5m", "30d", "14m"; whole seconds, at least one."""
    whole_s = max(round(window_s), 1)
    for unit_s, unit in _UNITS:
        if whole_s >= unit_s and whole_s % unit_s == 0:
            return f"{whole_s // int(unit_s)}{unit}"
    raise AssertionError("whole seconds are seconds at least")


def prometheus_rules(objectives: dict[str, SLO]) -> dict[str, Any]:
    """A file of recording and alert rules, as plain data; two groups per function.

    Args:
        objectives: By function name.
    """
    groups = []
    for name, slo in objectives.items():
        groups += [
            {"name": f"sojourn-slo-recordings-{name}", "rules": _recordings(name, slo)},
            {"name": f"sojourn-slo-alerts-{name}", "rules": _alerts(name, slo)},
        ]
    return {"groups": groups}


def sloth_spec(name: str, slo: SLO) -> dict[str, Any]:
    """The objective of a function as a specification for Sloth, as plain data."""
    events = f'{{function="{name}"}}[{{{{.window}}}}]'
    return {
        "version": "prometheus/v1",
        "service": name,
        "labels": {"function": name},
        "slos": [
            {
                "name": "latency",
                "objective": float(slo.percent_text),
                "description": str(slo),
                "sli": {
                    "events": {
                        "error_query": f"sum(rate({EVENTS}{events})) - sum(rate({GOOD}{events}))",
                        "total_query": f"sum(rate({EVENTS}{events}))",
                    }
                },
                "alerting": {
                    "name": _alert_name(name),
                    "annotations": {"summary": f"{name} burns its error budget too fast ({slo})"},
                    "page_alert": {"labels": {"severity": Severity.PAGE.value}},
                    "ticket_alert": {"labels": {"severity": Severity.TICKET.value}},
                },
            }
        ],
    }


def _labels(name: str) -> dict[str, str]:
    return {"function": name, "sloth_id": f"{name}-latency", "sloth_service": name, "sloth_slo": "latency"}


def _selector(name: str) -> str:
    return f'{{sloth_id="{name}-latency", sloth_service="{name}", sloth_slo="latency"}}'


def _increase(metric: str, name: str, window_s: float) -> str:
    return f'sum(increase({metric}{{function="{name}"}}[{prometheus_duration(window_s)}]))'


def _recordings(name: str, slo: SLO) -> list[dict[str, Any]]:
    labels, selector = _labels(name), _selector(name)
    windows_s = sorted(
        {window_s for rule in burn_rules(slo.window_s) for window_s in (rule.long_s, rule.short_s)}
        | {float(round(slo.window_s))}  # as those of the rules: each has a name of its own
    )
    rules: list[dict[str, Any]] = []
    for window_s in windows_s:
        window = prometheus_duration(window_s)
        total, good = (_increase(metric, name, window_s) for metric in (EVENTS, GOOD))
        rules.append(
            {
                "record": f"slo:sli_error:ratio_rate{window}",
                # Without traffic there is no ratio, rather than one of zero by zero.
                "expr": f"({total} - {good}) / ({total} > 0)",
                "labels": {**labels, "sloth_window": window},
            }
        )
    shortest, whole = prometheus_duration(windows_s[0]), prometheus_duration(slo.window_s)
    rules += [
        {"record": "slo:objective:ratio", "expr": f"vector({slo.objective!r})", "labels": labels},
        {"record": "slo:error_budget:ratio", "expr": f"vector(1-{slo.objective!r})", "labels": labels},
        {"record": "slo:time_period:days", "expr": f"vector({slo.window_s / DAY_S!r})", "labels": labels},
        {
            "record": "slo:current_burn_rate:ratio",
            "expr": f"slo:sli_error:ratio_rate{shortest}{selector} / (1-{slo.objective!r})",
            "labels": labels,
        },
        {
            "record": "slo:period_burn_rate:ratio",
            "expr": f"slo:sli_error:ratio_rate{whole}{selector} / (1-{slo.objective!r})",
            "labels": labels,
        },
        {
            "record": "slo:period_error_budget_remaining:ratio",
            "expr": f"1 - slo:period_burn_rate:ratio{selector}",
            "labels": labels,
        },
    ]
    return rules


def _alerts(name: str, slo: SLO) -> list[dict[str, Any]]:
    return [
        {
            "alert": _alert_name(name),
            "expr": _condition(name, slo, rule),
            "for": prometheus_duration(rule.pending_s),
            "labels": {**_labels(name), "rule": rule.name, "severity": rule.severity.value},
            "annotations": {
                "summary": f"{name} burns its error budget {rule.factor:g} times too fast",
                "description": (
                    f"{slo}: over {prometheus_duration(rule.long_s)} and {prometheus_duration(rule.short_s)} more than "
                    f"{rule.factor:g} times the allowed share of requests missed the objective."
                ),
            },
        }
        for rule in burn_rules(slo.window_s)
    ]


def _condition(name: str, slo: SLO, rule: BurnRule) -> str:
    selector = _selector(name)
    threshold = f"({rule.factor:g} * (1-{slo.objective!r}))"
    burning = [
        f"max(slo:sli_error:ratio_rate{prometheus_duration(window_s)}{selector}) >= {threshold}"
        for window_s in (rule.long_s, rule.short_s)
    ]
    total, good = (_increase(metric, name, rule.long_s) for metric in (EVENTS, GOOD))
    return "\nand ".join([*burning, f"{total} >= {EVENTS_MIN}", f"({total} - {good}) >= {BAD_MIN}"])


def _alert_name(name: str) -> str:
    words = [word for word in _OUTSIDE.split(name) if word]
    return "Sojourn" + "".join(word[:1].upper() + word[1:] for word in words) + "BurnsBudget"
