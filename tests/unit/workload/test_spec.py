"""The text form of a workload."""

from random import Random

import pytest

from sojourn.errors import ConfigurationError
from sojourn.workload.arrivals import constant, on_off, poisson
from sojourn.workload.spec import parse_arrivals


def test_each_kind_gives_its_generator():
    """The text chooses the generator; rate, duration and seed come with the run."""
    assert list(parse_arrivals("poisson").times(50, 10, Random(1))) == list(poisson(50, 10, Random(1)))
    assert list(parse_arrivals(" constant ").times(50, 10, Random(1))) == list(constant(50, 10))
    bursts = on_off(50, 10, Random(1), on_share=0.25, period_s=4, phases="fixed")
    assert list(parse_arrivals("bursty").times(50, 10, Random(1))) == list(bursts)


def test_a_trace_needs_no_rate(tmp_path):
    """It is played as recorded, or stretched if a rate is given."""
    path = tmp_path / "trace.csv"
    path.write_text("0\n1\n2\n")
    spec = parse_arrivals(f"trace:{path}")
    assert not spec.needs_rate
    assert list(spec.times(None, 60, Random(1))) == [0, 1, 2]
    assert list(spec.times(2, 60, Random(1))) == [0, 0.5, 1]


@pytest.mark.parametrize("text", ["", "uniform", "trace", "trace:", "poisson:5", "Poisson"])
def test_unknown_texts_are_refused_with_what_is_known(text):
    """The message lists the kinds."""
    with pytest.raises(ConfigurationError, match="poisson, constant, bursty, trace:FILE"):
        parse_arrivals(text)


def test_generated_arrivals_need_a_rate():
    """Without one there is nothing to draw from."""
    with pytest.raises(ConfigurationError, match="need a rate"):
        parse_arrivals("poisson").times(None, 10, Random(1))
