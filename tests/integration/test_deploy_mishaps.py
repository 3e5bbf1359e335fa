"""What goes wrong between deploys: a tree that is gone, a pool that shrank, a deletion in the middle of a rollout."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from deploying import APP, deployed, sojourn, sojourn_process, write_app
from server import Server, wait_until

OTHER = """
import sojourn

@sojourn.function(max_batch_size=8)
def other(items: list[int]) -> list[int]:
    return items
"""


def _history(server: Server, function: str) -> list[dict]:
    return json.loads(sojourn(server, "history", function, "--json").stdout)["revisions"]


def _lose(state: Path, bundle: str) -> None:
    subprocess.run(["chmod", "-R", "u+w", state / "bundles"], check=True)
    shutil.rmtree(state / "bundles" / bundle)


def test_a_function_whose_tree_is_gone_does_not_keep_the_others_from_being_served(tmp_path):
    """The server starts, says which is broken and why; deployed once more, it is there again."""
    one, state = write_app(tmp_path / "one", APP.format(answer="one")), tmp_path / "kept"
    with Server(tmp_path, None, "--state-dir", str(state)) as server:
        deployed(server, one)
        deployed(server, write_app(tmp_path / "other", OTHER))
        bundle = _history(server, "version")[0]["bundle"]
    _lose(state, bundle)
    with Server(tmp_path, None, "--state-dir", str(state)) as server:
        assert server.call("other", 7).body == 7
        told = server.ask("/api/v1/functions/version/rollout").body
        assert told["state"] == "failed"
        assert bundle in told["cause"]
        refused = server.call("version", 1)
        assert (refused.status, refused.body["code"]) == (503, "not_served")
        assert "sojourn rollout version" in refused.body["error"]
        deployed(server, one)
        wait_until(lambda: server.call("version", 1).body == "one", "the first one answers")
        _lose(state, bundle)
    with Server(tmp_path, None, "--state-dir", str(state)) as server:
        assert sojourn(server, "delete", "version", "--yes").exit_code == 0
        assert server.call("version", 1).status == 404


def test_a_rollback_to_a_tree_that_is_gone_changes_nothing(tmp_path):
    """It is refused, and the next server starts with what was live."""
    state = tmp_path / "kept"
    with Server(tmp_path, None, "--state-dir", str(state)) as server:
        deployed(server, write_app(tmp_path / "one", APP.format(answer="one")))
        deployed(server, write_app(tmp_path / "two", APP.format(answer="two")))
        _lose(state, _history(server, "version")[1]["bundle"])
        assert isinstance(sojourn(server, "rollback", "version").exception, Exception)
    with Server(tmp_path, None, "--state-dir", str(state)) as server:
        assert server.call("version", 1).body == "two"
        assert [row["role"] for row in _history(server, "version")] == ["live", "previous"]


def test_a_deletion_in_the_middle_of_a_canary_leaves_no_route(tmp_path):
    """The name answers 404, as any name that is not deployed."""
    with Server(tmp_path, None) as server:
        deployed(server, write_app(tmp_path / "one", APP.format(answer="one")))
        two = write_app(tmp_path / "two", APP.format(answer="two"))
        sojourn(server, "deploy", str(two), "--strategy", "canary", "--shares", "0.5", "--step", "60s", "--no-wait")
        wait_until(lambda: server.ask("/api/v1/functions/version/rollout").body["state"] == "shifting", "a canary")
        assert sojourn(server, "delete", "version", "--yes").exit_code == 0
        assert server.call("version", 1).status == 404


@pytest.mark.parametrize("begin", ["import time; time.sleep(1)", ""])
def test_a_deletion_while_the_first_revision_warms_up_is_no_error(begin, tmp_path):
    """Nothing is left, and nothing was raised in a task that nobody looks at."""
    with Server(tmp_path, None) as server:
        sojourn(server, "deploy", str(write_app(tmp_path / "one", begin + APP.format(answer="one"))), "--no-wait")
        assert sojourn(server, "delete", "version", "--yes").exit_code == 0
        assert server.call("version", 1).status == 404
    assert "Traceback" not in (tmp_path / "server.log").read_text()


def test_a_revision_that_was_replaced_is_not_reached_by_its_name_any_more(tmp_path):
    """Its pinned path goes with it: the name of what runs no longer is unknown."""
    with Server(tmp_path, None) as server:
        first = deployed(server, write_app(tmp_path / "one", APP.format(answer="one")))["revision"]
        deployed(server, write_app(tmp_path / "two", APP.format(answer="two")))
        assert server.call(f"version@{first}", 1).status == 404
        assert sojourn(server, "rollback", "version").exit_code == 0
        wait_until(lambda: server.call("version", 1).body == "one", "the first one answers")
        assert server.call(f"version@{first}", 1).body == "one"


def test_an_upload_that_breaks_off_is_no_error_of_the_server(tmp_path):
    """Its client is gone; nothing is left of it, and the log tells no failure."""
    with Server(tmp_path, None) as server:
        head = (
            b"POST /api/v1/deployments?target=app.py HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/gzip\r\n"
        )
        with socket.create_connection((server.admin.hostname, server.admin.port)) as client:
            client.sendall(head + b"content-length: 1000\r\n\r\nbegun")
            time.sleep(0.2)
        assert deployed(server, write_app(tmp_path / "one", APP.format(answer="one")))["state"] == "live"
    assert '"admin.failed"' not in (tmp_path / "server.log").read_text()


def test_a_server_that_is_stopped_during_an_import_says_so(tmp_path, tmp_path_factory):
    """The client hears that the server stops, not of an internal error; no task fails unseen."""
    begun = tmp_path_factory.mktemp("elsewhere") / "begun"  # where the state directory closes nothing
    hang = f"import time; open({str(begun)!r}, 'w').close(); time.sleep(50)\n"
    with Server(tmp_path, None) as server:
        tree = write_app(tmp_path / "slow", hang + APP.format(answer="one"))
        with ThreadPoolExecutor(1) as pool:
            deploying = pool.submit(sojourn_process, server, "deploy", str(tree))
            wait_until(begun.exists, "the import to begin")
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(60) == 0
            assert "the server is stopping" in deploying.result().stderr
        server.stopped_by_test = True
    assert "Traceback" not in (tmp_path / "server.log").read_text()
