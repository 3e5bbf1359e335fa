"""Exact statistics against plain counting."""

import pytest

from sojourn.report.statistics import mean_batch_size, quantile


@pytest.mark.parametrize("count", [1, 2, 9, 10, 99, 100, 101, 1000])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_quantiles_are_the_smallest_value_that_covers_the_share(count, share):
    """Compared with counting: enough values do not exceed it, and one value less would not be enough."""
    values = list(range(count))
    answer = quantile(values, share)
    assert sum(value <= answer for value in values) / count >= share - 1e-12
    assert answer == 0 or sum(value <= answer - 1 for value in values) / count < share
    assert quantile([], share) is None


def test_the_mean_batch_is_over_batches_not_over_requests():
    """One batch of 9 and one of 1: ten requests, mean 5, though nine of ten requests were told 9."""
    assert mean_batch_size([9] * 9 + [1]) == pytest.approx(5)
    assert mean_batch_size([0, 0]) is None
