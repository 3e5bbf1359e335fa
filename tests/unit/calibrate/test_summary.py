"""From samples to a profile."""

import random

import pytest

from sojourn.calibrate.sample import BatchSample, Cell
from sojourn.calibrate.summary import summarized


def samples(sizes, rounds, sigma=0.0, seed=1):
    """Batches of 20 ms + 2 ms per item with lognormal noise; 10 us per item to decode, 5 to encode, 100 around."""
    rng = random.Random(seed)
    found = []
    for number in range(rounds):
        for size in sizes:
            service_s = (0.02 + 0.002 * size) * rng.lognormvariate(-(sigma**2) / 2, sigma)
            found.append(BatchSample(Cell(size), float(number), 1e-4, 1e-5 * size, service_s, 5e-6 * size))
    return found


def test_line_noise_and_costs_around_the_call_are_found_again():
    """What went in comes out, within what two hundred samples of each size can tell."""
    one = summarized(samples((1, 2, 4, 8, 16), 200, sigma=0.1), threads=2, duration_s=9.0, memory_bytes=7)
    assert one.alpha_s == pytest.approx(0.002, rel=0.05)
    assert one.beta_s == pytest.approx(0.02, rel=0.05)
    assert one.sigma == pytest.approx(0.1, rel=0.1)
    assert one.sigma_within == pytest.approx(0.1, rel=0.1)
    assert one.decode_per_item_s == pytest.approx(1e-5)
    assert one.encode_per_item_s == pytest.approx(5e-6)
    assert one.overhead_s == pytest.approx(1e-4)
    assert one.overhead_per_item_s == pytest.approx(0.0, abs=1e-9)
    assert one.ratio_quantiles[50] == pytest.approx(1.0, rel=0.03)
    assert one.ratio_quantiles[95] == pytest.approx(1.178, rel=0.05)  # exp(1.645 sigma)
    assert abs(one.autocorrelation[0]) < 0.1
    assert [row.size for row in one.sizes] == [1, 2, 4, 8, 16]
    assert {row.samples for row in one.sizes} == {200}
    assert (one.threads, one.duration_s, one.memory_bytes) == (2, 9.0, 7)


def test_what_the_line_does_not_fit_is_told_apart_from_noise():
    """A step in the times is misfit: it widens sigma around the line, not around each size's own mean."""
    stepped = [
        BatchSample(Cell(size), float(number), 1e-4, 0.0, 0.01 if size < 8 else 0.04, 0.0)
        for number in range(20)
        for size in (1, 2, 4, 8)
    ]
    one = summarized(stepped, threads=1, duration_s=1.0, memory_bytes=None)
    assert one.misfit > 0.1
    assert one.sigma > 0.1
    assert one.sigma_within == pytest.approx(0.0, abs=1e-9)


def test_batches_that_ran_at_once_have_a_row_of_their_own_and_no_part_in_the_line():
    """A replica that slows down with several calls at once is not a replica with other batches."""
    crowded = [BatchSample(Cell(1, 4), 0.0, 1e-4, 0.0, 0.5, 0.0)] * 8
    one = summarized(samples((1, 2), 10) + crowded, threads=1, duration_s=1.0, memory_bytes=None)
    assert [(row.size, row.concurrency, row.samples) for row in one.sizes] == [(1, 1, 10), (1, 4, 8), (2, 1, 10)]
    assert one.beta_s == pytest.approx(0.02)
    assert one.ratio_quantiles[100] == pytest.approx(1.0)


def test_the_error_of_batches_that_ran_at_once_counts_each_round_once():
    """Four calls slowed down together are one observation, not four."""
    crowded = [
        BatchSample(Cell(1, 4), float(number), 1e-4, 0.0, value_s + off_s, 0.0)
        for number, value_s in enumerate((0.1, 0.3))
        for off_s in (-0.05, 0.0, 0.0, 0.05)
    ]
    one = summarized(samples((1,), 2) + crowded, threads=1, duration_s=1.0, memory_bytes=None)
    # By hand, of the two rounds 0.1 and 0.3: sqrt(0.02 / 2) / 0.2.
    assert one.sizes[1].relative_error == pytest.approx(0.5)


def test_a_single_sample_makes_a_profile():
    """An interrupted calibration may have no more."""
    one = summarized(samples((1,), 1), threads=1, duration_s=0.1, memory_bytes=None)
    assert (one.alpha_s, one.beta_s, one.r2) == (0.0, pytest.approx(0.022), None)
    assert one.sizes[0].relative_error == 0.0
