"""How `sojourn top` looks: a head line, a row per function, and why its replicas changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import ConsoleDimensions, Group
from rich.table import Table
from rich.text import Text

from sojourn.cli.function_table import (
    Column,
    Row,
    batch_size,
    last_scaling,
    objective_share,
    rate,
    replicas,
    share_or_dash,
    table_width,
    within_style,
)

_REASON_FROM_WIDTH = 130  # narrower terminals show the reasons below the table
_REASON_CHARACTERS_MIN = 24  # so do wider ones whose columns leave less than this
_HEAD_LINES = 4
_SPACE = 2  # between columns
_NAME_CHARACTERS, _NAME_CHARACTERS_WIDE = 20, 32

# The first is left out where there is no room for all.
_COLUMNS = (
    Column("objective", lambda function: function["slo"] or "-", is_number=False),
    Column("within", lambda function: share_or_dash(function["recent"]["within_slo"]), style=within_style),
    Column("rate/s", rate),
    Column("replicas", replicas),
    Column("queued", lambda function: str(function["queue_depth"])),
    Column("batch", batch_size),
)


def _margin(function: Row) -> float:
    """How far the last minute lies above the objective; what promises nothing or had no traffic comes last."""
    share, objective = function["recent"]["within_slo"], objective_share(function)
    return float("inf") if share is None or objective is None else share - objective


SORTS: dict[str, Callable[[Row], Any]] = {
    "name": lambda function: function["name"],
    "within": lambda function: (_margin(function), function["name"]),
    "rate": lambda function: (-function["recent"]["arrival_rate_per_s"], function["name"]),
    "queue": lambda function: (-function["queue_depth"], function["name"]),
}


def view(functions: Sequence[Row], admin_url: str, size: ConsoleDimensions, sort: str, lost_since: str | None) -> Group:
    """One look at the server.

    Args:
        functions: As the API tells them.
        admin_url: Whose they are.
        size: Of the terminal, in characters; height 0 shows all rows.
        sort: One of `SORTS`.
        lost_since: Time of day since when this is old; None if it is new.
    """
    ordered = sorted(functions, key=SORTS[sort])
    columns = _COLUMNS if _columns_width(ordered, _COLUMNS, _NAME_CHARACTERS) <= size.width + _SPACE else _COLUMNS[1:]
    room = size.width - _columns_width(ordered, columns, _NAME_CHARACTERS_WIDE)
    is_wide = size.width >= _REASON_FROM_WIDTH and room >= _REASON_CHARACTERS_MIN
    lines_per_row = 1 if is_wide else 2
    fit = max(1, (size.height - _HEAD_LINES) // lines_per_row) if size.height else len(ordered)
    parts: list[Text | Table] = [_head(admin_url, len(functions), lost_since)]
    if functions:
        parts.append(_table(ordered[:fit], columns, room if is_wide else 0, style="dim" if lost_since else ""))
    else:
        parts.append(Text("no function is deployed"))
    if not is_wide:
        parts += [_reason(function) for function in ordered[:fit] if function.get("last_scaling")]
    parts += [_alerts(function) for function in ordered[:fit] if function.get("alerts_firing")]
    if len(ordered) > fit:
        parts.append(Text(f"and {len(ordered) - fit} more; a taller window shows them, or another --sort", "dim"))
    return Group(*parts)


def _head(admin_url: str, count: int, lost_since: str | None) -> Text:
    head = Text(f"{time.strftime('%H:%M:%S')}  {admin_url}  ", overflow="ellipsis", no_wrap=True)
    if lost_since:
        return head.append(f"not reachable since {lost_since}; trying again", "bold red")
    return head.append(f"{count} function{'s' if count != 1 else ''}, last minute or since start")


def _reason(function: Row) -> Text:
    return Text(f"{function['name']}: {last_scaling(function)}", "dim", overflow="ellipsis", no_wrap=True)


def _alerts(function: Row) -> Text:
    firing = ", ".join(function["alerts_firing"])
    return Text(f"{function['name']}: error budget: {firing}", "bold red", overflow="ellipsis", no_wrap=True)


def _columns_width(functions: Sequence[Row], columns: Sequence[Column], name_characters: int) -> int:
    """What the name and these columns take when none but the name is cut, in characters, with the space behind each."""
    name = Column("function", lambda function: function["name"])
    return table_width([name, *columns], functions, name_characters) + _SPACE


def _table(functions: Sequence[Row], columns: Sequence[Column], reason_width: int, *, style: str) -> Table:
    """A row per function; with a width, in characters, the reason of its last scaling behind it."""
    is_wide = reason_width > 0
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _SPACE, 0, 0), style=style)
    name_width = _NAME_CHARACTERS_WIDE if is_wide else _NAME_CHARACTERS
    table.add_column("function", no_wrap=True, overflow="ellipsis", max_width=name_width)
    for column in columns:
        table.add_column(column.heading, justify="right" if column.is_number else "left", no_wrap=True)
    if is_wide:
        table.add_column("last scaling", no_wrap=True, overflow="ellipsis", width=reason_width)
    for function in functions:
        cells = [Text(column.cell(function), column.style(function)) for column in columns]
        reason = [Text(last_scaling(function))] if is_wide else []
        table.add_row(function["name"], *cells, *reason)
    return table
