"""Objectives in the OpenSLO v1 format: what of it says a latency objective is read, all else is named.

The objective of a function is an `SLO` document whose `spec.service` is the function's name, with a rolling time window,
budgeting by occurrences and one objective `op: lte` (or `lt`), `value` in seconds and `target` (or `targetPercent`). A value in
another unit says so in the annotation `sojourn/unit`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from sojourn.config.marked_yaml import Marked, YAMLFaultError, read_documents
from sojourn.domain.function import NAME
from sojourn.domain.objective import DAY_S, SLO, WINDOW_S_MAX, parse_slo
from sojourn.errors import ConfigurationError, ObjectiveError

UNIT_ANNOTATION: Final = "sojourn/unit"
_API_VERSION: Final = "openslo/v1"
_UNITS_S: Final = {"s": Decimal(1), "ms": Decimal("1e-3"), "us": Decimal("1e-6")}
_VALUE_S_MAX: Final = 600.0  # a latency above it most likely is in milliseconds
_WINDOW_UNITS_S: Final = {"m": 60.0, "h": 3600.0, "d": DAY_S, "w": 7 * DAY_S}
_DURATION: Final = re.compile(r"(?P<count>[1-9][0-9]{0,5})(?P<unit>[mhdw])")
# Other kinds of the format that say nothing of the objective itself; ours are read from `spec`.
_PASSED_OVER: Final = ("Service", "AlertPolicy", "AlertCondition", "AlertNotificationTarget", "DataSource", "SLI")
_KNOWN_OF_DOCUMENT: Final = ("apiVersion", "kind", "metadata", "spec")
_KNOWN_OF_SPEC: Final = (
    "description",
    "service",
    "indicator",
    "timeWindow",
    "budgetingMethod",
    "objectives",
    "alertPolicies",
)
_KNOWN_OF_OBJECTIVE: Final = ("displayName", "op", "value", "target", "targetPercent")
_UNSUPPORTED: Final = {
    "indicatorRef": "name the indicator in the document itself (`indicator`)",
    "timeSliceTarget": "only budgeting by occurrences is supported",
    "timeSliceWindow": "only budgeting by occurrences is supported",
    "compositeWeight": "composite objectives are not supported",
}


class Imported(msgspec.Struct, frozen=True):
    """Objectives by function name, and what was passed over, in words for people."""

    objectives: dict[str, SLO]
    passed_over: list[str]


class _Faults(list[tuple[int, str]]):
    """What is wrong with a file, by line; reading goes on after each."""

    def add(self, marked: Marked, what: str) -> None:
        """Something is wrong at this value."""
        self.append((marked.line, what))

    def add_unknown(self, marked: Marked, known: tuple[str, ...], where: str) -> None:
        """Each field of a mapping that is none of these is a fault."""
        for key, value in marked.value.items():
            if key in _UNSUPPORTED:
                self.add(value, f"{where}.{key} is not supported: {_UNSUPPORTED[key]}")
            elif key not in known:
                self.add(value, f"{where}.{key[:60]} is no field this import knows; known: {', '.join(known)}")


def read_openslo(text: str, place: str) -> Imported:
    """Read all objectives of a file.

    Args:
        text: Its YAML, one document or several.
        place: How errors name it.

    Raises:
        ConfigurationError: All faults of all documents, each with its line.
    """
    try:
        documents = read_documents(text)
    except YAMLFaultError as err:
        raise ConfigurationError(f"{place}:{err.line}: {err}") from err
    objectives: dict[str, SLO] = {}
    faults = _Faults()
    passed_over: list[str] = []
    if not documents:
        faults.append((1, "there is no document; it should hold one of kind SLO"))
    for document in documents:
        kind = document.get("kind")
        version = document.get("apiVersion")
        if _text(version) != _API_VERSION:
            faults.add(version or document, f"apiVersion must be {_API_VERSION}, not {_shown(version)}")
        elif _text(kind) != "SLO" and _text(kind) not in _PASSED_OVER:
            faults.add(kind or document, f"kind must be SLO, not {_shown(kind)}")
        elif _text(kind) == "SLO":
            name, slo = _objective(document, faults)
            if name in objectives:
                faults.add(document, f"function {name!r} has a second objective; one per function is supported")
            if slo is not None:
                objectives[name] = slo
            passed_over += [f"{place}:{line}: {what}" for line, what in _ignored(document)]
    passed_over += _said_nothing(documents, objectives, place)
    if faults:
        told = "\n".join(f"  {place}:{line}: {what}" for line, what in sorted(faults))
        raise ConfigurationError(f"objectives cannot be imported:\n{told}")
    return Imported(objectives, passed_over)


def _objective(document: Marked, faults: _Faults) -> tuple[str, SLO | None]:
    """The function of a document and its objective; None for it if anything is wrong."""
    before = len(faults)
    faults.add_unknown(document, _KNOWN_OF_DOCUMENT, "the document")
    spec = document.get("spec")
    if spec is None or not isinstance(spec.value, dict):
        faults.add(spec or document, "spec is missing; it says service, timeWindow and objectives")
        return "", None
    faults.add_unknown(spec, _KNOWN_OF_SPEC, "spec")
    service = spec.get("service")
    name = _text(service)
    if not NAME.fullmatch(name):
        what = "spec.service must name the function: 1-63 characters of a-z, 0-9 and inner hyphens, not"
        faults.add(service or spec, f"{what} {_shown(service)}")
    window_s = _window_s(spec, faults)
    method = spec.get("budgetingMethod")
    if _text(method) != "Occurrences":
        faults.add(method or spec, f"budgetingMethod must be Occurrences, not {_shown(method)}")
    indicator = spec.get("indicator")
    if indicator is None:
        faults.add(spec, "spec.indicator is missing; it says what the objective's value is compared with")
    elif (indicator.get("spec") or indicator).get("thresholdMetric") is None:
        faults.add(indicator, "the indicator must be a thresholdMetric: a latency with a bound; ratios have none")
    latency_s, share = _promise(spec, document, faults)
    if len(faults) > before:
        return name, None
    try:
        slo = SLO(latency_s=latency_s, objective=share, window_s=window_s)
        if parse_slo(str(slo)) != slo:
            faults.add(spec, f"the objective cannot be written as a text that says the same: {slo}")
    except ObjectiveError as err:
        faults.add(spec, str(err))
        return name, None
    return name, slo


def _window_s(spec: Marked, faults: _Faults) -> float:
    windows = spec.get("timeWindow")
    if windows is None or not isinstance(windows.value, list) or len(windows.value) != 1:
        faults.add(windows or spec, "timeWindow must be a list of one rolling window")
        return 0.0
    (window,) = windows.value
    if not isinstance(window.value, dict):
        faults.add(window, "a window must say duration and isRolling")
        return 0.0
    rolling = window.get("isRolling")
    if window.get("calendar") is not None:
        faults.add(window, "calendar windows are not supported; use a rolling one (isRolling: true)")
    elif rolling is None or rolling.value is not True:
        faults.add(rolling or window, "isRolling must be true: windows that follow the calendar are not supported")
    faults.add_unknown(window, ("duration", "isRolling", "calendar"), "timeWindow")
    duration = window.get("duration")
    found = _DURATION.fullmatch(_text(duration))
    if found is None:
        faults.add(
            duration or window, f"duration must be a number with m, h, d or w such as 28d, not {_shown(duration)}"
        )
        return 0.0
    window_s = int(found["count"]) * _WINDOW_UNITS_S[found["unit"]]
    if window_s > WINDOW_S_MAX:
        faults.add(window, f"a window of {found[0]} is too long; counts are kept for {WINDOW_S_MAX / DAY_S:g}d")
    return window_s


def _promise(spec: Marked, document: Marked, faults: _Faults) -> tuple[float, float]:
    """Latency in seconds and share."""
    objectives = spec.get("objectives")
    if objectives is None or not isinstance(objectives.value, list) or len(objectives.value) != 1:
        faults.add(objectives or spec, "objectives must be a list of one; a function has one objective")
        return 0.0, 0.0
    (objective,) = objectives.value
    if not isinstance(objective.value, dict):
        faults.add(objective, "an objective must say op, value and target")
        return 0.0, 0.0
    faults.add_unknown(objective, _KNOWN_OF_OBJECTIVE, "objectives")
    op = objective.get("op")
    if _text(op) not in {"lte", "lt"}:
        faults.add(op or objective, f"op must be lte or lt: latency below a bound; it is {_shown(op)}")
    return _latency_s(objective, document, faults), _share(objective, faults)


def _latency_s(objective: Marked, document: Marked, faults: _Faults) -> float:
    annotations = (document.get("metadata") or document).get("annotations")
    unit = annotations.get(UNIT_ANNOTATION) if annotations is not None else None
    if unit is not None and _text(unit) not in _UNITS_S:
        faults.add(unit, f"annotation {UNIT_ANNOTATION} must be one of {', '.join(_UNITS_S)}, not {_shown(unit)}")
        unit = None
    value = objective.get("value")
    if value is None or not _is_number(value.value) or not value.value > 0:
        faults.add(value or objective, f"value must be the latency, a number > 0, not {_shown(value)}")
        return 0.0
    # Decimal, so that 1.1 ms is 0.0011 s and is written as 1.1 ms again.
    latency_s = float(Decimal(repr(float(value.value))) * _UNITS_S[unit.value if unit is not None else "s"])
    if latency_s > _VALUE_S_MAX:
        faults.add(
            value,
            f"a latency of {latency_s:g} s is too long; values are in seconds unless the annotation {UNIT_ANNOTATION} says ms",
        )
    return latency_s


def _share(objective: Marked, faults: _Faults) -> float:
    target, percent = objective.get("target"), objective.get("targetPercent")
    if (target is None) == (percent is None):
        faults.add(objective, "give target (such as 0.99) or targetPercent (such as 99), one of them")
        return 0.0
    given = target or percent
    assert given is not None, "one of them is there"
    if not _is_number(given.value):
        faults.add(given, f"the target must be a number, not {_shown(given)}")
        return 0.0
    share = float(given.value) if target is not None else float(Decimal(repr(float(given.value))) / 100)
    if not 0 < share < 1:
        faults.add(given, f"the target must lie between 0 and 1 (or 0 and 100 percent), not at {given.value}")
    return share


def _ignored(document: Marked) -> Iterator[tuple[int, str]]:
    """What is read over on purpose, to be told."""
    spec = document.get("spec")
    policies = spec.get("alertPolicies") if spec is not None else None
    if policies is not None:
        yield policies.line, "alertPolicies: alerts follow from the objective here; these are not imported"


def _said_nothing(documents: Iterable[Marked], objectives: Mapping[str, SLO], place: str) -> Iterator[str]:
    """Documents that were passed over; the service of an objective, as we export it, only repeats its name."""
    for document in documents:
        kind = _text(document.get("kind"))
        name = _text((document.get("metadata") or document).get("name"))
        if kind in _PASSED_OVER and not (kind == "Service" and name in objectives):
            yield f"{place}:{document.line}: kind {kind} says nothing of the objective; passed over"


def _text(marked: Marked | None) -> str:
    return marked.value if marked is not None and isinstance(marked.value, str) else ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(marked: Marked | None) -> str:
    if marked is None:
        return "nothing"
    return repr(marked.value)[:60] if not isinstance(marked.value, dict | list) else "a structure"


def openslo_documents(objectives: dict[str, SLO]) -> list[dict[str, Any]]:
    """The documents of these objectives, as plain data; `read_openslo` reads them back.

    Args:
        objectives: By function name.
    """
    documents: list[dict[str, Any]] = []
    for name, slo in objectives.items():
        query = f'histogram_quantile({slo.objective!r}, sum by (le) (rate(sojourn_request_duration_seconds_bucket{{function="{name}"}}[5m])))'
        documents += [
            {
                "apiVersion": _API_VERSION,
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"description": "A function."},
            },
            {
                "apiVersion": _API_VERSION,
                "kind": "SLO",
                "metadata": {"name": f"{name}-latency", "displayName": f"Latency of {name}"},
                "spec": {
                    "description": f"{slo}: share of requests answered in time; refusals and failures are not in time",
                    "service": name,
                    "indicator": {
                        "metadata": {"name": f"{name}-latency"},
                        "spec": {"thresholdMetric": {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}},
                    },
                    "timeWindow": [{"duration": _window_text(slo.window_s), "isRolling": True}],
                    "budgetingMethod": "Occurrences",
                    "objectives": [
                        {"displayName": str(slo), "op": "lte", "value": slo.latency_s, "target": slo.objective}
                    ],
                },
            },
        ]
    return documents


def _window_text(window_s: float) -> str:
    """A window in the format's units.

    Raises:
        ConfigurationError: It is no whole number of minutes, which the format cannot say.
    """
    for unit in ("w", "d", "h", "m"):
        count = window_s / _WINDOW_UNITS_S[unit]
        if count >= 1 and count == int(count) and unit != "w":
            return f"{int(count)}{unit}"
    raise ConfigurationError(f"a window of {window_s:g} s cannot be said in OpenSLO; use whole minutes")
