"""`sojourn profile` with real replicas: what it finds of functions whose times are known, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server import PATIENCE_S, Server, children_of, is_alive, wait_until

from sojourn.calibrate.line import Point, fitted_line, steady_mean
from sojourn.calibrate.traffic import traffic_transport
from sojourn.cli.http_call import call
from sojourn.cli.main import run
from sojourn.config.profile_file import read_profile
from sojourn.loadgen.run import run_load
from sojourn.loadgen.target import parse_target
from sojourn.telemetry.journal_file import read_journal

ALPHA_S, BETA_S = 0.002, 0.02
APP = """
import os, time
import sojourn

EXAMPLES = [1, 2, 3]


@sojourn.function(slo="99% < 100ms", max_batch_size=12, examples=EXAMPLES)
class Slow:
    def __init__(self) -> None:
        time.sleep(0.05)

    def __call__(self, numbers: list[int]) -> list[int]:
        begun_at_s = time.monotonic()
        end_at_s = begun_at_s + 0.02 + 0.002 * len(numbers)
        while (left_s := end_at_s - time.monotonic()) > 0:
            time.sleep(left_s)
        with open("calls.log", "a") as log:
            log.write(f"{len(numbers)} {time.monotonic() - begun_at_s}\\n")
        return numbers


@sojourn.function(batchable=False, max_batch_size=8, share="none")
class Alone:
    def __init__(self) -> None:
        with open("threads.log", "a") as log:
            log.write(os.environ["OMP_NUM_THREADS"] + "\\n")

    def __call__(self, number: int) -> int:
        if number == 13:
            raise ValueError("unlucky")
        return number


@sojourn.function(concurrency=4, max_batch_size=2, examples=[1])
async def waits(numbers: list[int]) -> list[int]:
    import asyncio
    await asyncio.sleep(0.005)
    return numbers


@sojourn.function(examples=[1])
class Broken:
    def __init__(self) -> None:
        raise RuntimeError("no weights here")

    def __call__(self, numbers: list[int]) -> list[int]:
        return numbers


@sojourn.function
def dies(numbers: list[int]) -> list[int]:
    print("going down", flush=True)
    os._exit(7)


@sojourn.function
def hangs(numbers: list[int]) -> list[int]:
    print("going to sleep", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The directory of the app, which is the working directory too."""
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    for name in ("SOJOURN_ADMIN_URL", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def profiled(capfd):
    """Runs the command to its end in this process; exit code, standard output, standard error."""

    def command(*arguments):
        code = run(["profile", *arguments])
        return code, *capfd.readouterr()

    return command


def known_line(log):
    """The line through the times that the function saw."""
    by_size = {}
    for line in log.read_text().splitlines():
        size, duration_s = line.split()
        by_size.setdefault(int(size), []).append(float(duration_s))
    return fitted_line([Point(size, steady_mean(seen_s)) for size, seen_s in by_size.items()])


def test_known_times_are_found_again(folder, profiled):
    """Line, jitter and starts of a function that sleeps for a time that is known; on standard output and in the file.

    A sleep may last longer on a busy machine, so what is known is what the function itself saw.
    """
    code, out, errors = profiled("app.py:slow", "--budget", "3500ms", "--starts", "1", "--json")
    assert code == 0, errors
    profile = read_profile(folder / "slow.profile.json")
    assert json.loads(out) == json.loads((folder / "slow.profile.json").read_text())
    assert (profile.name, profile.slo, profile.max_batch_size, profile.slots) == ("slow", "99% < 100ms", 12, 1)
    assert not profile.is_partial
    (one,) = profile.by_threads
    seen = known_line(folder / "calls.log")
    assert one.alpha_s == pytest.approx(seen.alpha_s, rel=0.15)
    assert one.beta_s == pytest.approx(seen.beta_s, rel=0.15)
    assert [row.size for row in one.sizes] == [1, 2, 3, 4, 6, 8, 12]
    assert all(row.p50_s >= BETA_S + ALPHA_S * row.size for row in one.sizes)
    assert one.ratio_quantiles[0] <= 1.01
    assert one.around_call_s(1) > 0
    assert one.memory_bytes > 2**20
    (first,), (further,) = profile.cold_starts.first, profile.cold_starts.further
    assert profile.cold_starts.are_further_forked
    assert first.import_s > 0
    assert further.import_s == 0
    for start in (first, further):
        assert start.load_s >= 0.05
        assert start.warmup_s >= BETA_S


def test_a_function_of_a_server_is_measured_beside_it(folder, profiled, tmp_path_factory, monkeypatch):
    """By its name, from any directory, with the server's settings; the server's own replica sees none of it."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "sojourn.toml").write_text('[slo]\nslow = "95% < 70ms"\n')
    with Server(folder, APP.replace("raise RuntimeError", "str")) as server:
        monkeypatch.chdir(elsewhere)
        monkeypatch.setenv("SOJOURN_ADMIN_URL", f"http://{server.admin.netloc}")
        code, out, errors = profiled("slow", "--budget", "500ms", "--starts", "0")
        assert code == 0, errors
        assert server.function("slow")["requests"]["served"] == 0
        monkeypatch.chdir(elsewhere)
        unknown, _, unknown_told = profiled("slwo")
    profile = read_profile(elsewhere / "slow.profile.json")
    assert profile.slo == "95% < 70ms"
    assert profile.cold_starts.first == []
    assert "objective 95% < 70ms allows batches of up to" in out
    assert unknown == 1
    assert "slwo" in unknown_told
    assert not (folder / "slow.profile.json").exists()


def test_transport_is_that_of_a_server_under_traffic_if_its_journal_is_given(folder, profiled):
    """Real requests in bursts to a real server; its journal tells what it added, and the profile says so."""
    with Server(folder, APP.replace("raise RuntimeError", "str"), "--journal-steps", "100000") as server:
        arrivals_s = [burst * 0.055 for burst in range(62) for _ in range(6)]
        target = parse_target(f"http://{server.inference.netloc}/functions/slow")
        run_load(target, arrivals_s, lambda index: b"%d" % index)
        kept = call("GET", f"http://{server.admin.netloc}", "/api/v1/functions/slow/journal", timeout_s=60.0)
    Path("slow.journal").write_bytes(kept.body)
    known = traffic_transport(read_journal(Path("slow.journal")), "slow")
    code, out, errors = profiled("app.py:slow", "--budget", "300ms", "--starts", "0", "--journal", "slow.journal")
    assert code == 0, errors
    assert f"told by {known.batches} batches" in out
    profile = read_profile(folder / "slow.profile.json")
    assert profile.traffic_batches == known.batches >= 100
    (one,) = profile.by_threads
    assert one.overhead_per_item_s == known.per_item_s
    assert one.overhead_s >= known.per_batch_s > 0
    wrong, _, told = profiled("app.py:waits", "--journal", "slow.journal")
    assert wrong == 2
    assert "function 'slow', not of 'waits'" in told


def test_an_async_function_is_measured_several_at_once(folder, profiled):
    """Levels of concurrency at size 1 besides the sizes."""
    code, _, errors = profiled("app.py:waits", "--budget", "1s", "--starts", "0", "--output", "w.json")
    assert code == 0, errors
    profile = read_profile(folder / "w.json")
    rows = [(row.size, row.concurrency) for row in profile.by_threads[0].sizes]
    assert (profile.slots, rows) == (4, [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1)])
    assert all(row.samples % row.concurrency == 0 for row in profile.by_threads[0].sizes)


def test_thread_counts_single_items_and_starts_that_are_not_forked(folder, profiled):
    """`batchable=False` has one size only; with `share="none"` each start is a first one; every count has its replica."""
    (folder / "items.jsonl").write_text("1\n2\n3\n")
    code, out, errors = profiled(
        "app.py:alone", "--data", "items.jsonl", "--budget", "200ms", "--starts", "1", "--threads", "2,1"
    )
    assert code == 0, errors
    profile = read_profile(folder / "alone.profile.json")
    assert profile.max_batch_size == 1
    assert [one.threads for one in profile.by_threads] == [1, 2]
    assert [[row.size for row in one.sizes] for one in profile.by_threads] == [[1], [1]]
    assert (folder / "threads.log").read_text().split()[:2] == ["1", "2"]
    assert not profile.cold_starts.are_further_forked
    assert all(start.import_s > 0 for start in profile.cold_starts.further)
    assert "other sizes were not measured" in out


@pytest.mark.parametrize(
    ("name", "items", "told"),
    [
        ("alone", "1\n13\n", ["item 2 of items.jsonl failed", "ValueError at app.py:", "unlucky"]),
        ("alone", '1\n"x"\n', ["item 2 of items.jsonl failed", "Expected `int`, got `str`"]),
        ("broken", "1\n", ["'broken' cannot start", "__init__ raised RuntimeError: no weights here at app.py:"]),
        ("dies", "1\n", ["'dies': its replica ended: exit status 7", "going down"]),
        ("hangs", "1\n", ["'hangs': a batch of 1 item took longer than 0.2 s", "going to sleep"]),
    ],
)
def test_a_function_that_fails_is_told_with_its_own_words(folder, profiled, monkeypatch, name, items, told):
    """Exit code 1, the message and the last output of the replica; no profile is written, no process left behind."""
    if name == "hangs":
        monkeypatch.setattr("sojourn.calibrate.campaign.BATCH_WITHIN_S", 0.2)
    (folder / "items.jsonl").write_text(items)
    before = children_of(os.getpid())
    code, _, errors = profiled(f"app.py:{name}", "--data", "items.jsonl", "--budget", "200ms")
    assert code == 1
    for words in told:
        assert words in errors
    assert "sojourn logs" not in errors
    assert not list(folder.glob("*.json"))
    assert children_of(os.getpid()) == before


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["app.py:alone"], 2, "declares no examples"),
        (["app.py:slow", "--data", "missing.jsonl"], 2, "missing.jsonl: cannot be read"),
        (["app.py:slow", "--data", "app.py"], 2, "valid JSON"),
        (["app.py:slow", "--threads", "0"], 2, "such as 1,2,4"),
        (["app.py:slow", "--budget", "1ms"], 2, "at least 0.1 s"),
        (["app.py:slow", "--output", "missing/p.json"], 2, "there is no directory"),
        (["app.py:slow", "--output", "."], 2, "that is a directory"),
        (["app.py:slow", "--journal", "missing.journal"], 2, "missing.journal: cannot be read"),
        (["app.py:slow", "--journal", "app.py"], 2, "app.py, line 1: this is no journal"),
        (["app.py:"], 2, "app.py:digits"),
        (["app.py:nothing"], 1, "declares no function 'nothing', only slow, alone, waits, broken, dies"),
        (["app.py"], 1, "name one of app.py:slow, app.py:alone"),
        (["missing.py"], 1, "no such file"),
        (["slow", "--admin-url", "http://127.0.0.1:9"], 1, "sojourn profile app.py:NAME"),
    ],
)
def test_wrong_usage_is_told_at_once(folder, profiled, arguments, code, told):
    """What is wrong and what would be right, before anything is measured."""
    found, out, errors = profiled(*arguments)
    assert (found, out, told in errors) == (code, "", True), errors
    assert not (folder / "calls.log").exists()


def test_an_interrupted_calibration_keeps_what_it_has(folder):
    """Marked as partial; no replica is left behind."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sojourn.cli.main", "profile", "app.py:slow", "--budget", "10m"],
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        calls = folder / "calls.log"
        # Warm-up, batches left out and the survey are 10 calls.
        wait_until(lambda: calls.exists() and len(calls.read_text().splitlines()) >= 20, "some batches")
        children = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, errors
    assert "marked as partial" in errors
    profile = read_profile(folder / "slow.profile.json")
    assert profile.is_partial
    assert sum(row.samples for row in profile.by_threads[0].sizes) >= 5
    assert profile.cold_starts.first == []
    assert "line: " in out
    assert children
    wait_until(lambda: not any(is_alive(pid) for pid in children), "its children to end with it")
