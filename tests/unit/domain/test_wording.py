"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from sojourn.domain.wording import counted


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 keys"), (1, "1 key"), (2, "2 keys"), (1200, "1,200 keys"), (1.0, "1 key"), (1.5, "1.5 keys")],
)
def test_one_is_singular_and_all_else_plural(count, told):
    """Thousands stand apart."""
    assert counted(count, "key") == told


def test_a_plural_that_is_not_made_by_an_s_is_given():
    """As in policies."""
    assert (counted(1, "policy", "policies"), counted(3, "policy", "policies")) == ("1 policy", "3 policies")
