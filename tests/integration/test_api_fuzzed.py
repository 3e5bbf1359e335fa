"""The management API does what its description says, whatever is sent to it that the description allows, and more."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

sys.path.insert(0, str(Path(__file__).parent))
from test_access_live import Kept

# A stream that is followed has no end to wait for.
FOLLOWED = {"1", "true"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Kept(tmp_path_factory.mktemp("fuzzed")) as running:
        assert running.invoked("/functions/double", "admin").status == 200
        yield running


@pytest.mark.slow  # schemathesis alone takes seconds to import
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of libraries of its own
def test_answers_are_as_described(server):
    """Statuses, content types and bodies, of good questions and of bad ones; and nothing fails inside."""
    import schemathesis  # noqa: PLC0415 - as above
    from schemathesis import GenerationMode  # noqa: PLC0415 - as above
    from schemathesis.checks import not_a_server_error  # noqa: PLC0415 - as above
    from schemathesis.specs.openapi import checks  # noqa: PLC0415 - as above

    expected = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    document = server.at_admin("GET", "/openapi.json", "admin").body
    # Archives are fuzzed by tests/unit/bundle; nobody can draw one from a schema.
    described = schemathesis.openapi.from_dict(document).exclude(path="/api/v1/deployments")
    described.config.update(base_url=server.admin.geturl())
    key = {"authorization": server.headers("admin")["authorization"]}
    asked = set()

    def ask(case):
        if str((case.query or {}).get("follow", "0")).lower() in FOLLOWED:
            case.query["follow"] = "0"
        response = case.call(headers=key, timeout=30)
        asked.add((case.method, case.path, response.status_code // 100))
        case.validate_response(response, checks=expected)

    for found in described.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:
            if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
                continue
            examples = settings(
                max_examples=15, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
            )
            examples(given(operation.as_strategy(generation_mode=mode))(ask))()
    assert {(method, path) for method, path, _ in asked} == {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if path != "/api/v1/deployments"
    }
    assert ("POST", "/api/v1/keys", 2) in asked
    assert ("POST", "/api/v1/keys", 4) in asked
    assert server.at_admin("GET", "/healthz", None).status == 200
