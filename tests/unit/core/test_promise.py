"""The instants of a request: its deadline, when it gives up, and how long it waits for a start."""

from __future__ import annotations

import pytest

from sojourn.core.promise import Promises
from sojourn.domain.event import RequestArrived
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO


@pytest.mark.parametrize(
    ("options", "client_s", "is_warm", "deadline_s", "give_up_s", "cold_give_up_s"),
    [
        ({"slo": SLO(0.1)}, None, True, 0.1, 1.0, 60.0),
        ({"slo": SLO(0.1)}, None, False, 0.1, 60.0, 60.0),
        ({"slo": SLO(0.5)}, None, True, 0.5, 5.0, 60.0),
        ({"slo": SLO(0.1), "timeout_s": 90.0}, None, False, 0.1, 90.0, 90.0),
        ({"slo": SLO(0.1)}, 0.02, True, 0.02, 0.02, 0.02),
        ({"slo": SLO(0.1)}, 0.5, False, 0.1, 0.5, 0.5),
        ({"slo": SLO(0.1)}, 99.0, True, 0.1, 1.0, 60.0),
        ({"timeout_s": 3.0}, None, True, 3.0, 3.0, 60.0),
    ],
)
def test_instants_follow_from_objective_timeouts_and_the_clients_wish(
    options, client_s, is_warm, deadline_s, give_up_s, cold_give_up_s
):
    """Each bound is the smallest that applies; only a cold function's requests wait for a start."""
    promises = Promises(FunctionSettings(name="f", **options))
    request = promises.request(RequestArrived(7, client_timeout_s=client_s), 100.0, is_warm=is_warm)
    assert request.deadline_at_s - 100.0 == pytest.approx(deadline_s)
    assert request.give_up_at_s - 100.0 == pytest.approx(give_up_s)
    assert request.cold_give_up_at_s - 100.0 == pytest.approx(cold_give_up_s)
