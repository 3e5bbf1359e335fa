"""Objectives in the OpenSLO v1 format: what of it says a latency objective is read, all else is named.

The objective of a function is an `SLO` document whose `spec.service` is the function's name, with a rolling time window,
budgeting by occurrences and one objective `op: lte` (or `lt`), `value` in seconds and `target` (or `targetPercent`). A value in
another unit says so in the annotation `sojourn/unit`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from sojourn.config.marked_yaml import Marked, YAMLFaultError, read_documents
from sojourn.domain.objective import DAY_S, SLO
from sojourn.errors import ConfigurationError, ObjectiveError

UNIT_ANNOTATION: Final = "sojourn/unit"
_API_VERSION: Final = "openslo/v1"
_UNITS_S: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_VALUE_S_MAX: Final = 600.0  # a latency above it most likely is in milliseconds
_WINDOW_UNITS_S: Final = {"m": 60.0, "h": 3600.0, "d": DAY_S, "w": 7 * DAY_S}
_DURATION: Final = re.compile(r"(?P<count>[1-9][0-9]{0,5})(?P<unit>[mhdw])")
# Other kinds of the format that say nothing of the objective itself; ours are read from `spec`.
_PASSED_OVER: Final = ("Service", "AlertPolicy", "AlertCondition", "AlertNotificationTarget", "DataSource", "SLI")
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


class _Fault(Exception):  # noqa: N818 - a fault of the file, gathered with all others
    def __init__(self, marked: Marked, what: str) -> None:
        super().__init__(what)
        self.line = marked.line


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
    faults: list[tuple[int, str]] = []
    passed_over: list[str] = []
    if not documents:
        faults.append((1, "there is no document; it should hold one of kind SLO"))
    for document in documents:
        kind = _text(document.get("kind"))
        version = document.get("apiVersion")
        if _text(version) != _API_VERSION:
            faults.append(((version or document).line, f"apiVersion must be {_API_VERSION}, not {_shown(version)}"))
        elif kind != "SLO" and kind not in _PASSED_OVER:
            faults.append(
                ((document.get("kind") or document).line, f"kind must be SLO, not {_shown(document.get('kind'))}")
            )
        elif kind == "SLO":
            found = list(_objective(document))
            faults += [(fault.line, str(fault)) for fault in found if isinstance(fault, _Fault)]
            for name, slo in (pair for pair in found if not isinstance(pair, _Fault)):
                if name in objectives:
                    faults.append(
                        (document.line, f"function {name!r} has a second objective; one per function is supported")
                    )
                objectives[name] = slo
            passed_over += [f"{place}:{line}: {what}" for line, what in _ignored(document)]
    passed_over += _said_nothing(documents, objectives, place)
    if faults:
        told = "\n".join(f"  {place}:{line}: {what}" for line, what in sorted(faults))
        raise ConfigurationError(f"objectives cannot be imported:\n{told}")
    return Imported(objectives, passed_over)


def _objective(document: Marked) -> Iterator[_Fault | tuple[str, SLO]]:
    """The objective of a document, or all its faults."""
    spec = document.get("spec")
    if spec is None or not isinstance(spec.value, dict):
        yield _Fault(document, "spec is missing; it says service, timeWindow and objectives")
        return
    faults = [*_unknown(spec, _KNOWN_OF_SPEC, "spec")]
    service = spec.get("service")
    name = _text(service)
    if not name:
        faults.append(_Fault(service or spec, "spec.service must name the function"))
    window_s = _gathered(_window_s, spec, faults)
    method = spec.get("budgetingMethod")
    if _text(method) != "Occurrences":
        faults.append(_Fault(method or spec, f"budgetingMethod must be Occurrences, not {_shown(method)}"))
    indicator = spec.get("indicator")
    if indicator is None:
        faults.append(_Fault(spec, "spec.indicator is missing; it says what the objective's value is compared with"))
    elif (indicator.get("spec") or indicator).get("thresholdMetric") is None:
        faults.append(
            _Fault(indicator, "the indicator must be a thresholdMetric: a latency with a bound; ratios have none")
        )
    promise = _gathered(lambda inside: _promise(inside, document), spec, faults)
    if not faults and window_s is not None and promise is not None:
        try:
            yield name, SLO(latency_s=promise[0], objective=promise[1], window_s=window_s)
        except ObjectiveError as err:
            faults.append(_Fault(spec, str(err)))
    yield from faults


def _gathered(read: Any, marked: Marked, faults: list[_Fault]) -> Any:
    """What `read` makes of it; None with its faults gathered."""
    try:
        return read(marked)
    except _Fault as fault:
        faults.append(fault)
        return None


def _unknown(marked: Marked, known: tuple[str, ...], where: str) -> Iterator[_Fault]:
    for key, value in marked.value.items():
        if key in _UNSUPPORTED:
            yield _Fault(value, f"{where}.{key} is not supported: {_UNSUPPORTED[key]}")
        elif key not in known:
            yield _Fault(value, f"{where}.{key} is no field this import knows; known: {', '.join(known)}")


def _window_s(spec: Marked) -> float:
    windows = spec.get("timeWindow")
    if windows is None or not isinstance(windows.value, list) or len(windows.value) != 1:
        raise _Fault(windows or spec, "timeWindow must be a list of one rolling window")
    (window,) = windows.value
    for key in ("calendar",):
        if window.get(key) is not None:
            raise _Fault(window, "calendar windows are not supported; use a rolling one (isRolling: true)")
    rolling = window.get("isRolling")
    if rolling is None or rolling.value is not True:
        raise _Fault(rolling or window, "isRolling must be true: windows that follow the calendar are not supported")
    unknown = list(_unknown(window, ("duration", "isRolling"), "timeWindow"))
    if unknown:
        raise unknown[0]
    duration = window.get("duration")
    found = _DURATION.fullmatch(_text(duration))
    if found is None:
        raise _Fault(
            duration or window, f"duration must be a number with m, h, d or w such as 28d, not {_shown(duration)}"
        )
    return int(found["count"]) * _WINDOW_UNITS_S[found["unit"]]


def _promise(spec: Marked, document: Marked) -> tuple[float, float]:
    """Latency in seconds and share."""
    objectives = spec.get("objectives")
    if objectives is None or not isinstance(objectives.value, list) or len(objectives.value) != 1:
        raise _Fault(objectives or spec, "objectives must be a list of one; a function has one objective")
    (objective,) = objectives.value
    if not isinstance(objective.value, dict):
        raise _Fault(objective, "an objective must say op, value and target")
    unknown = list(_unknown(objective, _KNOWN_OF_OBJECTIVE, "objectives"))
    if unknown:
        raise unknown[0]
    op = objective.get("op")
    if _text(op) not in {"lte", "lt"}:
        raise _Fault(op or objective, f"op must be lte or lt: latency below a bound; it is {_shown(op)}")
    return _latency_s(objective, document), _share(objective)


def _latency_s(objective: Marked, document: Marked) -> float:
    value = objective.get("value")
    if value is None or not _is_number(value.value) or not value.value > 0:
        raise _Fault(value or objective, f"value must be the latency, a number > 0, not {_shown(value)}")
    annotations = (document.get("metadata") or document).get("annotations")
    unit = annotations.get(UNIT_ANNOTATION) if annotations is not None else None
    if unit is not None and unit.value not in _UNITS_S:
        raise _Fault(unit, f"annotation {UNIT_ANNOTATION} must be one of {', '.join(_UNITS_S)}, not {_shown(unit)}")
    latency_s = float(value.value) * (_UNITS_S[unit.value] if unit is not None else 1.0)
    if latency_s > _VALUE_S_MAX:
        raise _Fault(
            value,
            f"a latency of {latency_s:g} s is too long; values are in seconds unless the annotation {UNIT_ANNOTATION} says ms",
        )
    return latency_s


def _share(objective: Marked) -> float:
    target, percent = objective.get("target"), objective.get("targetPercent")
    if (target is None) == (percent is None):
        raise _Fault(objective, "give target (such as 0.99) or targetPercent (such as 99), one of them")
    given = target or percent
    assert given is not None, "one of them is there"
    if not _is_number(given.value):
        raise _Fault(given, f"the target must be a number, not {_shown(given)}")
    share = float(given.value) if target is not None else float(given.value) / 100
    if not 0 < share < 1:
        raise _Fault(given, f"the target must lie between 0 and 1 (or 0 and 100 percent), not at {given.value}")
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
        query = f'histogram_quantile({slo.objective:.10g}, sum by (le) (rate(sojourn_request_duration_seconds_bucket{{function="{name}"}}[5m])))'
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
