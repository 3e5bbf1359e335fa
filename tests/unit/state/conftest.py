"""A state directory with all that belongs to it, and a backup of it: made once, changed by no test."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from pathlib import Path

import pytest

from sojourn.state.store import StateStore

sys.path.insert(0, str(Path(__file__).parent))
from state_samples import backed_up, fill, put_bundle


@pytest.fixture(scope="session")
def filled(tmp_path_factory):
    """A state directory with all that belongs to it; tests leave it as it is."""
    state_dir = tmp_path_factory.mktemp("filled")
    store = StateStore.opened_in(state_dir)
    fill(store)
    store.close()
    for number in (1, 2, 3, 4):
        put_bundle(state_dir, number)
    with contextlib.closing(sqlite3.connect(state_dir / "history.db")) as connection:
        connection.executescript("CREATE TABLE cells (a); INSERT INTO cells VALUES (42);")
    return state_dir


@pytest.fixture(scope="session")
def archive(filled, tmp_path_factory):
    """A backup of it."""
    file = tmp_path_factory.mktemp("archive") / "state.tar"
    backed_up(filled, file)
    return file
