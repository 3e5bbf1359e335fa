"""`sojourn.testing.serve`: a real server for as long as a test is inside."""

import os
import sys
from pathlib import Path

import pytest

import sojourn
import sojourn.testing
from sojourn import errors

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "testing"))
import served_functions  # noqa: E402 - its place is known only now
from served_functions import Shout  # noqa: E402 - as above


@sojourn.function
def here(items: list[int]) -> list[str]:
    """Declared in the file of the test itself."""
    return [f"{__name__} {os.getpid()}" for _ in items]


def test_functions_are_served_by_name_over_http():
    """Only those that were named, of other files and of the test's own, in other processes; then the server is gone."""
    with sojourn.testing.serve(Shout, here) as client:
        assert {function["name"] for function in client.functions()} == {"shout", "here"}
        assert client.invoke("shout", "a") == "A"
        assert list(client.map("shout", "abc")) == ["A", "B", "C"]
        assert not client.invoke("here", 1).endswith(f" {os.getpid()}")
        with pytest.raises(errors.ItemInvalidError):
            client.invoke("shout", 1)
    once, refused = sojourn.RetryPolicy(attempts_max=1), pytest.raises(errors.ConnectionFailedError)
    with sojourn.Client(client.url, retry=once) as late, refused:
        late.invoke("shout", "a")


def test_a_module_and_a_file_are_served_whole():
    """All that they declare; the author's line is that of the file."""
    with sojourn.testing.serve(served_functions, options=("--cpus", "4")) as client:
        assert {function["name"] for function in client.functions()} == {"shout", "echo", "halve"}
        with pytest.raises(errors.FunctionRaisedError, match=r"served_functions\.py:\d+ in _half"):
            client.invoke("halve", 1)


def test_what_a_server_cannot_import_is_told_before_one_is_started():
    """A function inside a function, one that is not declared, nothing, a mixture."""

    @sojourn.function
    def local(items: list[int]) -> list[int]:
        return items

    for what, words in [
        ((local,), "top level"),
        ((print,), "not declared"),
        ((), "one file"),
        (("a.py", here), "one file"),
    ]:
        with pytest.raises(errors.ConfigurationError, match=words), sojourn.testing.serve(*what):
            pass
