"""OpenSLO in and out: what we write we read back, and what we cannot hold is named with its line."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sojourn.config.marked_yaml import NODES_MAX
from sojourn.config.marked_yaml import read_documents as read_marked
from sojourn.config.openslo import openslo_documents, read_openslo
from sojourn.domain.objective import SLO, parse_slo
from sojourn.errors import ConfigurationError

GOOD = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout-latency
spec:
  service: checkout
  indicator:
    spec:
      thresholdMetric: {metricSource: {type: Prometheus, spec: {query: latency}}}
  timeWindow:
    - duration: 28d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - op: lte
      value: 0.25
      target: 0.995
"""
OBJECTIVES = st.dictionaries(
    st.from_regex(r"[a-z](?:[a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True),
    st.builds(
        SLO,
        latency_s=st.floats(1e-4, 500),
        objective=st.floats(0.01, 1 - 1e-13),
        window_s=st.integers(1, 100_000).map(lambda minutes: minutes * 60.0),
    ),
    min_size=1,
    max_size=4,
)


def faults_of(text):
    """Lines of all faults, and the whole text."""
    with pytest.raises(ConfigurationError) as caught:
        read_openslo(text, "o.yaml")
    return [int(line) for line in re.findall(r"o\.yaml:(\d+):", str(caught.value))], str(caught.value)


@given(OBJECTIVES)
def test_what_is_exported_is_imported_as_it_was(objectives):
    """Every figure to the last digit."""
    text = yaml.safe_dump_all(openslo_documents(objectives), sort_keys=False)
    assert read_openslo(text, "o.yaml").objectives == objectives


def test_a_plain_objective():
    """Service, latency, target and window."""
    assert read_openslo(GOOD, "o.yaml").objectives == {"checkout": SLO(0.25, 0.995, 28 * 86_400.0)}


@pytest.mark.parametrize(
    ("old", "new", "latency_s"),
    [
        ("metadata:\n", "metadata:\n  annotations: {sojourn/unit: ms}\n", 0.25e-3),
        ("value: 0.25", "value: 2", 2.0),
    ],
)
def test_units(old, new, latency_s):
    """Seconds unless an annotation says otherwise."""
    (slo,) = read_openslo(GOOD.replace(old, new), "o.yaml").objectives.values()
    assert slo.latency_s == pytest.approx(latency_s)


def test_percent_is_a_target_too():
    """99.5 percent is 0.995."""
    (slo,) = read_openslo(GOOD.replace("target: 0.995", "targetPercent: 99.5"), "o.yaml").objectives.values()
    assert slo.objective == pytest.approx(0.995)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("openslo/v1\n", "openslo/v1alpha\n", 1, "apiVersion must be openslo/v1"),
        ("kind: SLO", "kind: Slo", 2, "kind must be SLO"),
        ("  service: checkout\n", "", 6, "spec.service must name"),
        ("duration: 28d", "duration: 1M", 11, "duration must be a number with m, h, d or w"),
        ("isRolling: true", "isRolling: false", 12, "isRolling must be true"),
        ("      isRolling: true\n", "      isRolling: true\n      calendar: {startTime: x}\n", 11, "calendar windows"),
        ("Occurrences", "Timeslices", 13, "budgetingMethod must be Occurrences"),
        ("op: lte", "op: gte", 15, "op must be lte or lt"),
        ("value: 0.25", "value: fast", 16, "value must be the latency"),
        ("value: 0.25", "value: 250000", 16, "too long"),
        ("      target: 0.995\n", "", 15, "give target"),
        ("target: 0.995", "target: 1", 17, "between 0 and 1"),
        ("target: 0.995", "target: 0.9\n      targetPercent: 90", 15, "one of them"),
        ("target: 0.995", "target: 0.9\n      timeSliceTarget: 0.9", 18, "timeSliceTarget is not supported"),
        ("target: 0.995", "target: 0.9\n      colour: red", 18, "colour is no field"),
        ("thresholdMetric", "ratioMetric", 8, "thresholdMetric"),
        ("  budgetingMethod", "  indicatorRef: other\n  budgetingMethod", 13, "indicatorRef is not supported"),
        (
            "    - op: lte\n",
            "    - {op: lte, value: 1, target: 0.9}\n    - op: lte\n",
            15,
            "objectives must be a list of one",
        ),
        ("kind: SLO", "kind: SLO\nkind: SLO", 3, "comes twice"),
        ("kind: SLO", "kind: [", 4, "not valid YAML"),
        ("value: 0.25", "value: 2026-13-45", 16, "not '2026-13-45'"),
        ("value: 0.25", "value: 1:30", 16, "not '1:30'"),
        ("value: 0.25", "value: .nan", 16, "not nan"),
        ("value: 0.25", "value: -0xFF", 16, "not '-0xFF'"),
        ("value: 0.25", f"value: 1{'0' * 400}", 16, "a number of 401 characters"),
        ("target: 0.995", f"target: 1{'0' * 400}", 17, "a number of 401 characters"),
        ("value: 0.25", f"value: 0x{'F' * 5000}", 16, "a number of 5002 characters"),
        ("value: 0.25", "value: !!binary aGVsbG8=", 16, "not supported"),
        ("duration: 28d", "duration: 91d", 11, "too long"),
        ("service: checkout", "service: Checkout", 6, "not 'Checkout'"),
        ("  name: checkout-latency", "  annotations: {sojourn/unit: [ms]}", 4, "one of s, ms, us, not a structure"),
        ("  name: checkout-latency", "  annotations: {sojourn/unit: {a: 1}}", 4, "not a structure"),
        ("kind: SLO", "kind: SLO\nstatus: fine", 3, "status is no field"),
        ("spec:", "# \x01\nspec:", 5, "U+0001 is not allowed"),
        ("      value", "      <<: {value: 3}\n      value", 16, "merge keys"),
    ],
)
def test_what_is_not_supported_is_named_with_its_line(old, new, line, said):
    """Nothing is ignored in silence."""
    assert old in GOOD
    lines, text = faults_of(GOOD.replace(old, new))
    assert said in text
    assert line in lines


def test_all_faults_are_told_at_once():
    """Four in one document, one in another."""
    text = GOOD
    for old, new in (
        ("28d", "1M"),
        ("Occurrences", "Timeslices"),
        ("op: lte", "op: gte"),
        ("  service: checkout\n", ""),
    ):
        text = text.replace(old, new)
    lines, _ = faults_of(text + "---\napiVersion: openslo/v2\nkind: SLO\n")
    assert len(lines) == 5
    assert lines == sorted(lines)


def test_a_second_objective_of_a_function_and_an_empty_file_are_faults():
    """One function, one objective."""
    assert "second objective" in faults_of(GOOD + "---\n" + GOOD)[1]
    assert "no document" in faults_of("")[1]
    assert "no document" in faults_of("# nothing\n---\n")[1]


def test_other_kinds_are_passed_over_and_told():
    """Alert policies follow from the objective here."""
    policy = "---\napiVersion: openslo/v1\nkind: AlertPolicy\nmetadata: {name: p}\nspec: {}\n"
    imported = read_openslo(GOOD.replace("  budgeting", "  alertPolicies: [p]\n  budgeting") + policy, "o.yaml")
    assert len(imported.passed_over) == 2
    assert all("o.yaml:" in told for told in imported.passed_over)


def test_each_fault_of_an_objective_and_its_window_is_told():
    """Eight of them on two lines."""
    text = GOOD.replace("      isRolling: true\n", "      isRolling: true\n      zip: 1\n      zap: 2\n")
    for old, new in (("28d", "3x"), ("lte", "gte"), ("0.25", "-1"), ("0.995", "7\n      foo: 1\n      bar: 2")):
        text = text.replace(old, new)
    lines, told = faults_of(text)
    assert lines == [11, 13, 14, 17, 18, 19, 20, 21], told


@pytest.mark.parametrize("value", ["1e-3", "1E-3", "0.001", "+1.0e-03", ".001"])
def test_numbers_are_those_of_yaml_1_2(value):
    """A float needs no point before its exponent."""
    (slo,) = read_openslo(GOOD.replace("0.25", value), "o.yaml").objectives.values()
    assert slo.latency_s == 0.001


@pytest.mark.parametrize("target", ["0.9999999999999", "0.99999999999", "0.95"])
def test_what_is_imported_is_read_back_from_its_text(target):
    """Thirteen nines are not written as 100 %, which no server takes."""
    (slo,) = read_openslo(GOOD.replace("0.995", target), "o.yaml").objectives.values()
    assert slo.objective == float(target)
    assert parse_slo(str(slo)) == slo


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 3000, "nested deeper"),
        ("[" * 2000 + "]" * 2000, "nested deeper"),
        ("{a: " * 2000 + "}" * 2000, "nested deeper"),
        ("a: &a [*a]", "an alias may not stand within"),
        ("&a {b: *a}", "an alias may not stand within"),
        ("2020-13-45: x", "apiVersion"),
        ("!!int foo: x", "'foo' cannot be read as int"),
        ("a: !!timestamp foo", "not supported"),
        ("a: !!bool foo", "'foo' cannot be read as bool"),
        ("a: !!int ''", "'' cannot be read as int"),
        ("a: !!float foo", "'foo' cannot be read as float"),
        ("a: !!set {b, c}", "not supported"),
        ("a: !!python/object/apply:os.system ['x']", "not supported"),
        ('a: "\\UFFFFFFFF"', "not valid YAML"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: b", "not valid YAML"),
    ],
)
def test_what_would_make_a_reader_fall_over_is_refused_with_its_line(text, said):
    """Depth, tags that do not fit, figures beyond all bounds."""
    lines, told = faults_of(text + "\n")
    assert said in told
    assert lines == [1]


def test_many_documents_share_one_bound():
    """A bomb of aliases in each stays below it; together they would take gigabytes."""
    row = ", ".join(["*a"] * 10)
    document = f"---\n- &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n- &b [{row}]\n- [*b, *b, *b, *b, *b]\n"
    assert read_marked(document), "one of them is fine"
    lines, told = faults_of(document * 500)
    assert f"more than {NODES_MAX} values in one file" in told
    assert lines[0] < 100
    assert f"more than {NODES_MAX} values and keys" in faults_of("[" + "1," * 30_000 + "]")[1]


def test_a_bomb_of_aliases_is_refused():
    """A few lines that stand for billions of values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert f"more than {NODES_MAX} values" in faults_of("\n".join(lines))[1]


@given(st.text(max_size=300) | st.text(alphabet="a: -[]{}&*!|>%\n\"'01.~,?#<", max_size=60))
def test_no_text_makes_it_fall_over(text):
    """Whatever it is, it is read or refused with a line."""
    try:
        read_openslo(text, "o.yaml")
    except ConfigurationError as err:
        assert "o.yaml:" in str(err)  # noqa: PT017 (either way is fine)


def test_a_service_is_passed_over_in_silence_only_if_an_objective_names_it():
    """Our own export says nothing new with it; a service nobody promises anything for is told."""
    service = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: %s}\nspec: {}\n---\n"
    assert read_openslo(service % "checkout" + GOOD, "f").passed_over == []
    (told,) = read_openslo(service % "other" + GOOD, "f").passed_over
    assert told.startswith("f:1: kind Service")
