"""The traffic of a scenario: streams of a trace, and how many requests are to be expected."""

from __future__ import annotations

from random import Random

import pytest

from sojourn.errors import ConfigurationError
from sojourn.sim.scenario import Traffic, streams_of
from sojourn.workload.spec import parse_arrivals


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("func,trigger,1,2\na,http,600,60\nb,http,30,30\nidle,http,0,0\n")
    return parse_arrivals(f"trace:{path}")


def test_each_function_of_a_trace_is_a_stream(spec):
    """Together they are the trace; one without requests is none; chance of their own does not change the counts."""
    streams, length_s = streams_of(spec, None, Random(1))
    assert set(streams) == {"a", "b"}
    assert length_s == 120.0
    counts = {name: len(list(one.instants(length_s, Random(9)))) for name, one in streams.items()}
    assert counts == {"a": 660, "b": 60}
    first_minute = [at_s for at_s in streams["a"].instants(length_s, Random(9)) if at_s < 60]
    assert len(first_minute) == 600


def test_a_rate_is_that_of_all_functions_together(spec):
    """Time is stretched for all alike."""
    streams, length_s = streams_of(spec, 12.0, Random(1))
    assert length_s == pytest.approx(60.0)
    assert sum(len(list(one.instants(length_s, Random(2)))) for one in streams.values()) == 720


def test_a_stream_may_also_be_named(spec):
    """Of the whole trace; a name that is not there is refused."""
    assert len(list(Traffic(spec, stream="b").instants(120.0, Random(1)))) == 60
    assert len(list(Traffic(spec).instants(120.0, Random(1)))) == 720
    with pytest.raises(ConfigurationError, match="no function 'c', only a, b"):
        Traffic(spec, stream="c").instants(120.0, Random(1))


def test_generated_arrivals_are_one_stream_without_an_end():
    """With the rate that was asked for."""
    streams, length_s = streams_of(parse_arrivals("poisson"), 5.0, Random(1))
    assert set(streams) == {"all"}
    assert streams["all"].rate_per_s == 5.0
    assert length_s is None


def test_what_is_to_be_expected(spec):
    """Exact where few are to come, by the mean rate where they are many."""
    streams, length_s = streams_of(spec, None, Random(1))
    assert streams["a"].requests_expected(length_s, Random(1)) == 660
    assert streams["a"].requests_expected(length_s, Random(1), looked_at=300) == pytest.approx(1200, rel=0.2)
    assert Traffic(parse_arrivals("constant"), 1e9).requests_expected(10.0, Random(1)) == 1e10
