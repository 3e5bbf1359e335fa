"""Archives that come in while source trees are swept away: over a real store of bundles."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from deploy_desk import manifest

from sojourn.bundle.pack import pack
from sojourn.bundle.store import BundleStore
from sojourn.deploy.intake import Intake
from sojourn.domain.deployment import Description
from sojourn.domain.deployment_status import DeployAsked
from sojourn.errors import BundleError


class SlowStore(BundleStore):
    """Its second sweep begins only when it is let go."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.sweeps = 0
        self.began = threading.Event()
        self.let_go = threading.Event()

    def sweep(self, referenced):
        """As ever."""
        self.sweeps += 1
        if self.sweeps == 2:
            self.began.set()
            assert self.let_go.wait(30.0)
        return super().sweep(referenced)


def test_two_sweeps_one_after_the_other_lose_no_tree_that_comes_in(tmp_path):
    """What the second one knows was asked before the tree came; the tree waits for it, though the first one has ended."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "app.py").write_text("f")
    archive = io.BytesIO()
    pack(tmp_path / "tree", "app.py", archive)

    async def described(target: str, root: Path) -> Description:
        assert sweeps[1].done(), "it is imported while a sweep that does not know it is still to begin"
        assert (root / target).is_file()
        return Description(functions=[manifest("f", [])])

    async def nothing() -> set[str]:
        return set()

    async def upload():
        yield archive.getvalue()

    async def tell() -> None:
        intake = Intake(store, described)
        sweeps.extend(asyncio.create_task(intake.sweep(nothing)) for _ in range(2))
        await sweeps[0]
        await asyncio.to_thread(store.began.wait, 30.0)
        asyncio.get_running_loop().call_later(0.05, store.let_go.set)  # the archive has come by then
        await take(intake)

    async def take(intake: Intake) -> None:
        async with intake.taken(upload(), DeployAsked(target="app.py")) as (revision,):
            assert store.digests() == [revision.bundle]

    store = SlowStore(tmp_path / "store")
    store.open()
    sweeps: list[asyncio.Task[None]] = []
    asyncio.run(tell())
    assert (store.sweeps, len(store.digests())) == (2, 1)


def test_an_archive_that_is_done_with_is_in_nobodys_way(tmp_path):
    """More archives come one after the other than may at once, some are not taken; then a sweep removes their trees."""
    archives = [b"no archive"] * 6
    for number in range(6):
        tree = tmp_path / f"tree{number}"
        tree.mkdir()
        (tree / "app.py").write_text(f"f{number}")
        archive = io.BytesIO()
        pack(tree, "app.py", archive)
        archives.append(archive.getvalue())

    async def described(target: str, root: Path) -> Description:
        return Description(functions=[manifest((root / target).read_text(), [])])

    async def upload(archive: bytes):
        yield archive

    async def nothing() -> set[str]:
        return set()

    async def tell() -> None:
        intake = Intake(store, described)
        for archive in archives:
            with contextlib.suppress(BundleError):
                async with intake.taken(upload(archive), DeployAsked(target="app.py")):
                    pass
        assert len(store.digests()) == 6
        await intake.sweep(nothing)

    store = BundleStore(tmp_path / "store")
    store.open()
    asyncio.run(tell())
    assert store.digests() == []
