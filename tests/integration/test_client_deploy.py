"""Deploying with both clients: to a server that says what a test wants, and to a real one."""

import io
import json
import socket
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest

import sojourn
from sojourn import errors
from sojourn.domain.deployment_status import RevisionTold, RolloutTold

sys.path.insert(0, str(Path(__file__).parent))
from deploying import APP, write_app
from scripted_http import Clock, EitherClient, ScriptedServer, answer, header_of
from server import Server

NEW, OLD = "1" * 12, "0" * 12


class Platform:
    """The routes that deploy, roll back, list and delete, with a rollout that goes as it is told.

    Args:
        states: What the rollout tells, one after the other; the last one stays.
    """

    def __init__(self, *states: dict) -> None:
        self.states = list(states)
        self.asked: list[str] = []
        self.archive = b""

    def __call__(self, link: socket.socket, request: bytes) -> bool:
        line, _, _ = request.partition(b"\r\n")
        method, target, _ = line.decode().split()
        self.asked.append(f"{method} {target}")
        path = target.partition("?")[0]
        body = request.partition(b"\r\n\r\n")[2]
        status, told = 200, {}
        if path == "/api/v1/deployments":
            assert header_of(request, "content-type") == "application/gzip"
            self.archive = body
            status, told = 201, {"functions": [{"function": "f", "revision": NEW, "created": True}]}
        elif path.endswith("/rollout"):
            told = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            assert method == "GET" or json.loads(body) == {"promote": True}
        elif path.endswith("/rollback"):
            told = rollout("warming", json.loads(body).get("revision", OLD))
        elif path.endswith("/revisions"):
            told = {"function": "f", "revisions": [kept(NEW), kept(OLD)]}
        if told is None:
            link.close()
            return False
        link.sendall(answer(status, json.dumps(told).encode() if method != "DELETE" else b""))
        return True


@pytest.fixture(params=["blocking", "async"])
def kind(request) -> str:
    return request.param


@pytest.fixture
def app(tmp_path) -> Path:
    """A file to deploy."""
    (tmp_path / "app.py").write_text("pass\n")
    return tmp_path / "app.py"


def rollout(state: str, revision: str = NEW, **more: object) -> dict:
    told = RolloutTold(function="f", state=state, revision=revision, share=0.5)
    return {**msgspec.to_builtins(told), **more}


def kept(revision: str) -> dict:
    return msgspec.to_builtins(RevisionTold(revision=revision, role="", created_at="", bundle="", target="app.py"))


def test_a_deploy_waits_until_its_revision_is_live(kind, app):
    """The archive goes up with its target, then the rollout is asked for until it is over."""
    platform, clock = Platform(rollout("warming"), rollout("warming"), rollout("shifting"), rollout("live")), Clock()
    with ScriptedServer(platform) as server, EitherClient(kind, server.url, clock=clock) as client:
        deployed = client("deploy", app, name="f")
        with tarfile.open(fileobj=io.BytesIO(platform.archive)) as archive:
            assert archive.getnames() == ["app.py"]
        assert platform.asked[0] == "POST /api/v1/deployments?target=app.py&name=f&strategy=all-at-once"
        assert platform.asked[1:] == ["GET /api/v1/functions/f/rollout"] * 4
        assert (deployed.functions[0].revision, deployed.rollouts["f"].state) == (NEW, "live")
        assert len(clock.slept_s) == 3


def test_a_canary_that_was_rolled_back_raises_with_its_evidence(kind, app):
    """Steps are sent along; cause and evidence are in the error."""
    platform = Platform(rollout("rolled_back", cause="more errors", evidence={"errors": 0.2}))
    failed = pytest.raises(errors.RolloutFailedError, match=r'more errors .*"errors": 0\.2')
    with ScriptedServer(platform) as server, EitherClient(kind, server.url, clock=Clock()) as client, failed:
        client("deploy", app, strategy="canary", shares=[0.1], step_s=5)
    assert platform.asked[0].endswith("strategy=canary&shares=0.1&step_s=5")


def test_a_restart_during_a_rollout_is_sat_out_and_patience_ends(kind, app):
    """A connection that breaks is asked again; a rollout that never ends ends the wait, not itself."""
    platform, clock = Platform(rollout("warming"), None, rollout("live")), Clock()
    with ScriptedServer(platform) as server, EitherClient(kind, server.url, clock=clock) as client:
        assert client("deploy", app).rollouts["f"].state == "live"
    platform = Platform(rollout("warming"))
    with ScriptedServer(platform) as server, EitherClient(kind, server.url, clock=Clock()) as client:
        with pytest.raises(errors.ExpiredError, match="it goes on"):
            client("deploy", app, timeout_s=3)
        assert client("rollout", "f").state == "warming"
        assert client("deploy", app, wait=False).rollouts == {}


def test_revisions_are_listed_rolled_back_and_deleted(kind):
    """Each is one request; an empty answer to a delete is a good one."""
    platform = Platform(rollout("live"))
    with ScriptedServer(platform) as server, EitherClient(kind, server.url) as client:
        assert [one.revision for one in client("history", "f")] == [NEW, OLD]
        assert client("rollback", "f").revision == OLD
        assert client("rollback", "f", NEW).revision == NEW
        assert client("promote", "f").state == "live"
        assert client("delete", "f") is None
    assert platform.asked[-1] == "DELETE /api/v1/functions/f"


def test_a_target_that_is_not_there_is_told_before_anything_is_sent(tmp_path):
    """And so is a plan that cannot be."""
    with sojourn.Client("http://127.0.0.1:9", "http://127.0.0.1:9") as client:
        with pytest.raises(errors.TargetError, match="no such file"):
            client.deploy(tmp_path / "nowhere.py")
        with pytest.raises(errors.ConfigurationError, match="canary"):
            client.deploy(tmp_path / "nowhere.py", shares=[0.5])


def test_a_real_platform_is_deployed_to_rolled_back_and_emptied(tmp_path):
    """Two revisions, a broken one that says which line it was, history, rollback and delete."""
    one, two, broken = (tmp_path / name for name in ("one", "two", "broken"))
    with Server(tmp_path, None) as server, sojourn.Client(server.inference.geturl(), server.admin.geturl()) as client:
        first = client.deploy(write_app(one, APP.format(answer="one")) / "app.py")
        assert first.rollouts["version"].state == "live"
        assert client.invoke("version", 1) == "one"
        second = client.deploy(write_app(two, APP.format(answer="two")))
        assert client.invoke("version", 1) == "two"
        assert client.invoke("version", 1, revision=second.functions[0].revision) == "two"
        with pytest.raises(errors.NotDeployableError, match=r"app\.py:1"):
            client.deploy(write_app(broken, "import no_such_library"))
        known = [second.functions[0].revision, first.functions[0].revision]
        assert [told.revision for told in client.history("version")] == known
        back = client.rollback("version")
        assert back.revision == first.functions[0].revision
        # The same tree is the same revision: waiting for it is waiting for the rollback.
        again = client.deploy(one)
        assert (again.functions[0].created, again.rollouts["version"].state) == (False, "live")
        assert client.invoke("version", 1) == "one"
        client.delete("version")
        with pytest.raises(errors.NotFoundError):
            client.invoke("version", 1)
