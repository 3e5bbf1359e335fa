"""The body of a request while it arrives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.gateway.body import ArrivingBody
from sojourn.gateway.context import Context
from sojourn.gateway.limits import Limits
from sojourn.gateway.routes import Routes


def new_body(**limits):
    """A body and the context in which it is counted."""
    context = Context(Routes(), Limits(**limits), lambda: True, lambda: 0.0)
    return ArrivingBody(context), context


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20))
def test_its_pieces_are_put_together_and_counted_until_they_are_given_back(pieces):
    """Whoever takes it owes the context what it holds; what is forgotten owes nothing."""
    body, context = new_body()
    for _ in range(2):
        body.begin()
        for piece in pieces:
            assert body.keep(piece) is None
        whole = b"".join(pieces)
        assert body.received == context.held_bytes == len(whole)
        assert body.take() == (whole, len(whole))
        context.held_bytes -= len(whole)
    body.begin()
    for piece in pieces:
        body.keep(piece)
    body.forget()
    assert context.held_bytes == 0
    assert body.take() == (b"", 0)


def test_one_byte_too_many_is_refused_by_itself_and_with_those_of_others():
    """413 for a body that is too large, 503 where all together are; the refused piece is not counted."""
    body, context = new_body(body_bytes=10, inflight_body_bytes=12)
    assert body.keep(b"x" * 10) is None
    assert body.keep(b"x").code == "body_too_large"
    other, _ = ArrivingBody(context), context
    assert other.keep(b"xx") is None
    assert other.keep(b"x").code == "too_many_body_bytes"
    assert context.held_bytes == 12


@pytest.mark.parametrize(("size", "is_refused"), [(80, False), (63, True)])
def test_a_flood_of_small_chunks_is_refused(size, is_refused):
    """Past the bound in number they must have a mean size."""
    body, _ = new_body(small_chunks=10)
    refused = None
    for _ in range(12):
        refused = refused or body.chunk()
        body.keep(b"x" * size)
    assert (refused is not None) == is_refused


def test_what_is_passed_by_is_read_up_to_a_bound():
    """To keep the connection; nothing of it is held."""
    body, context = new_body(drain_bytes=100)
    assert body.pass_by(b"x" * 100)
    assert not body.pass_by(b"x")
    assert context.held_bytes == 0
