"""Requests of one name shared among two services."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.gateway.routes import Routes
from sojourn.gateway.split import Split


class Arm:
    """A service that notes what it is given."""

    def __init__(self, revision):
        self.name, self.revision, self.is_closed = "f", revision, False
        self.taken, self.announced, self.cancelled, self.at_the_door = [], 0, [], 0

    def submit(self, caller, body, kind, priority, client_timeout_s):
        self.taken.append(body)
        return len(self.taken)

    def announce(self, caller, priority, client_timeout_s, body_bytes):
        self.announced += 1
        return self

    def cancel(self, request_number):
        self.cancelled.append(request_number)

    def refused_at_the_door(self, fault, caller, message):
        self.at_the_door += 1


def shared(share):
    return Split("f", Arm("a"), Arm("b"), share)


@given(st.floats(0.0, 1.0), st.integers(1, 2000))
def test_a_share_is_exact_over_any_run(share, count):
    """After n requests the candidate has had n times the share of them, give or take one."""
    split = shared(share)
    for number in range(count):
        split.submit(None, number, None, 1, None)
    stable, candidate = split.arms
    assert len(stable.taken) + len(candidate.taken) == count
    assert abs(len(candidate.taken) - count * share) < 1 + 1e-6


def test_a_client_that_leaves_is_told_to_the_one_that_has_its_request():
    """The number tells which; both have a first request."""
    split = shared(0.5)
    numbers = [split.submit(None, body, None, 1, None) for body in "wxyz"]
    assert len(set(numbers)) == 4
    assert min(numbers) > 0
    for number in numbers:
        split.cancel(number)
    assert [arm.cancelled for arm in split.arms] == [[1, 2], [1, 2]]


def test_what_is_announced_is_submitted_to_the_same_one_and_counts_as_a_turn():
    """One that refuses all at its door draws no more than its share."""
    split = shared(0.25)
    told = [split.announce(None, 1, None, 10) for _ in range(40)]
    assert [arm.announced for arm in split.arms] == [30, 10]
    assert {told.count(arm) for arm in split.arms} == {30, 10}
    for _ in range(4):
        split.refused_at_the_door(None, None, "")
    assert [arm.at_the_door for arm in split.arms] == [3, 1]


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan")])
def test_a_share_lies_between_none_and_all(share):
    """Anything else is refused and changes nothing."""
    routes, a, b = Routes(), Arm("a"), Arm("b")
    routes.add(a)
    with pytest.raises(ValueError, match="share must be in"):
        routes.split("f", a, b, share)
    assert routes.by_path[b"/functions/f"] is a


def test_a_name_means_one_two_or_none_and_pinned_paths_mean_what_they_say():
    """The paths of each step of a rollout; a split that is over says so to whoever still holds it."""
    routes, a, b = Routes(), Arm("a"), Arm("b")
    routes.add(a)
    routes.pin(b)
    assert routes.by_path == {b"/functions/f": a, b"/functions/f@a": a, b"/functions/f@b": b}
    split = routes.split("f", a, b, 0.1)
    assert routes.by_path[b"/functions/f"] is split
    assert routes.split("f", a, b, 0.5) is split
    assert (split.share, split.is_closed) == (0.5, False)
    routes.direct(b)
    assert split.is_closed
    routes.remove("f", "a")
    assert routes.by_path == {b"/functions/f": b, b"/functions/f@b": b}
    routes.remove("f")
    assert routes.by_path == {}
