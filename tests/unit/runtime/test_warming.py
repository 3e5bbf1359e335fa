"""What is told of a revision that did not become warm."""

from __future__ import annotations

import asyncio
from random import Random
from types import SimpleNamespace

from sojourn.core.controller import Controller
from sojourn.domain.function import FunctionSettings
from sojourn.domain.resources import Resources
from sojourn.runtime.warming import Warming


def test_a_lack_of_room_is_told_in_the_units_people_write():
    """What there is, what is held and what is claimed, each with its memory in GB or GiB."""
    times = iter((0.0, 59.99))  # a hundredth of a second is left at the first look, none at the next
    controller = Controller(Random(1), capacity=Resources(4, 0, 25 * 10**9))
    settings = FunctionSettings(name="digits", memory_bytes=3 * 2**29)
    service = SimpleNamespace(
        name="digits",
        key="digits@1",
        has_been_ready=False,
        is_closed=False,
        manifest=SimpleNamespace(settings=settings),
    )
    replicas = SimpleNamespace(serving=lambda _: [])
    warming = Warming(controller, replicas, None, asyncio.Event(), lambda: next(times, 61.0))
    told = asyncio.run(warming.warm(service))
    assert "of cpus=4, gpus=0, memory=25 GB the replicas there are hold cpus=0, gpus=0; one" in told
    assert "one of 'digits' claims cpus=1, gpus=0, memory=1.5 GiB" in told
