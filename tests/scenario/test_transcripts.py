"""The stories of a dispatcher, as transcripts to read.

To write the expected lines of a new or changed story, run with SOJOURN_REWRITE=1 and read the result.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from transcript import play

STORIES = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path):
    """The core's orders are those of the transcript, line by line."""
    lines = path.read_text().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    commands = [line for line in lines if line and line[0] not in "# " and not line.endswith("(woken)")]
    played = play(commands)
    if os.environ.get("SOJOURN_REWRITE"):
        path.write_text("\n".join([*comments, *played]) + "\n")
    assert [line for line in lines if line and not line.startswith("#")] == played


def test_there_are_stories():
    """An empty folder would pass silently."""
    assert len(STORIES) >= 8
