"""`sojourn slo export`: objectives of a running server for the tools of others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sojourn.cli.http_call import admin_json
from sojourn.cli.options import admin_url_option
from sojourn.domain.objective import SLO, parse_slo
from sojourn.errors import ClientError

FORMATS = ("prometheus", "sloth", "openslo")


@click.command("export")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--format", "form", type=click.Choice(FORMATS), default="prometheus", show_default=True)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write there [standard output].",
)
@admin_url_option
def export(names: Sequence[str], form: str, output: Path | None, admin_url: str) -> None:
    """Write the objectives of functions NAME (or of all that have one) as YAML.

    prometheus: recording rules and burn-rate alerts, for `rule_files`. sloth: specifications for Sloth. openslo: OpenSLO
    v1, which `sojourn slo import` reads back.
    """
    objectives = _objectives(admin_url, names)
    import yaml  # noqa: PLC0415 (only this command needs it)

    documents = _documents(objectives, form)
    text = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=1000)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as err:
        raise ClientError(f"{output}: cannot be written ({err.strerror})") from err
    click.echo(f"written: {output}")


def _objectives(admin_url: str, names: Sequence[str]) -> dict[str, SLO]:
    found = {
        row["name"]: parse_slo(row["slo"])
        for row in admin_json(admin_url, "/api/v1/functions")["functions"]
        if row["slo"] is not None
    }
    unknown = [name for name in names if name not in found]
    if unknown:
        known = ", ".join(found) or "none"
        raise ClientError(f"no objective is known of {', '.join(unknown)}; functions with one: {known}")
    if not found:
        raise ClientError('no function has an objective; give one with slo="99% < 100ms"')
    return {name: slo for name, slo in found.items() if not names or name in names}


def _documents(objectives: dict[str, SLO], form: str) -> list[dict[str, Any]]:
    if form == "openslo":
        from sojourn.config.openslo import openslo_documents  # noqa: PLC0415 (imports yaml)

        return openslo_documents(objectives)
    from sojourn.telemetry.slo_rules import prometheus_rules, sloth_spec  # noqa: PLC0415 (only here)

    if form == "sloth":
        return [sloth_spec(name, slo) for name, slo in objectives.items()]
    return [prometheus_rules(objectives)]
