"""A server of our own in a child process: it serves while we are inside, and is gone afterwards."""

import os
import urllib.request
from pathlib import Path

import pytest

from sojourn.client.server_process import ServerProcess
from sojourn.errors import StartError

NOOP = Path(__file__).parents[3] / "examples" / "noop.py"


def test_it_serves_inside_and_is_gone_outside():
    """A request is answered; after leaving, the process id is nobody's, and leaving twice does no harm."""
    with ServerProcess(NOOP) as server:
        pid = server.pid
        assert server.functions == ["noop"]
        url, headers = f"{server.url}/functions/noop", {"Content-Type": "application/json"}
        request = urllib.request.Request(url, b"[1]", headers)  # noqa: S310 - our own http address
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
            assert answer.read() == b"[1]"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    server.stop()


def test_a_server_that_cannot_start_is_told_with_its_own_words(tmp_path):
    """The exit code and the end of what it logged."""
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('no such model')\n")
    server = ServerProcess(broken)
    with pytest.raises(StartError, match="no such model"):
        server.__enter__()
    with pytest.raises(StartError, match="not been started"):
        _ = server.pid


def test_a_server_that_is_never_ready_is_given_up_and_stopped(tmp_path):
    """Patience ends, and nothing is left running."""
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ntime.sleep(60)\n")
    server = ServerProcess(slow, start_timeout_s=0.5)
    with pytest.raises(StartError, match="not ready within"):
        server.__enter__()
    with pytest.raises(StartError, match="not been started"):
        _ = server.pid
