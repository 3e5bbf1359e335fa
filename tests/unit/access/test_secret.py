"""The text of a key: random, whole or not, and never kept."""

import os
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.access.secret import digest_of, id_of, new_secret

CHARACTERS = string.ascii_letters + string.digits


@given(st.binary(min_size=36, max_size=36))
def test_whatever_the_random_bytes_the_text_is_whole_and_of_one_length(chance):
    """256 bits of them are in it, behind an id that is told openly."""
    pieces = {4: chance[:4], 32: chance[4:]}
    key_id, text = new_secret(pieces.__getitem__)
    assert (key_id, len(text)) == (chance[:4].hex(), 61)
    assert text.startswith(f"sj_{key_id}_")
    assert set(text[12:]) <= set(CHARACTERS)
    assert id_of(text) == key_id


def test_each_random_bit_is_in_the_text():
    """Another bit, another text."""
    texts = {new_secret({4: bytes(4), 32: (1 << bit).to_bytes(32)}.__getitem__)[1] for bit in range(256)}
    assert len(texts) == 256


@given(st.integers(0, 60), st.sampled_from(CHARACTERS))
def test_one_wrong_character_is_found_by_the_checksum(at, character):
    """So that a mistyped key is told apart from an unknown one without a look at those there are."""
    _, text = new_secret(os.urandom)
    changed = text[:at] + character + text[at + 1 :]
    assert id_of(changed) is None or changed == text


@pytest.mark.parametrize("cut", range(1, 61))
def test_a_truncated_paste_is_no_whole_key(cut):
    """Cut at either end."""
    _, text = new_secret(os.urandom)
    assert id_of(text[:-cut]) is None
    assert id_of(text[cut:]) is None


@pytest.mark.parametrize("text", ["", "sj_", "Bearer x", "sj_0000000g_" + "A" * 49, "\N{SNOWMAN}" * 61, "A" * 10_000])
def test_other_texts_are_no_keys(text):
    """Nothing raises."""
    assert id_of(text) is None
    assert len(digest_of(text)) == 32


def test_what_is_kept_is_sha_256_of_the_text():
    """As `sha256sum` says."""
    assert digest_of("abc").hex().startswith("ba7816bf8f01cfea414140de5dae2223")
