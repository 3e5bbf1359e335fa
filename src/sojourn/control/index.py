"""The page at `/`: what is served here and where to look, in plain HTML."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from sojourn.report.axis import share_text
from sojourn.telemetry.status import FunctionStatus

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sojourn</title><link rel="icon" href="data:,"></head>
<body>
<h1>Sojourn</h1>
<p>Version {version}. Machine-readable: <a href="/api/v1/functions">functions</a>,
<a href="/api/v1/events">events</a>, <a href="/metrics">metrics</a>, <a href="/healthz">health</a>. Described at <a href="/docs">/docs</a>.</p>
<h2>Functions</h2>
{functions}
</body>
</html>
"""


def index_page(functions: list[FunctionStatus], version: str) -> str:
    """The page for these functions."""
    if not functions:
        return _PAGE.format(version=escape(version), functions="<p>No function is deployed.</p>")
    rows = "\n".join(_row(status) for status in functions)
    table = (
        "<table>\n<thead><tr><th>Function</th><th>Revision</th><th>Objective</th><th>Within</th>"
        f"<th>Replicas ready</th><th>Queued</th><th>Output</th></tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    )
    return _PAGE.format(version=escape(version), functions=table)


def _row(status: FunctionStatus) -> str:
    link = f"/api/v1/functions/{quote(status.name, safe='')}"
    within = "-" if status.within_slo is None else share_text(status.within_slo)
    objective = status.slo or "none"
    if status.infeasible:
        objective += f" (cannot be met: {status.infeasible})"
    cells = [
        f'<a href="{link}">{escape(status.name)}</a>',
        escape(status.revision),
        escape(objective),
        within,
        str({str(state): count for state, count in status.replicas.items()}.get("ready", 0)),
        str(status.queue_depth),
        f'<a href="{link}/logs">last lines</a>',
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
