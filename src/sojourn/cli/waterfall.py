"""How `sojourn trace` draws a request: a bar per phase on one axis of time, then the story in words."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from sojourn.cli.function_table import clock_text
from sojourn.report.axis import duration_text
from sojourn.telemetry.log import escaped, shown
from sojourn.telemetry.request_trace import BatchTrace, Phase, RequestTrace

_NAME_CHARACTERS, _TIME_CHARACTERS = 10, 10
_BAR_CHARACTERS_MIN = 20
_MATES_SHOWN = 8
_STYLE_OF_PHASE = {"cold_wait": "blue", "retry": "red", "queue": "yellow", "service": "green", "write": "dim"}


def bar_of(phase: Phase, total_s: float, width: int) -> tuple[int, int]:
    """Where the bar of a phase begins and how long it is, in characters: never past `width`, never shorter than one."""
    if total_s <= 0:
        return 0, 1
    begin = min(int(phase.begins_s / total_s * width), width - 1)
    end = min(round((phase.begins_s + phase.duration_s) / total_s * width), width)
    return begin, max(end - begin, 1)


def waterfall_of(told: RequestTrace, width: int, *, is_plain: bool) -> RenderableType:
    """A request for a terminal of `width` characters."""
    return Group(*_lines(told, width, is_plain=is_plain))


def _lines(told: RequestTrace, width: int, *, is_plain: bool) -> Iterator[Text]:
    yield Text.assemble(
        (f"request {escaped(told.request_id)}", "bold"),
        f"  {escaped(told.function)} revision {told.revision}  {clock_text(told.arrived_at)}",
    )
    for sentence in told.sentences:
        yield Text(escaped(sentence))
    yield Text()
    if told.phases:
        yield from _bars(
            told, max(width - _NAME_CHARACTERS - _TIME_CHARACTERS - 3, _BAR_CHARACTERS_MIN), is_plain=is_plain
        )
        yield Text()
    if told.batch is not None:
        batch = told.batch
        yield Text(f"batch {batch.batch_id} of {batch.size} on replica {batch.replica_id}{_mates(batch)}")
    if told.cause is not None:
        yield Text(f"counted as bad because of: {told.cause.value.replace('_', ' ')}")
    yield Text(f"trace {told.trace_id} span {told.span_id}", "dim")
    if told.events:
        yield Text()
        yield Text("meanwhile", "bold")
    for event in told.events:
        fields = " ".join(f"{escaped(name)}={shown(value)}" for name, value in event.fields.items() if name != "terms")
        yield Text(f"  {clock_text(event.at)} {escaped(event.event)} {fields}")


def _bars(told: RequestTrace, width: int, *, is_plain: bool) -> Iterator[Text]:
    total_s = max([told.latency_s, *(phase.begins_s + phase.duration_s for phase in told.phases)])
    mark = None
    if told.objective_s is not None and 0 < told.objective_s < total_s:
        mark = min(int(told.objective_s / total_s * width), width - 1)
    for phase in told.phases:
        begin, length = bar_of(phase, total_s, width)
        cells = [" "] * width
        if mark is not None:
            cells[mark] = ":"
        cells[begin : begin + length] = ("#" if is_plain else "█") * length
        yield Text.assemble(
            f"{phase.name:<{_NAME_CHARACTERS}} ",
            ("".join(cells), _STYLE_OF_PHASE.get(phase.name, "cyan")),
            f" {duration_text(phase.duration_s):>{_TIME_CHARACTERS}}",
        )
    if told.phases and told.phases[-1].name == "write":
        yield Text("write comes after the latency: until the client had taken the answer", "dim")
    if mark is not None and told.objective_s is not None:
        label = f"objective {duration_text(told.objective_s)}"
        at = min(mark, max(width - len(label) - 2, 0))
        yield Text(" " * (_NAME_CHARACTERS + 1 + at) + f": {label}", "dim")


def _mates(batch: BatchTrace) -> str:
    if batch.size <= 1:
        return ", alone"
    named = [escaped(mate) for mate in batch.mates[:_MATES_SHOWN] if mate]
    others = batch.size - 1 - len(named)
    if not named:
        return f", with {others} other{'s' if others > 1 else ''}"
    return f", with {', '.join(named)}{f' and {others} more' if others else ''}"
