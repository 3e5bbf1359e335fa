"""Pools are held at one thread during the import of a fork server, and get the function's number in its replicas."""

import os
import threading
import time

import pytest

from sojourn.domain.function import FunctionSettings
from sojourn.replica.threads import THREAD_VARIABLES, HeldThreads, running_threads


@pytest.mark.parametrize(
    ("given", "threads", "expected"),
    [
        (None, None, "2"),  # from cpus
        ("9", None, "9"),
        ("3,2", None, "3,2"),
        ("9", 4, "4"),
    ],
)
def test_the_variables_are_put_back(monkeypatch, given, threads, expected):
    """One while held; then the option, else what the environment said, else the number of cores claimed."""
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "set here so that it is undone after the test")
        if given is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, given)
    held = HeldThreads()
    assert {os.environ[name] for name in THREAD_VARIABLES} == {"1"}
    held.release(FunctionSettings(name="x", cpus=1.5, threads=threads))
    assert {os.environ[name] for name in THREAD_VARIABLES} == {expected}


def test_running_threads_are_named():
    """Each but the main one; none once it has ended."""
    before = running_threads()
    go_on = threading.Event()
    other = threading.Thread(target=go_on.wait)
    other.start()
    try:
        assert len(running_threads()) == len(before) + 1
    finally:
        go_on.set()
        other.join()
    # Joined is not yet gone: the kernel may list the thread for a moment longer.
    give_up_at_s = time.monotonic() + 30.0
    while running_threads() != before:
        assert time.monotonic() < give_up_at_s, running_threads()
        os.sched_yield()
