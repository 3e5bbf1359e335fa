"""Who may do what on a running server: every route of both ports, with every kind of key that should not open it."""

from __future__ import annotations

import base64
import http.client
import json
import re
import sys
import time
from pathlib import Path

import pytest

from sojourn.access.key_ring import KeyRing
from sojourn.access.key_store import PassingKeys
from sojourn.cli.key_store import opened_key_store
from sojourn.config.state_dir import claim
from sojourn.control.app import AdminRoutes, application
from sojourn.domain.access import parse_scope

sys.path.insert(0, str(Path(__file__).parent))
from server import Answer, Server, fetch, wait_until

SOURCE = """
import sojourn

@sojourn.function
def double(numbers: list[int]) -> list[int]:
    return [2 * number for number in numbers]

@sojourn.function
def other(numbers: list[int]) -> list[int]:
    return numbers
"""
JSON = {"content-type": "application/json"}
SCOPES = {"admin": ["admin"], "read": ["read"], "deploy": ["deploy"], "invoke": ["invoke"], "other": ["invoke:other"]}
# Every route of the admin port, and the scopes of which one opens it beside `admin`; none: it is open to everybody. What
# the server itself says of a scope is not asked: a route whose scope was changed by mistake must fail here.
ADMIN = {"admin"}
READ = {"read", "admin"}
DEPLOY = {"deploy", "admin"}
EITHER = READ | DEPLOY
OF_FUNCTION = "/api/v1/functions/{name}"
ROUTES = {
    ("GET", "/"): READ,
    ("GET", "/healthz"): set(),
    ("GET", "/metrics"): READ,
    ("GET", "/api/v1/events"): READ,
    ("GET", "/api/v1/functions"): READ,
    ("GET", OF_FUNCTION): READ,
    ("GET", f"{OF_FUNCTION}/logs"): READ,
    ("PUT", f"{OF_FUNCTION}/scale"): ADMIN,
    ("POST", "/api/v1/deployments"): DEPLOY,
    ("GET", f"{OF_FUNCTION}/revisions"): EITHER,
    ("GET", f"{OF_FUNCTION}/rollout"): EITHER,
    ("PUT", f"{OF_FUNCTION}/rollout"): DEPLOY,
    ("POST", f"{OF_FUNCTION}/rollback"): DEPLOY,
    ("DELETE", OF_FUNCTION): DEPLOY,
    ("GET", f"{OF_FUNCTION}/slo"): READ,
    ("GET", f"{OF_FUNCTION}/slo/history"): READ,
    ("GET", f"{OF_FUNCTION}/journal"): READ,
    ("GET", "/api/v1/requests"): READ,
    ("GET", "/api/v1/requests/{request_id:path}"): READ,
    ("GET", "/api/v1/keys"): ADMIN,
    ("POST", "/api/v1/keys"): ADMIN,
    ("DELETE", "/api/v1/keys/{id}"): ADMIN,
    ("GET", "/openapi.json"): READ,
    ("GET", "/docs"): READ,
    ("GET", "/docs/style.css"): READ,
}


class Kept(Server):
    """A server on a state directory that has these keys."""

    def __init__(self, directory: Path, *options: str) -> None:
        super().__init__(directory, SOURCE, "--state-dir", str(directory / "kept"), *options)
        state_dir = claim(directory / "kept")
        with opened_key_store(state_dir) as store:
            ring = KeyRing(store)
            past = KeyRing(store, lambda: time.time() - 3600)
            self.keys = {
                name: ring.create(name, map(parse_scope, scopes))[1] for name, scopes in SCOPES.items()
            }  # fmt: skip
            past.load()
            self.keys["expired"] = past.create("expired", [parse_scope("admin")], time.time() - 60)[1]
            ring.load()
            record, self.keys["revoked"] = ring.create("revoked", [parse_scope("admin")])
            ring.revoke(record.id)
        state_dir.release()

    def headers(self, name: str | None) -> dict[str, str]:
        """With the key of this name."""
        return JSON if name is None else {**JSON, "authorization": f"Bearer {self.keys[name]}"}

    def at_admin(self, method: str, path: str, name: str | None, body: bytes | None = None) -> Answer:
        """One request to the admin port."""
        return fetch(self.admin, method, path, body, self.headers(name))

    def invoked(self, path: str, name: str | None, method: str = "POST") -> Answer:
        """One request to the inference port."""
        return fetch(self.inference, method, path, b"21", self.headers(name))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Kept(tmp_path_factory.mktemp("kept")) as running:
        yield running


def operations():
    """(method, path, scopes of which one is needed) of every route, HEAD among them."""
    for (method, path), scopes in ROUTES.items():
        yield method, path, scopes
        if method == "GET":
            yield "HEAD", path, scopes


def live_routes():
    """The routes as the port's own router has them."""
    keys = KeyRing(PassingKeys())
    table = AdminRoutes(None, None, None, None, None, None, keys, None).table()
    return [(method, route.path) for route in application(table).routes for method in route.methods]


def test_the_walk_leaves_no_route_out():
    """Whoever adds one has to say here who may use it; nothing else hangs on the router."""
    walked = [(method, path) for method, path, _ in operations()]
    assert sorted(walked) == sorted(live_routes())


def filled(path, function="double"):
    """A path with something for each parameter."""
    return re.sub(r"\{[\w:]+\}", "nothing", path.replace("{name}", function))


def without_id(answer):
    """Status and body but for the request's name."""
    return answer.status, {k: v for k, v in answer.body.items() if k != "request_id"}


@pytest.mark.parametrize("name", [None, "expired", "revoked"])
def test_no_route_of_the_admin_port_but_health_answers_without_a_valid_key(server, name):
    """401 whatever is asked, known path or not, with the way to send a key."""
    elsewhere = [
        ("GET", "/nowhere"),
        ("DELETE", "/"),
        ("OPTIONS", "/metrics"),
        ("GET", "//healthz"),
        ("GET", "/healthz/"),
    ]
    for method, path, scopes in [*operations(), *((*each, READ) for each in elsewhere)]:
        answer = server.at_admin(method, filled(path), name)
        if not scopes:
            assert (path, answer.status) == ("/healthz", 200)
        else:
            assert answer.status == 401, (method, path)
            assert method == "HEAD" or answer.body["code"] == "unauthenticated"
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", [name for name in SCOPES if name != "admin"])
def test_a_key_opens_the_routes_of_its_scopes_and_no_other(server, name):
    """Elsewhere: 404 as for an unknown function where one is named, 403 else; and nothing is changed."""
    for method, path, scopes in operations():
        if not scopes:
            continue
        answer = server.at_admin(method, filled(path), name)
        if scopes & set(SCOPES[name]):
            assert answer.status not in {401, 403}, (method, path)
            assert method not in {"GET", "HEAD"} or "{" in path or answer.status == 200, (method, path)
        elif method == "HEAD":
            assert answer.status == (404 if "{name}" in path else 403), path
        elif "{name}" in path:
            unknown = server.at_admin(method, filled(path, "nobody"), name)
            assert answer.status == 404, (method, path)
            assert answer.body["code"] == "unknown_function"
            assert json.dumps(without_id(answer)).replace("double", "nobody") == json.dumps(without_id(unknown))
        else:
            assert (answer.status, answer.body["code"]) == (403, "scope_missing"), (method, path)
    assert server.at_admin("GET", "/api/v1/functions/double", "read").body["limits"]["min_replicas"] == 0


@pytest.mark.parametrize("name", ["read", "other"])
def test_a_key_that_may_not_read_is_not_told_which_functions_there_are(server, name):
    """Not in the error of an unknown one either."""
    answer = server.at_admin("GET", "/api/v1/functions/nobody", name)
    assert answer.status == 404
    assert ("double" in answer.body["error"]) == (name == "read")


@pytest.mark.parametrize("path", ["/functions/double", "/functions/double@{revision}", "/functions/nobody", "/else"])
@pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
def test_the_inference_port_asks_for_a_key_whatever_is_called(server, path, method):
    """No key, one that ended, one of the admin port only, that of another function."""
    revision = server.at_admin("GET", "/api/v1/functions/double", "admin").body["revision"]
    path = path.format(revision=revision)
    for name in (None, "expired", "revoked"):
        answer = server.invoked(path, name, method)
        assert (answer.status, answer.body["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    for name in ("other", "read", "deploy"):
        answer = server.invoked(path, name, method)
        assert (answer.status, answer.body["code"]) == (404, "not_found")
    if "double" in path and method == "POST":
        for name in ("invoke", "admin"):
            assert (server.invoked(path, name).status, server.invoked(path, name).body) == (200, 42)


def test_probes_need_no_key(server):
    """On either port."""
    for path in ("/livez", "/readyz"):
        assert fetch(server.inference, "GET", path, None, {}).status == 200
    assert fetch(server.admin, "GET", "/healthz", None, {}).status == 200


def test_a_browser_is_asked_for_a_key_and_may_send_it_as_a_password(server):
    """A page of another site, which would have it sent along, changes nothing even so."""
    asked = fetch(server.admin, "GET", "/docs", None, {"accept": "text/html,*/*"})
    assert asked.status == 401
    assert "Basic" in asked.headers["www-authenticate"]
    password = base64.b64encode(f"me:{server.keys['admin']}".encode()).decode()
    basic = {"authorization": f"Basic {password}"}
    assert fetch(server.admin, "GET", "/docs", None, basic).status == 200
    forged = fetch(server.admin, "DELETE", "/api/v1/keys/00000000", None, {**basic, "sec-fetch-site": "cross-site"})
    assert (forged.status, forged.body["code"]) == (403, "other_site")
    for nonsense in ("Basic !", "Basic " + base64.b64encode(b"\xff:\xff").decode(), "Digest x", "Bearer"):
        assert fetch(server.admin, "GET", "/docs", None, {"authorization": nonsense}).status == 401


def test_a_key_made_over_the_api_works_at_once_and_a_revoked_one_no_more(server):
    """On both ports, on connections that stay open, an event stream among them; and the log tells who did it."""
    body = json.dumps({"label": "new", "scopes": ["invoke:double", "read"], "expires_in_s": 600}).encode()
    made = server.at_admin("POST", "/api/v1/keys", "admin", body)
    assert made.status == 201
    server.keys["new"] = made.body["secret"]
    listed = server.at_admin("GET", "/api/v1/keys", "admin").body["keys"]
    assert {**listed[-1], "secret": made.body["secret"]} == made.body
    assert made.body["secret"] not in json.dumps(listed)

    kept_open = http.client.HTTPConnection(server.inference.hostname, server.inference.port, timeout=30)
    stream = http.client.HTTPConnection(server.admin.hostname, server.admin.port, timeout=30)
    stream.request("GET", "/api/v1/events?follow=1", headers=server.headers("new"))
    events = stream.getresponse()

    def called():
        kept_open.request("POST", "/functions/double", b"4", server.headers("new"))
        answer = kept_open.getresponse()
        return answer.status, answer.read()

    assert [called() for _ in range(3)] == [(200, b"8")] * 3
    assert server.at_admin("DELETE", f"/api/v1/keys/{made.body['id']}", "admin").body["state"] == "revoked"
    assert called()[0] == 401
    assert b"key.revoked" not in events.read()  # it ended, and without what is no longer for this reader
    assert server.at_admin("GET", "/api/v1/functions", "new").status == 401
    kept_open.close()
    stream.close()
    server.wait_log("key.created", label="new", by=server.keys["admin"][3:11])
    server.wait_log("key.revoked", key=made.body["id"])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"label": "a", "scopes": ["root"]}, "'root' is no scope"),
        ({"label": "a", "scopes": ["invoke:Not A Name"]}, "is no scope"),
        ({"label": "", "scopes": []}, "label must be"),
        ({"label": "a", "scopes": ["read"], "expires_in_s": 0}, "future"),
        ({"label": "a", "scopes": ["read"], "expires_in_s": 1e308}, ""),
        ({"label": "a"}, "missing required field `scopes`"),
        ({"label": "a", "scopes": ["read"], "id": "mine"}, "unknown field `id`"),
    ],
)
def test_a_key_that_cannot_be_is_not_made(server, body, told):
    """400 with what is wrong, and an example."""
    before = server.at_admin("GET", "/api/v1/keys", "admin").body
    answer = server.at_admin("POST", "/api/v1/keys", "admin", json.dumps(body).encode())
    if body.get("expires_in_s") != 1e308:
        assert (answer.status, answer.body["code"]) == (400, "bad_request")
        assert told in answer.body["error"]
        assert server.at_admin("GET", "/api/v1/keys", "admin").body == before
    assert answer.status in {201, 400}


def test_unknown_keys_are_told(server):
    """404 with where they are listed."""
    answer = server.at_admin("DELETE", "/api/v1/keys/00000000", "admin")
    assert (answer.status, answer.body["code"]) == (404, "unknown_key")


def test_no_key_is_in_the_log_the_journal_the_traces_the_events_or_the_metrics(server):
    """Wherever a request leaves a trace, its key leaves none; nor does the state directory have one."""
    for name in server.keys:
        server.invoked("/functions/double", name)
        server.at_admin("GET", "/api/v1/functions/double", name)
    told = [server.log_text().encode()]
    for path in (
        "/api/v1/functions/double/journal",
        "/api/v1/requests?limit=1000",
        "/api/v1/events?limit=1000",
        "/metrics",
        "/api/v1/functions/double",
        "/api/v1/functions/double/logs",
        "/api/v1/keys",
    ):
        connection = http.client.HTTPConnection(server.admin.hostname, server.admin.port, timeout=30)
        connection.request("GET", path, headers=server.headers("admin"))
        told.append(connection.getresponse().read())
        connection.close()
    told += [file.read_bytes() for file in (server.directory / "kept").rglob("*") if file.is_file()]
    for secret in server.keys.values():
        assert not any(secret[12:].encode() in text for text in told)


def test_refusals_are_counted(server):
    """By their code, which is one of a few."""
    server.invoked("/functions/double", None)

    def counted():
        text = server.at_admin("GET", "/metrics", "read").body.decode()
        return re.search(r'^\w*refus\w*\{code="unauthenticated"\} [1-9]', text, re.MULTILINE)

    wait_until(counted, "the refusal in the metrics")


def test_keys_outlive_the_server(tmp_path):
    """What was made, and what was revoked, over the API; the server that comes back asks for them at once."""
    with Kept(tmp_path) as first:
        made = first.at_admin("POST", "/api/v1/keys", "admin", b'{"label":"n","scopes":["read"]}').body
        first.at_admin("DELETE", f"/api/v1/keys/{first.keys['read'][3:11]}", "admin")
    again = Server(tmp_path, SOURCE, "--state-dir", str(tmp_path / "kept"))
    with again:
        for secret, status in ((made["secret"], 200), (first.keys["read"], 401), (first.keys["admin"], 200)):
            answer = fetch(again.admin, "GET", "/api/v1/functions", None, {"authorization": f"Bearer {secret}"})
            assert answer.status == status
        assert again.ask("/api/v1/functions").status == 401
