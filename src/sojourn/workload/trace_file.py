"""Traces as CSV files: which of the known forms a file has, and its rows one at a time.

- instants: a column `t_s` (or no header, or an unknown one: the first column), one row per request, and perhaps a
  column `function`; other columns are ignored;
- one column per function: `minute,f_a,f_b,...` (or `second`, `hour`), one row per interval;
- one row per function: `HashOwner,HashApp,HashFunction,Trigger,1,2,...,1440` as in the Azure Functions traces of
  2019, or `func_id,trigger,480,481,...`: numbered columns are minutes.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from sojourn.errors import ConfigurationError
from sojourn.workload.bounds import refuse_faults
from sojourn.workload.recorded import COUNT_MAX, Counts, Instants, Recorded
from sojourn.workload.trace import Trace, trace_of_instants, unknown_function

VALUES_MAX = 100_000_000  # 400 MB of counts, 800 MB of instants
ONLY_FUNCTION = "all"  # the name of what has none
INSTANT_S_MAX = 1e10  # seconds since 1970 until the year 2286
LENGTH_S_MAX = 10 * 366 * 86_400.0
_OTHERS_MAX = 10_000
_INTERVALS_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
_NAME_COLUMNS = ("hashfunction", "func_id", "function", "name")


def read_trace(path: str | Path, *, functions: Collection[str] | None = None, values_max: int = VALUES_MAX) -> Trace:
    """Read a CSV file of arrivals; its form is recognised by the header.

    Rows are read one at a time and kept as plain numbers, so that memory is 4 bytes per count and 8 per instant.

    Args:
        path: The file.
        functions: Names to keep; None keeps all. Of a file too large for memory, select some.
        values_max: Most counts or instants kept.

    Raises:
        ConfigurationError: The file cannot be read or holds no requests, a value is bad (the message names row and
            column), or there are too many values.
    """
    rows = _Rows(str(path), values_max)
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            trace = _read(csv.reader(_bounded(file, rows)), rows, functions)
    except OSError as err:
        raise ConfigurationError(f"trace {path}: cannot be read: {err.strerror or err}") from err
    except (UnicodeDecodeError, csv.Error) as err:
        raise ConfigurationError(f"trace {path}: cannot be read as CSV text: {err}") from err
    if functions is not None:
        trace = trace.select(list(dict.fromkeys(functions)))
    if trace.requests == 0:
        raise ConfigurationError(f"trace {path}: it holds no requests, all counts are zero")
    return trace


def write_trace(trace: Trace, path: str | Path) -> None:
    """Write a trace so that `read_trace` reads it again: counts with a column per function, else one row per request.

    Raises:
        ConfigurationError: The file cannot be written, or counts have no interval of a second, a minute or an hour.
    """
    recorded = list(trace.functions.values())
    by_interval = {interval_s: name for name, interval_s in _INTERVALS_S.items()}
    columns = [one.counts for one in recorded if isinstance(one, Counts)]
    intervals_s = {one.interval_s for one in recorded if isinstance(one, Counts)}
    if columns and (len(columns) < len(recorded) or len(intervals_s) > 1 or not intervals_s <= by_interval.keys()):
        raise ConfigurationError("only counts per second, minute or hour, alike for all functions, can be written")
    rows: Iterable[Iterable[object]]
    if columns:
        length = max(map(len, columns))
        header = [by_interval[intervals_s.pop()], *trace.functions]
        rows = (
            [number, *(column[number] if number < len(column) else 0 for column in columns)] for number in range(length)
        )
    else:
        times = sorted(
            (at_s, name) for name, one in trace.functions.items() if isinstance(one, Instants) for at_s in one.times_s
        )
        header = ["t_s", "function"]
        rows = ((f"{at_s:.6f}", name) for at_s, name in times)
    try:
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
    except OSError as err:
        raise ConfigurationError(f"{path}: the trace cannot be written ({err.strerror})") from err


class _Rows:
    """Where reading stands, for messages, and how much has been kept, for the bound."""

    def __init__(self, path: str, values_max: int) -> None:
        self.path = path
        self.number = 0  # of the line of the file
        self._values_left = values_max
        self._values_max = values_max

    def fault(self, column: str, what: str) -> ConfigurationError:
        return ConfigurationError(f"trace {self.path}, row {self.number}, column {column}: {what}")

    def row_fault(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"trace {self.path}, row {self.number}: {what}")

    def keep(self, values: int) -> None:
        self._values_left -= values
        if self._values_left < 0:
            raise self.row_fault(
                f"more than {self._values_max:,} values; select some of the functions, or cut the file"
            )


def _bounded(lines: Iterable[str], rows: _Rows) -> Iterator[str]:
    """Count lines; a NUL would end the csv module's patience with a riddle."""
    for line in lines:
        rows.number += 1
        if "\0" in line:
            raise rows.row_fault("it holds a NUL byte; this is no text file")
        yield line


def _read(reader: Iterator[list[str]], rows: _Rows, functions: Collection[str] | None) -> Trace:
    first = next((row for row in reader if any(cell.strip() for cell in row)), None)
    if first is None:
        raise ConfigurationError(f"trace {rows.path}: no rows; the file is empty")
    names = [cell.strip() for cell in first]
    lower = [name.lower() for name in names]
    numbered = _numbered_from(names)
    if _is_number(first[0]):
        return _instants(first, reader, rows, (0, None), ("1", "function"), functions)
    if "t_s" not in lower and lower[0] in _INTERVALS_S and len(names) > 1:
        return _columns(names, reader, rows, _INTERVALS_S[lower[0]], functions)
    if "t_s" not in lower and numbered is not None:
        return _wide(names, numbered, reader, rows, functions)
    at = lower.index("t_s") if "t_s" in lower else 0
    by = lower.index("function") if "function" in lower and lower.index("function") != at else None
    labels = (names[at] or "1", "function")
    return _instants(None, reader, rows, (at, by), labels, functions)


def _instants(
    first: list[str] | None,
    reader: Iterator[list[str]],
    rows: _Rows,
    columns: tuple[int, int | None],
    labels: tuple[str, str],
    functions: Collection[str] | None,
) -> Trace:
    by_name: dict[str, array[float]] = {}
    others: set[str] = set()  # names that are left out, for the message if one was mistyped
    at, by = columns
    start_s, previous_s, is_first = 0.0, 0.0, True
    for row in _chained(first, reader):
        if not any(cell.strip() for cell in row):
            continue
        at_s = _instant(row, at, labels[0], rows)
        if is_first:
            start_s, is_first = at_s, False
        else:
            _refuse_misplaced(at_s, start_s, previous_s, labels[0], rows)
        previous_s = at_s
        name = ONLY_FUNCTION
        if by is not None:
            name = row[by].strip() if by < len(row) else ""
            if not name:
                raise rows.fault(labels[1], "the name of the function is missing")
        if functions is None or name in functions:
            rows.keep(1)
            by_name.setdefault(name, array("d")).append(at_s - start_s)
        elif len(others) < _OTHERS_MAX:
            others.add(name)
    if is_first:
        raise ConfigurationError(
            f"trace {rows.path}: no rows with arrival times; expected one row per request, seconds first"
        )
    _refuse_unknown(functions, others | by_name.keys(), rows)
    return trace_of_instants({name: Instants(times_s) for name, times_s in by_name.items()})


def _refuse_misplaced(at_s: float, start_s: float, previous_s: float, label: str, rows: _Rows) -> None:
    if at_s < previous_s:
        raise rows.fault(label, f"{at_s} s is before the row above ({previous_s} s); sort the rows by time")
    if at_s - start_s > LENGTH_S_MAX:
        raise rows.fault(label, f"{at_s:g} s is more than ten years after the first row ({start_s:g} s)")


def _columns(
    names: list[str], reader: Iterator[list[str]], rows: _Rows, interval_s: float, functions: Collection[str] | None
) -> Trace:
    _refuse_twins(names[1:], rows)
    _refuse_unknown(functions, names[1:], rows)
    kept = [number for number in range(1, len(names)) if functions is None or names[number] in functions]
    counts = {number: array("I") for number in kept}
    first = previous = -1
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        _refuse_ragged(row, names, rows)
        place = _count(row[0], names[0], rows)
        if previous >= 0 and place <= previous:
            raise rows.fault(names[0], f"{place} does not come after the row above ({previous}); sort the rows")
        first = place if previous < 0 else first
        skipped = place - previous - 1 if previous >= 0 else 0
        rows.keep((skipped + 1) * len(kept))
        previous = place
        for number in kept:
            column = counts[number]
            if skipped:  # an interval that has no row had no requests
                column.extend(array("I", [0]) * skipped)
            column.append(_count(row[number], names[number], rows))
    if previous < 0:
        raise ConfigurationError(f"trace {rows.path}: no rows with counts below the header")
    recorded: dict[str, Recorded] = {names[number]: Counts(counts[number], interval_s) for number in kept}
    return Trace(recorded, (previous - first + 1) * interval_s)


def _wide(
    names: list[str], start: int, reader: Iterator[list[str]], rows: _Rows, functions: Collection[str] | None
) -> Trace:
    lower = [name.lower() for name in names[:start]]
    by = next((lower.index(name) for name in _NAME_COLUMNS if name in lower), 0)
    app = lower.index("hashapp") if "hashapp" in lower else None
    recorded: dict[str, Recorded] = {}
    seen: dict[str, int] = {}
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        _refuse_ragged(row, names, rows)
        name = row[by].strip()
        if not name:
            raise rows.fault(names[by], "the name of the function is missing")
        if name in seen and app is not None:  # functions of different applications may share a name
            name = f"{row[app].strip()}/{name}"
        if name in seen:
            raise rows.fault(names[by], f"the function {name!r} stands in row {seen[name]} already")
        seen[name] = rows.number
        if functions is None or name in functions:
            rows.keep(len(names) - start)
            recorded[name] = Counts(_row_of_counts(row, names, start, rows), 60.0)
    if not seen:
        raise ConfigurationError(f"trace {rows.path}: no rows with functions below the header")
    _refuse_unknown(functions, seen, rows)
    return Trace(recorded, (len(names) - start) * 60.0)


def _row_of_counts(row: list[str], names: list[str], start: int, rows: _Rows) -> array[int]:
    try:
        # The fast way; `int` alone would let "1_0" pass, and a fault needs its column.
        if not any("_" in cell for cell in row[start:]):
            return array("I", map(int, row[start:]))
    except (ValueError, OverflowError):
        pass
    return array("I", (_count(cell, name, rows) for cell, name in zip(row[start:], names[start:], strict=True)))


def _count(cell: str, column: str, rows: _Rows) -> int:
    text = cell.strip()
    if text.isascii() and text.isdigit() and len(text) <= 20:
        count = int(text)
    else:  # some writers make 12.0 of 12
        value = float(text) if _is_number(text) else math.nan
        if not value.is_integer():
            raise rows.fault(column, f"{_shown(cell)} is not a count (a whole number >= 0)")
        count = int(value)
    if count < 0:
        raise rows.fault(column, f"{count} is negative; a count is a whole number >= 0")
    if count > COUNT_MAX:
        raise rows.fault(column, f"{_shown(cell)} is too large for a count; the most is {COUNT_MAX:,}")
    return count


def _instant(row: list[str], at: int, label: str, rows: _Rows) -> float:
    if at >= len(row):
        raise rows.fault(label, f"the row has only {len(row)} columns")
    if not _is_number(row[at]):
        raise rows.fault(label, f"{_shown(row[at])} is not a number of seconds")
    at_s = float(row[at])
    if at_s < 0:
        raise rows.fault(label, f"{at_s:g} s is negative; times count from the start of the recording")
    if at_s > INSTANT_S_MAX:
        raise rows.fault(label, f"{at_s:g} s is no time of a recording; are these milliseconds or less? write seconds")
    return at_s


def _numbered_from(names: list[str]) -> int | None:
    """Where the minutes of the header begin; None if it does not end in rising numbers after some names."""
    start = len(names)
    while start > 0 and names[start - 1].isascii() and names[start - 1].isdigit():
        start -= 1
    numbers = [int(name) for name in names[start:] if len(name) <= 9]
    if not 0 < start < len(names) or numbers != list(
        range(numbers[0] if numbers else 0, len(names) - start + (numbers[0] if numbers else 0))
    ):
        return None
    return start


def _refuse_ragged(row: list[str], names: list[str], rows: _Rows) -> None:
    if len(row) != len(names):
        column = names[len(row)] if len(row) < len(names) else str(len(names) + 1)
        raise rows.fault(column, f"the row has {len(row)} columns, the header {len(names)}")


def _refuse_unknown(functions: Collection[str] | None, known: Collection[str], rows: _Rows) -> None:
    faults = [unknown_function(name, known) for name in functions or () if name not in known]
    refuse_faults(f"trace {rows.path}", faults)


def _refuse_twins(names: list[str], rows: _Rows) -> None:
    seen = set()
    for number, name in enumerate(names, start=2):
        if not name:
            raise rows.fault(str(number), "the name of the function is missing")
        if name in seen:
            raise rows.fault(str(number), f"the function {name!r} stands in the header twice")
        seen.add(name)


def _chained(first: list[str] | None, reader: Iterator[list[str]]) -> Iterator[list[str]]:
    if first is not None:
        yield first
    yield from reader


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= 40 else cell[:40] + "...")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text)) and "_" not in text
    except ValueError:
        return False
