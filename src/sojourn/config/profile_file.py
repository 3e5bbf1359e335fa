"""Profiles as files: written whole or not at all, read strictly, with all faults in one message."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import msgspec

from sojourn.config.profile import PROFILE_VERSION, Profile
from sojourn.errors import ConfigurationError, SojournError

FILE_BYTES_MAX: Final = 16 * 2**20
_FAULTS_SHOWN: Final = 50
_AT_BYTE: Final = re.compile(r" ?\(byte (\d+)\)")


def write_profile(path: Path, profile: Profile) -> None:
    """Write a profile as JSON for people and programs; what was there stays until the new one is complete.

    Raises:
        SojournError: The file cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(profile), indent=2) + b"\n"
    # Beside it, so that it can take its place in one step.
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(text)
        beside.replace(path)
    except OSError as err:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise SojournError(f"{path}: the profile cannot be written ({err.strerror or err})") from err


def read_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        ConfigurationError: The file cannot be read, is no JSON, or is no profile; all faults are named with their place.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as err:
        raise ConfigurationError(f"{path}: the profile cannot be read ({err.strerror or err})") from err
    if len(content) > FILE_BYTES_MAX:
        raise ConfigurationError(f"{path}: larger than {FILE_BYTES_MAX} bytes; that is no profile")
    return parse_profile(content, str(path))


def parse_profile(content: bytes, place: str) -> Profile:
    """Read a profile from JSON.

    Args:
        content: The text.
        place: How errors name it.

    Raises:
        ConfigurationError: It is no JSON, or no profile; all faults are named with their place.
    """
    try:
        raw = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise ConfigurationError(f"{place}{_where(content, err)}") from err
    if not isinstance(raw, dict) or "version" not in raw:
        raise ConfigurationError(f"{place}: not a profile; write one with: sojourn profile app.py:NAME")
    if raw["version"] != PROFILE_VERSION:
        raise ConfigurationError(
            f"{place}: version {raw['version']!r}, where this Sojourn reads {PROFILE_VERSION}; measure again"
        )
    faults: list[str] = []
    profile = _read(Profile, raw, "", faults)
    if faults or not isinstance(profile, Profile):
        shown = [f"  {fault}" for fault in faults[:_FAULTS_SHOWN]]
        if len(faults) > _FAULTS_SHOWN:
            shown.append(f"  and {len(faults) - _FAULTS_SHOWN} more")
        raise ConfigurationError(f"{place}: the profile cannot be used:\n" + "\n".join(shown))
    return profile


def _read(kind: Any, raw: Any, place: str, faults: list[str]) -> Any:
    """The value of this kind; None with its faults added. One by one, because msgspec stops at the first fault."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _read_struct(kind, raw, place, faults)
    if get_origin(kind) is list and isinstance(raw, list):
        (of,) = get_args(kind)
        return [_read(of, value, f"{place}[{position}]", faults) for position, value in enumerate(raw)]
    structs = [one for one in get_args(kind) if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    if structs and raw is not None:  # an optional one
        return _read_struct(structs[0], raw, place, faults)
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as err:
        faults.append(f"{place}: {str(err).replace('`', '').lower()}")
        return None


def _read_struct(kind: type[msgspec.Struct], raw: Any, place: str, faults: list[str]) -> Any:
    if not isinstance(raw, dict):
        faults.append(f"{place}: expected object, got {type(raw).__name__}")
        return None
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    before = len(faults)
    inside = f"{place}." if place else ""
    for name in raw:
        if name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            faults.append(f"{inside}{name}: no such field" + (f"; did you mean {close[0]}?" if close else ""))
    faults += [f"{inside}{name}: missing" for name, field in fields.items() if field.required and name not in raw]
    values = {
        field.name: _read(field.type, raw[name], f"{inside}{name}", faults)
        for name, field in fields.items()
        if name in raw
    }
    if len(faults) > before:
        return None
    try:
        return kind(**values)
    except ConfigurationError as err:
        faults.append(f"{place}: {err}" if place else str(err))
        return None


def _where(content: bytes, err: Exception) -> str:
    """The line of a fault in JSON, and what it is."""
    text = str(err).removeprefix("JSON is malformed: ")
    found = _AT_BYTE.search(text)
    if found is None:
        return f": not valid JSON: {text}"
    before = content[: int(found[1])]
    line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
    return f":{line}:{column}: not valid JSON: {_AT_BYTE.sub('', text)}"
