"""`sojourn workload kinds`: what `--arrivals` understands."""

from __future__ import annotations

import click
import msgspec

from sojourn.cli.options import json_option
from sojourn.workload.kinds import KINDS


@click.command("kinds")
@json_option
def kinds(as_json: bool) -> None:  # noqa: FBT001 (click calls by name)
    """List the kinds of arrivals for --arrivals, with their parameters and defaults."""
    if as_json:
        listed = [
            {
                "kind": kind.name,
                "about": kind.about,
                "parameters": [
                    {"name": parameter.name, "default": parameter.default or None, "about": parameter.about}
                    for parameter in kind.parameters
                ],
            }
            for kind in KINDS.values()
        ]
        click.echo(msgspec.json.format(msgspec.json.encode({"kinds": listed})))
        return
    for kind in KINDS.values():
        click.echo(f"{kind.written}: {kind.about}")
        for parameter in kind.parameters:
            default = f" [{parameter.default}]" if parameter.default else ""
            click.echo(f"    {parameter.name:<10}{parameter.about}{default}")
    click.echo("Write KIND:name=value,name=value, such as diurnal:swing=0.6,period=1h or trace:FILE,speedup=10.")
