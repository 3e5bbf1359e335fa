"""The routes about objectives and requests over real HTTP: answers, and what is refused."""

from __future__ import annotations

import asyncio
import http.client
import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from sojourn.telemetry.request_trace import TraceKind

_SPEC = spec_from_file_location("overview", Path(__file__).with_name("overview.py"))
_MODULE = module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
SmallOverview, admin_server = _MODULE.SmallOverview, _MODULE.admin_server


class Told(SmallOverview):
    """Answers with what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    async def slo(self, function):
        """As asked."""
        self.asked.append(("slo", function))
        return {"function": function} if function == "digits" else None

    async def slo_history(self, function, window_s):
        """As above."""
        self.asked.append(("history", function, window_s))
        return await self.slo(function)

    def request(self, request_id):
        """One is kept."""
        return {"request_id": request_id} if request_id == "a/b" else None

    def requests(self, function, kind, limit):
        """As asked."""
        self.asked.append(("requests", function, kind, limit))
        return []


def get(path):
    """Status, answer, and what was asked of the insight."""
    told = Told()

    def ask(port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", f"/api/v1/{path}")
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    async def main():
        server = admin_server(told)
        _, port = await server.start("127.0.0.1", 0)
        try:
            return await asyncio.to_thread(ask, port)
        finally:
            await server.close()

    return *asyncio.run(main()), told.asked


@pytest.mark.parametrize(
    ("path", "answer", "asked"),
    [
        ("functions/digits/slo", {"function": "digits"}, [("slo", "digits")]),
        ("functions/digits/slo/history", {"function": "digits"}, [("history", "digits", None), ("slo", "digits")]),
        (
            "functions/digits/slo/history?window_s=60",
            {"function": "digits"},
            [("history", "digits", 60), ("slo", "digits")],
        ),
        ("requests", {"requests": []}, [("requests", None, None, 20)]),
        ("requests?function=digits&kind=slow&limit=3", {"requests": []}, [("requests", "digits", TraceKind.SLOW, 3)]),
        ("requests/a%2Fb", {"request_id": "a/b"}, []),
        ("requests/a/b", {"request_id": "a/b"}, []),
    ],
)
def test_answers(path, answer, asked):
    """Each route passes on what it was asked; request ids are any visible text."""
    assert get(path) == (200, answer, asked)


@pytest.mark.parametrize(
    ("path", "status", "code", "said"),
    [
        ("functions/nobody/slo", 404, "unknown_function", "deployed: digits, sums"),
        ("functions/nobody/slo/history", 404, "unknown_function", "deployed: digits, sums"),
        (
            "functions/digits/slo/history?window_s=9",
            400,
            "bad_request",
            "window_s must be a whole number in [10, 7776000]",
        ),
        ("requests?kind=odd", 400, "bad_request", "kind must be one of slow, failed"),
        ("requests?function=nobody", 404, "unknown_function", "deployed: digits, sums"),
        ("requests?limit=0", 400, "bad_request", "limit must be"),
        ("requests/unseen", 404, "unknown_request", "no request 'unseen' is kept"),
    ],
)
def test_refusals(path, status, code, said):
    """What, where, and what would do."""
    got, answer, _ = get(path)
    assert (got, answer["code"]) == (status, code)
    assert said in answer["error"]
