"""Recorded arrivals: a CSV file with one row per request."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from sojourn.errors import ConfigurationError

COLUMN = "t_s"


def read_trace(path: str | Path) -> array[float]:
    """Read the arrival times of a CSV file, counted from its first row.

    The times stand in the column `t_s` if the first row names the columns, else in the first column;
    in seconds, never decreasing. Other columns are ignored.

    Raises:
        ConfigurationError: The file cannot be read or has no rows, or a time is bad; the message names
            the row and the column.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            return _from_rows(csv.reader(file), str(path))
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise ConfigurationError(f"trace {path}: cannot be read as CSV text: {err}") from err


def replay(
    times_s: Sequence[float], *, rate_per_s: float | None = None, duration_s: float | None = None
) -> Iterator[float]:
    """Arrivals as recorded, or stretched in time to another mean rate.

    Args:
        times_s: Recorded instants in seconds, never decreasing.
        rate_per_s: Mean arrival rate wanted, > 0; None keeps the recorded one.
        duration_s: The replay ends here, in seconds, > 0; None plays to the end.

    Raises:
        ConfigurationError: A value is out of range, or the recording has no length that could be stretched.
    """
    if duration_s is not None and not 0 < duration_s < math.inf:
        raise ConfigurationError(f"the duration must be a number of seconds > 0, not {duration_s!r}")
    stretch = 1.0
    if rate_per_s is not None:
        if not 0 < rate_per_s < math.inf:
            raise ConfigurationError(
                f"the arrival rate of a trace must be a number of requests per second > 0, not {rate_per_s!r}"
            )
        span_s = times_s[-1] - times_s[0] if times_s else 0.0
        if span_s <= 0:
            raise ConfigurationError("a trace whose requests all arrive at once cannot be stretched to a rate")
        stretch = (len(times_s) - 1) / span_s / rate_per_s
    end_s = math.inf if duration_s is None else duration_s
    return _replay(times_s, stretch, end_s)


def _replay(times_s: Sequence[float], stretch: float, end_s: float) -> Iterator[float]:
    for recorded_s in times_s:
        at_s = recorded_s * stretch
        if at_s >= end_s:
            return
        yield at_s


def _from_rows(rows: Iterator[list[str]], path: str) -> array[float]:
    times_s = array("d")
    column, label = 0, "1"
    first_s = previous_s = 0.0
    for number, row in enumerate(rows, start=1):
        if not row or not any(cell.strip() for cell in row):
            continue
        if number == 1 and not _is_number(row[0]):
            names = [cell.strip() for cell in row]
            column = names.index(COLUMN) if COLUMN in names else 0
            label = names[column] or "1"
            continue
        place = f"trace {path}, row {number}, column {label}"
        if column >= len(row):
            raise ConfigurationError(f"{place}: the row has only {len(row)} columns")
        if not _is_number(row[column]):
            raise ConfigurationError(f"{place}: {row[column]!r} is not a number of seconds")
        at_s = float(row[column])
        if not times_s:
            first_s = at_s
        elif at_s < previous_s:
            raise ConfigurationError(
                f"{place}: {at_s} s is before the row above ({previous_s} s); sort the rows by time"
            )
        previous_s = at_s
        times_s.append(at_s - first_s)
    if not times_s:
        raise ConfigurationError(
            f"trace {path}: no rows with arrival times; expected one row per request, seconds first"
        )
    return times_s


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
