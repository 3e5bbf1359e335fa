"""`sojourn workload`: the group of commands about when requests arrive."""

from __future__ import annotations

import click

from sojourn.cli.lazy import LazyGroup

_COMMANDS = {
    "fit": ("sojourn.cli.workload_fit:fit", "Measure recorded arrivals, find the generator that fits, write a twin."),
    "kinds": ("sojourn.cli.workload_kinds:kinds", "List the kinds of arrivals and their parameters."),
}


@click.group("workload", cls=LazyGroup, commands_at=_COMMANDS)
def workload() -> None:
    """What is traffic like, and how can it be made again?"""
