"""Poisoned inputs are remembered for a while, and only so many."""

from __future__ import annotations

from sojourn.runtime.quarantine import Quarantine


def test_a_poisoned_body_is_known_for_ten_minutes():
    """The same bytes are recognised, others are not, and after ten minutes nobody is."""
    quarantine = Quarantine()
    assert not quarantine
    quarantine.add(b"bad", 100.0)
    assert quarantine.holds(b"bad", 699.0)
    assert not quarantine.holds(b"bad ", 101.0)
    assert not quarantine.holds(b"bad", 701.0)
    assert not quarantine


def test_the_oldest_make_room():
    """More than a thousand: the first are forgotten, the memory is bounded."""
    quarantine = Quarantine()
    for number in range(1500):
        quarantine.add(b"%d" % number, float(number) / 100)
    assert not quarantine.holds(b"0", 16.0)
    assert quarantine.holds(b"1499", 16.0)
    assert sum(quarantine.holds(b"%d" % number, 16.0) for number in range(1500)) == 1024
