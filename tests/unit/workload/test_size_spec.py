"""Sizes in text: their mean is 1 whatever their tail, and what cannot be read is told with what could."""

from __future__ import annotations

from itertools import islice
from random import Random
from statistics import fmean, pvariance

import pytest

from sojourn.errors import ConfigurationError
from sojourn.workload.size_spec import parse_sizes


@pytest.mark.parametrize("text", ["equal", "pareto", "pareto:shape=2.5,largest=50", "lognormal:sigma=0.7"])
def test_the_mean_is_one(text):
    """Over many requests, within a twentieth; the same seed gives the same sizes."""
    weights = list(islice(parse_sizes(text).weights(Random(3)), 200_000))
    assert fmean(weights) == pytest.approx(1.0, rel=0.05)
    assert weights[:50] == list(islice(parse_sizes(text).weights(Random(3)), 50))
    assert (pvariance(weights) > 0.1) is (text != "equal")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("paretto", "did you mean pareto"),
        ("equal:size=2", "it has none"),
        ("pareto:shape=x,depth=2", "shape must be a number, not 'x'; 'depth' is none of shape, largest"),
        ("pareto:shape=-1", "shape"),
        ("lognormal:sigma=0", "sigma"),
    ],
)
def test_what_cannot_be_read_is_told(text, told):
    """Kind, parameter and value; all faults at once."""
    with pytest.raises(ConfigurationError) as caught:
        parse_sizes(text)
    assert told in str(caught.value)
