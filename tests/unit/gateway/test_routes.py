"""Which URL finds which function."""

import pytest

from sojourn.gateway.routes import Routes, path_of, unknown_path_text


class EchoService:
    """A function in name only: the table needs no more of it."""

    def __init__(self, name, revision):
        self.name, self.revision = name, revision


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/functions/digits", b"/functions/digits"),
        (b"/functions/digits?x=1&y=2", b"/functions/digits"),
        (b"/functions/digits#top", b"/functions/digits"),
        (b"/functions/d%69gits", b"/functions/digits"),
        (b"/functions/d%2569gits", b"/functions/d%69gits"),
        (b"/functions/digits%40abc", b"/functions/digits@abc"),
        (b"http://host:1/functions/digits?x", b"/functions/digits"),
        (b"HTTPS://host/functions/digits", b"/functions/digits"),
        (b"http://host", b"/"),
        (b"/functions/a%2f..%2fb", b"/functions/a/../b"),
        (b"/%zz", b"/%zz"),
        (b"*", b"*"),
    ],
)
def test_a_target_names_a_path(target, path):
    """Queries and authorities are left out and percent-encoding is undone exactly once."""
    assert path_of(target) == path


def test_a_function_is_found_with_and_without_its_revision_until_removed():
    """Both URLs of a function lead to it; after removal neither does."""
    routes, service = Routes(), EchoService("digits", "abc")
    routes.add(service)
    assert routes.by_path == {b"/functions/digits": service, b"/functions/digits@abc": service}
    routes.remove("digits")
    assert routes.by_path == {}
    routes.remove("digits")


def test_a_new_revision_replaces_the_old_one():
    """After a deploy the old revision's URL is gone and the plain one leads to the new code."""
    routes, old, new = Routes(), EchoService("digits", "old"), EchoService("digits", "new")
    routes.add(old)
    routes.add(new)
    assert routes.by_path == {b"/functions/digits": new, b"/functions/digits@new": new}


def test_the_text_for_unknown_paths_lists_no_names_and_is_bounded():
    """Whoever mistypes is told where to look; a huge or binary path is cut and made printable."""
    assert "'digit'" in unknown_path_text(b"/functions/digit")
    assert "no scope for it; `sojourn list` shows" in unknown_path_text(b"/functions/digit")
    assert len(unknown_path_text(b"/" + b"\xff" * 10_000)) < 300


def test_a_function_that_cannot_be_served_is_told_as_such_until_something_serves_it_or_it_is_gone():
    """Its path alone; afterwards nothing is left of that."""
    routes = Routes()
    routes.refuse("digits", "its tree is damaged")
    assert (routes.unserved, routes.by_path) == ({b"/functions/digits": "its tree is damaged"}, {})
    routes.add(EchoService("digits", "new"))
    assert routes.unserved == {}
    routes.refuse("digits", "again")
    routes.remove("digits")
    assert (routes.unserved, routes.by_path) == ({}, {})
