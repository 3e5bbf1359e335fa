"""Limits of replicas, and the sentence of a decision."""

from __future__ import annotations

import pytest

from sojourn.domain.scaling import ReplicaLimits, ScalingDecision
from sojourn.errors import ConfigurationError


def test_a_decision_is_one_sentence():
    """Before, after and why, as logs and tables show it."""
    why = "envelope 412/s over 2 s needs 4.6 replicas at b=24"
    decision = ScalingDecision(function="digits", before=3, after=5, cause="policy", why=why)
    assert decision.sentence() == "3 -> 5: envelope 412/s over 2 s needs 4.6 replicas at b=24"


def test_none_leaves_a_limit_as_it_is():
    """Each can be changed alone, or both at once past each other."""
    limits = ReplicaLimits(min_replicas=1, max_replicas=4)
    assert limits.changed(None, None) == limits
    assert limits.changed(0, None) == ReplicaLimits(min_replicas=0, max_replicas=4)
    assert limits.changed(None, 2) == ReplicaLimits(min_replicas=1, max_replicas=2)
    assert limits.changed(6, 8) == ReplicaLimits(min_replicas=6, max_replicas=8)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ((-1, None), r"min_replicas must be in \[0, 10000\], not -1"),
        ((None, 0), r"max_replicas must be in \[1, 10000\], not 0"),
        ((10_001, 10_002), r"min_replicas must be in .* 10001; max_replicas must be in .* 10002"),
        ((5, None), "min_replicas 5 lies above max_replicas 4; change both at once"),
        ((None, 0), "max_replicas"),
    ],
)
def test_limits_that_cannot_be_are_refused(changes, told):
    """By name and number, all faults at once."""
    with pytest.raises(ConfigurationError, match=told):
        ReplicaLimits(min_replicas=1, max_replicas=4).changed(*changes)
