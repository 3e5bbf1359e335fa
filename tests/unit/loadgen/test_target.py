"""Addresses and request bytes."""

import pytest

from sojourn.errors import ConfigurationError
from sojourn.loadgen.target import parse_target


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://127.0.0.1:8080/functions/digits", "127.0.0.1:8080", "/functions/digits"),
        ("http://localhost", "localhost:80", "/"),
        ("http://[::1]:81/f?x=1", "[::1]:81", "/f?x=1"),
        ("https://localhost/f", "localhost:443", "/f"),
    ],
)
def test_urls_are_taken_apart(url, authority, path):
    """Host, port and path with query, as they stand in the request."""
    target = parse_target(url)
    assert (target.authority, target.path) == (authority, path)
    assert target.is_secure == (target.tls is not None) == url.startswith("https")
    assert target.origin == f"{url.partition(':')[0]}://{authority}"


def test_a_request_is_complete():
    """Host, type and length are there, and the body follows the blank line."""
    head, _, body = parse_target("http://h:1/f").request(b"[1]").partition(b"\r\n\r\n")
    assert body == b"[1]"
    assert head.split(b"\r\n") == [
        b"POST /f HTTP/1.1",
        b"Host: h:1",
        b"Content-Type: application/json",
        b"Content-Length: 3",
    ]


def test_a_key_goes_with_the_request_and_is_not_shown():
    """In its header; whoever prints the target does not print the key."""
    target = parse_target("http://h:1/f", api_key="sj_secret")
    assert b"\r\nAuthorization: Bearer sj_secret\r\n" in target.request(b"1")
    assert repr(target) == "Target(http://h:1/f)"


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "http://", "http://h:99999/", "http://h/a b", "http://h/\u00e9"])
def test_bad_urls_are_refused_with_an_example_or_the_reason(url):
    """Before any socket is opened."""
    with pytest.raises(ConfigurationError, match="URL"):
        parse_target(url)
