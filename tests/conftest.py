"""What all tests share."""

import os
import signal

from hypothesis import settings

# Tables are as wide as they need, whatever terminal the tests were started from.
os.environ.pop("COLUMNS", None)

# How fast an example runs depends on the machine; no test is about that.
settings.register_profile("sojourn", deadline=None)
settings.load_profile("sojourn")

# A shell has what it runs in the background ignore interrupts, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
