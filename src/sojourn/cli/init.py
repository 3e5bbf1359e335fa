"""`sojourn init`: a first application that serves."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from sojourn.cli.output import own_command
from sojourn.errors import ConfigurationError

_APP = '''"""A function to serve: `sojourn serve app.py`."""

import sojourn


@sojourn.function(slo="99% < 100ms", max_batch_size=32)
class Shout:
    """Shouts a text. Put a model in its place."""

    def __init__(self) -> None:
        # Runs once in each replica: load the model here.
        self.ending = "!"

    def __call__(self, texts: list[str]) -> list[str]:
        # Callers send one text each; Sojourn hands over as many as the objective allows.
        return [text.upper() + self.ending for text in texts]
'''

_README = """# A first function

Serve it, and call it from another terminal:

    sojourn serve app.py
    sojourn invoke shout '"hello"'

See how it holds its objective under 200 requests per second for ten seconds:

    sojourn load http://127.0.0.1:8080/functions/shout --rate 200 --duration 10 --body '"hello"' --slo 100ms

`sojourn list` shows what is running; http://127.0.0.1:8081/metrics is for Prometheus.
"""

_FILES = {"app.py": _APP, "README.md": _README}


@click.command()
@click.argument("directory", default=".", type=click.Path(file_okay=False, path_type=Path))
def init(directory: Path) -> None:
    """Write a minimal app.py, and a README.md about it, to DIRECTORY (the current one by default).

    Nothing is overwritten: a README.md that is there stays; an app.py that is there ends this with an error.
    """
    if (directory / "app.py").exists():
        raise ConfigurationError(
            f"{directory / 'app.py'} is already there and was left alone; name another directory, or serve it"
        )
    written, left = [], []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in _FILES.items():
            try:
                # "x": what appeared meanwhile is not overwritten either.
                with (directory / name).open("x", encoding="utf-8") as file:
                    file.write(text)
                written.append(str(directory / name))
            except FileExistsError:
                left.append(str(directory / name))
    except OSError as err:
        raise ConfigurationError(f"cannot write to {directory}: {err.strerror}; name another directory") from err
    click.echo(f"wrote {', '.join(written)}")
    if left:
        click.echo(f"left alone {', '.join(left)} (already there)")
    place = "" if directory == Path() else f"cd {shlex.quote(str(directory))} && "
    click.echo(f"next: {place}{own_command()} serve app.py")
