"""`sojourn completion`: the script that lets a shell complete commands, options and names of functions."""

from __future__ import annotations

import json
import os

import click
from click.shell_completion import CompletionItem, get_completion_class

from sojourn.errors import SojournError

_VARIABLE = "_SOJOURN_COMPLETE"
_WHERE = {
    "bash": 'eval "$(sojourn completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(sojourn completion zsh)"   # in ~/.zshrc',
    "fish": "sojourn completion fish | source   # in ~/.config/fish/config.fish",
}
_ASK_WITHIN_S = 0.5


@click.command(epilog="\b\n" + "\n".join(_WHERE.values()))
@click.argument("shell", type=click.Choice(list(_WHERE)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script by which SHELL completes `sojourn`: commands, options, and functions of the running server."""
    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    click.echo(found(ctx.find_root().command, {}, "sojourn", _VARIABLE).source())


def function_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 (click's signature)
    """Names of the server's functions that begin so; none if it does not answer at once."""
    from sojourn.cli.http_call import DEFAULT_ADMIN_URL, call  # noqa: PLC0415 (only completion pays for it)

    url = str(ctx.params.get("admin_url") or os.environ.get("SOJOURN_ADMIN_URL") or DEFAULT_ADMIN_URL)
    try:
        answer = call("GET", url, "/api/v1/functions", timeout_s=_ASK_WITHIN_S)
        names = [str(row["name"]) for row in json.loads(answer.body)["functions"]]
    except (SojournError, ValueError, KeyError, TypeError):
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
