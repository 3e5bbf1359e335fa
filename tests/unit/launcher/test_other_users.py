"""What keeps processes of one user apart who is not root: their number, and who may look into a replica."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")

AS_NOBODY = """
import os, sys, subprocess
sys.path.insert(0, {source!r})
import msgspec, resource, errno
from sojourn.wire.spec import Confinement
from sojourn.replica.confine import confine
from sojourn.launcher.isolation import _tasks_max
os.setgroups([]); os.setgid(65534); os.setuid({uid})
{code}
"""


def run_as(uid, code):
    """What a process prints that became another user."""
    source = str(Path(__file__).parents[3] / "src")
    text = AS_NOBODY.format(source=source, uid=uid, code=code)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert not done.stderr, done.stderr
    return done.stdout.split()


@as_root
def test_a_fork_bomb_is_stopped_where_users_are_counted():
    """Not for root: that is said by `doctor`; for any other user at the number above what it has."""
    bomb = """
confine(Confinement(processes=_tasks_max(5)))
forked = []
try:
    for _ in range(20):
        pid = os.fork()
        if not pid:
            import signal
            signal.pause()
        forked.append(pid)
except BlockingIOError:
    print("stopped")
print(len(forked))
for pid in forked:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
"""
    assert run_as(54321, bomb) == ["stopped", "5"]


@as_root
def test_without_landlock_processes_of_one_user_cannot_look_into_a_replica():
    """The next best thing: it is not dumpable, and so belongs to root as far as /proc goes; its memory can still be read."""
    look = """
reading, writing = os.pipe()
waiting, go = os.pipe()
pid = os.fork()
if not pid:
    confine(Confinement({how}))
    os.write(writing, b"x")
    os.read(waiting, 1)
    os._exit(0)
os.read(reading, 1)
for file in ("environ", "mem", "smaps_rollup"):
    try:
        open(f"/proc/{{pid}}/{{file}}", "rb").read(0)
        print("open")
    except PermissionError:
        print("closed")
from sojourn.launcher.memory import memory_bytes
print(memory_bytes(pid) > 2**20)
os.write(go, b"x")
os.waitpid(pid, 0)
"""
    assert run_as(54321, look.format(how="")) == ["closed", "closed", "closed", "True"]
