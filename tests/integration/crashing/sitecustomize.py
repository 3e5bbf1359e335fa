"""Ends a server with SIGKILL at one step of a deploy; the tests put this directory on its PYTHONPATH.

`SOJOURN_CRASH_AT` is a step of `STEPS`, with `before:` or `after:`. No other process is touched.
"""

import importlib
import inspect
import os
import signal
import sys
from pathlib import Path

STEPS = {
    "receive": ("sojourn.bundle.store", "BundleStore", "receive"),
    "add": ("sojourn.bundle.store", "BundleStore", "add"),
    "put_revision": ("sojourn.state.store", "StateStore", "put_revision"),
    "set_candidate": ("sojourn.state.store", "StateStore", "set_candidate"),
    "launch": ("sojourn.runtime.platform", "Platform", "launch"),
    "warm": ("sojourn.runtime.platform", "Platform", "warm"),
    "promote": ("sojourn.state.store", "StateStore", "promote"),
    "make_live": ("sojourn.runtime.platform", "Platform", "make_live"),
    "retire": ("sojourn.runtime.platform", "Platform", "retire"),
}


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


def _patch(when, step):
    module, owner, name = STEPS[step]
    kind = getattr(importlib.import_module(module), owner)
    method = getattr(kind, name)

    def armed():
        # What a start does is left alone: it is the next deploy that is to be hit.
        return Path(os.environ["SOJOURN_CRASH_ARMED"]).exists()

    if inspect.iscoroutinefunction(method):

        async def crashing(self, *args, **kwargs):
            if armed() and when == "before":
                _die()
            result = await method(self, *args, **kwargs)
            if armed():
                _die()
            return result

    else:

        def crashing(self, *args, **kwargs):
            if armed() and when == "before":
                _die()
            result = method(self, *args, **kwargs)
            if armed():
                _die()
            return result

    setattr(kind, name, crashing)


if "serve" in sys.orig_argv and os.environ.get("SOJOURN_CRASH_AT"):
    _patch(*os.environ["SOJOURN_CRASH_AT"].split(":"))
