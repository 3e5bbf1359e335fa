"""What is told of the machine."""

import asyncio
import getpass
import platform

import msgspec

from sojourn.calibrate.machine import machine_facts, timer_lateness


def test_facts_name_neither_host_nor_user():
    """Cores, processor and Python; a profile may be shown to anybody."""
    facts = machine_facts(None)
    assert facts.cores > 0
    assert facts.processor
    assert facts.python_version == platform.python_version()
    text = msgspec.json.encode(facts).decode()
    assert platform.node() not in text.split('"')
    assert getpass.getuser() not in text.split('"')


def test_timers_are_never_early():
    """Lateness is none or some, its quantiles are in order."""
    late = asyncio.run(timer_lateness())
    assert 0.0 <= late.p50_s <= late.p95_s <= late.p99_s <= late.max_s
