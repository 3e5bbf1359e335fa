"""`sojourn completion`: the script that lets a shell complete commands, options, names of functions and revisions."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote

import click
from click.shell_completion import CompletionItem, get_completion_class

from sojourn.errors import SojournError

_VARIABLE = "_SOJOURN_COMPLETE"
_WHERE = {
    "bash": 'eval "$(sojourn completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(sojourn completion zsh)"   # in ~/.zshrc',
    "fish": "sojourn completion fish | source   # in ~/.config/fish/config.fish",
}
# By itself bash takes name@revision apart: what stands behind the @ would be completed as a word of its own.
_BASH_FIRST = "COMP_WORDBREAKS=${COMP_WORDBREAKS//@/}"
_RUNNING = {"live", "candidate"}
_ASK_WITHIN_S = 0.5


@click.command(epilog="\b\n" + "\n".join(_WHERE.values()))
@click.argument("shell", type=click.Choice(list(_WHERE)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script by which SHELL completes `sojourn`: commands, options, functions and revisions of the running server."""
    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    if shell == "bash":
        click.echo(_BASH_FIRST)
    click.echo(found(ctx.find_root().command, {}, "sojourn", _VARIABLE).source())


def function_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 (click's signature)
    """Names of the server's functions that begin so; none if it does not answer at once."""
    names = [str(row["name"]) for row in _asked(ctx, "/api/v1/functions", "functions")]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def called_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What can be called: names of functions, and behind an @ the revisions of one that run."""
    name, at, revision = incomplete.partition("@")
    if not at:
        return function_names(ctx, parameter, incomplete)
    return [
        CompletionItem(f"{name}@{row['revision']}", help=_told(row))
        for row in _revisions(ctx, name)
        if row.get("role") in _RUNNING and str(row["revision"]).startswith(revision)
    ]


def earlier_revisions(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 (as above)
    """Revisions that the function named before could go back to, the latest first."""
    return [
        CompletionItem(str(row["revision"]), help=_told(row))
        for row in _revisions(ctx, str(ctx.params.get("name") or ""))
        if row.get("role") != "live" and str(row["revision"]).startswith(incomplete)
    ]


def _told(row: dict[str, Any]) -> str:
    """A revision in a few words, for shells that show them."""
    return ", ".join(str(row[key]) for key in ("role", "outcome", "created_at") if row.get(key))


def _revisions(ctx: click.Context, name: str) -> list[dict[str, Any]]:
    return _asked(ctx, f"/api/v1/functions/{quote(name, safe='')}/revisions", "revisions") if name else []


def _asked(ctx: click.Context, path: str, key: str) -> list[dict[str, Any]]:
    """A list that the server tells; empty if it does not answer at once, or says no."""
    from sojourn.cli.http_call import DEFAULT_ADMIN_URL, call  # noqa: PLC0415 (only completion pays for it)

    url = str(ctx.params.get("admin_url") or os.environ.get("SOJOURN_ADMIN_URL") or DEFAULT_ADMIN_URL)
    try:
        rows = json.loads(call("GET", url, path, timeout_s=_ASK_WITHIN_S).body)[key]
    except (SojournError, ValueError, KeyError, TypeError):
        return []
    return [row for row in rows if isinstance(row, dict)]
