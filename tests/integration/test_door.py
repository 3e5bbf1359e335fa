"""Who may call what at the inference port, over a real socket: keys, their end, and what is told without one."""

import re
import sys
from pathlib import Path

import pytest

from sojourn.access.key_ring import KeyRing
from sojourn.access.key_store import PassingKeys
from sojourn.domain.access import parse_scope

sys.path.insert(0, str(Path(__file__).parent))
from http_port import Port, post, run

UNKNOWN = b"/functions/nobody"


class Keys(KeyRing):
    """A ring whose time is told by the test, with a few keys."""

    def __init__(self):
        self.wall_s = 1_000_000.0
        super().__init__(PassingKeys(), lambda: self.wall_s)

    def made(self, *scopes, life_s=None):
        """The header line of a new key, and its id."""
        end_s = None if life_s is None else self.wall_s + life_s
        record, secret = self.create("test", [parse_scope(scope) for scope in scopes], end_s)
        return b"Authorization: Bearer " + secret.encode(), record.id


def without_id(answer):
    """All of an answer but the name of the request."""
    headers = {name: value for name, value in answer.headers.items() if name not in {b"x-request-id", b"date"}}
    return answer.status, headers, re.sub(rb'"request_id":"[^"]*"', b"", answer.body)


def test_everybody_may_call_until_there_is_a_key():
    """A head that was remembered before the first key is no way around it."""

    async def scene():
        keys = Keys()
        async with Port(keys) as port:
            client = await port.client()
            assert [(await client.ask(post())).status for _ in range(3)] == [200] * 3
            line, _ = keys.made("invoke")
            answer = await client.ask(post())
            assert (answer.status, answer.error["code"]) == (401, "unauthenticated")
            assert answer.headers[b"www-authenticate"] == b"Bearer"
            assert set(answer.error) == {"error", "code", "request_id"}
            assert [(await client.ask(post(b"[2]", line))).body for _ in range(3)] == [b"[2]"] * 3
            assert port.gateway.refused == {"unauthenticated": 1}
            assert len(port.service.submitted) == 6
            assert port.service.at_the_door == []  # nobody's request counts for no function

    run(scene)


@pytest.mark.parametrize("end", ["revoke", "expire"])
def test_a_key_that_ended_is_refused_on_an_open_connection_though_its_head_was_remembered(end):
    """At once when it is revoked, at the next sweep (each second) when its time is over; others go on."""

    async def scene():
        keys = Keys()
        async with Port(keys) as port:
            line, key_id = keys.made("invoke", life_s=10)
            other, _ = keys.made("invoke")
            client = await port.client()
            for data in (post(b"[1]", line), post(b"[1]", line, b"X-Request-Id: a"), post(b"[1]", other)):
                assert (await client.ask(data)).status == 200
            assert (await client.ask(post(b"[1]", line))).status == 200
            if end == "revoke":
                keys.revoke(key_id)
            else:
                keys.wall_s += 10
                port.pass_time(1.0)
            for data in (post(b"[1]", line), post(b"[1]", line, b"X-Request-Id: b")):
                answer = await client.ask(data)
                assert (answer.status, answer.error["code"]) == (401, "unauthenticated")
            assert (await client.ask(post(b"[1]", other))).status == 200

    run(scene)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "send a key"),
        (b"", "send a key"),
        (b"Bearer", "send a key"),
        (b"Basic c2o6eA==", "send a key"),
        (b"Bearer a b", "send a key"),
        (b"Bearer sj_00000000_" + b"A" * 49, "not a whole key"),
        (b"Bearer \xff", "send a key"),
    ],
)
def test_what_is_no_key_is_told_so_and_never_repeated(value, told):
    """Without a look at the keys there are; what was sent is in no answer."""

    async def scene():
        keys = Keys()
        keys.made("invoke")
        async with Port(keys) as port:
            lines = [] if value is None else [b"Authorization: " + value]
            answer = await port.one(post(b"[1]", *lines))
            assert answer.status == 401
            assert told in answer.error["error"]
            assert not value or value not in answer.body or value == b"Bearer"

    run(scene)


def test_a_truncated_key_and_an_unknown_one_are_told_apart():
    """The first is a paste gone wrong; of the second nothing is told but that it is not honoured."""

    async def scene():
        keys, strangers = Keys(), Keys()
        line, key_id = keys.made("invoke")
        stranger, _ = strangers.made("invoke")
        async with Port(keys) as port:
            cut = await port.one(post(b"[1]", line[:-3]))
            unknown = await port.one(post(b"[1]", stranger))
            keys.revoke(key_id)
            revoked = await port.one(post(b"[1]", line))
            assert "not a whole key" in cut.error["error"]
            assert unknown.error["error"] == revoked.error["error"]
            assert "unknown, has expired or was revoked" in unknown.error["error"]

    run(scene)


@pytest.mark.parametrize("method", [b"POST", b"GET", b"HEAD", b"DELETE"])
@pytest.mark.parametrize("suffix", [b"", b"@r1", b"?x=1", b"%20"])
def test_a_function_out_of_scope_is_answered_like_one_that_does_not_exist(method, suffix):
    """Status, headers and body are the same but for the name that was asked for, whatever the method."""

    async def scene():
        keys = Keys()
        line, _ = keys.made("invoke:nobody2", "read", "deploy")
        async with Port(keys) as port:
            has_body = method != b"HEAD"

            async def asked(name):
                client = await port.client()
                data = post(b"[1]", line, path=b"/functions/" + name + suffix).replace(b"POST", method, 1)
                return without_id(await client.ask(data, has_body=has_body))

            there, not_there = await asked(b"echo"), await asked(b"ohce")
            assert there[0] == 404
            assert (there[0], there[1], there[2].replace(b"echo", b"ohce")) == not_there
            assert port.service.at_the_door == []
            assert port.gateway.refused == {"not_found": 2}

    run(scene)


def test_scopes_for_one_function_all_functions_and_admin_let_a_call_through():
    """A function is known by its name, with or without its revision, however the path is written."""

    async def scene():
        keys = Keys()
        async with Port(keys) as port:
            for scope in ("invoke:echo", "invoke", "admin"):
                line, _ = keys.made(scope)
                for path in (b"/functions/echo", b"/functions/echo@r1", b"/functions/ech%6F", b"/functions/echo?x=1"):
                    assert (await port.one(post(b"[1]", line, path=path))).status == 200
            for scopes in (["read"], ["deploy"], ["invoke:ech"], ["invoke:echo-2"]):
                line, _ = keys.made(*scopes)
                assert (await port.one(post(b"[1]", line))).status == 404

    run(scene)


def test_health_is_told_to_everybody_and_nothing_else_is():
    """Probes have no key; a path nobody answers is not told apart from one that somebody does."""

    async def scene():
        keys = Keys()
        keys.made("invoke")
        async with Port(keys) as port:
            for path, status in ((b"/livez", 200), (b"/readyz", 200), (b"/nowhere", 401), (b"/", 401), (UNKNOWN, 401)):
                answer = await port.one(b"GET %b HTTP/1.1\r\nHost: t\r\n\r\n" % path)
                assert answer.status == status, path

    run(scene)


@pytest.mark.parametrize(
    ("length", "lines", "is_kept"), [(1000, [], True), (100_000, [], False), (1000, [b"Expect: 100-continue"], False)]
)
def test_the_body_of_a_request_without_a_key_is_treated_as_that_of_any_early_refusal(length, lines, is_kept):
    """A small one is read and dropped, and the connection serves on; past that, or unsent, the connection ends."""

    async def scene():
        keys = Keys()
        line, _ = keys.made("invoke")
        async with Port(keys) as port:
            client = await port.client()
            answer = await client.ask(post(b"x" * length, *lines))
            assert answer.status == 401
            assert (answer.headers.get(b"connection") != b"close") == is_kept
            if is_kept:
                assert (await client.ask(post(b"[1]", line))).status == 200
            else:
                assert await client.rest() == b""
            assert port.gateway.held_bytes == 0

    run(scene)


def test_two_keys_in_one_request_are_refused():
    """A proxy in front of us might look at the other one."""

    async def scene():
        keys = Keys()
        line, _ = keys.made("invoke")
        async with Port(keys) as port:
            assert (await port.one(post(b"[1]", line, line))).status == 400

    run(scene)
