"""The arrivals of a scenario by themselves are those a run of it sees."""

from sojourn.domain.event import RequestArrived
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.sim.replica import ModelledService
from sojourn.sim.scenario import Scenario, SimulatedFunction, Traffic, simulate
from sojourn.study.arrivals import arrivals_of
from sojourn.workload.spec import parse_arrivals


def test_arrivals_are_those_of_the_run():
    """What bounds are computed from is what the policies were given, after the transient."""
    function = SimulatedFunction(
        settings=FunctionSettings(name="digits", slo=SLO(0.1)),
        service=ModelledService(0.001, 0.005),
        traffic=Traffic(parse_arrivals("bursty"), 50.0),
    )
    scenario = Scenario(functions=(function,), duration_s=5.0, transient_s=1.0, seed=11)
    seen = []

    def observe(event, now_s, _actions):
        if isinstance(event, RequestArrived) and now_s >= 1.0:
            seen.append(now_s)

    run = simulate(scenario, observe=observe)
    assert arrivals_of(scenario, "digits") == seen
    assert run.total.sent == len(seen) > 50
