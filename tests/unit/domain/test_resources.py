"""Amounts of processor, accelerators and memory."""

from __future__ import annotations

from math import inf

import pytest

from sojourn.domain.function import FunctionSettings
from sojourn.domain.resources import Resources, claim_of, memory_text


@pytest.mark.parametrize("count", [3, 7, 10])
def test_tenths_of_a_core_fit_as_often_as_they_should(count):
    """Three times 0.1 is more than 0.3 in binary: rounding must not cost a replica. One more does not fit."""
    tenth, total = Resources(cpus=0.1, gpus=0.1), Resources()
    for _ in range(count):
        total = total.plus(tenth)
    pool = Resources(cpus=count / 10, gpus=count / 10)
    assert total.fits(pool)
    assert not total.plus(tenth).fits(pool)


@pytest.mark.parametrize("scarce", [Resources(1, 8, 8), Resources(8, 1, 8), Resources(8, 8, 1)])
def test_each_resource_is_a_bound(scarce):
    """Cores, accelerators and memory each refuse what is too much of them alone."""
    assert not Resources(2, 2, 2).fits(scarce)
    assert Resources(2, 2, 2).fits(Resources(2, 2, 2))


def test_amounts_are_added_and_taken_away_by_number():
    """Three more, three fewer: as before."""
    claim = Resources(0.5, 1, 100)
    assert Resources(1, 0, 7).plus(claim, 3) == Resources(2.5, 3, 307)
    assert Resources(1, 0, 7).plus(claim, 3).plus(claim, -3) == Resources(1, 0, 7)


def test_the_largest_share_is_that_of_the_scarcest():
    """A quarter of the cores and half of the accelerators is half; what is not there at all is never enough."""
    pool = Resources(cpus=4, gpus=2, memory_bytes=1000)
    assert Resources(1, 1, 100).largest_share_of(pool) == 0.5
    assert Resources(1, 1).largest_share_of(Resources(cpus=4)) == inf
    assert Resources().largest_share_of(pool) == 0.0


@pytest.mark.parametrize(("gpus", "claimed"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (1.5, 2.0), (2.0, 2.0)])
def test_past_one_whole_accelerators_are_claimed(gpus, claimed):
    """Nobody can use the other half of the second: counting it as free would promise what cannot start."""
    settings = FunctionSettings(name="f", cpus=0.5, gpus=gpus, memory_bytes=3)
    assert claim_of(settings) == Resources(0.5, claimed, 3)


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (25 * 10**9, "25 GB"),
        (16 * 2**30, "16 GiB"),
        (3 * 2**29, "1.5 GiB"),
        (256 * 2**20, "256 MiB"),
        (1500 * 10**6, "1.5 GB"),
        (33_567_432_704, "31.26 GiB"),
        (1_234_567, "1.177 MiB"),
        (999, "999 B"),
        (0, "0 B"),
    ],
)
def test_memory_is_told_as_people_write_it(count, told):
    """In the unit in which it is round, decimal or binary."""
    assert memory_text(count) == told


def test_resources_are_told_as_options_are_written():
    """Never as a power of ten."""
    assert str(Resources(2.5, 1, 25 * 10**9)) == "cpus=2.5, gpus=1, memory=25 GB"
    assert str(Resources(3)) == "cpus=3, gpus=0"
