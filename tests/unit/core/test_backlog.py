"""What waits, how many of it fit into one batch, and groups that lose their members."""

from __future__ import annotations

from math import inf

import pytest

from sojourn.core.backlog import Backlog
from sojourn.domain.request import Place, Request


def request(number: int, body_bytes: int = 10, give_up_at_s: float = 5.0) -> Request:
    return Request(number, 0.0, 1.0, give_up_at_s, 60.0, 1, body_bytes)


def filled(*bodies: int, late: bool = False) -> Backlog:
    """Requests 1, 2, ... with bodies of these sizes, in the queue or in the late lane."""
    backlog = Backlog(heeds_deadlines=True)
    for number, body_bytes in enumerate(bodies, 1):
        backlog.admit(request(number, body_bytes))
    if late:
        backlog.set_aside(backlog.on_time.take(len(bodies)))
    backlog.check(0.0)
    return backlog


def numbers(members: list[Request]) -> list[int]:
    return [member.id for member in members]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("bodies", "taken"),
    [
        ([40, 40, 40], [1, 2]),  # two fit
        ([50, 50, 50], [1, 2]),  # exactly full
        ([101, 1, 1], [1]),  # too large for any batch: it goes alone
        ([10, 101, 10], [1]),  # the large one waits for a batch of its own
        ([30, 30, 30], [1, 2, 3]),  # all within the bound
    ],
)
def test_a_batch_holds_no_more_bytes_than_allowed_but_one_request_at_least(bodies, taken, late):
    """The first of the queue whose bodies fit together; a larger body goes alone."""
    backlog = filled(*bodies, late=late)
    sizes = (0, len(bodies)) if late else (len(bodies), 0)
    assert numbers(backlog.take(*sizes, batch_id=1, bytes_max=100)) == taken


def test_those_passed_over_stay_and_bytes_are_counted_behind_them():
    """With one left queued the next two are looked at: only one of them fits."""
    backlog = filled(10, 60, 60)
    assert numbers(backlog.take(2, 0, batch_id=1, bytes_max=100, skip=1)) == [2]
    assert [entry[3] for entry in backlog.on_time.entries] == [1, 3]
    backlog.check(0.0)


def test_the_late_fill_no_batch_whose_bytes_are_counted():
    """More is held than fits into one batch: those in time go, and nobody late is added to them unseen."""
    backlog = filled(60, late=True)
    for number in (2, 3):
        backlog.admit(request(number, 60))
    assert numbers(backlog.take(1, 1, batch_id=1, bytes_max=100)) == [2]
    assert len(backlog.late) == 1


def test_members_of_a_group_that_leave_or_give_up_are_gone_from_it_and_empty_groups_too():
    """A group shrinks and vanishes; the one behind it is untouched."""
    backlog = filled(10, 10, 10)
    first, second, third = backlog.take(3, 0, batch_id=1, bytes_max=1000)
    second.give_up_at_s = 2.0
    backlog.add_group([third])
    backlog.add_group([first, second])
    backlog.check(1.0)
    assert backlog.next_due_at_s() == 2.0
    assert backlog.take_overdue(2.0) == ([], [second])
    backlog.forget(second)
    backlog.withdraw(first)
    backlog.forget(first)
    backlog.check(2.0)
    assert numbers(backlog.take_group(2)) == [3]
    assert (third.place, third.batch_id, backlog.waiting) == (Place.BATCH, 2, 0)
    assert backlog.next_due_at_s() == inf


def test_a_group_waits_for_a_start_like_everybody_else():
    """The last replica is gone: halves of a batch may wait as long as the queue may."""
    backlog = filled(10, 10)
    backlog.add_group(backlog.take(1, 0, batch_id=1, bytes_max=1000))
    backlog.allow_for_cold_start()
    assert {waiting.give_up_at_s for waiting in backlog.requests.values()} == {60.0}
