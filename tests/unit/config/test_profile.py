"""Profiles and their files."""

import copy
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.config.profile import BatchTimes, ColdStarts, Machine, Profile, StartPhases, ThreadProfile
from sojourn.config.profile_file import FILE_BYTES_MAX, parse_profile, read_profile, write_profile
from sojourn.errors import ConfigurationError, SojournError


def row(size, mean_s, concurrency=1):
    return BatchTimes(
        size=size,
        concurrency=concurrency,
        samples=100,
        mean_s=mean_s,
        p50_s=mean_s,
        p95_s=mean_s * 1.1,
        p99_s=mean_s * 1.2,
    )


def threads(count=1, **changes):
    fields = {
        "threads": count,
        "alpha_s": 0.002,
        "beta_s": 0.02,
        "ratio_quantiles": [0.9 + 0.002 * number for number in range(101)],
        "overhead_s": 0.0001,
        "decode_per_item_s": 0.00001,
        "sizes": [row(size, 0.02 + 0.002 * size) for size in (1, 2, 4, 8)],
    }
    return ThreadProfile(**{**fields, **changes})


def profile(**changes):
    fields = {
        "name": "digits",
        "revision": "abc",
        "slo": "99% < 100ms",
        "max_batch_size": 16,
        "machine": Machine(cores=2.0, processor="Some Processor", python_version="3.11.9"),
        "by_threads": [threads(1), threads(2)],
        "cold_starts": ColdStarts(first=[StartPhases(spawn_s=0.1, import_s=1.0, load_s=0.5, warmup_s=0.1)]),
    }
    return Profile(**{**fields, **changes})


RAW = json.loads(msgspec.json.encode(profile()))


def refusal(raw):
    with pytest.raises(ConfigurationError) as caught:
        parse_profile(json.dumps(raw).encode(), "p.json")
    return str(caught.value)


def test_a_written_profile_is_read_back_as_it_was(tmp_path):
    """Also over an older one, and nothing is left beside it."""
    path = tmp_path / "digits.profile.json"
    write_profile(path, profile(seed=2))
    write_profile(path, profile())
    assert read_profile(path) == profile()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    """With its name and the reason."""
    with pytest.raises(SojournError, match=r"nowhere.*cannot be written \(No such file or directory\)"):
        write_profile(tmp_path / "nowhere" / "p.json", profile())


def test_all_faults_are_named_at_once_each_with_its_place():
    """Whoever mends the file need not come back for the next one."""
    raw = copy.deepcopy(RAW)
    raw["max_batch_size"] = 0
    raw["nmae"] = raw.pop("name")
    raw["by_threads"][0]["alpha_s"] = -1
    raw["by_threads"][0]["sizes"][2]["mean_s"] = "fast"
    raw["by_threads"][1]["ratio_quantiles"] = [1.0, 0.5]
    del raw["machine"]["cores"]
    raw["cold_starts"]["first"] = [3]
    assert refusal(raw).splitlines() == [
        "p.json: the profile cannot be used:",
        "  nmae: no such field; did you mean name?",
        "  name: missing",
        "  max_batch_size: expected int >= 1",
        "  machine.cores: missing",
        "  by_threads[0].alpha_s: expected float >= 0.0",
        "  by_threads[0].sizes[2].mean_s: expected float, got str",
        "  by_threads[1]: ratio_quantiles must be 101 numbers, not 2; ratio_quantiles must be in ascending order",
        "  cold_starts.first[0]: expected object, got int",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"slo": "fast"}, "slo: expected a share such as 99% or p99 at column 1"),
        ({"name": "No Name"}, "name must be that of a function, not 'No Name'"),
        ({"by_threads": []}, "by_threads must have at least one entry"),
        (
            {"by_threads": [RAW["by_threads"][1], RAW["by_threads"][0]]},
            "ascending order of threads, each once, not [2, 1]",
        ),
        ({"max_batch_size": 4}, "a batch of 8 is larger than max_batch_size 4"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, told):
    """Each value may be right by itself."""
    assert told in refusal({**RAW, **change})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"alpha_s": 0, "beta_s": 0}, "alpha_s and beta_s must not both be 0"),
        ({"sizes": []}, "sizes must have a row of concurrency 1"),
        ({"sizes": RAW["by_threads"][0]["sizes"][::-1]}, "ascending order of size"),
        (
            {"sizes": [{**RAW["by_threads"][0]["sizes"][0], "p50_s": 9.0}]},
            "sizes[0]: p50_s <= p95_s <= p99_s must hold",
        ),
    ],
)
def test_faults_inside_a_thread_count_name_it(change, told):
    """The place is that of the object whose parts do not fit."""
    raw = copy.deepcopy(RAW)
    raw["by_threads"][1].update(change)
    message = refusal(raw)
    assert "by_threads[1]" in message
    assert told in message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{\n  "version": 1,\n  "name" "x"\n}', "p.json:3:10: not valid JSON: expected ':'"),
        (b"", "p.json: not valid JSON"),
        (b"\xff\xfe", "p.json"),
        (b"[1]", "p.json: not a profile; write one with: sojourn profile"),
        (b'{"version": 2}', "p.json: version 2, where this Sojourn reads 1; measure again"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_no_profile_at_all_is_told_in_one_line(content, told):
    """With line and column where the JSON itself is broken."""
    with pytest.raises(ConfigurationError) as caught:
        parse_profile(content, "p.json")
    assert told in str(caught.value)


def test_files_that_are_missing_or_huge_are_refused(tmp_path):
    """Neither ends in a traceback or in all of the memory."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_profile(tmp_path / "missing.json")
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(ConfigurationError, match="that is no profile"):
        read_profile(huge)


def paths_of(value, path=()):
    """Every place in a piece of JSON."""
    yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths_of(part, (*path, key))


PLACES = [path for path in paths_of(RAW) if path]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(PLACES), ANYTHING)
def test_whatever_stands_in_a_file_it_is_a_profile_or_a_fault(path, value):
    """Any value in any place: a profile, or an error that can be shown to people."""
    raw = copy.deepcopy(RAW)
    at = raw
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    try:
        found = parse_profile(json.dumps(raw).encode(), "p.json")
    except ConfigurationError as err:
        assert str(err).startswith("p.json")  # noqa: PT017 - either is fine
    else:
        assert isinstance(found, Profile)


def test_curves_go_through_what_was_measured_and_on_along_the_line():
    """Between sizes on straight lines; beyond the largest with the slope that was fitted; transport and coding on top."""
    one = threads()
    mean_s = one.mean_by_size_s(16)
    assert len(mean_s) == 17
    for size in (1, 2, 3, 8, 16):
        assert mean_s[size] == pytest.approx(0.02 + 0.002 * size + 0.0001 + 0.00001 * size)
    p95_s = one.p95_by_size_s(16)
    assert p95_s[8] == pytest.approx((0.02 + 0.016) * 1.1 + 0.00018)
    assert p95_s[16] == pytest.approx((0.02 + 0.032) * 1.1 + 0.00026)


def test_curves_never_fall():
    """Noise may make a larger batch look cheaper; what plans with it must not believe that."""
    one = threads(sizes=[row(1, 0.03), row(2, 0.02), row(4, 0.04)])
    mean_s = one.mean_by_size_s(8)[1:]
    assert mean_s == sorted(mean_s)
    assert mean_s[0] == pytest.approx(0.025 + 0.00011)


def test_rows_of_several_at_once_have_no_part_in_the_curves():
    """They are for those who model concurrency."""
    crowded = threads(sizes=[row(1, 0.022), row(1, 0.5, concurrency=4), row(2, 0.024)])
    assert crowded.mean_by_size_s(1)[1] == pytest.approx(0.022 + 0.00011)


def test_thread_counts_are_found_by_number():
    """The function's own by default, or the first if that was not measured; others are named."""
    assert profile(thread_count=2).at_threads().threads == 2
    assert profile(thread_count=8).at_threads().threads == 1
    assert profile().at_threads(2).threads == 2
    with pytest.raises(ConfigurationError, match="nothing for 4 threads, only for 1, 2"):
        profile().at_threads(4)


def test_phases_add_up_and_the_objective_is_read():
    """What readers compute from it."""
    assert profile().cold_starts.first[0].total_s == pytest.approx(1.7)
    assert profile().objective.latency_s == pytest.approx(0.1)
    assert profile(slo=None).objective is None
