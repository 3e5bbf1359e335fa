"""`Client` and `AsyncClient`: one of the other's kind, made from settings or the environment."""

import inspect
import subprocess
import sys

import pytest

import sojourn
from sojourn.errors import ConfigurationError

NAMES = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__"}


def methods(kind: type) -> dict[str, inspect.Signature]:
    return {
        NAMES.get(name, name): inspect.signature(method)
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") or name in NAMES
    }


def test_both_have_the_same_methods_with_the_same_arguments():
    """Whoever knows one knows the other."""
    blocking, asynchronous = methods(sojourn.Client), methods(sojourn.AsyncClient)
    blocking.pop("__enter__", None)
    assert {n for n in blocking if not n.startswith("_")} == {n for n in asynchronous if not n.startswith("_")}
    for name in blocking:
        if not name.startswith("_"):
            assert list(blocking[name].parameters) == list(asynchronous[name].parameters), name


def test_importing_sojourn_loads_no_client():
    """A replica imports the package too, and pays for none of it."""
    code = (
        "import sys, sojourn, sojourn.declare; print([m for m in sys.modules if 'sojourn.client' in m or m == 'h11'])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"


def test_places_and_key_come_from_the_environment(monkeypatch):
    """What is given wins over what is set, and what is set over the defaults."""
    for name in ("SOJOURN_URL", "SOJOURN_ADMIN_URL", "SOJOURN_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with sojourn.Client() as client:
        assert (client.url, client.admin_url) == ("http://127.0.0.1:8080", "http://127.0.0.1:8081")
    monkeypatch.setenv("SOJOURN_URL", "http://models:1")
    monkeypatch.setenv("SOJOURN_ADMIN_URL", "http://models:2")
    with sojourn.Client(admin_url="http://other:3") as client:
        assert (client.url, client.admin_url) == ("http://models:1", "http://other:3")
    monkeypatch.setenv("SOJOURN_API_KEY", "top secret")
    with pytest.raises(ConfigurationError, match="API key"):
        sojourn.Client()


@pytest.mark.parametrize(
    "given", [{"timeout_s": 0}, {"connections": 0}, {"connect_timeout_s": float("inf")}, {"url": "x"}]
)
def test_settings_that_cannot_be_used_are_told_at_construction(given):
    """Before any call."""
    with pytest.raises(ConfigurationError):
        sojourn.Client(**given)


def test_a_client_does_not_show_its_key():
    """Neither its repr nor that of what it holds."""
    client = sojourn.Client(api_key="s3cret")
    assert "s3cret" not in repr(client)
    client.close()
