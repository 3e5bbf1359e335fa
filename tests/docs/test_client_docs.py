"""The examples of docs/client.md and docs/testing.md, run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from server import PATIENCE_S, Server  # noqa: E402 - its place is known only now

MORE = """
import sojourn

@sojourn.function
def double(items: list[int]) -> list[int]:
    return [2 * item for item in items]
"""


def examples(name: str) -> list[str]:
    """The Python blocks of a document."""
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / name).read_text(), re.DOTALL | re.MULTILINE)


def test_the_examples_of_the_client_run(tmp_path):
    """In their order, with the server they speak of."""
    app, *rest = examples("client.md")
    assert len(rest) >= 8
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "more.py").write_text(MORE)
    (tmp_path / "tree" / "examples.py").write_text("\n".join(rest))
    with Server(tmp_path, app) as server:
        environment = {
            **os.environ,
            "SOJOURN_URL": server.inference.geturl(),
            "SOJOURN_ADMIN_URL": server.admin.geturl(),
        }
        done = subprocess.run(
            [sys.executable, "-W", "error", "examples.py"],
            cwd=tmp_path / "tree",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr


def test_the_examples_of_testing_run(tmp_path):
    """Each file as it is named in its first line; pytest finds five tests and all pass."""
    for example in examples("testing.md"):
        (tmp_path / re.match(r"# (\S+\.py)\n", example)[1]).write_text(example)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout
