"""Trees to pack, and a directory to unpack in."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from bundle_bench import Trees

from sojourn.bundle.disk import remove_tree


@pytest.fixture
def trees(tmp_path):
    """A bench whose read-only trees are removed at the end."""
    bench = Trees(tmp_path)
    yield bench
    for path in bench.parent.iterdir():
        remove_tree(path)
