"""A real server on free ports, for as long as a test needs it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from sojourn.client.blocking import Client
from sojourn.client.server_process import ServerProcess
from sojourn.errors import ConfigurationError
from sojourn.testing.loaded import declaration_of

_IMPORT: Final = '''"""Serves functions that a test names."""

import importlib.util
import sys

sys.path[:] = [*{path!r}, *(entry for entry in sys.path if entry not in {path!r})]


def module_of(name, file):
    """By its name where that finds the same file, as packages need it; else by its file, as tests are loaded."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is not None and found.origin == file:
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


'''


@contextmanager
def serve(
    *what: str | Path | ModuleType | Callable[..., Any],
    options: Sequence[str] = (),
    start_timeout_s: float = 90.0,
) -> Iterator[Client]:
    """Run a server while inside, and give a client of it.

    It is a `sojourn serve` in a process of its own, with replicas as in production, on ports that are free; it keeps
    nothing behind.

    Args:
        what: A file such as `"app.py"`, a module, or classes and functions declared at the top level of their module.
        options: Further options of `sojourn serve`.
        start_timeout_s: Patience until it is ready, in seconds, > 0.

    Raises:
        ConfigurationError: What is to be served cannot be.
        StartError: The server did not start; the message has the end of its log.
    """
    with tempfile.TemporaryDirectory(prefix="sojourn-testing-") as directory:
        environment = {"XDG_STATE_HOME": directory}
        target = _target(what, Path(directory), environment)
        server = ServerProcess(target, environment=environment, options=options, start_timeout_s=start_timeout_s)
        with server, Client(server.url, server.admin_url, api_key="") as client:
            yield client


def _target(what: Sequence[Any], directory: Path, environment: dict[str, str]) -> str:
    if len(what) == 1 and isinstance(what[0], (str, Path)):
        return str(what[0])
    if len(what) == 1 and isinstance(what[0], ModuleType):
        return _module_target(what[0], environment)
    if not what or any(isinstance(one, (str, Path, ModuleType)) for one in what):
        raise ConfigurationError("serve takes one file, one module, or any number of declared classes and functions")
    file = directory / "served_by_test.py"
    file.write_text(_source(what))
    return str(file)


def _module_target(module: ModuleType, environment: dict[str, str]) -> str:
    file = getattr(module, "__file__", None)
    if file is None:
        raise ConfigurationError(f"module {module.__name__} has no file that a server could import")
    if not module.__package__:
        return str(file)
    top = sys.modules[module.__name__.partition(".")[0]]
    places = [str(Path(place).parent) for place in getattr(top, "__path__", [])]
    environment["PYTHONPATH"] = os.pathsep.join([*places, *filter(None, [os.environ.get("PYTHONPATH")])])
    return module.__name__


def _source(subjects: Sequence[Any]) -> str:
    lines = []
    for number, subject in enumerate(subjects):
        declaration_of(subject)
        place = f"{subject.__module__}.{subject.__qualname__}"
        file = getattr(sys.modules.get(subject.__module__), "__file__", None)
        if "<locals>" in subject.__qualname__ or file is None:
            raise ConfigurationError(
                f"{place} cannot be imported by a server; declare it at the top level of a file, or use "
                "sojourn.testing.loaded"
            )
        name = Path(file).stem if subject.__module__ == "__main__" else subject.__module__
        lines.append(f"function_{number} = module_of({name!r}, {os.path.abspath(file)!r}).{subject.__qualname__}\n")  # noqa: PTH100 - a path as imports have it
    path = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100 - as above
    return _IMPORT.format(path=path) + "".join(lines)
