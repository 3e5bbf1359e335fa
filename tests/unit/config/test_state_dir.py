"""The state directory: private, and of one server at a time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from sojourn.config.state_dir import LOCK_NAME, claim, sweep
from sojourn.errors import StartError


def test_it_is_made_for_its_owner_only(tmp_path):
    """Parents are made too; nobody else may look inside."""
    state_dir = claim(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    state_dir.release()
    state_dir.release()


def test_a_second_server_is_told_who_holds_it(tmp_path):
    """The message names the process and the way out; after release the directory is free again."""
    held = claim(tmp_path)
    with pytest.raises(StartError, match=rf"process {os.getpid()}.*--state-dir"):
        claim(tmp_path)
    held.release()
    claim(tmp_path).release()


def test_a_killed_server_leaves_no_lock(tmp_path):
    """The lock dies with its process, whatever the file still says."""
    script = "import sys, pathlib; from sojourn.config.state_dir import claim; c = claim(pathlib.Path(sys.argv[1])); "
    process = subprocess.Popen(
        [sys.executable, "-c", script + "print(flush=True); sys.stdin.read()", tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        process.stdout.readline()
        with pytest.raises(StartError, match=f"process {process.pid}"):
            claim(tmp_path)
        process.kill()
    claim(tmp_path).release()


def test_a_passing_directory_is_removed_unless_something_is_in_it(tmp_path):
    """A server on any free port leaves nothing behind, and deletes nothing it did not make."""
    claim(tmp_path / "empty", is_passing=True).release()
    assert not (tmp_path / "empty").exists()
    used = claim(tmp_path / "used", is_passing=True)
    (tmp_path / "used" / "notes").touch()
    used.release()
    assert (tmp_path / "used" / "notes").exists()


def test_a_directory_others_can_write_is_refused(tmp_path):
    """Who can write there could put a socket of theirs in place of ours."""
    tmp_path.chmod(0o777)
    with pytest.raises(StartError, match="chmod go-w"):
        claim(tmp_path)
    assert not (tmp_path / LOCK_NAME).exists()


def test_a_path_that_cannot_be_a_directory_is_told(tmp_path):
    """A file in the way ends in a message with the remedy."""
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="--state-dir"):
        claim(tmp_path / "file" / "state")


def abandoned(root, *, pid=None):
    """The directory a killed server left: lock, run directory and a socket in it."""
    if pid is None:
        with subprocess.Popen([sys.executable, "-c", ""]) as ended:
            pid = ended.pid
    path = root / f"any-{pid}"
    (path / "run").mkdir(parents=True)
    (path / LOCK_NAME).write_text(f"{pid}\n")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path / "run" / "s"))
    return path


def test_a_dead_servers_directory_is_swept(tmp_path):
    """Lock, run directory and socket go; a second sweep finds nothing, nor does one of a place that is not there."""
    path = abandoned(tmp_path)
    assert sweep(tmp_path) == [path]
    assert list(tmp_path.iterdir()) == []
    assert sweep(tmp_path) == sweep(tmp_path / "nowhere") == []


def test_what_may_be_alive_is_never_swept(tmp_path):
    """A held lock, a process that lives (it may be about to take its lock), another name: left as they are."""
    held = abandoned(tmp_path)
    lock = claim(held)
    starting = abandoned(tmp_path, pid=os.getpid())
    named = tmp_path / "8080"
    named.mkdir()
    (named / LOCK_NAME).touch()
    assert sweep(tmp_path) == []
    assert (held / "run" / "s").exists()
    assert starting.exists()
    lock.release()
    assert sweep(tmp_path) == [held]


def test_nothing_that_a_server_did_not_make_is_swept(tmp_path):
    """A note beside the lock, or in the run directory, or a link in place of the directory keeps it all."""
    noted, inside, target = abandoned(tmp_path), abandoned(tmp_path), abandoned(tmp_path / "elsewhere")
    (noted / "notes").touch()
    (inside / "run" / "notes").touch()
    (tmp_path / "any-999999999").symlink_to(target)
    assert sweep(tmp_path) == []
    for path in (noted, inside, target):
        assert (path / "run" / "s").exists()
        assert (path / LOCK_NAME).exists()
