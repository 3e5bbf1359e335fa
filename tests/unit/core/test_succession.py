"""When a failed replica's successor may start, and what counts as a crash loop."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.core.succession import Succession


@pytest.fixture
def succession() -> Succession:
    return Succession(Random(1))


def waits_s(succession: Succession, now_s: float) -> float:
    return succession.start_after_s - now_s


def test_waits_double_up_to_a_minute_each_within_a_fifth(succession):
    """1, 2, 4 .. 60, 60 s; never all the same, so that functions do not start in step."""
    waits = []
    for number in range(9):
        succession.failed("cause", None, number * 100.0)
        waits.append(waits_s(succession, number * 100.0))
    nominal = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert all(0.8 * n <= wait <= 1.2 * n for wait, n in zip(waits, nominal, strict=True))
    assert any(abs(wait - n) > 0.01 * n for wait, n in zip(waits, nominal, strict=True))


def test_the_fifth_failure_in_a_row_begins_a_crash_loop_once(succession):
    """Told when it begins, not again with every further failure; a ready replica ends it."""
    begins = [succession.failed("cause", None, float(number)) for number in range(7)]
    assert begins == [False] * 4 + [True] + [False] * 2
    assert succession.last_cause == "cause"
    assert succession.became_ready(10.0)
    assert not succession.became_ready(11.0)
    assert succession.last_cause == ""


def test_failures_with_successes_between_are_not_in_a_row(succession):
    """Every second start fails, twenty times over: the wait stays the first one, and it is no crash loop."""
    for number in range(20):
        now_s = number * 10.0
        assert not succession.failed("cause", None, now_s)
        assert waits_s(succession, now_s) <= 1.2
        assert not succession.became_ready(now_s + 2.0)


def test_replicas_that_become_ready_and_die_at_once_are_a_crash_loop(succession):
    """Being ready for a second proves nothing: the fifth such death in a row is a crash loop."""
    begins = []
    for number in range(5):
        succession.became_ready(number * 3.0)
        begins.append(succession.failed("killed", number * 3.0, number * 3.0 + 1.0))
    assert begins == [False] * 4 + [True]


def test_the_first_two_successors_of_replicas_that_served_start_at_once(succession):
    """They may have died of their work; the third waits a second."""
    waits = []
    for number in range(3):
        succession.became_ready(number * 3.0)
        succession.failed("killed", number * 3.0, number * 3.0 + 1.0)
        waits.append(waits_s(succession, number * 3.0 + 1.0))
    assert waits[:2] == [0.0, 0.0]
    assert 0.8 <= waits[2] <= 1.2


def test_a_death_after_long_service_counts_for_nothing(succession):
    """Four deaths young, one old, four young again: no crash loop."""
    for start_s in (0.0, 1000.0):
        for number in range(4):
            assert not succession.failed("killed", start_s + number, start_s + number + 1.0)
        assert not succession.failed("killed", start_s - 500.0, start_s + 50.0)


def test_a_replica_that_lives_on_forgives_the_deaths_before_it(succession):
    """Four deaths young, then one that stays: an early death hours later is the first of a new row."""
    for number in range(4):
        succession.became_ready(float(number))
        succession.failed("killed", float(number), number + 0.5)
    succession.became_ready(20.0)
    succession.became_ready(5000.0)
    assert not succession.failed("killed", 5000.0, 5001.0), "the row has not ended"


def test_one_that_died_young_proves_nothing_however_long_ago(succession):
    """Ready, dead, and then starts that fail for minutes: the dead one does not end the row."""
    succession.became_ready(0.0)
    succession.failed("killed", 0.0, 1.0)
    begins = [succession.failed("cause", None, 60.0 * number) for number in range(1, 5)]
    assert begins == [False, False, False, True]
