"""Functions as a table for people: the columns of `list`, `top` and others, and the texts in them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sojourn.domain.objective import parse_slo
from sojourn.errors import ObjectiveError
from sojourn.report.axis import number_text, share_text
from sojourn.telemetry.log import escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Row = dict[str, Any]  # one function as `GET /api/v1/functions` tells it
_WIDTH_PIPED = 200
_NAME_CHARACTERS = 20
_NAME_CHARACTERS_FOLDED = (
    40  # a longer name that is not to be cut goes on in the next line rather than take a column's room
)
_NAME_CHARACTERS_FOLDED_MIN = 8
_WHOLE_NAMES_FROM_WIDTH = 110
_SPACE = 2  # between columns


class Column(NamedTuple):
    """One column: its heading, its text for a row (a function, or what else is listed), and when it is shown.

    `from_width` is the least width of the terminal, in characters; narrower ones do without it, and so do those in which
    the columns do not fit as they are: the one with the greatest goes first.
    """

    heading: str
    cell: Callable[[Any], str]
    is_number: bool = True
    from_width: int = 0
    style: Callable[[Any], str] = lambda _: ""


def output_console() -> Console:
    """Standard output as rich sees it; piped output has no width of its own, there nothing is cut."""
    from rich.console import Console  # noqa: PLC0415 (rich takes 30 ms; `--json` does not need it)

    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if has_width else _WIDTH_PIPED)


def function_table(
    width: int, columns: Sequence[Column], functions: Iterable[Any], *, has_whole_names: bool = False
) -> Table:
    """The functions in rows, with those columns that a terminal of this width has room for; the first is the name.

    Long names are cut in narrow terminals; with `has_whole_names` they go on in the next line instead.
    """
    from rich.table import Table  # noqa: PLC0415 (as above)
    from rich.text import Text  # noqa: PLC0415 (as above)

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _SPACE, 0, 0))
    functions = list(functions)
    cut = None if width >= _WHOLE_NAMES_FROM_WIDTH else _NAME_CHARACTERS
    shown = _fitting(width, columns, functions, _NAME_CHARACTERS_FOLDED if has_whole_names else cut)
    for column in shown:
        table.add_column(column.heading, justify="right" if column.is_number else "left", no_wrap=True)
    name = table.columns[0]
    if has_whole_names:
        left = width - table_width(shown[1:], functions) - _SPACE
        name.max_width, name.no_wrap, name.overflow = max(left, _NAME_CHARACTERS_FOLDED_MIN), False, "fold"
    else:
        name.max_width = cut
    for function in functions:
        table.add_row(*(Text(column.cell(function), column.style(function)) for column in shown))
    return table


def table_width(columns: Sequence[Column], functions: Sequence[Any], name_characters: int | None = None) -> int:
    """What the columns take when none is cut but the first, the name, after so many characters; in characters."""
    widths = [max([len(column.heading), *(len(column.cell(one)) for one in functions)]) for column in columns]
    if name_characters is not None:
        widths[0] = min(widths[0], name_characters)
    return sum(widths) + _SPACE * (len(widths) - 1)


def _fitting(
    width: int, columns: Sequence[Column], functions: Sequence[Any], name_characters: int | None
) -> list[Column]:
    """The columns a terminal of this width shows without cutting a figure."""
    shown = [column for column in columns if width >= column.from_width]
    while table_width(shown, functions, name_characters) > width:
        dispensable = max(shown, key=lambda column: column.from_width)
        if not dispensable.from_width:
            break
        shown.remove(dispensable)
    return shown


def share_or_dash(value: float | None) -> str:
    """A share as a percentage; a dash where nothing was counted."""
    return "-" if value is None else share_text(value)


def rate(function: Row) -> str:
    """Arrivals per second over the last minute, or since the server's start."""
    return number_text(round(function["recent"]["arrival_rate_per_s"], 1))


def replicas(function: Row) -> str:
    """Replicas by state, such as `3 +2 -1`: ready, starting and draining."""
    by_state = function["replicas"]
    signs = (("+", by_state.get("starting", 0)), ("-", by_state.get("draining", 0)))
    return " ".join([str(by_state.get("ready", 0)), *(f"{sign}{count}" for sign, count in signs if count)])


def batch_size(function: Row) -> str:
    """Mean items per model call over the last minute."""
    mean = function["recent"].get("batch_size_mean")
    return "-" if mean is None else f"{mean:.1f}"


def budget_left(function: Row) -> str:
    """What is left of the error budget; a dash without an objective."""
    left = function.get("budget_remaining")
    return "-" if left is None else f"{left * 100:.3g} %" if left >= 0 else "used up"


def budget_style(function: Row) -> str:
    """Red for a budget that is used up, or while an alert fires."""
    left = function.get("budget_remaining")
    return "bold red" if function.get("alerts_firing") or (left is not None and left < 0) else ""


def last_scaling(function: Row) -> str:
    """The latest change of the wanted replicas with its reason; a dash if there was none."""
    last = function.get("last_scaling")
    if not last:
        return "-"
    return escaped(f"{clock_text(last['at'])} {last['before']} -> {last['after']}: {last['why']}")


def within_style(function: Row) -> str:
    """Red for a last minute that missed the objective, green for one that held it."""
    share, objective = function["recent"].get("within_slo"), objective_share(function)
    if share is None or objective is None:
        return ""
    return "green" if share >= objective else "bold red"


def objective_share(function: Row) -> float | None:
    """The share a function promised; None if it promised nothing, or in words of another version."""
    try:
        return parse_slo(function["slo"]).objective if function["slo"] else None
    except ObjectiveError:
        return None


def clock_text(at: str) -> str:
    """The time of day here of an instant as the API tells it; the text itself if it tells it otherwise.

    It is the second the instant lies in, as clocks and logs show it: nothing is told later than it happened.
    """
    try:
        return _here(at).strftime("%H:%M:%S")
    except ValueError:
        return escaped(at)


def _here(at: str) -> datetime:
    """An instant in the time of this place.

    Raises:
        ValueError: This is no instant.
    """
    return datetime.fromisoformat(at).astimezone()


def instant_text(at: str) -> str:
    """The same with the day in front if it is not today's."""
    try:
        here = _here(at)
    except ValueError:
        return escaped(at)
    return here.strftime("%H:%M:%S" if here.date() == datetime.now(here.tzinfo).date() else "%d %b %H:%M:%S")
