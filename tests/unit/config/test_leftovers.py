"""What a killed server left is removed, and only that."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sojourn.config.leftovers import remove_tree, set_aside, sweep_scratch


def modes(folder):
    """The modes of all that is in a directory, and of itself."""
    return {path: stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*"))}


def test_a_tree_goes_whatever_its_modes(tmp_path):
    """Closed directories are no shelter; links are removed, not followed."""
    victim = tmp_path / "victim"
    (victim / "inner").mkdir(parents=True)
    before = modes(victim)
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").touch()
    (tree / "a" / "link").symlink_to(victim)
    (tree / "a" / "b").chmod(0)
    (tree / "a").chmod(0o500)
    remove_tree(str(tree))
    assert not tree.exists()
    assert modes(victim) == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_closed_directories_go_without_root_too(tmp_path):
    """The same as a user whom modes bind; nothing above the tree changes its mode, whether it was there or not."""
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    source = str(Path(__file__).parents[3] / "src")
    code = f"""
import os, sys
sys.path.insert(0, {source!r})
from sojourn.config.leftovers import remove_tree
os.setgid(65534); os.setuid(54321)
os.chdir("/proc/self/fd/" + sys.argv[1])
os.makedirs("tree/a/b")
open("tree/a/b/file", "w").close()
for name in ("tree/a/b", "tree/a", "tree"):
    os.chmod(name, 0)
remove_tree("tree")
remove_tree("never")
print(os.listdir())
"""
    os.chown(folder, 54321, 65534)
    fd = os.open(folder, os.O_RDONLY)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(fd)],
            pass_fds=[fd],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(fd)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert modes(folder) == {folder: 0o755}


def test_only_what_was_set_aside_is_swept(tmp_path):
    """Others' files stay, and a link that leads to what no server made is only a link."""
    precious = tmp_path / "precious"
    precious.mkdir()
    run = tmp_path / "run"
    run.mkdir()
    (run / "socket").touch()
    (run / "r").symlink_to(precious)
    set_aside(run)
    sweep_scratch(run)
    assert [path.name for path in run.iterdir()] == ["socket"]
    assert precious.is_dir()
