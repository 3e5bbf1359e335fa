"""`sojourn profile`: what it is told, and what it tells."""

import io

import click
import pytest
from rich.console import Console

from sojourn.calibrate.campaign import Progress
from sojourn.calibrate.sample import Cell
from sojourn.cli.profile_source import Place, place_in, thread_counts
from sojourn.cli.profile_view import ProgressBars, print_profile, remarks_on, thread_lines
from sojourn.config.profile import BatchTimes, ColdStarts, Lateness, Machine, Profile, StartPhases, ThreadProfile
from sojourn.domain.objective import SLO


def row(size, mean_s, **changes):
    fields = {"samples": 100, "mean_s": mean_s, "p50_s": mean_s, "p95_s": mean_s * 1.1, "p99_s": mean_s * 1.2}
    return BatchTimes(size=size, **{**fields, **changes})


def threads(count=1, **changes):
    fields = {
        "threads": count,
        "alpha_s": 0.002,
        "beta_s": 0.02,
        "r2": 0.9998,
        "ratio_quantiles": [0.9 + 0.002 * number for number in range(101)],
        "sizes": [row(size, 0.02 + 0.002 * size) for size in (1, 2, 4, 8, 16)],
        "memory_bytes": 2**26,
    }
    return ThreadProfile(**{**fields, **changes})


def profile(*by_threads, **changes):
    start = StartPhases(spawn_s=0.1, import_s=1.0, load_s=0.5, warmup_s=0.1)
    fields = {
        "name": "digits",
        "revision": "abc",
        "slo": "99% < 100ms",
        "max_batch_size": 16,
        "machine": Machine(
            cores=2.0,
            processor="Some [Processor]",
            python_version="3.11.9",
            timer_lateness=Lateness(p50_s=1e-4, p95_s=2e-4, p99_s=3e-4, max_s=1e-3),
        ),
        "by_threads": list(by_threads) or [threads()],
        "cold_starts": ColdStarts(first=[start] * 3, further=[start], are_further_forked=True),
    }
    return Profile(**{**fields, **changes})


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("digits", None),
        ("app.py", Place("app.py", None)),
        ("app.py:digits", Place("app.py", "digits")),
        ("pkg.module", Place("pkg.module", None)),
        ("module:digits", Place("module", "digits")),
        ("some/app.py:digits", Place("some/app.py", "digits")),
    ],
)
def test_names_of_functions_are_told_from_files_and_modules(text, place):
    """A bare name is a function of a server; a dot, a slash or a colon make it something to import."""
    assert place_in(text) == place


@pytest.mark.parametrize("text", ["app.py:", ":digits", ":"])
def test_half_a_place_is_refused(text):
    """With how to write it."""
    with pytest.raises(click.UsageError, match=r"app\.py:digits"):
        place_in(text)


def test_thread_counts_are_whole_numbers():
    """With commas between them."""
    assert thread_counts("1") == (1,)
    assert thread_counts("1, 2,4") == (1, 2, 4)
    for bad in ("", "0", "a", "1,,2", "-1", "1.5", "99999", "²"):
        with pytest.raises(click.BadParameter, match="1,2,4"):
            thread_counts(bad)


def shown(capsys, one):
    print_profile(one)
    return capsys.readouterr().out


def test_the_tables_show_sizes_line_objective_and_starts(capsys):
    """All a person asks of a profile, on one screen."""
    text = shown(capsys, profile())
    assert "digits, revision abc, objective 99% < 100ms" in text
    assert "2 cores, Some [Processor], Python 3.11.9" in text
    assert "1 thread, 64 MiB" in text
    size_8 = next(line.split() for line in text.splitlines() if line.split()[:1] == ["8"])
    assert size_8 == ["8", "100", "36", "ms", "36", "ms", "39.6", "ms", "43.2", "ms", "4.5", "ms", "222", "+0.0", "%"]
    assert "line: 20 ms per batch + 2 ms per item (r2 0.9998; no size is further off than 0 %)" in text
    assert "measured over fitted p50 1, p95 1.09, p99 1.1" in text
    # By hand: one replica allows a p95 of half the objective, two allow two thirds of it, all with 16 items at most.
    assert "allows batches of up to 12 with 1 replica (273/s), 16 with 2 replicas (615/s), 16 with 4" in text
    starts = [line.split() for line in text.splitlines() if line.split()[1:2] in (["first"], ["forked"])]
    phases = ["100", "ms", "1", "s", "500", "ms", "100", "ms", "1.7", "s"]
    assert starts == [["3", "first", *phases], ["1", "forked", *phases]]
    assert "timers fire late by 100 µs (p50), 300 µs (p99)" in text


def test_a_narrow_terminal_gets_fewer_columns_rather_than_cut_ones(capsys, monkeypatch):
    """What matters most has room on eighty characters, also of an async function."""
    monkeypatch.setenv("COLUMNS", "80")
    text = shown(capsys, profile(slots=4))
    assert "…" not in text
    heading = next(line for line in text.splitlines() if line.startswith("batch"))
    assert heading.split("  ")[0] == "batch"
    assert "p95" in heading
    assert "p99" not in heading


def test_an_objective_that_one_item_breaks_is_told():
    """No batch size helps then."""
    lines = "\n".join(thread_lines(threads(), SLO(latency_s=0.01)))
    assert "cannot be met, one item alone takes 24.2 ms (p95)" in lines


def test_a_single_size_has_no_line_and_levels_have_a_column(capsys):
    """Of an async function without lists: what several calls at once take."""
    rows = [row(1, 0.02), row(1, 0.03, concurrency=4)]
    one = threads(alpha_s=0.0, r2=None, sizes=rows)
    text = shown(capsys, profile(one, slots=4, max_batch_size=1, slo=None, cold_starts=ColdStarts()))
    assert "no objective" in text
    assert "time: 20 ms per batch; other sizes were not measured" in text
    crowded = next(line.split() for line in text.splitlines() if line.split()[:2] == ["1", "4"])
    assert crowded[-3:] == ["7.5", "ms", "133"]
    assert "cold starts" not in text


def test_remarks_name_what_makes_the_numbers_doubtful():
    """Each with its thread count; a good profile has none."""
    assert remarks_on(profile(), {}) == []
    unsure = [row(1, 0.022, relative_error=0.06), row(2, 0.024, samples=1)]
    doubtful = profile(threads(1), threads(4, misfit=0.3, drift=0.2, sizes=unsure))
    remarks = "\n".join(remarks_on(doubtful, {4: [Cell(32), Cell(1, 8)]}))
    for told in (
        "with 4 threads the budget did not allow batches of 32, 1 (8 at once)",
        "with 4 threads: there are only 2 cores",
        "30.0 % off the line",
        "changed by +20 % from beginning to end",
        "the means of batches of 1, 2 are known to 5 % at best",
    ):
        assert told in remarks
    assert "1 thread" not in remarks


def test_bars_are_shown_on_terminals_only():
    """One per stage, with how far it is; nothing in a log file."""
    for is_terminal in (True, False):
        screen = io.StringIO()
        with ProgressBars(Console(file=screen, force_terminal=is_terminal, width=100)) as bars:
            bars.show(Progress("batches, 1 thread", 0.25, "30 measured"))
            bars.show(Progress("cold starts", 0.5))
        text = screen.getvalue()
        assert ("batches, 1 thread" in text) is is_terminal
        assert ("25 %" in text and "50 %" in text and "30 measured" in text) is is_terminal
