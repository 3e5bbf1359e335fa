"""Limits of the inference port are checked once, all at a time."""

import pytest

from sojourn.errors import ConfigurationError
from sojourn.gateway.limits import Limits


def test_the_defaults_are_valid():
    """What a user gets without settings passes its own checks."""
    assert Limits().header_bytes == 16 * 1024


def test_all_faults_are_named_in_one_message():
    """Whoever got three settings wrong learns of all three at once."""
    with pytest.raises(ConfigurationError) as caught:
        Limits(header_count=0, linger_s=float("inf"), drain_bytes=-1)
    for name in ("header_count", "linger_s", "drain_bytes"):
        assert name in str(caught.value)


def test_one_body_of_the_largest_size_must_fit():
    """A bound on all bodies below that on one would refuse the same client for ever with "come back later"."""
    assert Limits(body_bytes=1000, inflight_body_bytes=1000).body_bytes == 1000
    with pytest.raises(ConfigurationError, match="inflight_body_bytes"):
        Limits(body_bytes=1000, inflight_body_bytes=999)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_durations_must_be_positive_and_finite(value):
    """A deadline of nothing, of no number or of forever is refused."""
    with pytest.raises(ConfigurationError, match="receipt_headers_s"):
        Limits(receipt_headers_s=value)
