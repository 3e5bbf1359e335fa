"""The demo's own parts: how answers are judged, what is shown, and how the function is found."""

import io
import time

import msgspec
import pytest
from rich.console import Console

from sojourn.cli.demo import _batch_size_between, _calibrated
from sojourn.cli.demo_images import Examiner, HeldOut, app_file
from sojourn.cli.demo_view import DemoView, Phase
from sojourn.domain.objective import parse_slo
from sojourn.errors import TargetError
from sojourn.loadgen.generator import LoadRun
from sojourn.loadgen.target import Target


def examiner():
    return Examiner([HeldOut(msgspec.Raw(b"[0.0,1.5]"), 3), HeldOut(msgspec.Raw(b"[2.0]"), 7)])


def test_each_request_carries_its_own_number_and_image():
    """Images take turns, numbers do not: so an answer can be traced to one request."""
    judge = examiner()
    assert msgspec.json.decode(judge.body(0)) == {"id": 0, "pixels": [0.0, 1.5]}
    assert msgspec.json.decode(judge.body(3)) == {"id": 3, "pixels": [2.0]}


def test_another_requests_answer_is_not_its_own_even_if_the_digit_is_right():
    """The number decides whose answer it is, the label whether it is right."""
    judge = examiner()
    assert judge.check(2, b'{"id": 2, "digit": 3, "confidence": 0.9}')
    assert judge.check(3, b'{"id": 3, "digit": 1, "confidence": 0.9}')
    assert not judge.check(2, b'{"id": 0, "digit": 3, "confidence": 0.9}')
    assert not judge.check(2, b"not json")
    assert (judge.checked, judge.correct, judge.accuracy) == (2, 1, 0.5)
    assert examiner().accuracy is None


def test_a_missing_app_is_told_with_the_remedy(tmp_path):
    """The path is named, and the flag that sets it."""
    with pytest.raises(TargetError, match="--app"):
        app_file(tmp_path / "nowhere.py")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_view_shows_a_run_from_its_first_moment_to_its_last(is_terminal):
    """No division by zero before the first answer; rate, phase and attainment afterwards."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=is_terminal, width=100)
    run = LoadRun(Target("127.0.0.1", 1, "/"), [], [b""])
    phases = [Phase("steady", 10, 6), Phase("burst", 50, 6)]
    with DemoView(console, phases, parse_slo("99% < 50ms")) as view:
        run._origin_s = time.monotonic() + 1  # it has not begun
        view.show(run)
        for number in range(20):  # half of them answered after 10 ms, half after 100 ms
            index = run.log.begin(number / 10)
            run.log.answer(index, number / 10 + (0.01 if number < 10 else 0.1), 200, b"")
        run._origin_s = time.monotonic() - 8
        view.show(run)
    said = screen.getvalue()
    assert "50.0 %" in said
    assert "burst" in said


@pytest.mark.parametrize(
    ("capacity_per_s", "steady_per_s", "burst_per_s"), [(3_140, 460, 3_100), (90, 30, 200), (80_000, 1_200, 8_000)]
)
def test_rates_are_shares_of_what_was_measured_within_bounds(monkeypatch, capacity_per_s, steady_per_s, burst_per_s):
    """Never so few that nothing is seen, nor so many that the generator falls behind."""
    monkeypatch.setattr("sojourn.cli.demo.measure_capacity", lambda *_, **__: capacity_per_s)
    screen = io.StringIO()
    rates = _calibrated(Console(file=screen, width=200), Target("127.0.0.1", 1, "/"), examiner())
    assert rates == (steady_per_s, burst_per_s)
    assert f"burst of {burst_per_s:,}/s" in screen.getvalue()


def test_batches_of_the_burst_are_told_apart_from_quiet_ones():
    """A mean over the whole run would hide what the burst does."""
    run = LoadRun(Target("127.0.0.1", 1, "/"), [], [b""])
    for at_s, size in ((0.5, 1), (1.0, 8), (1.5, 8), (2.0, 1)):
        index = run.log.begin(at_s)
        run.log.answer(index, at_s, 200, b'batch;desc="%d"' % size)
    assert _batch_size_between(run, 1.0, 2.0) == 8
    assert _batch_size_between(run, 5.0, 6.0) is None
