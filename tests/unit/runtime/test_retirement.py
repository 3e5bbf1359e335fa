"""Revisions that leave, and those that may stay after all."""

import asyncio
import sys
from pathlib import Path
from time import monotonic

sys.path.insert(0, str(Path(__file__).parent))
from desk import Desk, answer_all, on_a_loop

from sojourn.domain.event import FunctionRemoved
from sojourn.domain.request import Fault
from sojourn.runtime.retirement import Retirements

PATIENCE_S = 10.0  # after this a test fails


class Driver:
    """A controller whose replicas end as soon as their function is removed."""

    def __init__(self):
        self.changed = asyncio.Event()
        self.replicas = self
        self.posted = []

    def post(self, event):
        self.posted.append(event)
        self.changed.set()

    def serving(self, _service):
        return [] if self.posted else [1]


async def begun(desk, limit_s):
    """Retirements, the controller, and the end of the desk's function under way."""
    driver = Driver()
    retirements = Retirements(driver, lambda _service: None, monotonic)
    ending = asyncio.create_task(retirements.retire(desk.service, limit_s))
    await asyncio.sleep(0)
    assert desk.service.is_retiring
    return retirements, driver, ending


@on_a_loop
async def test_one_that_may_stay_is_not_waited_for_though_it_is_never_idle():
    """Called off while it has a request: the retirement is over at once, and the revision goes on."""
    desk = Desk()
    caller, _ = desk.submit()
    retirements, driver, ending = await begun(desk, limit_s=3600.0)
    assert retirements.call_off(desk.service)
    assert await asyncio.wait_for(ending, PATIENCE_S)
    assert (desk.service.is_retiring, desk.service.is_closed, driver.posted) == (False, False, [])
    answer_all(desk, desk.links[1])
    assert caller.heard == [b"r"]


@on_a_loop
async def test_one_that_leaves_goes_with_its_last_answer():
    """Not before it, and it ended by itself."""
    desk = Desk()
    desk.submit()
    _, driver, ending = await begun(desk, limit_s=3600.0)
    driver.changed.set()  # something else has happened
    await asyncio.sleep(0)
    assert driver.posted == []
    answer_all(desk, desk.links[1])
    assert await asyncio.wait_for(ending, PATIENCE_S)
    assert [type(event) for event in driver.posted] == [FunctionRemoved]


@on_a_loop
async def test_what_is_left_at_the_limit_is_told_to_come_again():
    """It did not end by itself."""
    desk = Desk()
    caller, _ = desk.submit()
    _, _, ending = await begun(desk, limit_s=0.0)
    assert await asyncio.wait_for(ending, PATIENCE_S) is False
    assert caller.heard == [(Fault.SHUTTING_DOWN, 0)]
