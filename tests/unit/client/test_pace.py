"""The pace of a map: what goes out at once, who goes first, and whole maps against a model of a server, in virtual time."""

from __future__ import annotations

import heapq
import random
from itertools import count

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.client import course
from sojourn.client.conversation import Answer
from sojourn.client.course import Ask, How, Pause
from sojourn.client.pace import Pace, Turn
from sojourn.client.retry import RetryBudget, RetryPolicy
from sojourn.client.session import Session
from sojourn.errors import ClientError, OverloadedError


def new_pace(most):
    return Pace(most, RetryBudget(1.0, float(most)))


def asks(pace, *numbers):
    """Turns with these numbers that ask; those that have gone out are in the list."""
    gone = []
    turns = [Turn(number) for number in numbers]
    for turn in turns:
        pace.ask(turn, lambda turn=turn: gone.append(turn))
    return turns, gone


def test_a_refusal_halves_the_limit_once_for_all_that_went_out_under_it():
    """Sixteen refused at once are one sign, not sixteen; one is the least."""
    pace = new_pace(16)
    turns, gone = asks(pace, *range(16))
    assert gone == turns
    for turn in turns:
        pace.refused(turn)
    assert pace.limit == 8
    for turn in turns:
        pace.dropped(turn)
    for limit in (4, 2, 1, 1):
        (turn,), _ = asks(pace, 0)
        pace.refused(turn)
        pace.dropped(turn)
        assert pace.limit == limit


def test_answers_raise_the_limit_by_one_for_each_limit_full_and_never_beyond_the_most():
    """Slowly, so that it stays for long near what the server takes."""
    pace = new_pace(4)
    (turn,), _ = asks(pace, 0)
    pace.refused(turn)
    pace.dropped(turn)
    limits = []
    for number in range(30):
        (turn,), _ = asks(pace, number)
        pace.answered(turn)
        limits.append(pace.limit)
    assert limits[0] == 2
    assert limits[4] == 3
    assert max(limits) == 4


def test_what_was_refused_goes_before_newer_items_and_nothing_in_its_place():
    """While it waits to come again, its place stays empty."""
    pace = new_pace(2)
    (first, second), _ = asks(pace, 5, 1)  # threads may be overtaken: it is no earlier item
    _, newer = asks(pace, 2, 3)
    pace.refused(first)
    pace.answered(second)
    assert newer == []
    again = []
    pace.ask(first, lambda: again.append(first))
    assert again == [first]
    pace.answered(first)
    assert [turn.number for turn in newer] == [2, 3]


@given(st.integers(1, 6), st.lists(st.tuples(st.sampled_from("aserd"), st.integers(0, 9)), max_size=80))
def test_whatever_happens_no_more_go_out_than_the_limit_and_none_is_forgotten(most, steps):
    """Asked, answered, refused, asked again, dropped in any order: at the end all places are free."""
    pace, known, numbers = new_pace(most), {}, count()
    for step, which in steps:
        turn = known.get(which)
        if step == "a" and turn is None:
            known[which] = turn = Turn(next(numbers))
            pace.ask(turn, lambda: None)
        elif turn is not None and turn.is_out and step in "se":
            (pace.answered if step == "s" else pace.refused)(turn)
            if step == "s":
                del known[which]
        elif turn is not None and turn.is_resting and step == "r" and not any(turn is a[2] for a in pace._asking):
            pace.ask(turn, lambda: None)
        elif turn is not None and step == "d":
            pace.dropped(known.pop(which))
        assert 0 <= pace.out <= most
        assert 1 <= pace.limit <= most
    for turn in known.values():
        pace.dropped(turn)
        pace.dropped(turn)  # harmless
    assert (pace.out, pace._resting, pace._asking) == (0, 0, [])
    assert len(asks(pace, *range(pace.limit + 3))[1]) == pace.limit


def test_closing_lets_everybody_go_and_nothing_is_sent():
    """Who waits for a turn is told that the map is over."""
    pace = new_pace(1)
    session = Session(
        None, None, "", timeout_s=1.0, connect_timeout_s=1.0, connections=1, verify=True,
        retry=RetryPolicy(), rng=None, clock=None,
    )  # fmt: skip
    (out,), _ = asks(pace, 0)
    steps = course.mapped(session, "f", 1, How(), pace, Turn(1))
    step = next(steps)
    went = []
    pace.ask(step.turn, lambda: went.append(step.turn))
    assert went == []
    pace.close()
    assert went == [step.turn]
    with pytest.raises(ClientError, match="the map was closed"):
        steps.send(None)
    pace.dropped(out)
    assert pace.out == 0


class World:
    """A map of many items and a server that takes so many at once, in virtual time.

    Args:
        takes: Requests that are queued or served at most; more are refused.
        service_s: What one of them takes; they are served one after the other.
    """

    def __init__(self, takes, service_s, *, timeout_s=60.0):
        self.now_s, self.takes, self.service_s = 0.0, takes, service_s
        self.sent_at_s, self.refusals, self.in_server, self.free_at_s = [], 0, 0, 0.0
        self.events, self.order = [], count()
        self.session = Session(
            None, None, "", timeout_s=timeout_s, connect_timeout_s=1.0, connections=100, verify=True,
            retry=RetryPolicy(), rng=random.Random(1), clock=lambda: self.now_s,
        )  # fmt: skip

    def map(self, items, concurrency):
        """What each item came to, and when the last one did."""
        pace, numbers, source = self.session.pace(concurrency), count(), iter(range(items))
        results = {}

        def begin():
            item = next(source, None)
            if item is not None:
                self.take(
                    course.mapped(self.session, "f", item, How(), pace, Turn(next(numbers))), None, item, results, begin
                )

        for _ in range(concurrency):
            begin()
        while self.events:
            self.now_s, _, happens = heapq.heappop(self.events)
            happens()
        assert pace.out == 0
        return [results[item] for item in range(items)]

    def later(self, wait_s, happens):
        heapq.heappush(self.events, (self.now_s + wait_s, next(self.order), happens))

    def take(self, steps, came, item, results, done):
        """Go one step on with one item."""
        try:
            step = steps.send(came)
        except StopIteration as end:
            results[item] = end.value
            done()
            return
        except ClientError as error:
            results[item] = error
            done()
            return

        def go_on(came=None):
            self.take(steps, came, item, results, done)

        if isinstance(step, Ask):
            step.pace.ask(step.turn, lambda: self.later(0.0, go_on))
        elif isinstance(step, Pause):
            self.later(step.wait_s, go_on)
        else:
            self.serve(step, go_on)

    def serve(self, sending, go_on):
        self.sent_at_s.append(self.now_s)
        if self.in_server >= self.takes:
            self.refusals += 1
            body = msgspec.json.encode({"error": "no", "code": "overloaded", "request_id": "r"})
            self.later(0.001, lambda: go_on(Answer(429, {"retry-after": "1"}, body)))
            return
        self.in_server += 1
        self.free_at_s = max(self.free_at_s, self.now_s) + self.service_s

        def served():
            self.in_server -= 1
            go_on(Answer(200, {"content-type": "application/json"}, sending.body))

        self.later(self.free_at_s - self.now_s, served)


def test_a_map_over_a_server_that_is_too_slow_is_served_in_full_at_the_servers_speed():
    """Sixty-four at once where eight are taken: nothing is lost, few are refused, and the server is never long idle."""
    world = World(takes=8, service_s=0.05)
    assert world.map(400, 64) == list(range(400))
    assert world.refusals <= 150
    assert world.now_s <= 1.6 * 400 * 0.05


def test_a_map_where_there_is_room_goes_out_at_once():
    """No call waits for another one."""
    world = World(takes=1000, service_s=0.0)
    assert world.map(64, 64) == list(range(64))
    assert world.now_s == 0.0


def test_a_server_that_takes_nothing_is_asked_ever_less():
    """Each item ends with its own error; after the first seconds one request goes out each second, as the server asked."""
    world = World(takes=0, service_s=1.0)
    results = world.map(150, 32)
    assert {type(result) for result in results} == {OverloadedError}
    assert max(sum(second <= at_s < second + 1 for at_s in world.sent_at_s) for second in range(3, 200)) <= 2
    assert len(world.sent_at_s) <= 150 * 2 + 32


def test_no_item_takes_longer_than_its_time():
    """Waits between attempts, and for their turn, included; the time begins when it goes out first."""
    world = World(takes=0, service_s=1.0, timeout_s=2.5)
    results = world.map(3, 3)
    assert max(result.attempts for result in results) <= 3
    assert world.now_s <= 2.5
