"""Framing: what is sent arrives, however the bytes are cut, and rubbish is refused in bounds."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.errors import ProtocolError
from sojourn.wire.frame import HEADER_BYTES, KINDS, FrameReader, encode
from sojourn.wire.message import Cancel, Done, Drain, Fatal, Hello, ItemFault, Ping, Ready, Run

LIMIT = 4096
whole = st.integers(-(2**63), 2**63 - 1)
seconds = st.floats(allow_nan=False)
bodies = st.lists(st.binary(max_size=40), max_size=6)
messages = st.one_of(
    st.builds(Hello, whole, st.text(max_size=20), whole, whole),
    st.builds(Ready, seconds, seconds, seconds),
    st.builds(Fatal, st.text(max_size=20), st.text(max_size=20)),
    st.builds(Run, whole, bodies, st.binary(max_size=6)),
    st.builds(
        Done,
        whole,
        seconds,
        seconds,
        seconds,
        seconds,
        bodies,
        st.binary(max_size=6),
        st.lists(st.builds(ItemFault, whole, st.text(max_size=9), whole, st.text(max_size=9)), max_size=3),
    ),
    st.builds(Cancel, whole),
    st.builds(Drain),
    st.builds(Ping, whole),
)


def pieces(data, cuts):
    """`data` cut at the given places (shares of its length)."""
    places = sorted({round(cut * len(data)) for cut in cuts} | {0, len(data)})
    return [data[begin:end] for begin, end in pairwise(places)]


@given(st.lists(messages, max_size=8), st.lists(st.floats(0, 1), max_size=30))
def test_whatever_the_cuts_the_messages_arrive_as_sent(sent, cuts):
    """Any sequence of messages, cut anywhere, comes out the same and leaves nothing behind."""
    reader = FrameReader()
    stream = b"".join(map(encode, sent))
    arrived = [message for piece in pieces(stream, cuts) for message in reader.feed(piece)]
    assert arrived == sent
    assert reader.buffered_bytes == 0


@given(st.lists(messages, min_size=1, max_size=4))
def test_a_message_is_delivered_with_its_last_byte(sent):
    """Fed byte by byte, each message comes out exactly when its frame is complete, not later."""
    reader = FrameReader()
    for message in sent:
        frame = encode(message)
        for byte in frame[:-1]:
            assert reader.feed(bytes([byte])) == []
        assert reader.feed(frame[-1:]) == [message]


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_random_bytes_parse_or_raise_protocol_error_within_bounds(chunks):
    """Rubbish never raises anything but ProtocolError, nor makes the reader keep more than one frame."""
    reader = FrameReader(max_frame_bytes=LIMIT)
    try:
        for chunk in chunks:
            reader.feed(chunk)
            assert reader.buffered_bytes <= HEADER_BYTES + LIMIT
    except ProtocolError:
        with pytest.raises(ProtocolError):
            reader.feed(b"")


@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=300))
def test_random_payloads_under_a_valid_header_parse_or_raise_protocol_error(kind, payload):
    """A well-framed payload is its message or is refused by ProtocolError."""
    try:
        (message,) = FrameReader().feed(struct.pack("<IB", len(payload), kind) + payload)
    except ProtocolError:
        return
    assert type(message) is KINDS[kind]


@given(messages, st.data())
def test_a_flipped_byte_parses_or_raises_protocol_error(message, data):
    """Damage to one byte of a valid frame does no more harm than rubbish."""
    frame = bytearray(encode(message))
    place = data.draw(st.integers(0, len(frame) - 1))
    frame[place] ^= data.draw(st.integers(1, 255))
    reader = FrameReader(max_frame_bytes=LIMIT)
    try:
        reader.feed(frame)
    except ProtocolError:
        return
    assert reader.buffered_bytes <= HEADER_BYTES + LIMIT


@pytest.mark.parametrize(
    "payload",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\x94\x01\x90\xc4\x00" + b"\x91" * 100_000,
        b"\x92\x01\xdd\xff\xff\xff\xff",
        b"\x92\x01\x91\xc6\xff\xff\xff\xff",
        b"",
    ],
    ids=["long array", "deep nesting", "long list of bodies", "long body", "empty"],
)
def test_lengths_inside_a_payload_are_not_believed(payload):
    """A payload that announces more than it holds, or nests without end, is refused."""
    with pytest.raises(ProtocolError, match="Run frame cannot be read"):
        FrameReader().feed(struct.pack("<IB", len(payload), 4) + payload)


def test_oversize_is_refused_from_the_header():
    """A frame over the limit is refused before any of it is kept; one at the limit is accepted."""
    frame = encode(Run(1, [b"x" * 100]))
    size = len(frame) - HEADER_BYTES
    with pytest.raises(ProtocolError, match=f"Run frame of {size} bytes is over the limit of {size - 1}"):
        FrameReader(size - 1).feed(frame[:HEADER_BYTES])
    assert FrameReader(size).feed(frame) == [Run(1, [b"x" * 100])]


@pytest.mark.parametrize("kind", [0, 9, 255])
def test_an_unknown_kind_is_refused(kind):
    """Kinds outside the table, PART's reserved 9 included, are refused from the header."""
    with pytest.raises(ProtocolError, match=f"unknown kind {kind}"):
        FrameReader().feed(struct.pack("<IB", 1, kind))


def test_the_kind_numbers_are_as_agreed():
    """The table of kinds is part of the protocol."""
    assert [KINDS[kind].__name__.upper() for kind in range(1, 9)] == [
        "HELLO", "READY", "FATAL", "RUN", "DONE", "CANCEL", "DRAIN", "PING",
    ]  # fmt: skip


def test_a_huge_frame_in_many_chunks_costs_a_few_copies():
    """16 MiB in 1 KiB chunks: all but the last chunk is only appended, and parsing is not tried again."""
    frame = encode(Run(7, [bytes(16 * 2**20)]))
    attempts = 0

    class Counting(FrameReader):
        def _parse(self, data):
            nonlocal attempts
            attempts += 1
            return super()._parse(data)

    reader = Counting()
    messages = []
    for at in range(0, len(frame), 1024):
        messages += reader.feed(frame[at : at + 1024])
    assert [message.batch_id for message in messages] == [7]
    assert attempts == 2


def test_bodies_do_not_share_memory_with_the_receive_buffer():
    """A caller may reuse its receive buffer: what was decoded stays as it was."""
    buffer = bytearray(encode(Run(1, [b"abc"])))
    (message,) = FrameReader().feed(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert message == Run(1, [b"abc"])
