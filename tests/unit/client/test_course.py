"""What a client does step by step, played by hand: no socket, no clock that moves by itself."""

from __future__ import annotations

import msgspec
import pytest

from sojourn.client import calls, course
from sojourn.client.conversation import Answer
from sojourn.client.course import How, Pause, Work
from sojourn.client.retry import RetryPolicy
from sojourn.client.session import Sending, Session
from sojourn.errors import ConnectionFailedError, ExpiredError, RolloutFailedError


class Hand:
    """Takes a course step by step; each step's outcome is given."""

    def __init__(self):
        self.now_s = 100.0
        self.session = Session(
            None, None, "", timeout_s=10.0, connect_timeout_s=1.0, connections=1, verify=True,
            retry=RetryPolicy(), rng=self, clock=lambda: self.now_s,
        )  # fmt: skip

    def random(self):
        return 0.5

    def play(self, steps, *outcomes):
        """Give the outcomes in turn (errors are thrown in); the steps that were taken, and the result."""
        taken = [next(steps)]
        for outcome in outcomes:
            try:
                taken.append(steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome))
            except StopIteration as end:
                return taken, end.value
        return taken, None


def answer(content, status=200, **headers):
    """An answer in JSON."""
    told = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return Answer(status, told, msgspec.json.encode(content))


REFUSED = answer({"error": "too much", "code": "overloaded", "request_id": "r"}, 429, retry_after="2")


def test_a_refused_call_waits_as_it_is_told_and_is_sent_again():
    """After what Retry-After says and a little more; the request and its id stay the same."""
    hand = Hand()
    steps = course.invoked(hand.session, "digits", [1], How(request_id="r"))
    (first, pause, again), reply = hand.play(steps, REFUSED, None, answer(7))
    assert pause == Pause(2.05)
    assert (first.target, first.body) == (again.target, again.body) == ("/functions/digits", b"[1]")
    assert (reply.result, reply.attempts) == (7, 2)


def test_an_error_that_is_not_tried_again_ends_the_course():
    """As the error itself, with its attempts."""
    hand = Hand()
    steps = course.row(hand.session, calls.describe("digits"))
    next(steps)
    with pytest.raises(ExpiredError) as caught:
        steps.throw(ExpiredError("late"))
    assert caught.value.attempts == 1


def deploying(hand):
    return course.deployed(
        hand.session, "app.py", None, strategy="all-at-once", shares=None, step_s=None, wait=True, timeout_s=60.0
    )


def told(state):
    return answer({"function": "digits", "state": state, "revision": "r1"})


def test_a_deploy_packs_sends_and_asks_until_it_is_live():
    """A server that is away for a moment is sat out."""
    hand = Hand()
    created = answer({"functions": [{"function": "digits", "revision": "r1", "created": True}]}, 201)
    steps = deploying(hand)
    taken, deployment = hand.play(
        steps, (b"archive", "app.py"), created, told("warming"), None, ConnectionFailedError("away"), None, told("live")
    )
    kinds = [type(step) for step in taken]
    assert kinds[:4] == [Work, Sending, Sending, Pause]
    assert (taken[1].body, taken[1].is_admin) == (b"archive", True)
    assert taken[2].target == "/api/v1/functions/digits/rollout"
    assert deployment.rollouts["digits"].state == "live"


def test_a_rollout_that_failed_is_an_error_of_the_deploy():
    """Its cause is in the message."""
    hand = Hand()
    steps = deploying(hand)
    created = answer({"functions": [{"function": "digits", "revision": "r1", "created": True}]}, 201)
    with pytest.raises(RolloutFailedError, match="digits@r1: rolled back"):
        hand.play(steps, (b"archive", "app.py"), created, told("rolled_back"))
