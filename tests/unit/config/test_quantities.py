"""Values of settings, as people write them."""

from __future__ import annotations

import pytest

from sojourn.config.quantities import read_count, read_duration_s, read_names, read_size, read_switch, read_text


@pytest.mark.parametrize(
    ("read", "raw", "value"),
    [
        (read_count, 5, 5),
        (read_count, " 8_080 ", 8080),
        (read_count, "-1", -1),
        (read_size, 1024, 1024),
        (read_size, "256MiB", 256 * 1024**2),
        (read_size, "1.5 kb", 1500),
        (read_size, "7", 7),
        (read_duration_s, 2, 2.0),
        (read_duration_s, "500ms", 0.5),
        (read_duration_s, "1.5", 1.5),
        (read_duration_s, "2 min", 120.0),
        (read_switch, True, True),
        (read_switch, "off", False),
        (read_text, " json ", "json"),
        (read_names, "a, b,", ("a", "b")),
        (read_names, ["a"], ("a",)),
    ],
)
def test_what_can_be_read(read, raw, value):
    """Numbers as they are, texts with their unit."""
    assert read(raw) == value


@pytest.mark.parametrize(
    ("read", "raw"),
    [
        (read_count, "1.5"),
        (read_count, True),
        (read_count, "tcp://10.0.0.1:80"),
        (read_count, ""),
        (read_size, "12 bananas"),
        (read_size, -1.5),
        (read_duration_s, "soon"),
        (read_duration_s, "-1s"),
        (read_duration_s, float("inf")),
        (read_duration_s, True),
        (read_switch, "maybe"),
        (read_switch, 1),
        (read_text, ""),
        (read_text, 3),
        (read_names, 3),
        (read_names, [3]),
    ],
)
def test_what_cannot_be_read_says_what_it_must_be(read, raw):
    """Nothing is guessed: a wrong value is an error with the right form in it."""
    with pytest.raises(ValueError, match="must be"):
        read(raw)
