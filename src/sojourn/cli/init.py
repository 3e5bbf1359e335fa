"""`sojourn init`: a first application that serves, from a template."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

import click

from sojourn.cli.output import own_command
from sojourn.errors import ConfigurationError


class _Template(NamedTuple):
    """What the README of a template tells: a title, the function's name, an item, its objective, what it needs."""

    title: str
    function: str
    item: str
    slo: str
    needs: str = ""


_TEMPLATES: Final = {
    "minimal": _Template("A first function", "shout", '"hello"', "100ms"),
    "sklearn": _Template(
        "A scikit-learn classifier",
        "iris",
        '{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}',
        "100ms",
        "scikit-learn",
    ),
    "torch": _Template("A PyTorch model", "score", f"[{', '.join(['0.5'] * 16)}]", "100ms", "torch"),
    "async": _Template("A function that waits for others", "resolve", '"localhost"', "300ms"),
}


@click.command()
@click.argument("directory", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--template",
    "-t",
    type=click.Choice(list(_TEMPLATES)),
    default="minimal",
    show_default=True,
    help="What to begin with.",
)
def init(directory: Path, template: str) -> None:
    """Write an app.py, a test of it and a README.md to DIRECTORY (the current one by default).

    Nothing is overwritten: other files that are there stay; an app.py that is there ends this with an error.
    """
    if (directory / "app.py").exists():
        raise ConfigurationError(
            f"{directory / 'app.py'} is already there and was left alone; name another directory, or serve it"
        )
    written, left = [], []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in _files(template).items():
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
    if needs := _TEMPLATES[template].needs:
        click.echo(f"needs: {needs}, in the environment of the server")
    place = "" if directory == Path() else f"cd {shlex.quote(str(directory))} && "
    click.echo(f"next: {place}{own_command()} dev app.py")


def _files(name: str) -> dict[str, str]:
    """Text by file name; stored as `.txt`, since what they import need not be installed where this is."""
    root, told = files("sojourn.cli") / "templates", _TEMPLATES[name]
    readme = (root / "README.md.txt").read_text(encoding="utf-8")
    return {
        "app.py": (root / name / "app.py.txt").read_text(encoding="utf-8"),
        "test_app.py": (root / name / "test_app.py.txt").read_text(encoding="utf-8"),
        "README.md": readme.format(title=told.title, function=told.function, item=told.item, slo=told.slo),
        "pytest.ini": "[pytest]\npythonpath = .\n",
        ".sojournignore": (root / "sojournignore.txt").read_text(encoding="utf-8"),
    }
