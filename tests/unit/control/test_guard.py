"""Which Host headers the admin port answers."""

from __future__ import annotations

import pytest

from sojourn.control.guard import HostRule

EVERYWHERE = "0.0.0.0"  # noqa: S104 (a rule about it; nothing is bound)


@pytest.mark.parametrize(
    ("bound", "allowed", "header", "answer"),
    [
        ("127.0.0.1", (), "127.0.0.1:8081", True),
        ("127.0.0.1", (), "LOCALHOST:8081", True),
        ("127.0.0.1", (), "[::1]:8081", True),
        ("127.0.0.1", (), "localhost", True),
        ("127.0.0.1", (), "localhost.evil.example", False),
        ("127.0.0.1", (), "evil.example:8081", False),
        ("127.0.0.1", (), "10.0.0.5", False),
        ("127.0.0.1", (), "", False),
        ("127.0.0.1", (), "127.0.0.1:8081@evil.example", False),
        ("127.0.0.1", ("Metrics.internal",), "metrics.INTERNAL:80", True),
        ("box.lan", (), "box.lan:8081", True),
        (EVERYWHERE, (), "10.0.0.5:8081", True),
        (EVERYWHERE, (), "[fe80::1]:8081", True),
        (EVERYWHERE, (), "evil.example", False),
        ("::", (), "192.168.1.1", True),
    ],
)
def test_only_our_own_names_are_answered(bound, allowed, header, answer):
    """Loopback, the bound host and what was allowed; bound everywhere, any address but no foreign name."""
    assert HostRule(bound, allowed).admits(header) is answer
