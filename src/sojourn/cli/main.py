"""The `sojourn` command: finds the subcommand, and turns how it ended into an exit code.

Exit codes: 0 good, 1 error, 2 usage, 3 objective missed, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from sojourn import __version__
from sojourn.cli.lazy import LazyGroup
from sojourn.cli.output import abandon_stdout
from sojourn.errors import SojournError

GOOD, ERROR, USAGE, OBJECTIVE_MISSED, INTERRUPTED = 0, 1, 2, 3, 130

_COMMANDS = {
    "init": ("sojourn.cli.init:init", "Write a first app.py to serve."),
    "dev": ("sojourn.cli.dev:dev", "Serve a file while you write it: every save at once."),
    "serve": ("sojourn.cli.serve:serve", "Serve the functions of a file or module."),
    "deploy": ("sojourn.cli.deploy:deploy", "Give a source tree to a running server, at once or as a canary."),
    "rollout": ("sojourn.cli.rollout:rollout", "Show how far a function's new revision has come, and why."),
    "rollback": ("sojourn.cli.rollback:rollback", "Give a function's traffic back to an earlier revision."),
    "history": ("sojourn.cli.history:history", "List the revisions of a function."),
    "delete": ("sojourn.cli.delete:delete", "Take a deployed function from the server."),
    "invoke": ("sojourn.cli.invoke:invoke", "Call a function once."),
    "list": ("sojourn.cli.list:list_functions", "List the functions of a running server."),
    "describe": ("sojourn.cli.describe:describe_function", "Show all there is to know of one function."),
    "scale": ("sojourn.cli.scale:scale", "Set how many replicas a function has at least and at most."),
    "top": ("sojourn.cli.top:top", "Watch the functions of a running server."),
    "events": ("sojourn.cli.events:events", "Show what happened to functions and replicas, and why."),
    "slo": ("sojourn.cli.slo:slo", "Are objectives held? Budgets, alerts, causes; export and import."),
    "trace": ("sojourn.cli.trace:trace", "Show where the time of one request went, and why."),
    "key": ("sojourn.cli.key:key", "Make, list and revoke the keys of a server."),
    "logs": ("sojourn.cli.logs:logs", "Show what a function's replicas wrote last."),
    "journal": ("sojourn.cli.journal:journal", "Get the last decisions for a function, to be played again."),
    "replay": ("sojourn.cli.replay:replay", "Play a journal again, or its traffic under other policies."),
    "load": ("sojourn.cli.load:load", "Drive a URL with open-loop load and measure honestly."),
    "profile": ("sojourn.cli.profile:profile", "Measure a function's service times and cold starts for simulation."),
    "workload": ("sojourn.cli.workload:workload", "Measure recorded traffic; list the kinds of arrivals."),
    "simulate": ("sojourn.cli.simulate:simulate", "Try a function in virtual time: any traffic, policies and pool."),
    "compare": ("sojourn.cli.compare:compare", "Compare policies on the same traffic, with evidence and limits."),
    "plan": ("sojourn.cli.plan:plan", "Find the smallest pool, or the most traffic a pool carries."),
    "state": ("sojourn.cli.state:state", "Back up, restore and check what outlives a server."),
    "demo": ("sojourn.cli.demo:demo", "See a real model hold its objective through a burst."),
    "completion": ("sojourn.cli.completion:completion", "Let a shell complete commands and functions."),
    "doctor": ("sojourn.cli.doctor:doctor", "Check this machine for what a server needs."),
}


@click.group(
    cls=LazyGroup,
    commands_at=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="sojourn")
def cli() -> None:
    """State a latency objective for a model; Sojourn forms batches that hold it and measures whether it was held."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. Errors of ours are one message, never a traceback."""
    try:
        code = cli.main(args=list(arguments), prog_name="sojourn", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as err:
        err.show()
        return err.exit_code
    except SojournError as err:
        click.echo(f"error: {err}", err=True)
        return ERROR
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough (`sojourn logs digits | head`).
        abandon_stdout()
        return ERROR
    return code if isinstance(code, int) else GOOD


def main() -> None:
    """Entry point of the `sojourn` script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
