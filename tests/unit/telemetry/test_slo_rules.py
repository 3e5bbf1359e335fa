"""Rules for Prometheus and Sloth: one source of windows and factors, and the names Sloth's dashboards know."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sojourn.domain.objective import SLO
from sojourn.slo.alert import burn_rules
from sojourn.telemetry.slo_rules import prometheus_duration, prometheus_rules, sloth_spec

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@pytest.mark.parametrize(
    ("window_s", "text"),
    [(300, "5m"), (3600, "1h"), (7200, "2h"), (2_592_000, "30d"), (10, "10s"), (90, "90s"), (0.2, "1s")],
)
def test_durations(window_s, text):
    """The largest unit that says it in whole numbers."""
    assert prometheus_duration(window_s) == text


@given(st.integers(1, 10**7))
def test_a_duration_means_what_it_says(window_s):
    """Read back, it is the same time."""
    found = re.fullmatch(r"(\d+)([smhd])", prometheus_duration(window_s))
    assert int(found[1]) * _UNIT_S[found[2]] == window_s


@pytest.mark.parametrize("slo", [SLO(0.1), SLO(0.25, 0.999, 7 * 86_400.0), SLO(0.01, 0.9, 3600.0)])
def test_alerts_are_those_the_server_raises(slo):
    """Windows, factors and severities of `burn_rules`, with the guard for little traffic."""
    _, alerts = prometheus_rules({"digits": slo})["groups"]
    rules = burn_rules(slo.window_s)
    assert [alert["labels"]["severity"] for alert in alerts["rules"]] == [rule.severity.value for rule in rules]
    for alert, rule in zip(alerts["rules"], rules, strict=True):
        assert f"({rule.factor:g} * (1-{slo.objective!r}))" in alert["expr"]
        for window_s in (rule.long_s, rule.short_s):
            assert f"ratio_rate{prometheus_duration(window_s)}{{" in alert["expr"]
        assert ">= 100" in alert["expr"]
        assert ">= 10" in alert["expr"]


def test_recordings_have_the_names_of_sloth():
    """For an objective over thirty days exactly the windows Sloth records."""
    recordings, _ = prometheus_rules({"digits": SLO(0.1)})["groups"]
    names = [rule["record"] for rule in recordings["rules"]]
    windows = ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"]
    assert names[:8] == [f"slo:sli_error:ratio_rate{window}" for window in windows]
    assert set(names[8:]) == {
        "slo:objective:ratio",
        "slo:error_budget:ratio",
        "slo:time_period:days",
        "slo:current_burn_rate:ratio",
        "slo:period_burn_rate:ratio",
        "slo:period_error_budget_remaining:ratio",
    }


def test_the_specification_for_sloth():
    """Percent, and queries with its own placeholder."""
    (slo,) = sloth_spec("digits", SLO(0.1, 0.999))["slos"]
    assert slo["objective"] == 99.9
    assert '{function="digits"}[{{.window}}]' in slo["sli"]["events"]["total_query"]
    assert slo["alerting"]["name"] == "SojournDigitsBurnsBudget"


@given(st.floats(10.0, 90 * 86_400.0))
@example(14_688.0)
@example(60.4)
def test_no_two_recordings_of_a_function_have_the_same_name(window_s):
    """Windows are whole seconds, that of the objective too: else Prometheus refuses the second."""
    recordings, _ = prometheus_rules({"digits": SLO(0.1, 0.99, window_s)})["groups"]
    names = [rule["record"] for rule in recordings["rules"]]
    assert len(set(names)) == len(names)


def test_a_share_of_many_nines_is_not_rounded_to_all():
    """100 % would be an objective no specification takes."""
    (slo,) = sloth_spec("digits", SLO(0.1, 0.9999999999999))["slos"]
    assert slo["objective"] == 99.99999999999
