"""A source tree all the way: packed by one, kept by another, described there, served from there by forked replicas."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path

import pytest

from sojourn.bundle.disk import remove_tree
from sojourn.bundle.pack import pack
from sojourn.bundle.store import BundleStore
from sojourn.domain.deployment import deployed_as, revision_of
from sojourn.errors import BundleError
from sojourn.launcher.describe import examine
from sojourn.launcher.local import LocalLauncher
from sojourn.wire.message import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "launcher"))
from launcher_bench import Server

APP = """
import sojourn
from labels import names
from pathlib import Path

WEIGHTS = (Path(__file__).parent / "model" / "weights.txt").read_text().split()

@sojourn.function
class Classify:
    def __call__(self, items: list[int]) -> list[str]:
        return [names()[int(WEIGHTS[item])] for item in items]
"""
TREE = {
    "app.py": APP,
    "labels.py": "def names():\n    from late import NAMES\n    return NAMES\n",
    "late.py": "NAMES = ['cat', 'dog']\n",
    "model/v1.txt": "1 0",
    ".env": "SECRET=1",
    "venv/lib/x.py": "",
}
ANY = "import sojourn\n\n@sojourn.function\ndef f(items):\n    return items\n"


def write(root: Path) -> Path:
    """The tree, with a link to a file in it."""
    for name, text in TREE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "model" / "weights.txt").symlink_to("v1.txt")
    return root


async def sent(root: Path):
    """The packed tree as a client sends it."""
    output = io.BytesIO()
    pack(root, "app.py", output)
    data = output.getvalue()
    for at in range(0, len(data), 100):
        yield data[at : at + 100]


@pytest.fixture
def store(tmp_path):
    made = BundleStore(tmp_path / "store")
    made.open()
    yield made
    remove_tree(tmp_path / "store")


def test_from_a_directory_to_forked_replicas(store, tmp_path):
    """The same content from two places is one revision; its replicas find their files and leave none behind."""

    async def scene():
        digests = [await store.put(sent(write(tmp_path / place))) for place in ("one", "two")]
        assert digests[0] == digests[1]
        root = store.path_of(digests[0])
        told = await examine("app.py", root=root)
        (manifest,) = deployed_as(told.functions, "animals")
        assert manifest.name == "animals"
        assert manifest.root == str(root)
        revision = revision_of(digests[0], manifest, told.dependencies)
        assert revision == revision_of(digests[1], manifest, (await examine("app.py", root=root)).dependencies)

        server = Server(tmp_path, lambda heard: LocalLauncher(lambda *line: heard(line)))
        await server.open(ANY)
        server.manifest = manifest
        try:
            for number in (1, 2):
                server.start(number)
                link = await server.ready()
                link.send(Run(1, [b"0", b"1"]))
                assert (await link.receive()).bodies == [b'"dog"', b'"cat"']
            assert server.launcher.is_forked(2)
        finally:
            await server.close()
        return digests[0]

    digest = asyncio.run(asyncio.wait_for(scene(), 100))
    store.verify(digest)  # not a byte was written into it
    names = sorted(path.name for path in store.path_of(digest).iterdir())
    assert names == ["app.py", "labels.py", "late.py", "model"]
    assert store.sweep([]).bundles == (digest,)
    with pytest.raises(BundleError):
        store.path_of(digest)
