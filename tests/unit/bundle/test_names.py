"""Names of files: which are plain, and which could be taken for each other."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from sojourn.bundle.limits import DEFAULT_LIMITS
from sojourn.bundle.names import FILE, NameBook, name_fault, shown

parts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@given(st.lists(parts, min_size=1, max_size=5).map("/".join))
def test_a_name_that_is_taken_stays_in_its_tree(name):
    """No part of it leads anywhere but down, and all of it can be seen."""
    if name_fault(name, DEFAULT_LIMITS) is None:
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(name.split("/"))
        assert not {"Cc", "Cf", "Cs", "Zl", "Zp"} & {unicodedata.category(character) for character in name}


@given(parts, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD", "upper", "lower", "swapcase"]))
def test_no_two_forms_of_a_name_stand_beside_each_other(name, form):
    """Upper, lower and the normal forms of one name are one name; so are the forms of those."""
    other = getattr(name, form)() if form.islower() else unicodedata.normalize(form, name)
    if other == name or any(name_fault(one, DEFAULT_LIMITS) or "/" in one for one in (name, other)):
        return
    if unicodedata.normalize("NFKD", other.casefold()) != unicodedata.normalize("NFKD", name.casefold()):
        return  # upper() of some letters is no other form of the same
    book = NameBook()
    assert book.fault_of(name, FILE) is None
    assert book.fault_of(other, FILE) == f"it differs from {shown(name)} by case or Unicode form only"


def test_a_letter_that_unicode_does_not_know_yet_may_be_in_a_name():
    """It is a letter elsewhere, where Unicode is newer; errors show it as an escape."""
    assert name_fault("data/\u0e5c", DEFAULT_LIMITS) is None
    assert shown("\u0e5c") == r"'\u0e5c'"


def test_what_is_shown_is_bounded_and_seen():
    """Errors quote what strangers wrote."""
    assert shown("a\x1b[2J\n") == r"'a\x1b[2J\n'"
    assert shown("\u00e9") == "'\u00e9'"
    assert len(shown("x" * 10_000)) < 200
