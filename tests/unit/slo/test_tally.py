"""Tallies and their packed form: what goes in comes out, and what is no tally is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.slo.cause import CAUSES
from sojourn.slo.tally import Tally, unpacked
from sojourn.slo.varint import read_varint, write_varint

COUNTS = st.lists(st.integers(0, 2**40), min_size=9 + len(CAUSES), max_size=9 + len(CAUSES))
LATENCIES = st.lists(st.floats(1e-6, 1e6), max_size=50)
NAMES = (
    "arrivals",
    "total",
    "good",
    "client_faults",
    "cancelled",
    "batches",
    "batched_items",
    "replica_ms",
    "client_timeouts",
)


def made(counts, latencies_s):
    """A tally with these figures."""
    tally = Tally()
    for name, count in zip(NAMES, counts, strict=False):
        setattr(tally, name, count)
    tally.causes[:] = counts[len(NAMES) :]
    for latency_s in latencies_s:
        tally.latency.observe(latency_s)
    return tally


def figures(tally):
    """All it counts, to compare."""
    return [getattr(tally, name) for name in NAMES], tally.causes, list(tally.latency.cells())


@given(COUNTS, LATENCIES)
def test_a_packed_tally_is_the_same_tally(counts, latencies_s):
    """Nothing is rounded."""
    tally = made(counts, latencies_s)
    assert figures(unpacked(tally.pack())) == figures(tally)


@given(COUNTS, COUNTS, LATENCIES, LATENCIES)
def test_adding_packed_tallies_is_adding_tallies(left, right, left_s, right_s):
    """Minutes become hours either way."""
    added = made(left, left_s)
    added.add(made(right, right_s))
    from_packed = unpacked(made(left, left_s).pack())
    from_packed.add_packed(made(right, right_s).pack())
    assert figures(from_packed) == figures(added)
    assert from_packed.pack() == added.pack()


@given(COUNTS, LATENCIES, st.data())
def test_a_packed_tally_that_was_cut_off_is_refused(counts, latencies_s, data):
    """A damaged row is an error, not a wrong number."""
    packed = made(counts, latencies_s).pack()
    with pytest.raises(ValueError, match="no number ends"):
        unpacked(packed[: data.draw(st.integers(0, len(packed) - 1))])


def test_a_later_form_is_refused():
    """An older program does not guess what a newer one wrote."""
    with pytest.raises(ValueError, match="form 3"):
        unpacked(b"\x03" + Tally().pack()[1:])


@given(st.integers(0, 2**62))
def test_numbers_take_seven_bits_a_byte(number):
    """Small ones one byte."""
    packed = bytearray()
    write_varint(packed, number)
    assert read_varint(bytes(packed), 0) == (number, len(packed))
    assert len(packed) == max(1, -(-number.bit_length() // 7))


def test_a_row_with_fewer_causes_is_read_as_it_was_meant():
    """As earlier versions wrote it: the causes added since are none."""
    packed = bytearray(b"\x01\x02" + bytes([5, 4, 1, 0, 0, 0, 0, 0]) + b"\x01\x02" + b"\x00")
    tally = unpacked(bytes(packed))
    assert (tally.total, tally.good, tally.causes[:3], sum(tally.causes)) == (4, 1, [1, 2, 0], 3)
