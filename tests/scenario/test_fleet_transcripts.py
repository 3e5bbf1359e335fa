"""The stories of a fleet, as transcripts to read.

To write the expected lines of a new or changed story, run with SOJOURN_REWRITE=1 and read the result.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fleet_transcript import play

STORIES = sorted((Path(__file__).parent / "fleet").glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_fleet_story(path: Path):
    """Every decision, start, drain and exit is that of the transcript, and so is what came of the requests."""
    lines = path.read_text().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    commands = [line for line in lines if line and line[0] not in "# "]
    played = play(commands)
    if os.environ.get("SOJOURN_REWRITE"):
        path.write_text("\n".join([*comments, *played]) + "\n")
        lines = path.read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == played


def test_there_are_fleet_stories():
    """An empty folder would pass silently."""
    assert len(STORIES) >= 8
