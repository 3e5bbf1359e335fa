"""A deploy that the disk has no room for: refused with the reason, and everything goes on as it was."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from deploying import APP, deployed, sojourn, write_app
from server import Server, wait_until


@pytest.fixture
def small_disk(tmp_path):
    """A file system of four megabytes; taken down in the end."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", place], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_refuses_a_deploy_and_nothing_else(small_disk, tmp_path):
    """Five megabytes that do not compress do not fit; one serves on, and what fits is deployed afterwards."""
    with Server(tmp_path, None, "--state-dir", str(small_disk / "state"), "--replica-log-files", "0") as server:
        deployed(server, write_app(tmp_path / "one", APP.format(answer="one")))
        large = write_app(tmp_path / "large", APP.format(answer="large"))
        (large / "weights.bin").write_bytes(os.urandom(5 * 2**20))
        refused = sojourn(server, "deploy", str(large))
        assert refused.exit_code != 0
        assert "disk" in str(refused.exception) or "space" in str(refused.exception)
        assert server.call("version", 1).body == "one"
        assert deployed(server, write_app(tmp_path / "two", APP.format(answer="two")))["state"] == "live"
        assert server.call("version", 1).body == "two"


def test_a_promotion_that_cannot_be_kept_is_refused_and_the_canary_goes_on(small_disk, tmp_path):
    """The disk fills while a canary runs: the operator hears why, both revisions serve, and later it is promoted."""
    with Server(tmp_path, None, "--state-dir", str(small_disk / "state"), "--replica-log-files", "0") as server:
        deployed(server, write_app(tmp_path / "one", APP.format(answer="one")))
        two = write_app(tmp_path / "two", APP.format(answer="two"))
        sojourn(server, "deploy", str(two), "--strategy", "canary", "--shares", "0.5", "--step", "60s", "--no-wait")
        rollout = "/api/v1/functions/version/rollout"
        wait_until(lambda: server.ask(rollout).body["state"] == "shifting", "a canary")
        with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(b"x" * 4096):
                pass
        refused = sojourn(server, "rollout", "version", "--promote")
        assert refused.exit_code != 0
        assert "state.db" in str(refused.exception)
        assert server.ask(rollout).body["state"] == "shifting"
        assert {server.call("version", 1).body for _ in range(20)} == {"one", "two"}
        (small_disk / "filler").unlink()
        assert sojourn(server, "rollout", "version", "--promote").exit_code == 0
        assert server.ask(rollout).body["state"] == "live"
        assert {server.call("version", 1).body for _ in range(20)} == {"two"}
