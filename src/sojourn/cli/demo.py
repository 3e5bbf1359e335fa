"""`sojourn demo`: a real model, on real input, holds its objective through a burst, and we check every answer."""

from __future__ import annotations

import signal
import sys
from bisect import bisect_left
from pathlib import Path
from random import Random
from types import FrameType

import click
import msgspec
from rich.console import Console

from sojourn.cli.demo_images import Examiner, app_file, held_out
from sojourn.cli.demo_view import DemoView, Phase
from sojourn.cli.load import exit_code
from sojourn.cli.load_report import print_result, replica_rows, write_report
from sojourn.cli.options import duration as read_duration
from sojourn.cli.options import rate as read_rate
from sojourn.cli.options import report_file
from sojourn.cli.replica_use import replica_use
from sojourn.client.server_process import ServerProcess
from sojourn.domain.objective import SLO, parse_slo
from sojourn.errors import TargetError
from sojourn.loadgen.closed import measure_capacity
from sojourn.loadgen.generator import LoadRun
from sojourn.loadgen.result import LoadResult, summarize
from sojourn.loadgen.run import run_load
from sojourn.loadgen.target import Target, parse_target
from sojourn.report.axis import share_text
from sojourn.report.statistics import mean_batch_size
from sojourn.workload.arrivals import steps

SLO_TEXT = "99% < 50ms"  # what examples/digits.py declares
_FUNCTION = "digits"
_REPORT = "out/demo.html"
_CALIBRATION_S = 3.0
# The burst is the rate at which this many callers who never pause are answered. An open loop at that rate has
# about as many requests in flight (Little's law): batches of half of them, at half to two thirds of what is possible.
_CALLERS = 10
_STEADY_SHARE = 0.15  # of the burst
_BURST_MIN_PER_S, _BURST_MAX_PER_S = 200.0, 8000.0  # the generator shares the cores, and must not be the late one


@click.command()
@click.option("--rate", type=read_rate, metavar="PER_SECOND", help="Steady arrival rate  [default: measured].")
@click.option("--burst", type=read_rate, metavar="PER_SECOND", help="Arrival rate of the burst  [default: measured].")
@click.option(
    "--duration",
    type=read_duration,
    metavar="DURATION",
    default="39s",
    show_default=True,
    help="Steady, burst, steady: a third each.",
)
@click.option("--seed", default=1, show_default=True, help="Seed of the arrivals.")
@click.option("--app", type=click.Path(path_type=Path), help="The function to serve  [default: examples/digits.py]")
@click.option("--html", type=click.Path(path_type=Path), default=_REPORT, show_default=True, help="The report.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def demo(
    *,
    rate: float | None,
    burst: float | None,
    duration: float,
    seed: int,
    app: Path | None,
    html: Path,
    as_json: bool,
) -> int:
    """Serve a digit classifier through a burst of traffic and check every answer.

    Three seconds at the start measure how much ten callers get through here; then come a stretch at a small part
    of that rate, a burst at all of it, and a small part again. Generator and server share the machine.

    Exit codes: 0 good, 1 error, wrong answers or a void run, 2 wrong usage, 3 objective missed.
    """
    console = Console(stderr=as_json)
    app_path = app_file(app)
    if html == Path(_REPORT):
        html.parent.mkdir(exist_ok=True)  # nobody named it, so that nobody can have made it
    else:
        html = report_file(html)
    slo = parse_slo(SLO_TEXT)
    signal.signal(signal.SIGTERM, _interrupt)  # so that the server is stopped on the way out
    console.print(f"Training on handwritten digits and serving them, objective {slo} ...", highlight=False)
    examiner = Examiner(held_out(app_path))
    with ServerProcess(app_path) as server:
        if _FUNCTION not in server.functions:
            raise TargetError(f"{app_path} serves {', '.join(server.functions)}, not {_FUNCTION!r}")
        target = parse_target(f"{server.url}/functions/{_FUNCTION}")
        if rate is None or burst is None:
            measured_rate, measured_burst = _calibrated(console, target, examiner)
            rate, burst = rate or measured_rate, burst or measured_burst
        phases = [
            Phase(name, per_s, duration / 3) for name, per_s in (("steady", rate), ("burst", burst), ("steady", rate))
        ]
        run = _run(console, target, phases, slo, examiner, seed)
        use = replica_use(server.admin_url, _FUNCTION)
    result = summarize(run, duration_s=duration, slo=slo)
    batch_size_burst = _batch_size_between(run, duration / 3, 2 * duration / 3)
    extra = [
        ("accuracy", share_text(examiner.accuracy)),
        ("answers checked", f"{examiner.checked:,}"),
        ("mean batch in the burst", "n/a" if batch_size_burst is None else f"{batch_size_burst:.1f}"),
        *replica_rows(use),
    ]
    write_report(
        html,
        run,
        result,
        title="Sojourn demo: handwritten digits through a burst",
        subtitle=f"{rate:,g} requests per second, then {burst:,g}, then {rate:,g}; held-out images, every answer checked",
        slo=slo,
        extra=extra,
    )
    if as_json:
        fields = msgspec.to_builtins(result) | msgspec.to_builtins(use)
        fields |= {"accuracy": examiner.accuracy, "answers_checked": examiner.checked}
        fields |= {"steady_per_s": rate, "burst_per_s": burst, "batch_size_mean_burst": batch_size_burst}
        sys.stdout.buffer.write(msgspec.json.encode(fields) + b"\n")
    else:
        print_result(console, result, extra)
        console.print(_alignment(result, examiner), highlight=False)
        console.print(f"report: {html}", highlight=False)
    return 1 if result.mismatched else exit_code(result)


def _calibrated(console: Console, target: Target, examiner: Examiner) -> tuple[float, float]:
    """Steady and burst rate for this machine as it is now, per second."""
    console.print(f"Measuring for {_CALIBRATION_S:g} s what this machine carries ...", highlight=False)
    measured_per_s = measure_capacity(target, examiner.body, callers=_CALLERS, duration_s=_CALIBRATION_S)
    burst_per_s = min(max(_round(measured_per_s), _BURST_MIN_PER_S), _BURST_MAX_PER_S)
    rate_per_s = _round(burst_per_s * _STEADY_SHARE)
    console.print(
        f"{_CALLERS} callers who never pause get {_round(measured_per_s):,g} answers per second. "
        f"Now {rate_per_s:,g}/s, a burst of {burst_per_s:,g}/s, and {rate_per_s:,g}/s again.",
        highlight=False,
        soft_wrap=True,
    )
    return rate_per_s, burst_per_s


def _round(rate_per_s: float) -> float:
    """Two digits are enough of a measured rate."""
    return float(f"{rate_per_s:.2g}")


def _run(console: Console, target: Target, phases: list[Phase], slo: SLO, examiner: Examiner, seed: int) -> LoadRun:
    arrivals = steps([(phase.rate_per_s, phase.duration_s) for phase in phases], Random(seed))  # noqa: S311 - arrivals are no secret
    with DemoView(console, phases, slo) as view:
        return run_load(target, arrivals, examiner.body, check=examiner.check, on_progress=view.show)


def _batch_size_between(run: LoadRun, from_s: float, to_s: float) -> float | None:
    """Mean size of the batches of one stretch, so that a quiet one does not hide what a burst does to them."""
    log = run.log
    rows = range(bisect_left(log.intended_at_s, from_s), bisect_left(log.intended_at_s, to_s))
    return mean_batch_size(log.batch_size[row] for row in rows)


def _alignment(result: LoadResult, examiner: Examiner) -> str:
    if result.mismatched:
        return f"[bold red]{result.mismatched:,} answers did not belong to their image.[/]"
    return f"Each of {examiner.checked:,} answers belonged to its own image."


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # As Ctrl-C does: asyncio turns that one, and no other signal, into an orderly end of what it runs.
    signal.raise_signal(signal.SIGINT)
