"""Where the keys of a state directory are kept: the one place that knows, for servers and for `sojourn key`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sojourn.access.key_file import KeyFile
from sojourn.access.key_store import KeyStore, PassingKeys
from sojourn.config.state_dir import StateDir


@contextlib.contextmanager
def opened_key_store(state_dir: StateDir) -> Iterator[KeyStore]:
    """The keys of a state directory that this process holds.

    Args:
        state_dir: The directory; one that is for a single run keeps none.

    Raises:
        StateError: What is kept there cannot be read.
    """
    yield PassingKeys() if state_dir.is_passing else KeyFile(state_dir.path)
