"""The text form of a workload."""

from random import Random

import pytest

from sojourn.errors import ConfigurationError
from sojourn.workload.arrivals import constant, on_off, poisson
from sojourn.workload.kinds import KINDS
from sojourn.workload.modulated import mmpp
from sojourn.workload.shapes import diurnal, flash_crowd, ramp
from sojourn.workload.spec import arrivals_listed, parse_arrivals
from sojourn.workload.timers import timer

EXPECTED = {
    "poisson": lambda rng: poisson(50, 10, rng),
    " constant ": lambda _: constant(50, 10),
    "bursty": lambda rng: on_off(50, 10, rng, on_share=0.25, period_s=4, phases="fixed"),
    "bursty:on=0.5, period=500ms,phases=exponential": lambda rng: on_off(50, 10, rng, on_share=0.5, period_s=0.5),
    "mmpp:rates=1/3,stays=1/1": lambda rng: mmpp((25, 75), (1, 1), 10, rng),
    "diurnal": lambda rng: diurnal(50, 10, rng),
    "diurnal:swing=0.5,weekend=0.6,period=1s,peak_at=0.1,first_day=3": lambda rng: diurnal(
        50, 10, rng, swing=0.5, weekend=0.6, period_s=1, peak_at=0.1, first_day=3
    ),
    "flash": lambda rng: flash_crowd(50, 10, rng),
    "flash:peak=4,at=5,decay=1": lambda rng: flash_crowd(50, 10, rng, peak=4, at_s=5, decay_s=1),
    "ramp": lambda rng: ramp(0, 100, 10, rng),
    "ramp:from=3,to=1": lambda rng: ramp(75, 25, 10, rng),
    "timer": lambda rng: timer(0.02, 10, rng),
    "timer:calls=2,jitter=1ms": lambda rng: timer(0.04, 10, rng, calls=2, jitter_s=0.001),
    "timer:period=1m,jitter=6s": lambda rng: timer(0.02, 10, rng, jitter_s=0.002),
}


@pytest.mark.parametrize("text", EXPECTED)
def test_each_text_gives_its_generator(text):
    """The text chooses generator and parameters; rate, duration and seed come with the run."""
    spec = parse_arrivals(text)
    assert list(spec.times(50, 10, Random(1))) == pytest.approx(list(EXPECTED[text](Random(1))))
    assert list(spec.by_function(50, 10, Random(1))["all"]) == list(spec.times(50, 10, Random(1)))


def test_a_text_may_bring_its_rate():
    """With `rate=`, or a timer's period; the run's rate wins."""
    assert parse_arrivals("poisson").needs_rate
    spec = parse_arrivals("poisson:rate=50")
    assert not spec.needs_rate
    assert list(spec.times(None, 10, Random(1))) == list(poisson(50, 10, Random(1)))
    assert list(spec.times(20, 10, Random(1))) == list(poisson(20, 10, Random(1)))
    assert list(parse_arrivals("timer:period=2s").times(None, 10, Random(1))) == list(timer(2, 10, Random(1)))
    with pytest.raises(ConfigurationError, match="need a rate"):
        parse_arrivals("poisson").times(None, 10, Random(1))


def test_no_rate_at_all_is_no_fault():
    """Zero requests per second of any kind is an empty run."""
    for name, kind in KINDS.items():
        if kind.build is not None:
            assert list(parse_arrivals(name).times(0, 10, Random(1))) == []


@pytest.fixture
def instants(tmp_path):
    """One function, three requests."""
    path = tmp_path / "instants.csv"
    path.write_text("0\n1\n2\n")
    return path


@pytest.fixture
def minutes(tmp_path):
    """Two functions, three minutes, in a file whose name is like an option."""
    path = tmp_path / "a,b=c.csv"
    path.write_text("minute,f,g\n0,60,6\n1,0,6\n2,30,6\n")
    return path


def test_a_trace_needs_no_rate(instants):
    """It is played as recorded, or stretched if a rate is given, and cut at the end of the run."""
    spec = parse_arrivals(f"trace:{instants}")
    assert not spec.needs_rate
    assert spec.duration_s == 3
    assert list(spec.times(None, 60, Random(1))) == [0, 1, 2]
    assert list(spec.times(2, 60, Random(1))) == [0, 0.5, 1]
    assert list(spec.times(None, 2, Random(1))) == [0, 1]
    assert list(spec.times(None, 1.5, Random(1))) == [0, 1]


def test_options_of_a_trace(minutes):
    """Functions, slices, speed, share and the place within the interval; commas of the name are no options."""
    text = f"trace:{minutes}"
    assert sum(1 for _ in parse_arrivals(text).times(None, 180, Random(1))) == 108
    assert list(parse_arrivals(f"{text},function=g").trace.functions) == ["g"]
    assert list(parse_arrivals(f"{text},function=g+f").trace.functions) == ["g", "f"]
    assert parse_arrivals(f"{text},start=60s,end=2m").trace.requests == 6
    fast = parse_arrivals(f"{text},speedup=10,function=f")
    assert fast.duration_s == 18
    assert [sum(lo <= at_s < lo + 6 for at_s in fast.times(None, 18, Random(1))) for lo in (0, 6, 12)] == [60, 0, 30]
    bursts = list(parse_arrivals(f"{text},within=burst,burst=500ms").times(None, 180, Random(1)))
    assert all(at_s % 60 < 0.5 for at_s in bursts)
    assert 30 < sum(1 for _ in parse_arrivals(f"{text},share=0.5").times(None, 180, Random(1))) < 78
    by_function = parse_arrivals(f"{text},within=even").by_function(None, 60, Random(1))
    assert {name: len(list(times)) for name, times in by_function.items()} == {"f": 60, "g": 6}


def test_a_trace_reaches_a_rate_in_time_or_in_number(minutes):
    """Stretched, the requests are the recorded ones; scaled, the length is."""
    stretched = list(parse_arrivals(f"trace:{minutes}").times(6, 1000, Random(1)))
    assert len(stretched) == 108
    assert 12 < stretched[-1] < 18
    scaled = list(parse_arrivals(f"trace:{minutes},scale=rate").times(6, 1000, Random(1)))
    assert len(scaled) == pytest.approx(1080, abs=40)
    assert 150 < scaled[-1] < 180


def test_what_a_trace_cannot_reach_is_refused(tmp_path, instants):
    """A rate of nothing, a run of nothing, requests that all arrive at once."""
    spec = parse_arrivals(f"trace:{instants}")
    with pytest.raises(ConfigurationError, match="arrival rate"):
        spec.times(0, 10, Random(1))
    for draw in (spec.times, spec.by_function):
        with pytest.raises(ConfigurationError, match="duration"):
            draw(None, 0, Random(1))
    (tmp_path / "once.csv").write_text("1\n1\n")
    with pytest.raises(ConfigurationError, match="all arrive at once"):
        parse_arrivals(f"trace:{tmp_path / 'once.csv'}").times(5, 10, Random(1))


@pytest.mark.parametrize("text", ["", "uniform", "trace", "trace:", "poisson:", "Poisson", "trace: "])
def test_unknown_texts_are_refused_with_what_is_known(text):
    """The message lists the kinds."""
    with pytest.raises(ConfigurationError, match=f"write one of {arrivals_listed()}"):
        parse_arrivals(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Poison", "did you mean 'poisson'"),
        ("brusty:on=1", "did you mean 'bursty'"),
        ("trase:x.csv", "did you mean 'trace:FILE'"),
        ("poisson:5", "'5' is no name=value"),
        ("diurnal:swng=0.5", r"diurnal has no parameter 'swng' \(did you mean 'swing'\?\); it has swing, weekend"),
        ("diurnal:swing=x,period=1 fortnight", r"swing must be a number, not 'x'; period must be a duration such as"),
        ("diurnal:swing=2", r"'diurnal:swing=2': diurnal arrivals: swing must be in \[0, 1\]"),
        ("diurnal:swing=0.5,swing=0.6", "swing is given twice"),
        ("diurnal:swing=nan", "swing must be a number"),
        ("bursty:phases=square", "phases must be one of fixed, exponential"),
        ("bursty:on=0", " on must be"),
        ("mmpp:rates=1", "rates must be 2 to 32 values joined by /"),
        ("mmpp:rates=1/x", "values joined by /, each a number"),
        ("mmpp:rates=1/2/3", " stays must be one number per state"),
        ("timer:calls=1.5", "calls must be a whole number"),
        ("timer:period=1,jitter=2", " jitter must be"),
        ("timer:period=0", " period must be"),
        ("ramp:from=-1", "from and to must be >= 0"),
        ("ramp:from=0,to=0", "one of them > 0"),
        ("mmpp:rates=0/0", "one is > 0"),
        ("poisson:rate=-1", "arrival rate"),
        ("trace:x.csv,speedup=0,within=late", r"within must be one of uniform, even, burst"),
        ("trace:x.csv,speedup=0,share=0", r"speedup must be > 0.*share must be > 0"),
        ("trace:x.csv,start=5,end=5", "end must be after start"),
        ("trace:x.csv,function=a++b", "function must be a name"),
        ("trace:x.csv", "x.csv"),
    ],
)
def test_faults_name_the_parameter(text, what):
    """What is wrong, what would be right, and near matches; several faults at once."""
    with pytest.raises(ConfigurationError, match=what):
        parse_arrivals(text)
