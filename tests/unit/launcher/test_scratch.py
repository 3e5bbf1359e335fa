"""Private directories: below a long path, and what a killed server left."""

import os
from pathlib import Path

from sojourn.launcher.scratch import ScratchSpace


def test_a_place_below_a_long_path_is_elsewhere(tmp_path):
    """Names of sockets must fit; what was left by a killed server is swept all the same, and nothing else."""
    run = tmp_path / ("long" * 15)
    run.mkdir()
    left = ScratchSpace(run)
    Path(left.make("a@1", "1"), "file").touch()
    assert len(os.fsencode(left.path)) < 50
    assert (run / "r").is_symlink()
    strange = run / "left-x"
    strange.mkdir()
    (strange / "r").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").mkdir()
    again = ScratchSpace(run)  # the first one was never closed
    Path(again.make("a@1", "1"), "file").touch()
    again.close()
    assert not left.path.exists()
    assert not again.path.exists()
    assert list(run.iterdir()) == []
    assert (tmp_path / "precious").is_dir()
    left._remover.shutdown()


def test_nothing_is_left_of_a_revision_that_is_gone(tmp_path):
    """Neither its directory nor a note of it; while another one runs, and where it comes again, each has its own."""
    (tmp_path / "run").mkdir()
    space = ScratchSpace(tmp_path / "run")
    stays = Path(space.make("f@stays", "1"))
    for number in range(5):
        Path(space.make(f"f@{number}", "1"), "left").write_text("by a process")
        space.forget(f"f@{number}")
        space.forget(f"f@{number}")
    again = Path(space.make("f@0", "1"))
    space._remover.submit(int).result()
    assert {path.name for path in space.path.iterdir()} == {stays.parent.name, again.parent.name}
    assert space._revisions == {"f@stays": str(stays.parent), "f@0": str(again.parent)}
    space.close()
