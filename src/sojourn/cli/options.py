"""Options several commands share, and the kinds of values they read."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import click

from sojourn.cli.http_call import DEFAULT_ADMIN_URL
from sojourn.config.quantities import read_duration_s
from sojourn.domain.objective import SLO, parse_slo
from sojourn.errors import ConfigurationError

_BARE_DURATION = re.compile(r"\s*(\d+(\.\d*)?|\.\d+)\s*[a-zA-Zµ]+\s*")
_Value = TypeVar("_Value")

admin_url_option = click.option(
    "--admin-url",
    envvar="SOJOURN_ADMIN_URL",
    default=DEFAULT_ADMIN_URL,
    show_default=True,
    metavar="URL",
    help="Admin port of the server (SOJOURN_ADMIN_URL).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def duration(value: Any) -> float:
    """Seconds from a number or a text such as `500ms`, as settings are read (a click type).

    Raises:
        click.BadParameter: It is none, or not in [1 ms, 24 h].
    """
    try:
        duration_s = read_duration_s(value)
    except ValueError as err:
        raise click.BadParameter(f"{err}, not {value!r}") from err
    if not 0.001 <= duration_s <= 86_400:
        raise click.BadParameter(f"must be in [1ms, 24h], not {value!r}")
    return duration_s


def rate(value: Any) -> float:
    """Requests per second (a click type).

    Raises:
        click.BadParameter: It is no number greater than zero.
    """
    try:
        rate_per_s = float(value)
    except ValueError:
        rate_per_s = 0.0
    if not (rate_per_s > 0 and isfinite(rate_per_s)):
        raise click.BadParameter(f"the arrival rate must be a number of requests per second > 0, not {value!r}")
    return rate_per_s


def report_file(value: Any) -> Path:
    """Where a result is to be written (a click type): looked at before the work that fills it, not after.

    Raises:
        click.BadParameter: Its folder does not exist, or a folder has its name.
    """
    path = Path(value)
    if path.is_dir():
        raise click.BadParameter(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent} for {path.name}; make it first")
    return path


def parse_objective(text: str) -> SLO:
    """Read an objective; a bare duration such as `100ms` stands for 99 % within it.

    Raises:
        ObjectiveError: The text cannot be read.
    """
    return parse_slo(f"99% < {text.strip()}" if _BARE_DURATION.fullmatch(text) else text)


def read_by(read: Callable[[str], _Value]) -> Callable[[str], _Value]:
    """A click type from a reader that raises `ConfigurationError`: what is wrong is then a usage error of that option."""

    def value(text: str) -> _Value:
        try:
            return read(text)
        except ConfigurationError as err:
            raise click.BadParameter(str(err)) from err

    return value
