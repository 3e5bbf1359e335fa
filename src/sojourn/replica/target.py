"""Import of what the user asked to serve: a file (`app.py`) or a module (`pkg.module`)."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from types import ModuleType
from typing import Any

import msgspec

from sojourn.declare import MARKER, Declaration
from sojourn.errors import ConfigurationError, TargetError
from sojourn.replica.place import is_inside, one_line, place_of_error
from sojourn.replica.process import Terminated
from sojourn.replica.tree import enter_tree, has_module, in_tree

_IMPORT_HELP = "expected a file such as app.py or a module such as pkg.module"
_HAS_PLACE = re.compile(r"[^\s:]+:\d+: ")


class Target(msgspec.Struct, frozen=True):
    """An imported target: its text, its module, and the directory that holds the author's code."""

    text: str
    module: ModuleType
    root: str

    def declared(self) -> dict[str, tuple[Any, Declaration]]:
        """Attribute name -> (class or function, declaration) of all that `@sojourn.function` marked."""
        found: dict[str, tuple[Any, Declaration]] = {}
        seen: set[int] = set()
        for attribute, value in vars(self.module).items():
            declaration = _own_declaration(value)
            if declaration is not None and id(value) not in seen:  # one thing under two names is served once
                seen.add(id(value))
                found[attribute] = (value, declaration)
        return found

    def find(self, attribute: str) -> tuple[Any, Declaration]:
        """The declared class or function called `attribute`.

        Raises:
            TargetError: The module has no such declaration (the file changed since it was described).
        """
        value = getattr(self.module, attribute, None)
        declaration = _own_declaration(value)
        if declaration is None:
            raise TargetError(f"{self.text}: no @sojourn.function called {attribute!r}; has the file changed?")
        return value, declaration

    def source_files(self) -> list[str]:
        """The author's source files, sorted: the whole package, or the file and what it imports beside it."""
        files: set[str] = set()
        if not _is_file_target(self.text) and "." in self.text:
            for directory, folders, names in os.walk(self.root):
                folders[:] = [folder for folder in folders if folder not in {"site-packages", "__pycache__"}]
                files.update(os.path.join(directory, name) for name in names if name.endswith(".py"))  # noqa: PTH118
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.endswith(".py") and is_inside(file, self.root):
                files.add(file)
        return sorted(files)


def load_target(text: str, root: str = "") -> Target:
    """Import a file path or a module name.

    Args:
        text: The file or module.
        root: Directory of the tree it lies in: first on the import path, and never written to. Empty: what `text`
            says is relative to the working directory.

    Raises:
        TargetError: It is missing, or its import failed; the message names the author's line.
    """
    if root:
        enter_tree(root)
    if _is_file_target(text):
        return _load_file(text, root)
    return _load_module(text, root)


def _is_file_target(text: str) -> bool:
    return text.endswith(".py") or os.sep in text


def _own_declaration(value: Any) -> Declaration | None:
    # A subclass of a served class inherits the marker without being declared itself.
    attributes = getattr(value, "__dict__", None)
    declaration = attributes.get(MARKER) if attributes is not None else None
    return declaration if isinstance(declaration, Declaration) else None


def _load_file(text: str, tree: str) -> Target:
    # pathlib would be paid at every cold start
    path = in_tree(text, tree) if tree else os.path.abspath(text)  # noqa: PTH100
    folder, _, base = path.rpartition(os.sep)
    root = tree or folder
    stem = base.removesuffix(".py")
    if not os.path.isfile(path):  # noqa: PTH113
        raise TargetError(f"{text}: no such file; {_IMPORT_HELP}")
    if not base.endswith(".py"):
        raise TargetError(f"{text}: not a Python file; {_IMPORT_HELP}")
    if stem in sys.modules or stem in sys.stdlib_module_names:
        raise TargetError(f"{text}: its name hides the module {stem!r} that others need; rename the file")
    if folder != tree:
        sys.path.insert(1 if tree else 0, folder or os.sep)
    spec = importlib.util.spec_from_file_location(stem, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{text}: cannot be imported as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[stem] = module
    try:
        spec.loader.exec_module(module)
    except Terminated:
        raise
    except ConfigurationError as error:
        raise _declared_wrongly(error, root) from None
    except BaseException as error:  # SystemExit at import is the author's fault too
        raise _import_failed(text, error, root) from error
    return Target(text, module, root)


def _load_module(text: str, tree: str) -> Target:
    here = tree or os.getcwd()  # noqa: PTH109
    if here not in sys.path:
        sys.path.insert(0, here)
    if not all(part.isidentifier() for part in text.split(".")):
        raise TargetError(f"{text!r} is neither a file nor a module name; {_IMPORT_HELP}")
    if tree and not has_module(text.partition(".")[0], tree):
        raise TargetError(f"{text}: the tree has no module of this name; {_IMPORT_HELP}")
    try:
        module = importlib.import_module(text)
    except Terminated:
        raise
    except ConfigurationError as error:
        raise _declared_wrongly(error, here) from None
    except ModuleNotFoundError as error:
        if error.name is not None and (text == error.name or text.startswith(error.name + ".")):
            raise TargetError(f"{text}: no module named {error.name!r} on the import path; {_IMPORT_HELP}") from None
        raise _import_failed(text, error, here) from error
    except BaseException as error:
        raise _import_failed(text, error, here) from error
    file = getattr(sys.modules[text.partition(".")[0]], "__file__", None)
    return Target(text, module, os.path.dirname(file) if file and not tree else here)  # noqa: PTH120


def _import_failed(text: str, error: BaseException, root: str) -> TargetError:
    told = f"{text}: import failed at {place_of_error(error, root)}: {one_line(error)}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        from sojourn.replica.missing import remedy  # noqa: PLC0415 - paid only when something went wrong

        told += f"; {remedy(error.name, root)}"
    return TargetError(told)


def _declared_wrongly(error: ConfigurationError, root: str) -> TargetError:
    """What the declaration said, as it is: it may point at a place with a caret, and says how to put it right."""
    told = str(error)
    return TargetError(told if _HAS_PLACE.match(told) else f"{place_of_error(error, root)}: {told}")
