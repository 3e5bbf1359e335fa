"""What all tests share."""

from hypothesis import settings

# How fast an example runs depends on the machine; no test is about that.
settings.register_profile("sojourn", deadline=None)
settings.load_profile("sojourn")
