"""What all tests share."""

import os

from hypothesis import settings

# Tables are as wide as they need, whatever terminal the tests were started from.
os.environ.pop("COLUMNS", None)

# How fast an example runs depends on the machine; no test is about that.
settings.register_profile("sojourn", deadline=None)
settings.load_profile("sojourn")
