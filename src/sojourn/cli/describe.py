"""`sojourn describe`: everything about one function of a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click
import msgspec

from sojourn.cli.completion import function_names
from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option, json_option
from sojourn.domain.function import FunctionSettings
from sojourn.errors import ConfigurationError
from sojourn.report.axis import duration_text, number_text, share_text

_PHASES = ("spawn", "import", "load", "warmup")
_BYTE_UNITS = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))


@click.command("describe")
@click.argument("name", shell_complete=function_names)
@json_option
@admin_url_option
def describe_function(name: str, as_json: bool, admin_url: str) -> None:  # noqa: FBT001 (click calls by name)
    """Show settings, schemas, state and recent output of the function NAME."""
    detail = admin_json(admin_url, f"/api/v1/functions/{quote(name, safe='')}")
    if as_json:
        click.echo(json.dumps(detail, indent=2))
        return
    output = detail.pop("output", [])
    replicas = detail.pop("replica_details", [])
    detail["settings"] = _in_force(detail.get("settings", {}))
    for line in _lines(detail):
        click.echo(line)
    revision = detail.get("revision", "")
    for replica in replicas:
        click.echo(_replica_line(replica, revision))
    if output:
        click.echo("output:")
        for line in output:
            click.echo(f"  | {line}")


def _replica_line(replica: dict[str, Any], live: str) -> str:
    """One replica: how old, how large, and how long it took to be ready, phase by phase; whose, if not of the live revision."""
    other = replica.get("revision") or live
    facts = [str(replica["state"]), *([f"of revision {other}"] if other != live else [])]
    facts += [f"started {duration_text(replica['age_s'])} ago"]
    if replica.get("memory_bytes") is not None:
        facts.append(_quantity(replica["memory_bytes"], "bytes"))
    if (cold_start := replica.get("cold_start")) is not None:
        phases = ", ".join(f"{phase} {duration_text(cold_start[f'{phase}_s'])}" for phase in _PHASES)
        facts.append(f"ready after {duration_text(cold_start['total_s'])} ({phases})")
    return f"replica {replica['replica_id']}: " + ", ".join(facts)


def _in_force(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with what follows from others in place of nothing."""
    try:
        known = msgspec.convert(settings, FunctionSettings)
    except (msgspec.ValidationError, ConfigurationError):  # a server of another version: its settings as they are
        return settings
    return {
        **settings,
        "slo": str(known.slo) if known.slo is not None else None,
        "timeout_s": known.effective_timeout_s,
        "threads": known.thread_count,
    }


def _lines(values: dict[str, Any], depth: int = 0, unit: str = "") -> Iterator[str]:
    """One line per value, nested ones indented; what is unknown or has nothing to say is left out."""
    for key, value in values.items():
        name, own_unit = _name_and_unit(key)
        indent = "  " * depth
        if key in {"infeasible", "start_failure"} and value is None:
            continue
        if isinstance(value, dict) and key not in {"$defs", "batching"} and depth < 2:
            yield f"{indent}{name}:"
            yield from _lines(value, depth + 1, own_unit or unit)
        else:
            yield f"{indent}{name}: {_shown(value, own_unit or unit)}"


def _name_and_unit(key: str) -> tuple[str, str]:
    """The name without the unit that its value is about to show."""
    if key.startswith("within_") or key in {"attainment", "budget_remaining"}:
        return key, "share"
    if key.endswith("_per_s"):
        return key.removesuffix("_per_s"), "rate"
    for suffix, unit in (("_bytes", "bytes"), ("_s", "seconds")):
        if key.endswith(suffix):
            return key.removesuffix(suffix), unit
    return key, ""


def _shown(value: Any, unit: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if unit and isinstance(value, int | float):
        return _quantity(value, unit)
    return number_text(value) if isinstance(value, float) else json.dumps(value)


def _quantity(value: float, unit: str) -> str:
    if unit == "seconds":
        return duration_text(value)
    if unit == "share":
        return share_text(value) if value >= 0 else f"{number_text(value * 100)} %"
    if unit == "rate":
        return f"{number_text(value)}/s"
    for name, size in _BYTE_UNITS:
        if value >= size:
            return f"{value / size:.4g} {name}"
    return f"{value:g} bytes"
