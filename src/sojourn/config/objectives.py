"""The table `[slo]` of sojourn.toml: objectives that take the place of those functions declare."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import structs

from sojourn.domain.function import NAME, FunctionManifest
from sojourn.domain.objective import SLO, parse_slo
from sojourn.errors import ConfigurationError, ObjectiveError

TABLE: Final = "slo"
_HEADER: Final = re.compile(r"""\s*\[\s*(slo|"slo"|'slo')\s*\]\s*(#.*)?""")
_ANY_HEADER: Final = re.compile(r"\s*\[")


def read_objectives(table: Any, place: str, faults: list[str]) -> dict[str, SLO]:
    """The objectives of a `[slo]` table; what is wrong with it is added to `faults`.

    Args:
        table: As TOML has it.
        place: How faults name it.
        faults: All faults of the settings.
    """
    if not isinstance(table, dict):
        faults.append(f'{place}: must be a table of objectives such as digits = "99% < 100ms", not {table!r}')
        return {}
    found: dict[str, SLO] = {}
    for name, text in table.items():
        if NAME.fullmatch(name) is None:
            faults.append(
                f"{place}.{name}: no function can have this name: 1-63 characters of a-z, 0-9 and inner hyphens"
            )
            continue
        if not isinstance(text, str):
            faults.append(f'{place}.{name}: must be an objective such as "99% < 100ms", not {text!r}')
            continue
        try:
            found[name] = parse_slo(text)
        except ObjectiveError as err:
            faults.append(f"{place}.{name}: {err}")
    return found


def with_objectives(manifests: Iterable[FunctionManifest], objectives: Mapping[str, SLO]) -> list[FunctionManifest]:
    """The manifests, with the objectives that take the place of their own; revisions stay.

    Those of other functions wait for theirs: they may be deployed later (`waiting`).
    """
    return [
        structs.replace(manifest, settings=structs.replace(manifest.settings, slo=objectives[manifest.name]))
        if manifest.name in objectives
        else manifest
        for manifest in manifests
    ]


def waiting(objectives: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """Why an objective is for nobody yet, by the name it is for: a function to come, or a typing mistake.

    Args:
        objectives: The names of the `[slo]` table.
        names: All functions there are, served or deployed.
    """
    return {
        name: f"no function {name!r} is served or deployed{_near(name, sorted(names))}"
        for name in objectives
        if name not in names
    }


def _near(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(names) or 'none'}"


def merged(text: str, objectives: Mapping[str, str], place: str, *, is_replacing: bool = False) -> str:
    """A settings file with these objectives in its `[slo]` table; all else stays as it is written.

    Args:
        text: The file; empty for a new one.
        objectives: Their texts by function name.
        place: How errors name it.
        is_replacing: Whether they may take the place of others.

    Raises:
        ConfigurationError: The file is no TOML, has its `[slo]` written in a way that cannot be added to, or has other
            objectives for these functions.
    """
    before = _read(text, place)
    present = before.get(TABLE, {})
    if not isinstance(present, dict):
        raise ConfigurationError(f"{place}: {TABLE} is no table; write it as [{TABLE}]")
    others = {name: present[name] for name in objectives if present.get(name, objectives[name]) != objectives[name]}
    if others and not is_replacing:
        told = "\n".join(f"  {name}: {old!r} there, {objectives[name]!r} now" for name, old in others.items())
        raise ConfigurationError(f"{place}: other objectives are there; --replace lets the new ones take over:\n{told}")
    added = {name: slo for name, slo in objectives.items() if present.get(name) != slo}
    result = _put(text, present, others, added)
    wanted = {**before, TABLE: {**present, **objectives}}
    try:
        is_as_wanted = tomllib.loads(result) == wanted
    except tomllib.TOMLDecodeError:  # such as after `slo = {}`, which nothing can be added to
        is_as_wanted = False
    if not is_as_wanted:
        raise ConfigurationError(f"{place}: its [{TABLE}] is written in a way that cannot be added to; edit it by hand")
    return result


def _read(text: str, place: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise ConfigurationError(f"{place}: not valid TOML: {err}") from err
    except RecursionError as err:
        raise ConfigurationError(f"{place}: its values are nested too deep") from err


def _put(text: str, present: Mapping[str, Any], others: Mapping[str, Any], added: Mapping[str, str]) -> str:
    # TOML's lines end at these alone: a comment may hold what `str.splitlines` takes for another end.
    line_end = "\r\n" if "\r\n" in text else "\n"
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    new = [f"{_key(name)} = {_quoted(slo)}" for name, slo in added.items()]
    at = next((number for number, line in enumerate(lines) if _HEADER.fullmatch(line)), None)
    if at is None:
        if not present:
            lines += [*([""] if lines else []), f"[{TABLE}]", *new]
        return line_end.join([*lines, ""])
    end = next((number for number in range(at + 1, len(lines)) if _ANY_HEADER.match(lines[number])), len(lines))
    kept = [line for line in lines[at + 1 : end] if not any(_is_entry(line, name) for name in others)]
    return line_end.join([*lines[: at + 1], *new, *kept, *lines[end:], ""])


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    """A basic string of TOML: as JSON has it, but never with halves of characters, which TOML has not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_entry(line: str, name: str) -> bool:
    return re.match(rf"""\s*["']?{re.escape(name)}["']?\s*=""", line) is not None
