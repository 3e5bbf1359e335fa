"""Every spec has its policy."""

from __future__ import annotations

from sojourn.domain.function import FunctionSettings
from sojourn.domain.policy import SCALING_BY_NAME, FixedReplicas
from sojourn.policy.scaling.catalogue import scaling_policy


def test_every_named_baseline_is_made_anew_for_each_function():
    """Policies remember, so no two functions share one."""
    settings = FunctionSettings(name="f")
    for name, spec in SCALING_BY_NAME.items():
        if name != "slo":
            assert scaling_policy(spec, settings) is not scaling_policy(spec, settings)


def test_fixed_wants_its_number_whatever_happens(function):
    """No demand, much demand: four."""
    fixed = function(scaling_policy(FixedReplicas(4), FunctionSettings(name="f")))
    assert {want.replicas for want in fixed.live(2) + fixed.live(2, in_flight=500)} == {4}


def test_the_target_of_a_function_that_takes_no_lists_is_one(function):
    """Its largest batch is 1, so five in flight are five replicas."""
    settings = FunctionSettings(name="f", batchable=False)
    under_load = function(scaling_policy(SCALING_BY_NAME["concurrency"], settings))
    assert under_load.live(4, in_flight=7)[-1].replicas == 10
