"""Reads the settings from flags, environment and sojourn.toml, and reports all faults at once."""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from sojourn.config.objectives import TABLE, read_objectives
from sojourn.config.settings import (
    DEFAULT_ADMIN_PORT,
    DEFAULT_PORT,
    SETTINGS,
    ServerSettings,
    flag_of,
    variable_of,
)
from sojourn.config.state_dir import passing_name
from sojourn.errors import ConfigurationError

FILE_NAME = "sojourn.toml"
# Of the other variables with our prefix only those this much like a setting are called misspelt: orchestrators
# and other commands put their own beside ours (a service called "sojourn" gets SOJOURN_SERVICE_HOST).
_LIKENESS_MIN = 0.86
_OTHER_VARIABLES = frozenset({"SOJOURN_ADMIN_URL", "SOJOURN_API_KEY", "SOJOURN_URL"})
_USERS_PREFIX = "SOJOURN_FN_"  # for the functions themselves: replicas see these
_DEFAULTS = msgspec.structs.asdict(ServerSettings(state_dir=Path()))
_Source = tuple[str, str, Any]  # setting, place, raw value


def load_settings(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    config: Path | None = None,
    directory: Path | None = None,
) -> ServerSettings:
    """The settings in force: flags before environment before file before defaults.

    Args:
        flags: Settings given on the command line, by name; None means not given.
        environment: The process's environment.
        config: The file to read, which then must exist; without it `sojourn.toml` in `directory`, if there is one.
        directory: Where to look for the file; the current directory by default.

    Raises:
        ConfigurationError: All faults of all sources, each with its place.
    """
    faults: list[str] = []
    values: dict[str, Any] = {}
    # Weakest first: each source overwrites the one before. Faults count even where they are overwritten.
    found = (directory or Path.cwd()) / FILE_NAME
    path, file_place = (config, str(config)) if config is not None else (found, FILE_NAME)
    for name, place, raw in (
        *(_from_file(path, file_place, faults) if config is not None or found.is_file() else ()),
        *_from_environment(environment, faults),
        *((name, flag_of(name), raw) for name, raw in flags.items() if raw is not None),
    ):
        if name == TABLE:
            values["objectives"] = read_objectives(raw, place, faults)
            continue
        try:
            values[name] = SETTINGS[name].value_of(raw)
        except ValueError as err:
            faults.append(f"{place}: {err}, not {raw!r}")
    if not faults:
        faults = _joint_faults(values)
    if faults:
        raise ConfigurationError("settings cannot be used:\n" + "\n".join(f"  {fault}" for fault in faults))
    chosen = values.pop("state_dir", None)
    port = values.get("port", DEFAULT_PORT)
    state_dir = Path(chosen).expanduser() if chosen is not None else default_state_dir(environment, port)
    return msgspec.convert({**values, "state_dir": state_dir}, ServerSettings)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Variables with our prefix that nothing here reads, sorted; most likely another program's, so no fault."""
    known = {variable_of(name) for name in SETTINGS} | _OTHER_VARIABLES
    return sorted(
        variable
        for variable in environment
        if variable.startswith("SOJOURN_") and variable not in known and not variable.startswith(_USERS_PREFIX)
    )


def default_state_dir(environment: Mapping[str, str], port: int) -> Path:
    """Where a server on `port` keeps what outlives it; a server on any free port gets a directory of its own."""
    base = environment.get("XDG_STATE_HOME", "")
    root = (
        Path(base) if Path(base).is_absolute() else Path(environment.get("HOME") or "~").expanduser() / ".local/state"
    )
    return root / "sojourn" / (str(port) if port else passing_name())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _joint_faults(values: Mapping[str, Any]) -> list[str]:
    """What is wrong only when settings are seen together."""
    faults = []
    port, admin_port = values.get("port", DEFAULT_PORT), values.get("admin_port", DEFAULT_ADMIN_PORT)
    if port == admin_port != 0:
        faults.append(f"--port and --admin-port are both {port}: give them different ports")
    body, bodies = (values.get(name, _DEFAULTS[name]) for name in ("body_bytes", "inflight_body_bytes"))
    if bodies < body:
        faults.append(
            f"{flag_of('inflight_body_bytes')} {bodies}: a body of {flag_of('body_bytes')} {body} could never be taken; "
            "raise the one or lower the other"
        )
    given = [name for name in ("tls_cert", "tls_key") if values.get(name) is not None]
    if len(given) == 1:
        faults.append(f"{flag_of(given[0])}: give --tls-cert and --tls-key together, the certificate and its key")
    return faults


def _from_file(path: Path, file_place: str, faults: list[str]) -> Iterator[_Source]:
    try:
        text = path.read_bytes().decode("utf-8")
        table = tomllib.loads(text)
    except OSError as err:
        faults.append(f"{file_place}: cannot be read ({err.strerror}); check the path given with --config")
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        faults.append(f"{file_place}: not valid TOML: {err}")
        return
    for key, raw in table.items():
        place = f"{file_place}:{_line_of(key, text)} {key}"
        if key in SETTINGS or key == TABLE:
            yield key, place, raw
        else:
            faults.append(f"{place}: no such setting{_suggestion(key, list(SETTINGS))}")


def _line_of(key: str, text: str) -> int:
    """The line a top-level key or table stands on (tomllib keeps no positions)."""
    name = re.escape(key)
    pattern = re.compile(rf"""\s*\[{{0,2}}\s*["']?{name}["']?\s*[=\].]""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)


def _from_environment(environment: Mapping[str, str], faults: list[str]) -> Iterator[_Source]:
    names = {variable_of(name): name for name in SETTINGS}
    for variable in sorted(environment):
        if not variable.startswith("SOJOURN_") or variable in _OTHER_VARIABLES or variable.startswith(_USERS_PREFIX):
            continue
        place = f"environment {variable}"
        if variable in names:
            yield names[variable], place, environment[variable]
        else:
            close = difflib.get_close_matches(variable, names, n=1, cutoff=_LIKENESS_MIN)
            if close:
                faults.append(f"{place}: no such setting; did you mean {close[0]}?")


def _suggestion(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(sorted(known))}"
