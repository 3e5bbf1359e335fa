"""Policies as people type them: read, written back, and refused with all that is wrong."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.config.policies import policy_text, read_batching, read_keepalive, read_scaling
from sojourn.domain.policy import (
    AIMD,
    BATCHING_BY_NAME,
    KEEPALIVE_BY_NAME,
    SCALING_BY_NAME,
    ConcurrencyScaling,
    Fixed,
    FixedKeepAlive,
    FixedReplicas,
    OngoingScaling,
    RPSScaling,
)
from sojourn.errors import ConfigurationError


@pytest.mark.parametrize(
    ("read", "text", "spec"),
    [
        (read_batching, "fixed:size=16,wait=5ms", Fixed(size=16, wait_s=0.005)),
        (read_batching, " fixed : size = 16 , wait = 0.5 ", Fixed(size=16, wait_s=0.5)),
        (read_batching, "FIXED:wait_s=1s", Fixed(size=8, wait_s=1.0)),
        (read_batching, "aimd:decrease=0.5,target=0.9", AIMD(decrease=0.5, target=0.9)),
        (read_scaling, "concurrency:target=4,panic=3s", ConcurrencyScaling(target=4.0, panic_s=3.0)),
        (read_scaling, "ongoing:down_delay=10m", OngoingScaling(down_delay_s=600.0)),
        (read_scaling, "rps:target=150", RPSScaling(target_per_s=150.0)),
        (read_scaling, "fixed:replicas=3", FixedReplicas(replicas=3)),
        (read_keepalive, "fixed:idle=inf", FixedKeepAlive(idle_s=math.inf)),
        (read_keepalive, "fixed:idle=2d", FixedKeepAlive(idle_s=172_800.0)),
    ],
)
def test_parameters_are_read_with_their_units(read, text, spec):
    """Durations are typed without `_s` in the name and with a unit in the value; what is not given keeps its default."""
    assert read(text) == spec


@pytest.mark.parametrize(
    ("read", "by_name"),
    [(read_batching, BATCHING_BY_NAME), (read_scaling, SCALING_BY_NAME), (read_keepalive, KEEPALIVE_BY_NAME)],
)
def test_every_policy_can_be_named_and_is_written_back(read, by_name):
    """A name alone gives the policy with its defaults, and its text gives it again."""
    for name, spec in by_name.items():
        assert read(name) == spec
        assert read(policy_text(spec)) == spec


@given(size=st.integers(1, 4096), wait_s=st.floats(0, 1e6))
def test_any_policy_is_written_so_that_it_is_read_again(size, wait_s):
    """Ten digits of a duration are kept."""
    again = read_batching(policy_text(Fixed(size=size, wait_s=round(wait_s, 6))))
    assert again.size == size
    assert again.wait_s == pytest.approx(wait_s, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(
    ("read", "text", "told"),
    [
        (read_batching, "fixd", ["batching policy 'fixd'", "did you mean 'fixed'", "slo", "mlproxy", "size=,wait="]),
        (read_scaling, "kpa", ["scaling policy 'kpa'", "concurrency", "ongoing", "utilization", "rps"]),
        (read_keepalive, "", ["keep-alive policy ''", "adaptive", "fixed"]),
        (read_batching, "fixed:", ["nothing follows the colon"]),
        (read_batching, "fixed:siez=8", ["no parameter 'siez'", "did you mean 'size'", "size, wait"]),
        (read_batching, "slo:size=8", ["no parameters", "'size'"]),
        (read_batching, "fixed:8", ["'8' is no name=value"]),
        (read_batching, "fixed:size=8,size=9", ["size is given twice"]),
        (read_batching, "fixed:wait=1s,wait_s=2", ["given twice"]),
        (read_batching, "fixed:size=many,wait=soon", ["size must be a whole number", "wait must be", "'soon'"]),
        (read_batching, "fixed:size=0", ["size must be >= 1"]),
        (read_batching, "fixed:size=1.5", ["whole number"]),
        (read_scaling, "concurrency:target=nan", ["target must be a number"]),
        (read_scaling, "concurrency:panic=90s", ["0 < panic <= stable"]),
        (read_scaling, "fixed:replicas=0", ["replicas must be >= 1"]),
        (read_keepalive, "fixed:idle=-3", ["idle must be"]),
    ],
)
def test_what_cannot_be_read_is_told_whole(read, text, told):
    """The message names what is wrong, what is near and what is known."""
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    for part in told:
        assert part in str(caught.value)
