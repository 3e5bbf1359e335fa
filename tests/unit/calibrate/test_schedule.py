"""What is measured next, and when it is enough."""

import random

import pytest

from sojourn.calibrate.sample import Cell, cells_of, geometric
from sojourn.calibrate.schedule import ROUNDS_MIN, SAMPLES_MAX, SAMPLES_MIN, Schedule, relative_error
from sojourn.domain.function import FunctionManifest, FunctionSettings


def manifest(*, is_async=False, **settings):
    return FunctionManifest(
        target="app.py",
        attribute="F",
        settings=FunctionSettings(name="f", **settings),
        revision="r",
        is_async=is_async,
    )


def play(schedule, service_s):
    """Drive it to its end; what was measured, in order."""
    while (cell := schedule.survey()) is not None:
        schedule.surveyed(cell, service_s(cell))
    measured = []
    while (cell := schedule.next()) is not None:
        duration_s = service_s(cell)
        schedule.observe(cell, [duration_s] * cell.concurrency, duration_s)
        measured.append(cell)
    return measured


def test_sizes_grow_geometrically_and_end_with_the_largest():
    """1, 2, 3, 4, 6, 8, 12, ... up to whatever the function takes."""
    assert geometric(1) == [1]
    assert geometric(7) == [1, 2, 3, 4, 6, 7]
    assert geometric(48) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48]


def test_functions_without_lists_are_measured_one_by_one_and_async_ones_also_several_at_once():
    """Sizes only where there are batches, levels only where calls run side by side."""
    assert cells_of(manifest(batchable=False)) == [Cell(1)]
    assert cells_of(manifest(max_batch_size=3)) == [Cell(1), Cell(2), Cell(3)]
    several = cells_of(manifest(is_async=True, concurrency=4, max_batch_size=2))
    assert several == [Cell(1), Cell(2), Cell(1, 2), Cell(1, 3), Cell(1, 4)]


def test_steady_times_are_known_after_a_hundred_samples():
    """Each size is run just that often, well within the budget."""
    cells = [Cell(size) for size in geometric(8)]
    schedule = Schedule(cells, 1e6, random.Random(1))
    measured = play(schedule, lambda cell: 0.01 * cell.size)
    assert {cell: measured.count(cell) for cell in cells} == dict.fromkeys(cells, SAMPLES_MIN)
    assert schedule.left_out == []


def test_every_round_has_all_sizes_in_an_order_of_its_own():
    """Drift hits all sizes alike; the same seed gives the same order."""
    cells = [Cell(size) for size in geometric(8)]
    first = play(Schedule(cells, 1e6, random.Random(1)), lambda cell: 0.01)
    again = play(Schedule(cells, 1e6, random.Random(1)), lambda cell: 0.01)
    rounds = [tuple(first[at : at + len(cells)]) for at in range(0, len(first), len(cells))]
    assert first == again
    assert all(sorted(one) == cells for one in rounds)
    assert len(set(rounds)) > len(rounds) // 2


def test_noisy_sizes_are_measured_longer_than_steady_ones():
    """Until their mean is known to a percent, or for two thousand samples."""
    rng = random.Random(3)
    noise = {1: 0.0, 2: 0.2, 3: 2.0}
    cells = [Cell(size) for size in noise]
    measured = play(
        Schedule(cells, 1e9, random.Random(1)), lambda cell: 0.01 * rng.lognormvariate(0.0, noise[cell.size])
    )
    assert measured.count(Cell(1)) == SAMPLES_MIN
    assert SAMPLES_MIN < measured.count(Cell(2)) < SAMPLES_MAX
    assert measured.count(Cell(3)) == SAMPLES_MAX


def test_the_budget_ends_it_and_no_size_comes_short():
    """Time is up in the middle of a round: sizes differ by one sample at most."""
    cells = [Cell(size) for size in geometric(8)]
    schedule = Schedule(cells, 10.0, random.Random(1))
    measured = play(schedule, lambda cell: 0.1)
    assert 10.0 <= schedule.spent_s <= 10.11
    counts = [measured.count(cell) for cell in cells]
    assert max(counts) - min(counts) <= 1
    assert schedule.done_share == 1.0


def test_sizes_the_budget_does_not_allow_are_left_out_and_named():
    """A few rounds of each size that is measured fit in; the largest sizes do not."""
    cells = [Cell(size) for size in geometric(64)]
    schedule = Schedule(cells, 60.0, random.Random(1))
    measured = play(schedule, lambda cell: 1.0 * cell.size)
    assert schedule.left_out
    assert set(measured) == set(cells) - set(schedule.left_out)
    assert max(measured) < min(schedule.left_out)
    assert min(measured.count(cell) for cell in set(measured)) >= ROUNDS_MIN - 2  # the survey took its part


def test_a_call_longer_than_the_budget_is_still_measured_once():
    """One sample is better than none."""
    assert play(Schedule([Cell(1), Cell(2)], 1.0, random.Random(1)), lambda cell: 30.0) == [Cell(1)]


def test_levels_of_concurrency_are_kept_where_large_batches_are_too_expensive():
    """Several single items at once may be cheap all the same."""
    cells = [Cell(1), Cell(64), Cell(1, 2)]
    schedule = Schedule(cells, 20.0, random.Random(1))
    measured = play(schedule, lambda cell: 1.0 * cell.size)
    assert schedule.left_out == [Cell(64)]
    assert set(measured) == {Cell(1), Cell(1, 2)}


def test_relative_error_is_that_of_the_textbook():
    """Standard deviation over root n, over the mean; unknown of a single value."""
    assert relative_error([1.0, 3.0]) == pytest.approx(2**0.5 / 2**0.5 / 2)
    assert relative_error([2.0]) == 0.0
