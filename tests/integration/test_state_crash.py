"""A state file outlives the death of its process at any step, and a disk without room."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sojourn.errors import StateError
from sojourn.state.store import StateStore

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "state"))
from state_samples import all_of, go_live, key

HERE = Path(__file__).parent
FRAME_BYTES = 24 + 4096
LOG_HEAD_BYTES = 32


@pytest.fixture
def tmp_path(tmp_path):
    """In memory where there is such a place: a killed process loses nothing it handed to the system, wherever that is."""
    memory = Path("/dev/shm")  # noqa: S108 (a directory of its own in it)
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="sojourn-test-", dir=memory) as made:
        yield Path(made)


def printed_by(*words):
    """The JSON that a command of ours prints."""
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize(("scenario", "steps_min"), [("deploy", 80), ("create", 15), ("upgrade", 15)])
def test_killed_at_any_statement_what_was_acknowledged_is_there(tmp_path, scenario, steps_min):
    """And what was not is there whole or not at all: deploys, the first start, and the upgrade of an old file."""
    found = printed_by(str(HERE / "state_crash.py"), str(tmp_path), scenario)
    assert found["wrong"] == []
    assert found["steps"] >= steps_min
    assert found["acknowledged"] == found["changes"]


@pytest.fixture
def halfway(tmp_path, monkeypatch):
    """Files as they are after a commit that has not left the log yet, and what is said before and after it."""
    monkeypatch.setattr("sojourn.state.open_file.emptied_log", lambda _: None)
    store = StateStore.opened_in(tmp_path)
    go_live(store, 1)
    store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before, file_before = all_of(store), (tmp_path / "state.db").read_bytes()
    with store.transaction():
        go_live(store, 2)
        store.put_key(key(1))
    after, log = all_of(store), (tmp_path / "state.db-wal").read_bytes()
    store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    file_after = (tmp_path / "state.db").read_bytes()
    store.close()
    assert len(log) >= LOG_HEAD_BYTES + 3 * FRAME_BYTES
    assert file_after != file_before
    return before, after, file_before, file_after, log


def said_with(directory, file, log):
    directory.mkdir()
    (directory / "state.db").write_bytes(file)
    (directory / "state.db-wal").write_bytes(log)
    store = StateStore.opened_in(directory)
    try:
        return all_of(store)
    finally:
        store.close()


def test_a_log_of_which_only_the_beginning_was_written_is_a_change_not_made(halfway, tmp_path):
    """Cut at each frame and within: what is said is all of the state before; whole, all of the state after."""
    before, after, file, _, log = halfway
    frames = range(0, len(log), FRAME_BYTES)
    rng = random.Random(5)
    cuts = sorted({0, *(min(LOG_HEAD_BYTES + at, len(log)) for at in frames), *rng.sample(range(len(log)), 8)})
    for cut in cuts:
        expected = after if cut == len(log) else before
        assert said_with(tmp_path / f"cut-{cut}", file, log[:cut]) == expected, cut
    assert said_with(tmp_path / "whole", file, log) == after


def test_a_file_into_which_the_log_was_brought_in_part_is_the_state_after(halfway, tmp_path):
    """Any pages may have been written when the process dies: the log has them all."""
    _, after, file_before, file_after, log = halfway
    pages = range(0, len(file_after), 4096)
    rng = random.Random(6)
    for attempt in range(6):
        mixed = bytearray(file_before.ljust(len(file_after), b"\0"))
        for page in rng.sample(list(pages), attempt * len(pages) // 5):
            mixed[page : page + 4096] = file_after[page : page + 4096]
        assert said_with(tmp_path / f"mixed-{attempt}", bytes(mixed), log) == after


FULL = """
import json, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from state_samples import all_of, go_live, key, revision
from sojourn.errors import StateError
from sojourn.state.store import StateStore

store = StateStore.opened_in(Path(sys.argv[1]))
go_live(store, 1)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
size = (Path(sys.argv[1]) / "state.db").stat().st_size
errors, acknowledged = [], 0
for room in (0, 1000, 4096, 9000, 20_000, 60_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, hard))
    try:
        for number in range(100):
            store.put_revision(revision(number, f"f{room}-{number}"))
            acknowledged += 1
    except StateError as err:
        errors.append(str(err))
    assert len(store.functions()) == acknowledged + 1, (room, len(store.functions()), acknowledged)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
store.put_key(key(1))
said = all_of(store)
store.close()
again = StateStore.opened_in(Path(sys.argv[1]))
assert all_of(again) == said
print(json.dumps({"errors": errors, "acknowledged": acknowledged, "faults": again.faults(), "keys": len(again.keys())}))
again.close()
"""


def test_a_disk_without_room_refuses_changes_until_it_has_room_again(tmp_path):
    """The file may not grow, by any of several sizes: each change is acknowledged and there, or refused and not."""
    found = printed_by("-c", FULL, str(tmp_path), str(HERE.parent / "unit" / "state"))
    assert len(found["errors"]) == 6
    assert all("cannot be written" in error and "serving goes on" in error for error in found["errors"])
    assert (found["faults"], found["keys"]) == ([], 1)


def test_a_file_on_a_read_only_place_is_told_in_words(tmp_path):
    """Opened all the same would be a server that acknowledges what it cannot keep."""
    store = StateStore.opened_in(tmp_path)
    store._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StateError, match="cannot be written"):
        store.put_key(key(1))
    store._connection.execute("PRAGMA query_only = OFF")
    store.put_key(key(1))
    assert store.failure == ""
    store.close()
