"""HTTP of one connection, byte by byte and in one piece."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.client.conversation import Answer, Broken, Conversation
from sojourn.errors import UnusableAnswerError

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-A: b\r\n\r\nok"
ANSWER = Answer(200, {"content-length": "2", "x-a": "b"}, b"ok")


def asked() -> Conversation:
    talk = Conversation("http://x")
    assert talk.begin("POST", "/f", [("host", "x")], b"[1]").startswith(b"POST /f HTTP/1.1\r\n")
    return talk


@given(cuts=st.lists(st.integers(0, len(PLAIN)), max_size=6))
def test_an_answer_is_the_same_however_it_is_cut(cuts):
    """Any pieces give the one answer, with the last byte and not before."""
    talk, places = asked(), sorted({0, *cuts, len(PLAIN)})
    heard = [talk.receive(PLAIN[begin:end]) for begin, end in pairwise(places)]
    assert heard == [None] * (len(heard) - 1) + [ANSWER]
    assert talk.is_reusable


def test_a_connection_is_used_again_only_if_both_sides_keep_it():
    """Not after `connection: close`, not after bytes that nobody asked for, not in the middle."""
    talk = asked()
    assert not talk.is_reusable
    talk.receive(b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN)
    assert talk.is_reusable
    talk.begin("GET", "/", [("host", "x")], b"")
    assert talk.receive(PLAIN) == ANSWER
    for answer in (PLAIN.replace(b"X-A: b", b"connection: close"), PLAIN + b"more"):
        talk = asked()
        assert talk.receive(answer).body == b"ok"
        assert not talk.is_reusable


def test_an_answer_without_a_length_ends_with_its_connection():
    """As HTTP/1.0 servers have it; a chunked one ends by itself."""
    talk = asked()
    assert talk.receive(b"HTTP/1.0 200 OK\r\n\r\nhel") is None
    assert talk.receive(b"lo") is None
    assert talk.receive(b"").body == b"hello"
    assert asked().receive(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").body == b"ok"


@pytest.mark.parametrize("cut", [0, 5, 40, len(PLAIN) - 1])
def test_a_connection_that_ends_too_early_is_told_as_broken(cut):
    """Before the answer, in its head and in its body."""
    talk = asked()
    if cut:
        assert talk.receive(PLAIN[:cut]) is None
    with pytest.raises(Broken):
        talk.receive(b"")


@pytest.mark.parametrize(
    "noise", [b"SSH-2.0-x\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x0a" * 9 + b"\n\n", b"HTTP/1.1 2 OK\r\n\r\n"]
)
def test_what_is_not_http_is_told_as_such(noise):
    """Another protocol's greeting says to look at the port."""
    with pytest.raises(UnusableAnswerError, match="right port"):
        asked().receive(noise)


def test_answers_have_a_bound():
    """An endless body, and an endless head, end the call and not the memory."""
    talk = Conversation("http://x", answer_bytes_max=10)
    talk.begin("GET", "/", [("host", "x")], b"")
    with pytest.raises(UnusableAnswerError, match="longer than 10 bytes"):
        talk.receive(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n" + b"x" * 11)
    with pytest.raises(UnusableAnswerError):
        asked().receive(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000)
