"""Deploying to a running server, from the first answer to the last: real processes, real load, no failed request."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from sojourn.cli.main import cli

sys.path.insert(0, str(Path(__file__).parent))
from deploying import APP, Probes, deployed, sojourn, sojourn_process, write_app
from server import Server, wait_until

FAILING = """
import sojourn

@sojourn.function(slo="99% < 500ms", max_batch_size=8, min_replicas=1)
def version(items: list[int]) -> list[str]:
    raise RuntimeError("worse")
"""
# Whoever sends what was good before is told that it is wrong: 422, for which clients are blamed.
REJECTING = APP.format(answer="two").replace("items: list[int]", "items: list[str]")

LOADING = """
import time
import sojourn

@sojourn.function
class Version:
    def __init__(self):
        time.sleep(600)

    def __call__(self, items: list[int]) -> list[int]:
        return items
"""


def offered(*words):
    """What a shell offers for the last of these words."""
    asked = BashComplete(cli, {}, "sojourn", "_SOJOURN_COMPLETE")
    return [item.value for item in asked.get_completions(list(words[:-1]), words[-1])]


def test_an_empty_platform_takes_a_function_and_gives_it_back_after_a_kill(tmp_path, monkeypatch):
    """Deployed, called, known by its revision; killed at once, and there again with its history; completed by shells."""
    tree = write_app(tmp_path / "one", APP.format(answer="one"))
    with Server(tmp_path, None, "--state-dir", str(tmp_path / "kept")) as server:
        told = deployed(server, tree)
        assert told["state"] == "live"
        assert server.call("version", 1).body == "one"
        assert server.call(f"version@{told['revision']}", 1).body == "one"
        again = sojourn(server, "deploy", str(tree))
        assert "known already" in again.stdout
        assert server.scale("version", min_replicas=1, max_replicas=3).status == 200
        for _ in range(40):
            assert server.call("version", 1).status == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
    with Server(tmp_path, None, "--state-dir", str(tmp_path / "kept")) as server:
        events = [row["event"] for row in server.ask("/api/v1/events?limit=1000").body["events"]]
        assert "rollout.live" in events[: events.index("server.ready")]
        assert server.call("version", 1).body == "one"
        journal = server.raw_ask("/api/v1/functions/version/journal")
        assert json.loads(journal.splitlines()[0])["resumed"]["fit"]["samples"] > 10
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.stopped_by_test = True
    with Server(tmp_path, None, "--state-dir", str(tmp_path / "kept")) as server:
        assert server.call("version", 1).body == "one"
        assert server.function("version")["limits"] == {"min_replicas": 1, "max_replicas": 3}
        history = json.loads(sojourn(server, "history", "version", "--json").stdout)["revisions"]
        assert [(row["revision"], row["role"]) for row in history] == [(told["revision"], "live")]
        two = deployed(server, write_app(tmp_path / "two", APP.format(answer="two")))["revision"]
        assert server.function("version")["limits"] == {"min_replicas": 1, "max_replicas": 3}
        monkeypatch.setenv("SOJOURN_ADMIN_URL", server.admin.geturl())
        told_of_profile = str(sojourn(server, "profile", "version").exception)
        assert "measure it where it was deployed from" in told_of_profile
        assert "sojourn profile app.py:version" in told_of_profile
        assert offered("invoke", "ver") == ["version"]
        assert offered("invoke", "version@") == [f"version@{two}"]
        assert offered("invoke", f"version@{two[:3]}") == [f"version@{two}"]
        assert offered("invoke", "nope@") == []
        assert offered("rollback", "version", "") == [told["revision"]]
        assert offered("rollback", "version", two[:6]) == []


def test_an_objective_may_name_a_function_that_is_deployed_beside_a_file(tmp_path):
    """It waits for its function, before the deploy and over a restart; what may be a mistake is told."""
    (tmp_path / "sojourn.toml").write_text('[slo]\nversion = "95% < 2s"\nownn = "95% < 3s"\n')
    own = APP.format(answer="own").replace("def version", "def own")
    kept = ("--state-dir", str(tmp_path / "kept"))
    with Server(tmp_path, own, *kept) as server:
        waits = [(line["function"], line["cause"]) for line in server.logged("objective.waits")]
        assert [name for name, _ in waits] == ["version", "ownn"]
        assert waits[1][1].endswith("did you mean 'own'?")
        deployed(server, write_app(tmp_path / "one", APP.format(answer="one")))
        assert server.ask("/api/v1/functions/version/slo").body["objective"]["objective"] == 0.95
        assert server.ask("/api/v1/functions/own/slo").body["objective"]["objective"] == 0.99
    with Server(tmp_path, own, *kept) as server:
        assert [line["function"] for line in server.logged("objective.waits")][-1:] == ["ownn"]
        assert len(server.logged("objective.waits")) == 1
        assert server.ask("/api/v1/functions/version/slo").body["objective"]["objective"] == 0.95


def revisions_of_replicas(server):
    """Those that have a replica: how many each has is for the scaler to say, which a busy machine makes ask for more."""
    return {replica["revision"] for replica in server.function("version")["replica_details"]}


def test_rollout_rollback_and_delete_lose_no_request(tmp_path):
    """Four callers that never stop: hundreds of answers, each 200, from the old revision, then only from the new one."""
    with Server(tmp_path, None) as server:
        deployed(server, write_app(tmp_path / "one", APP.format(answer="one")))
        with Probes(server, "version") as probes:
            probes.wait_more(100)
            assert deployed(server, write_app(tmp_path / "two", APP.format(answer="two")))["state"] == "live"
            probes.wait_body("two")
            probes.wait_more(100)
            back = sojourn(server, "rollback", "version")
            assert back.exit_code == 0, back.output
            probes.wait_body("one")
            probes.wait_more(200)
        assert set(probes.statuses) == {200}, probes.statuses
        assert len(probes.answers) >= 400
        assert set(probes.bodies) == {"one", "two"}
        counted = server.function("version")
        wait_until(lambda: len(revisions_of_replicas(server)) == 1, "the other revision's replicas to end")
        with Probes(server, "version") as last:
            last.wait_more(50)
            unknown = sojourn_process(server, "delete", "nope")
            assert (unknown.returncode, unknown.stdout) == (1, "")
            assert "no function is called 'nope'" in unknown.stderr
            nobody = sojourn_process(server, "delete", "version")
            assert nobody.returncode == 2
            assert "--yes" in nobody.stderr
            gone = sojourn(server, "delete", "version", "--yes")
            assert gone.exit_code == 0, gone.output
            last.wait_more(20)
        assert set(last.statuses) == {200, 404}
        assert counted["revision"] != ""
        assert server.call("version", 1).status == 404
        wait_until(lambda: not server.replica_pids(), "all replicas to end")


def test_a_wait_that_is_interrupted_leaves_the_rollout_to_the_server(tmp_path):
    """Ctrl-C ends the command and says how to see the rollout and how to end it; that ends it."""
    with Server(tmp_path, None) as server:
        tree = write_app(tmp_path / "slow", LOADING)
        words = ["deploy", str(tree), "--admin-url", server.admin.geturl()]
        waiting = subprocess.Popen(
            [sys.executable, "-u", "-m", "sojourn.cli.main", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert any("warming up" in line for line in waiting.stdout)
            waiting.send_signal(signal.SIGINT)
            _, errors = waiting.communicate(timeout=60)
        finally:
            waiting.kill()
            waiting.communicate()
        assert waiting.returncode == 130
        assert "`sojourn rollback version` ends it" in errors
        assert "warming up" in sojourn(server, "rollout", "version").stdout
        assert sojourn(server, "rollback", "version").return_value == 0
        assert "failed" in sojourn(server, "rollout", "version").stdout


def test_what_cannot_be_deployed_is_told_and_changes_nothing(tmp_path):
    """A missing package, a model that does not load: the author's line, exit code 1, and the old revision serves on."""
    with Server(tmp_path, None) as server:
        deployed(server, write_app(tmp_path / "one", APP.format(answer="one")))
        missing = sojourn(server, "deploy", str(write_app(tmp_path / "m", "import no_such_package_at_all\n")))
        assert missing.exit_code != 0
        assert "no_such_package_at_all" in str(missing.exception)
        broken = APP.format(answer="two").replace(
            "def version", "class Version:\n    def __init__(self):\n        1 / 0\n\n    def __call__"
        )
        source = broken.replace("__call__(items", "__call__(self, items").replace(
            '    return ["two"]', '        return ["two"]'
        )
        failed = sojourn(server, "deploy", str(write_app(tmp_path / "b", source)))
        assert failed.return_value == 1
        assert "failed" in failed.stdout
        assert "ZeroDivisionError" in failed.stdout
        assert server.call("version", 1).body == "one"


@pytest.mark.parametrize(("source", "counted"), [(FAILING, "bad"), (REJECTING, "rejected")])
def test_a_canary_that_is_worse_is_rolled_back_with_its_evidence(tmp_path, source, counted):
    """Half of the traffic fails for a moment; then all of it goes to the old revision again, and the numbers say why."""
    with Server(tmp_path, None) as server:
        deployed(server, write_app(tmp_path / "one", APP.format(answer="one")))
        with Probes(server, "version") as probes:
            told = deployed(
                server, write_app(tmp_path / "bad", source), "--strategy", "canary", "--shares", "50%", "--step", "30s"
            )
            ended_s = time.monotonic()
            probes.wait_body("one")
            probes.wait_more(50)
        assert told["state"] == "rolled_back"
        assert told["evidence"]["question"] in {"errors", "burn"}
        assert told["evidence"]["candidate"][counted] > 0
        assert set(probes.statuses_since(ended_s)) == {200}
        history = json.loads(sojourn(server, "history", "version", "--json").stdout)["revisions"]
        assert [row["outcome"] for row in history] == ["rolled_back", "live"]


def test_two_deploys_at_once_end_with_one_of_them_live(tmp_path):
    """Both are acknowledged; the later one takes over, the other one is superseded or replaced, nothing is lost."""
    trees = [write_app(tmp_path / answer, APP.format(answer=answer)) for answer in ("one", "two", "three")]
    with Server(tmp_path, None) as server:
        deployed(server, trees[0])
        with Probes(server, "version") as probes, ThreadPoolExecutor(2) as pool:
            done = list(pool.map(lambda tree: sojourn_process(server, "deploy", str(tree), "--json"), trees[1:]))
            assert all(json.loads(one.stdout)["functions"] for one in done)
            probes.wait_more(50)
            last = json.loads(sojourn(server, "rollout", "version", "--json").stdout)
        assert last["state"] == "live"
        assert set(probes.statuses) == {200}
        assert server.call("version", 1).body in {"two", "three"}


def test_where_only_one_fits_the_new_revision_takes_over_cold(tmp_path):
    """A pool of one core: no request fails, they wait for the start; a canary is refused, since nothing could be compared."""
    with Server(tmp_path, None, "--cpus", "1") as server:
        deployed(server, write_app(tmp_path / "one", APP.format(answer="one")))
        with Probes(server, "version") as probes:
            probes.wait_more(20)
            refused = deployed(server, write_app(tmp_path / "two", APP.format(answer="two")), "--strategy", "canary")
            assert (refused["state"], "no room" in refused["cause"]) == ("failed", True)
            assert deployed(server, tmp_path / "two")["state"] == "live"
            probes.wait_body("two")
        assert set(probes.statuses) == {200}, probes.statuses


def test_more_functions_than_cores_make_way_for_one_another(tmp_path):
    """Four in one tree, two cores: each warms up, is live, and gives its idle replica's place to the next."""
    names = ("one", "two", "three", "four")
    source = "import sojourn\n" + "".join(
        f"\n\n@sojourn.function\ndef {name}(items: list[int]) -> list[str]:\n    return ['{name}'] * len(items)\n"
        for name in names
    )
    with Server(tmp_path, None, "--cpus", "2") as server:
        done = sojourn(server, "deploy", str(write_app(tmp_path / "many", source)), "--json", "--timeout", "30s")
        states = {told["function"]: told["state"] for told in json.loads(done.stdout)["rollouts"]}
        assert states == dict.fromkeys(names, "live")
        assert [server.call(name, 1).body for name in names] == list(names)
