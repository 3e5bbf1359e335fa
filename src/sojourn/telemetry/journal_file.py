"""Journals of dispatchers as text: a head and one JSON line per step, written and read back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from sojourn.domain.action import DispatcherAction
from sojourn.domain.event import DispatcherEvent
from sojourn.domain.function import FunctionSettings
from sojourn.errors import ConfigurationError, SojournError
from sojourn.estimate.service_time import Resumption
from sojourn.telemetry.journal import Entry

FORM: Final = 1
STEPS_MAX: Final = 50_000_000
_TAKE: Final = "`sojourn journal NAME --output FILE` writes one"
_EVENTS: Final[dict[str, type]] = {kind.__name__: kind for kind in get_args(DispatcherEvent)}
_ACTIONS: Final[dict[str, type]] = {kind.__name__: kind for kind in get_args(DispatcherAction)}


class JournalHead(msgspec.Struct, frozen=True, kw_only=True):
    """The first line.

    Args:
        journal: The form of the file, 1.
        function: Whose steps these are.
        revision: Of which revision.
        settings: The function's options then.
        dropped: Steps that had fallen out before the first one here; 0 if it begins with the function.
        resumed: From where its service times went on; None if nothing was known at its beginning.
    """

    journal: int = FORM
    function: str
    revision: str
    settings: FunctionSettings
    dropped: int = 0
    resumed: Resumption | None = None


class _Line(msgspec.Struct, frozen=True):
    """One step: when, which event with its facts, which actions with theirs."""

    at_s: float
    event: str
    facts: dict[str, Any]
    actions: list[tuple[str, dict[str, Any]]]


class RecordedJournal(msgspec.Struct, frozen=True):
    """A journal read back: its head and its steps, in order of time."""

    head: JournalHead
    steps: list[Entry]


def journal_lines(head: JournalHead, steps: Iterable[Entry]) -> Iterator[bytes]:
    """The lines of a journal, each with its line end."""
    encoder = msgspec.json.Encoder()
    yield encoder.encode(head) + b"\n"
    for at_s, event, actions in steps:
        told = [(type(action).__name__, _facts(action)) for action in actions]
        yield encoder.encode(_Line(at_s, type(event).__name__, _facts(event), told)) + b"\n"


def write_journal(path: Path, head: JournalHead, steps: Iterable[Entry]) -> None:
    """Write a journal.

    Raises:
        SojournError: The file cannot be written.
    """
    try:
        with path.open("wb") as file:
            file.writelines(journal_lines(head, steps))
    except OSError as err:
        raise SojournError(f"cannot write the journal to {path}: {err.strerror or err}") from err


def read_journal(path: Path) -> RecordedJournal:
    """Read what `write_journal` wrote, or a server's `/api/v1/functions/NAME/journal` answered.

    Raises:
        ConfigurationError: The file cannot be read, or a line is not one of a journal; the message names the line.
    """
    try:
        with path.open("rb") as file:
            return _read(file, str(path))
    except OSError as err:
        raise ConfigurationError(f"journal {path}: cannot be read: {err.strerror or err}") from err


def _read(lines: Iterable[bytes], name: str) -> RecordedJournal:
    rows = iter(lines)
    head = _decoded(next(rows, b""), JournalHead, name, 1)
    if head.dropped < 0:
        raise ConfigurationError(f"journal {name}, line 1: dropped must be >= 0, not {head.dropped}")
    if head.journal != FORM:
        raise ConfigurationError(
            f"journal {name}, line 1: form {head.journal} is unknown; this version reads form {FORM}"
        )
    decoder = msgspec.json.Decoder(_Line)
    steps: list[Entry] = []
    before_s = float("-inf")
    for number, row in enumerate(rows, start=2):
        if number > STEPS_MAX:
            raise ConfigurationError(f"journal {name}: more than {STEPS_MAX} steps")
        try:
            line = decoder.decode(row)
            event: Any = msgspec.convert(line.facts, _named(_EVENTS, line.event))
            actions: list[Any] = [msgspec.convert(facts, _named(_ACTIONS, kind)) for kind, facts in line.actions]
        except (msgspec.MsgspecError, ConfigurationError) as err:
            hint = "" if row.endswith(b"\n") else "; the file ends within a line: take it again, or drop the last line"
            raise ConfigurationError(f"journal {name}, line {number}: {err}{hint}") from None
        if not before_s <= line.at_s < float("inf"):
            raise ConfigurationError(f"journal {name}, line {number}: at_s={line.at_s!r} lies before the line above")
        before_s = line.at_s
        steps.append((line.at_s, event, actions))
    return RecordedJournal(head, steps)


def _facts(told: Any) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(told)
    return facts


def _named(kinds: dict[str, type], name: str) -> type:
    found = kinds.get(name)
    if found is None:
        raise ConfigurationError(f"{name[:60]!r} is none of {', '.join(sorted(kinds))}")
    return found


def _decoded(row: bytes, kind: type[JournalHead], name: str, number: int) -> JournalHead:
    try:
        return msgspec.json.decode(row, type=kind)
    except (msgspec.MsgspecError, SojournError) as err:
        raise ConfigurationError(f"journal {name}, line {number}: this is no journal: {err}; {_TAKE}") from None
