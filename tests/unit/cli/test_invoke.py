"""`sojourn invoke` against a real server."""

from __future__ import annotations

import json

import pytest


def test_the_result_is_printed(sojourn, urls):
    """One item in, one result out, from the argument, a file or standard input."""
    inference = ("--url", urls[0])
    assert sojourn("invoke", "double", "21", *inference).stdout == b"42\n"
    assert sojourn("invoke", "double", "-", *inference, standard_input=b"4").stdout == b"8\n"
    assert sojourn("invoke", "double", *inference, standard_input=b"5").stdout == b"10\n"
    assert sojourn("invoke", "double", "-3", *inference).returncode == 2  # looks like a flag
    assert sojourn("invoke", *inference, "--", "double", "-3").stdout == b"-6\n"


def test_an_item_from_a_file(sojourn, urls, tmp_path):
    """`@FILE` sends the file's bytes; one that is missing is wrong usage."""
    (tmp_path / "item.json").write_text("6")
    assert sojourn("invoke", "double", "@item.json", "--url", urls[0]).stdout == b"12\n"
    missing = sojourn("invoke", "double", "@missing", "--url", urls[0])
    assert missing.returncode == 2
    assert b"cannot read 'missing'" in missing.stderr


def test_bytes_travel_as_they_are(sojourn, urls):
    """No newline, no decoding: a picture in is a picture out."""
    picture = bytes(range(256))
    done = sojourn("invoke", "echo", "-", "--as", "bytes", "--url", urls[0], standard_input=picture)
    assert done.stdout == picture


def test_json_report_for_programs(sojourn, urls):
    """Status, result, id and phases; the server may be named by the environment."""
    report = json.loads(sojourn("invoke", "double", "1", "--json", environment={"SOJOURN_URL": urls[0]}).stdout)
    assert (report["status"], report["result"]) == (200, 2)
    assert "service;dur=" in report["server_timing"]
    assert report["request_id"]
    assert report["took_s"] > 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("double", '"x"'), b"422 item_invalid"),
        (("double", "nope"), b"400 malformed"),
        (("double", "13"), b"500 function_raised"),
        (("nobody", "1"), b"404"),
        (("double@0000", "1"), b"404"),
    ],
)
def test_what_the_server_says_of_a_failure(sojourn, urls, arguments, told):
    """Exit 1 and the server's own words on standard error."""
    done = sojourn("invoke", *arguments, "--url", urls[0])
    assert (done.returncode, done.stdout) == (1, b"")
    assert told in done.stderr
    assert done.stderr.startswith(b"error: ")


def test_a_failure_as_json(sojourn, urls):
    """A program gets the error as data, and exit 1."""
    done = sojourn("invoke", "double", '"x"', "--json", "--url", urls[0])
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["status"] == 422
    assert report["error"]["code"] == "item_invalid"


@pytest.mark.parametrize("timeout", ["0", "-1", "soon", "nan"])
def test_a_timeout_that_is_none_is_wrong_usage(sojourn, urls, timeout):
    """Refused here, before anything is sent."""
    assert sojourn("invoke", "double", "1", "--timeout", timeout, "--url", urls[0]).returncode == 2
