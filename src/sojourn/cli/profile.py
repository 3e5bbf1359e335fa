"""`sojourn profile`: measure a function on this machine, and write down what simulation and planning need."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from sojourn.cli.options import admin_url_option, json_option
from sojourn.cli.options import duration as read_duration
from sojourn.cli.profile_source import check_writable, from_server, from_target, place_in, thread_counts
from sojourn.errors import ConfigurationError

if TYPE_CHECKING:
    from sojourn.calibrate.campaign import CampaignOptions
    from sojourn.calibrate.items import Items
    from sojourn.calibrate.traffic import TrafficTransport
    from sojourn.config.profile import Profile
    from sojourn.domain.function import FunctionManifest
    from sojourn.telemetry.journal_file import RecordedJournal

_INTERRUPTED = 130
_Result = TypeVar("_Result")
_BUDGET_S_MIN = 0.1


@click.command("profile")
@click.argument("source", metavar="NAME|TARGET[:NAME]")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="FILE", help="One JSON item per line  [the function's examples]."
)
@click.option(
    "--threads", type=thread_counts, metavar="COUNTS", help="BLAS and OpenMP threads, such as 1,2,4  [its own]."
)
@click.option(
    "--budget",
    type=read_duration,
    metavar="DURATION",
    default="30s",
    show_default=True,
    help="Time for measuring batches; loading comes on top.",
)
@click.option(
    "--starts", type=click.IntRange(0, 100), default=3, show_default=True, help="Cold starts measured of each kind."
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Journal of a server under traffic: transport is told as it is there  [as on an idle machine].",
)
@click.option("--seed", default=1, show_default=True, help="Seed of the order in which sizes are measured.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="The profile  [NAME.profile.json]."
)
@click.option(
    "--import-timeout",
    type=read_duration,
    metavar="DURATION",
    default="60s",
    show_default=True,
    help="How long the import may take.",
)
@json_option
@admin_url_option
def profile(
    source: str,
    *,
    data: Path | None,
    threads: tuple[int, ...] | None,
    budget: float,
    starts: int,
    journal: Path | None,
    seed: int,
    output: Path | None,
    import_timeout: float,
    as_json: bool,
    admin_url: str,
) -> int:
    """Measure a function: NAME of a running server, or one in TARGET, a Python file (app.py) or module (pkg.module).

    Replicas of its own are started on this machine, so that live requests are not disturbed; it uses the processor like
    they do. Batches of 1, 2, 3, 4, 6, 8, 12, ... items are run in random order until their times are known well or the
    budget is spent; then cold starts are. The profile is for simulate, compare and plan.

    SIGINT keeps what was measured until then, marked as partial.

    Exit codes: 0 good, 1 error, 2 wrong usage, 130 interrupted.
    """
    from sojourn.calibrate.campaign import CampaignOptions  # noqa: PLC0415 (`profile --help` must not pay for it)
    from sojourn.cli.profile_view import print_profile  # noqa: PLC0415 (as above)
    from sojourn.config.profile_file import write_profile  # noqa: PLC0415 (as above)

    if budget < _BUDGET_S_MIN:
        raise click.BadParameter(f"must be at least {_BUDGET_S_MIN:g} s", param_hint="--budget")
    place = place_in(source)
    here = Path.cwd()  # a server's function is measured in its directory; what the user names starts from this one
    data = here / data if data is not None else None
    journal = here / journal if journal is not None else None
    output = here / output if output is not None else None
    try:
        given = _given_items(data)
        recorded = _recorded(journal)
        if output is not None:
            check_writable(output)
    except ConfigurationError as err:
        raise click.UsageError(str(err)) from err

    async def manifest_asked() -> FunctionManifest:
        if place is None:
            return await from_server(source, admin_url, import_timeout)
        return await from_target(place, import_timeout)

    manifest = _run(manifest_asked())
    path = output or here / f"{manifest.name}.profile.json"
    check_writable(path)
    traffic = _traffic(journal, recorded, manifest)
    options = CampaignOptions(threads=threads or (), budget_s=budget, starts=starts, seed=seed, traffic=traffic)
    measured, remarks = _measured(manifest, given, options)
    write_profile(path, measured)
    if as_json:
        click.echo(msgspec.json.encode(measured))
    else:
        print_profile(measured)
    for remark in remarks:
        click.echo(f"note: {remark}", err=True)
    if measured.is_partial:
        click.echo("interrupted: the profile holds what was measured until then and is marked as partial", err=True)
    click.echo(f"written: {path}", err=as_json)
    return _INTERRUPTED if measured.is_partial else 0


def _given_items(data: Path | None) -> Items | None:
    from sojourn.calibrate.items import Items  # noqa: PLC0415 (`profile --help` must not pay for it)
    from sojourn.cli.load import read_bodies  # noqa: PLC0415 (as above)

    return Items(read_bodies(data, None), data.name) if data is not None else None


def _recorded(journal: Path | None) -> RecordedJournal | None:
    from sojourn.telemetry.journal_file import read_journal  # noqa: PLC0415 (as above)

    return read_journal(journal) if journal is not None else None


def _traffic(
    journal: Path | None, recorded: RecordedJournal | None, manifest: FunctionManifest
) -> TrafficTransport | None:
    """What the journal tells of transport; None without one."""
    from sojourn.calibrate.traffic import traffic_transport  # noqa: PLC0415 (as above)

    if recorded is None:
        return None
    try:
        found = traffic_transport(recorded, manifest.name)
    except ConfigurationError as err:
        raise click.UsageError(f"--journal {journal}: {err}") from err
    if recorded.head.revision != manifest.revision:
        click.echo(
            f"warning: --journal {journal} is of revision {recorded.head.revision}, measured is {manifest.revision}; results "
            "of another size travel otherwise",
            err=True,
        )
    return found


def _measured(manifest: FunctionManifest, given: Items | None, options: CampaignOptions) -> tuple[Profile, list[str]]:
    """The profile, and what is to be said of it."""
    from sojourn.calibrate.campaign import Campaign  # noqa: PLC0415 (as above)
    from sojourn.calibrate.items import example_items  # noqa: PLC0415 (as above)
    from sojourn.cli.profile_view import ProgressBars, remarks_on  # noqa: PLC0415 (as above)
    from sojourn.cli.signals import StopSignals, ended_before  # noqa: PLC0415 (as above)
    from sojourn.telemetry.log import EventLog  # noqa: PLC0415 (as above)

    try:
        items = given or example_items(manifest)
    except ConfigurationError as err:
        raise click.UsageError(str(err)) from err

    async def measure() -> Campaign:
        signals = StopSignals()
        signals.install()
        try:
            with ProgressBars() as bars:
                campaign = Campaign(manifest, items, options, bars.show, EventLog(log_level="warning"))
                await ended_before(signals.first, campaign.run(), "profile")
        finally:
            signals.remove()
        return campaign

    campaign = _run(measure())
    measured = campaign.profile()
    return measured, remarks_on(measured, campaign.left_out)


def _run(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run it on the kind of event loop that serves, whose share in the times is the same then."""
    import uvloop  # noqa: PLC0415 (as above)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
