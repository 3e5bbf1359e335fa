"""Policies in text form, such as `slo`, `fixed:size=8,wait=5ms` or `concurrency:target=4`; one reader for all kinds."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from sojourn.config.quantities import read_count, read_duration_s
from sojourn.domain.policy import (
    BATCHING_BY_NAME,
    KEEPALIVE_BY_NAME,
    SCALING_BY_NAME,
    BatchingSpec,
    KeepAliveSpec,
    ScalingSpec,
)
from sojourn.errors import ConfigurationError

_PARAMETER: Final = re.compile(r"\s*([A-Za-z_]+)\s*=(.*)", re.DOTALL)
_DAYS: Final = re.compile(r"(\d+(?:\.\d+)?)\s*d", re.IGNORECASE)
_ALWAYS_TOLD: Final = "replicas"  # "fixed" alone would leave open how many
_DAY_S: Final = 86_400.0


def read_batching(text: str) -> BatchingSpec:
    """The batching policy a text names.

    Raises:
        ConfigurationError: The policy, a parameter or a value is not known; what is known is listed, all faults at once.
    """
    return cast("BatchingSpec", _read("batching", BATCHING_BY_NAME, text))


def read_scaling(text: str) -> ScalingSpec:
    """The scaling policy a text names; see `read_batching`."""
    return cast("ScalingSpec", _read("scaling", SCALING_BY_NAME, text))


def read_keepalive(text: str) -> KeepAliveSpec:
    """The keep-alive policy a text names; see `read_batching`."""
    return cast("KeepAliveSpec", _read("keep-alive", KEEPALIVE_BY_NAME, text))


def policy_text(spec: BatchingSpec | ScalingSpec | KeepAliveSpec) -> str:
    """A policy as it would be typed: its name, and those parameters that are not its defaults."""
    name = str(type(spec).__struct_config__.tag)
    defaults = {field.name: field.default for field in msgspec.structs.fields(spec)}
    given = [
        f"{_typed(field)}={_value_text(field, value)}"
        for field, value in msgspec.structs.asdict(spec).items()
        if value != defaults[field] or field == _ALWAYS_TOLD
    ]
    return f"{name}:{','.join(given)}" if given else name


def policies_listed(by_name: Mapping[str, msgspec.Struct]) -> str:
    """The policies of a kind with their parameters on one line, for help and errors."""
    return ", ".join(
        f"{name}:{','.join(f'{_typed(field)}=' for field in spec.__struct_fields__)}"
        if spec.__struct_fields__
        else name
        for name, spec in by_name.items()
    )


def _read(kind: str, by_name: Mapping[str, msgspec.Struct], text: str) -> msgspec.Struct:
    name, colon, rest = text.strip().partition(":")
    base = by_name.get(name.strip().lower())
    if base is None:
        near = difflib.get_close_matches(name.strip().lower(), by_name, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigurationError(f"unknown {kind} policy {name.strip()!r}; {hint}known: {policies_listed(by_name)}")
    faults: list[str] = []
    if colon and not rest.strip():
        faults.append("nothing follows the colon; leave it out, or give name=value pairs with commas between them")
    values = _values(base, rest.split(",") if rest.strip() else [], faults)
    if not faults:
        try:
            return msgspec.structs.replace(base, **values)
        except ConfigurationError as err:
            faults.append(_as_typed(str(err), base))
    raise ConfigurationError(f"{kind} policy {text.strip()!r}: {'; '.join(faults)}")


def _as_typed(fault: str, base: msgspec.Struct) -> str:
    """What a policy says of its fields, in the words of a text: without the object, which is written there, and by typed names."""
    said = re.sub(rf"^{type(base).__name__}\([^()]*\): ", "", fault)
    return re.sub(r"\b[a-z_]+\b", lambda word: _typed(word[0]) if word[0] in base.__struct_fields__ else word[0], said)


def _values(base: msgspec.Struct, parts: list[str], faults: list[str]) -> dict[str, Any]:
    known = {_typed(field): field for field in base.__struct_fields__}
    values: dict[str, Any] = {}
    for part in parts:
        found = _PARAMETER.fullmatch(part)
        if found is None:
            faults.append(f"{part.strip()!r} is no name=value")
            continue
        typed, written = found[1].lower(), found[2].strip()
        field = known.get(typed) or (typed if typed in base.__struct_fields__ else None)
        if field is None:
            faults.append(_unknown_parameter(typed, known))
        elif field in values:
            faults.append(f"{typed} is given twice")
        else:
            try:
                values[field] = _value(field, getattr(base, field), written)
            except ValueError as err:
                faults.append(f"{typed} {err}, not {written!r}")
    return values


def _unknown_parameter(typed: str, known: Mapping[str, str]) -> str:
    if not known:
        return f"it has no parameters, and so no {typed!r}"
    near = difflib.get_close_matches(typed, known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"it has no parameter {typed!r}{hint}; it has {', '.join(known)}"


def _typed(field: str) -> str:
    """How people type a field: a duration carries its unit in the value, so that the name goes without."""
    return field.removesuffix("_s") if _is_duration(field) else field.removesuffix("_per_s")


def _is_duration(field: str) -> bool:
    return field.endswith("_s") and not field.endswith("_per_s")


def _value(field: str, default: Any, written: str) -> Any:
    if _is_duration(field):
        return _duration_s(written)
    if isinstance(default, int):
        return read_count(written)
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("must be a number")
    return value


def _duration_s(written: str) -> float:
    if written.lower() in {"inf", "forever"}:
        return math.inf
    if days := _DAYS.fullmatch(written):
        return float(days[1]) * _DAY_S
    return read_duration_s(written)


def _value_text(field: str, value: Any) -> str:
    if not _is_duration(field):
        return f"{value:.10g}"
    return f"{value * 1e3:.10g}ms" if 0 < value < 1 else f"{value:.10g}s" if math.isfinite(value) else "inf"
