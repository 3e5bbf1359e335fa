"""The requests of the API as they are sent."""

import pytest

from sojourn.client import calls
from sojourn.domain.deployment import RolloutPlan
from sojourn.errors import ConfigurationError


def invocation(function="f", **given):
    given = {"revision": None, "priority": None, "request_id": None, "content_type": None, **given}
    return calls.invocation(function, 1, **given)


def test_a_call_names_function_revision_priority_and_itself():
    """Odd names are quoted, so that they cannot name another path; ids are made up if none is given."""
    request, name = invocation("a", revision="0123456789ab", priority="critical", request_id="me")
    assert request.path == "/functions/a@0123456789ab"
    assert dict(request.headers) == {
        "content-type": "application/json",
        "x-request-id": "me",
        "x-priority": "critical",
    }
    assert name == "me"
    assert invocation("../a b?c")[0].path == "/functions/..%2Fa%20b%3Fc"
    assert invocation()[1] != invocation()[1]


@pytest.mark.parametrize(
    "given", [{"function": ""}, {"priority": "high"}, {"request_id": "a\r\nx: y"}, {"request_id": ""}]
)
def test_arguments_that_cannot_be_sent_are_refused(given):
    """Nothing a caller passes becomes a header of its own."""
    with pytest.raises(ConfigurationError):
        invocation(**given)


def test_a_key_is_shown_as_bearer_and_never_repeated():
    """Without a key there is no header; one with a line end is refused without being told."""
    assert calls.key_header("abc") == (("authorization", "Bearer abc"),)
    assert calls.key_header(None) == calls.key_header("") == ()
    with pytest.raises(ConfigurationError) as raised:
        calls.key_header("secret\n")
    assert "secret" not in str(raised.value)


def test_a_deployment_carries_its_plan():
    """Steps go along with a canary only."""
    path = calls.deployment(b"x", "app.py", None, RolloutPlan()).path
    assert path == "/api/v1/deployments?target=app.py&strategy=all-at-once"
    plan = calls.plan_of("canary", [0.1, 0.5], 30)
    request = calls.deployment(b"x", "pkg.mod", "n", plan)
    assert request.path == "/api/v1/deployments?target=pkg.mod&name=n&strategy=canary&shares=0.1%2C0.5&step_s=30"
    assert (request.body, dict(request.headers)) == (b"x", {"content-type": "application/gzip"})


def test_a_plan_that_cannot_be_is_refused_before_anything_is_packed():
    """Unknown strategies, shares out of order, steps of a rollout that has none."""
    for given in [
        ("blue", None, None),
        ("canary", [0.5, 0.1], None),
        ("canary", None, 0),
        ("all-at-once", [0.1], None),
    ]:
        with pytest.raises(ConfigurationError):
            calls.plan_of(*given)


def test_only_reading_requests_may_be_sent_twice():
    """GET may; a call of a function, scale, rollback, deploy and delete may not."""
    reading = [calls.functions(), calls.slo("f"), calls.rollout("f"), calls.history("f"), calls.events(None, None, 5)]
    assert all(request.is_reading and request.method == "GET" for request in reading)
    changing = [calls.scale("f", 1, None), calls.rollback("f", None), calls.delete("f"), invocation()[0]]
    assert not any(request.is_reading for request in changing)
    assert calls.scale("f", 0, None).body == b'{"min_replicas":0}'
