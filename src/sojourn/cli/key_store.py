"""The keys of a state directory whose server does not run, for `sojourn key`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sojourn.access.key_store import KeyStore
from sojourn.config.state_dir import StateDir
from sojourn.state.store import StateStore


@contextlib.contextmanager
def opened_key_store(state_dir: StateDir) -> Iterator[KeyStore]:
    """The keys kept in a directory that this process holds.

    Raises:
        StateError: What is kept there cannot be read.
    """
    with contextlib.closing(StateStore.opened_in(state_dir.path)) as store:
        yield store
