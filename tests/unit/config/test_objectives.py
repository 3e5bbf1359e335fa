"""The table `[slo]` of sojourn.toml: read with all faults, put over functions, written without loss."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.config.load import load_settings
from sojourn.config.objectives import merged, waiting, with_objectives
from sojourn.domain.function import FunctionManifest, FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.errors import ConfigurationError

HOME = {"HOME": "/nowhere"}
NAMES = st.from_regex(r"[a-z][a-z0-9.-]{0,12}", fullmatch=True)
TEXTS = st.sampled_from(["99% < 100ms", "99.9% < 1s over 7d", "90% < 5ms"])


def written(tmp_path, text):
    """Settings from a file."""
    (tmp_path / "sojourn.toml").write_text(text)
    return load_settings({}, HOME, directory=tmp_path)


def test_objectives_of_the_file_are_settings(tmp_path):
    """Beside others, in a table of their own."""
    settings = written(tmp_path, 'port = 9000\n[slo]\ndigits = "99% < 50ms"\n"my-fn" = "99.9% < 1s over 7d"\n')
    assert settings.port == 9000
    assert settings.objectives == {"digits": SLO(0.05, 0.99), "my-fn": SLO(1.0, 0.999, 7 * 86_400.0)}


def test_all_faults_of_the_table_are_told_with_those_of_the_settings(tmp_path):
    """An objective nobody can read, one that is no text, and a setting that does not exist."""
    with pytest.raises(ConfigurationError) as caught:
        written(tmp_path, 'porrt = 1\n[slo]\ndigits = "99 < 50ms"\nother = 5\n"my.fn" = "99% < 1s"\n')
    for said in (
        "sojourn.toml:1 porrt",
        "sojourn.toml:2 slo.digits",
        "sojourn.toml:2 slo.other",
        "sojourn.toml:2 slo.my.fn: no function can have this name",
    ):
        assert said in str(caught.value)
    with pytest.raises(ConfigurationError, match="must be a table"):
        written(tmp_path, 'slo = "99% < 1s"\n')


def manifest(name):
    """A function that promises something itself."""
    settings = FunctionSettings(name=name, slo=SLO(1.0))
    return FunctionManifest(target="app.py", attribute=name, settings=settings, revision="r1")


def test_they_take_the_place_of_those_in_the_code():
    """The others keep theirs, and revisions stay what they are."""
    one, two = with_objectives([manifest("a"), manifest("b")], {"b": SLO(0.1, 0.999), "later": SLO(0.2)})
    assert (one.settings.slo, two.settings.slo, two.revision) == (SLO(1.0), SLO(0.1, 0.999), "r1")


def test_an_objective_for_nobody_yet_is_told_with_who_may_be_meant():
    """It may be deployed later; a typing mistake must not go unseen, though."""
    assert waiting(["digits", "digtis", "zzz"], {"digits", "sums"}) == {
        "digtis": "no function 'digtis' is served or deployed; did you mean 'digits'?",
        "zzz": "no function 'zzz' is served or deployed; there are: digits, sums",
    }
    assert waiting(["zzz"], []) == {"zzz": "no function 'zzz' is served or deployed; there are: none"}


@given(st.dictionaries(NAMES, TEXTS, max_size=4), st.dictionaries(NAMES, TEXTS, min_size=1, max_size=4), st.booleans())
def test_merging_keeps_all_else_as_it_is(before, added, has_more):
    """Settings, comments and other tables stay; each name has its objective."""
    lines = ["# mine", "port = 9000  # not the usual one"]
    lines += ["", "[slo]  # promised", *(f'"{name}" = "{text}"' for name, text in before.items())] if before else []
    text = "\n".join([*lines, *(["", "[other]", "x = 1"] if has_more else [])]) + "\n"
    result = merged(text, added, "sojourn.toml", is_replacing=True)
    assert tomllib.loads(result)["slo"] == {**before, **added}
    kept = [line for line in text.splitlines() if not any(line.startswith(f'"{name}"') for name in added)]
    assert [line for line in result.splitlines() if line in kept and line] == [line for line in kept if line]


def test_another_objective_is_replaced_only_if_asked_for():
    """The old and the new one are told."""
    text = '[slo]\na = "99% < 1s"\n'
    with pytest.raises(ConfigurationError, match="--replace") as caught:
        merged(text, {"a": "99% < 2s"}, "sojourn.toml")
    assert "'99% < 1s' there, '99% < 2s' now" in str(caught.value)
    assert merged(text, {"a": "99% < 1s"}, "sojourn.toml") == text


@pytest.mark.parametrize(
    "text",
    ["slo = 5\n", "x = [\n", 'slo = {a = "99% < 1s"}\n', "slo = {}\n", f"x = {'[' * 5000}{']' * 5000}\n"],
)
def test_what_cannot_be_added_to_is_refused(text):
    """Nothing is written over."""
    with pytest.raises(ConfigurationError):
        merged(text, {"b": "99% < 1s"}, "sojourn.toml")


@pytest.mark.parametrize(
    "before",
    [
        "# a\u2028b\n[slo]\n",
        "# a\x85b\n",
        '["slo"]\n',
        "['slo'] # mine\n",
        "# a\r\n[slo]\r\nb = '99% < 2s'\r\n",
    ],
)
@pytest.mark.parametrize("name", ["y", "a b", "\U0001f600", "a\x7fb", 'a"b'])
def test_whatever_stands_in_the_file_stays_and_the_name_is_read_back(before, name):
    """Odd line ends in comments, quoted headers, lines of another system, names beyond ASCII."""
    result = merged(before, {name: "99% < 1s"}, "sojourn.toml")
    assert tomllib.loads(result)["slo"][name] == "99% < 1s"
    assert [line for line in result.split("\n") if line in before.split("\n") and line] == before.split("\n")[:-1]
