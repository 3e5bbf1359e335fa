"""`sojourn workload fit`: what recorded arrivals are like, and a synthetic twin of them."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import click
import msgspec

from sojourn.cli.options import json_option, report_file
from sojourn.domain.wording import counted
from sojourn.errors import ConfigurationError
from sojourn.workload.fit import Fit, fit_trace
from sojourn.workload.trace import Trace
from sojourn.workload.trace_file import read_trace, write_trace
from sojourn.workload.twin import twin_of


@click.command("fit")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--function", "names", multiple=True, metavar="NAME", help="Only this function; may be repeated.")
@click.option("--twin", type=report_file, metavar="OUT.csv", help="Write a synthetic twin.")
@click.option("--seed", default=1, show_default=True, help="Seed of the twin.")
@click.option(
    "--top", type=click.IntRange(min=1), default=20, show_default=True, help="Functions shown, those called most first."
)
@json_option
def fit(
    file: Path,
    *,
    names: tuple[str, ...],
    twin: Path | None,
    seed: int,
    top: int,
    as_json: bool,
) -> None:
    """Measure the arrivals recorded in FILE, per function and in all.

    FILE is a CSV file: one row per request (t_s[,function]), one column per function (minute,a,b,...), or one row
    per function (..,1,2,3,.. as in the Azure Functions traces). The last column shows what to give to --arrivals
    for traffic like it. A twin has the same mean, profile, dispersion and memory, drawn anew.
    """
    if twin is not None and twin.exists() and file.exists() and twin.samefile(file):
        raise click.UsageError(f"--twin {twin} would overwrite the recording; write it elsewhere")
    recorded = read_trace(file, functions=names or None)
    try:
        measured = fit_trace(recorded)
    except ConfigurationError as err:
        raise ConfigurationError(f"{file}: {err}") from err
    drawn = None
    if twin is not None:
        drawn = _with_progress(recorded, Random(seed))  # noqa: S311 - arrivals are no secret
        write_trace(drawn, twin)
    twin_measured = fit_trace(drawn) if drawn is not None else None
    if as_json:
        fields = _fields(file, measured) | {"twin": None}
        if twin is not None and twin_measured is not None:
            fields["twin"] = _fields(twin, twin_measured) | {"seed": seed}
        click.echo(msgspec.json.format(msgspec.json.encode(fields)))
        return
    _print(measured, twin_measured, top)
    if twin is not None:
        click.echo(f"twin: {twin} (seed {seed})")


def _fields(file: Path, measured: Fit) -> dict[str, Any]:
    return {"file": str(file), **msgspec.to_builtins(measured)}


def _with_progress(recorded: Trace, rng: Random) -> Trace:
    from rich.console import Console  # noqa: PLC0415 (rich takes 30 ms; only a twin takes long)
    from rich.progress import Progress  # noqa: PLC0415 (as above)

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("drawing the twin", total=len(recorded.functions))
        return twin_of(recorded, rng, on_function=lambda _: progress.advance(task))


def _print(measured: Fit, twin: Fit | None, top: int) -> None:
    from sojourn.cli.function_table import output_console  # noqa: PLC0415 (as above)
    from sojourn.cli.workload_text import functions_of, summary_of  # noqa: PLC0415 (as above)

    console = output_console()
    console.print(summary_of(measured, twin))
    if len(measured.functions) > 1:
        console.print(functions_of(measured, twin, top))
        if len(measured.functions) > top:
            console.print(
                f"{counted(len(measured.functions) - top, 'more function')}; --top {len(measured.functions)} shows all"
            )
