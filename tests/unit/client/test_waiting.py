"""Waiting for rollouts, on a scripted clock."""

import pytest

from sojourn.client.reply import Deployment
from sojourn.client.waiting import Waiting, patience_s
from sojourn.domain.deployment import RolloutPlan
from sojourn.domain.deployment_status import Deployed, RolloutTold
from sojourn.errors import ConnectionFailedError, ExpiredError, NotFoundError, RolloutFailedError

DEPLOYED = Deployment(
    functions=[
        Deployed(function="a", revision="1" * 12, created=True),
        Deployed(function="b", revision="2" * 12, created=True),
    ]
)


def told(function: str, state: str, revision: str | None = None, **more) -> RolloutTold:
    revisions = {"a": "1" * 12, "b": "2" * 12}
    return RolloutTold(function=function, state=state, revision=revision or revisions[function], **more)


def test_it_waits_for_each_function():
    """Until all are live."""
    waiting = Waiting(DEPLOYED, 60.0, 0.0)
    waiting.heard("a", told("a", "shifting", share=0.1), 1.0)
    waiting.heard("b", told("b", "warming"), 1.0)
    assert waiting.open == ["a", "b"]
    waiting.heard("a", told("a", "live"), 2.0)
    waiting.heard("b", told("b", "live"), 2.0)
    assert waiting.open == []
    assert set(waiting.result()) == {"a", "b"}


def test_a_rollout_that_was_rolled_back_is_told_with_cause_and_evidence():
    """All that failed stand in one error, which keeps what is known of each."""
    waiting = Waiting(DEPLOYED, 60.0, 0.0)
    waiting.heard("a", told("a", "rolled_back", cause="worse", evidence={"bad": 9}), 1.0)
    waiting.heard("b", told("b", "live"), 1.0)
    with pytest.raises(RolloutFailedError, match=r'a@1{12}: rolled back: worse .evidence: {"bad": 9}') as raised:
        waiting.result()
    assert raised.value.rollouts["b"].state == "live"


def test_another_deploy_that_took_its_place_ends_the_wait():
    """Whoever waits is told which revision it was; its own will not go live any more."""
    waiting = Waiting(DEPLOYED, 60.0, 0.0)
    waiting.heard("a", told("a", "warming", "9" * 12), 1.0)
    assert waiting.open == ["b"]
    waiting.heard("b", told("b", "live"), 1.0)
    with pytest.raises(RolloutFailedError, match=r"a@1{12}: 9{12} has taken its place, and is warming"):
        waiting.result()


def test_a_restart_is_sat_out_and_a_refusal_is_not():
    """A silent server has thirty seconds; "no such function" is final."""
    waiting = Waiting(DEPLOYED, 600.0, 0.0)
    waiting.missed(ConnectionFailedError("restarting"), 29.0)
    waiting.heard("a", told("a", "warming"), 29.5)
    waiting.missed(ConnectionFailedError("restarting"), 59.0)
    with pytest.raises(ConnectionFailedError):
        waiting.missed(ConnectionFailedError("gone"), 59.5)
    with pytest.raises(NotFoundError):
        waiting.missed(NotFoundError("deleted meanwhile"), 30.0)


def test_patience_ends_and_covers_the_steps_of_a_canary():
    """The error names what is still open."""
    waiting = Waiting(DEPLOYED, 60.0, 0.0)
    waiting.check(59.9)
    with pytest.raises(ExpiredError, match="a, b"):
        waiting.check(60.0)
    assert patience_s(RolloutPlan(strategy="canary", shares=(0.1, 0.5), step_s=1000)) > 2000
