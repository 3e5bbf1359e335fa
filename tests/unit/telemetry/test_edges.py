"""The common edges: sorted, of reasonable number, and every objective among them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sojourn.domain.objective import parse_slo
from sojourn.telemetry.edges import common_edges_s


def test_without_objectives_about_twenty_edges_from_a_millisecond_to_a_minute():
    """The base list is small enough for Prometheus and spans what people serve."""
    edges = common_edges_s([])
    assert edges[0] == 0.001
    assert edges[-1] == 60.0
    assert 18 <= len(edges) <= 24


@given(st.lists(st.floats(1e-5, 1e5), max_size=10))
def test_every_objective_is_an_edge_exactly_and_edges_ascend(objectives):
    """Attainment can be read off the buckets of every function."""
    edges = common_edges_s(objectives)
    assert set(objectives) <= set(edges)
    assert all(low < high for low, high in pairwise(edges))


def test_objective_that_differs_from_a_base_edge_by_rounding_replaces_it():
    """No two buckets for what a person would call the same number."""
    odd = 0.1 + 1e-16 * 3
    assert odd != 0.1
    edges = common_edges_s([odd])
    assert odd in edges
    assert 0.1 not in edges


def test_objective_read_from_text_falls_on_an_edge():
    """The text form and the edge agree to the last bit."""
    assert parse_slo("99% < 35ms").latency_s in common_edges_s([parse_slo("p90 < 35ms").latency_s])
