"""`sojourn doctor`: looks at this machine for what a server needs, and says what to do where it is lacking."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import click
import msgspec

from sojourn.cli.options import json_option


class Finding(msgspec.Struct, frozen=True):
    """One line of the report.

    Args:
        check: What was looked at.
        verdict: `ok`, `warn` (works, but not well) or `fail` (a server would not run).
        found: What is there.
        remedy: What to do about it; empty if nothing.
    """

    check: str
    verdict: str
    found: str
    remedy: str = ""


@click.command()
@json_option
def doctor(as_json: bool) -> int:  # noqa: FBT001 (click calls by name)
    """Check Python, packages, sockets, limits, ports and the state directory; exit 1 if something must be fixed."""
    from sojourn.cli.examinations import examine  # noqa: PLC0415 (only when it runs)

    findings = list(examine(os.environ))
    is_fit = all(finding.verdict != "fail" for finding in findings)
    if as_json:
        report = {"ok": is_fit, "findings": [msgspec.to_builtins(finding) for finding in findings]}
        click.echo(json.dumps(report, indent=2))
    else:
        for line in _lines(findings):
            click.echo(line)
    return 0 if is_fit else 1


def _lines(findings: list[Finding]) -> Iterator[str]:
    colour = {"ok": "green", "warn": "yellow", "fail": "red"}
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        verdict = click.style(f"{finding.verdict:<4}", fg=colour[finding.verdict])
        yield f"{verdict}  {finding.check:<{width}}  {finding.found}"
        if finding.remedy:
            yield f"      {'':<{width}}  -> {finding.remedy}"
