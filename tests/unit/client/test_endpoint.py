"""URLs of servers, and the TLS to speak with them."""

import ssl

import pytest

from sojourn.client.endpoint import Endpoint, parse_endpoint, tls_context
from sojourn.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "endpoint", "authority"),
    [
        ("http://127.0.0.1:8080", Endpoint("127.0.0.1", 8080), "127.0.0.1:8080"),
        ("https://models.example/", Endpoint("models.example", 443, is_tls=True), "models.example:443"),
        ("http://[::1]:9", Endpoint("::1", 9), "[::1]:9"),
        ("http://a/b/c/", Endpoint("a", 80, prefix="/b/c"), "a:80"),
    ],
)
def test_a_url_is_taken_apart(url, endpoint, authority):
    """Scheme, host and port, default ports, IPv6, and a path before all paths."""
    assert parse_endpoint(url) == endpoint
    assert endpoint.authority == authority


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8080", "ftp://x", "http://", "http://x:0", "http://x:99999", "http://a b"]
)
def test_what_is_no_url_says_how_one_looks(url):
    """An example is in the message."""
    with pytest.raises(ConfigurationError, match="write it like http"):
        parse_endpoint(url)


@pytest.mark.parametrize("url", ["http://key@x", "http://x?a=1", "http://x#y"])
def test_parts_that_would_be_dropped_are_refused(url):
    """A key in the URL would otherwise seem to be used; the message does not repeat it."""
    with pytest.raises(ConfigurationError, match="api_key"):
        parse_endpoint(url)


def test_certificates_are_judged_as_asked(tmp_path):
    """By default fully; a file that is none says so."""
    assert tls_context(verify=True).verify_mode is ssl.CERT_REQUIRED
    assert tls_context(verify=False).verify_mode is ssl.CERT_NONE
    with pytest.raises(ConfigurationError, match="PEM"):
        tls_context(str(tmp_path / "nowhere.pem"))


@pytest.mark.parametrize(
    "url", ["ftp://me:s3cret@host", "http://me:s3cret@ho st", "http://me:s3cret@", "http://s3cret@host:1"]
)
def test_a_password_in_a_url_is_not_repeated(url):
    """It would end in logs."""
    with pytest.raises(ConfigurationError) as caught:
        parse_endpoint(url)
    assert "s3cret" not in str(caught.value)
