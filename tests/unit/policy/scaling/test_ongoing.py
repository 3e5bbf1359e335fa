"""Ray Serve's rule: a change must be wished for long enough."""

from __future__ import annotations

from sojourn.domain.policy import OngoingScaling
from sojourn.policy.scaling.ongoing import OngoingPolicy


def ongoing(**parameters):
    defaults = {"target": 2.0, "look_back_s": 1.0, "up_delay_s": 10.0, "down_delay_s": 30.0}
    return OngoingPolicy(OngoingScaling(**{**defaults, **parameters}))


def first_at(wants, replicas):
    """Seconds after which the answer was first this."""
    return next((index + 1) * 0.25 for index, want in enumerate(wants) if want.replicas == replicas)


def test_more_are_started_after_the_up_delay_and_stopped_after_the_down_delay(function):
    """8 ongoing at a target of 2 are 4 replicas, ten seconds later; back at 2, thirty seconds later 1."""
    under_load = function(ongoing())
    under_load.live(5, in_flight=2)
    up = under_load.live(15, in_flight=8)
    assert 10.0 <= first_at(up, 4) <= 12.0
    assert "8.0 ongoing / 2 = 4.00" in up[-1].why
    down = under_load.live(40, in_flight=2)
    assert 30.0 <= first_at(down, 1) <= 32.0


def test_a_wish_that_changes_side_starts_its_delay_again(function):
    """Nine seconds above, a moment at the target, nine seconds above: nothing happens."""
    under_load = function(ongoing())
    under_load.live(5, in_flight=2)
    for _ in range(5):
        assert {want.replicas for want in under_load.live(9, in_flight=8)} == {1}
        assert {want.replicas for want in under_load.live(2, in_flight=2)} == {1}


def test_a_wish_that_jumps_to_the_other_side_starts_its_delay_again(function):
    """Nine seconds far above, then below without a stop between: thirty seconds count from there."""
    under_load = function(ongoing(), ready=2)
    under_load.live(5, in_flight=4)
    assert {want.replicas for want in under_load.live(9, in_flight=20)} == {2}
    assert 30.0 <= first_at(under_load.live(40, in_flight=2), 1) <= 32.0


def test_the_default_asks_for_a_second_replica_after_about_half_a_minute(function):
    """With a 30-s look-back and a 30-s delay a step is answered late: that is how the original behaves."""
    under_load = function(OngoingPolicy(OngoingScaling()))
    under_load.live(60, in_flight=1)
    rise = under_load.live(60, in_flight=12)
    assert 30.0 < min(first_at(rise, count) for count in {want.replicas for want in rise} - {1}) < 40.0


def test_from_zero_the_first_request_starts_one_at_once(function):
    """No delay where there is nothing; and what keep-alive stopped is not started again for nobody."""
    under_load = function(ongoing())
    under_load.live(5, in_flight=2)
    under_load.ready = 0  # keep-alive
    assert {want.replicas for want in under_load.live(20)} == {0}
    assert under_load.live(0.25, waiting=1)[-1].replicas == 1


def test_the_wish_stays_within_the_bounds(function):
    """A hundred ongoing are 50 replicas, of which 6 are allowed."""
    under_load = function(ongoing(up_delay_s=0.0), max_replicas=6)
    assert under_load.live(5, in_flight=100)[-1].replicas == 6
