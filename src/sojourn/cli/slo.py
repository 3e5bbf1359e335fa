"""`sojourn slo`: the group of commands about objectives."""

from __future__ import annotations

import click

from sojourn.cli.lazy import LazyGroup

_COMMANDS = {
    "show": ("sojourn.cli.slo_show:show", "Show how objectives stand: attainment, error budget, alerts, causes."),
    "export": ("sojourn.cli.slo_export:export", "Write objectives as rules of Prometheus, as Sloth or OpenSLO."),
    "import": ("sojourn.cli.slo_import:import_objectives", "Read OpenSLO objectives into sojourn.toml."),
}


@click.group("slo", cls=LazyGroup, commands_at=_COMMANDS)
def slo() -> None:
    """Are objectives held, how much error budget is left, and what used it up?"""
