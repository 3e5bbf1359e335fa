"""Which distributions an import has loaded, as part of what a revision is.

Counted are the distributions of modules that the import really loaded, whoever asked for them: the author's code or
a library it uses. Not counted are sojourn itself (a newer server is no other function) and what sojourn had loaded
before (msgspec), unless a file of the author's that was loaded imports it by name. What a function imports later, in
its constructor or in a call, cannot be known here.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Collection, Iterable
from importlib.metadata import Distribution, distributions

from sojourn.replica.place import is_inside

_OWN = "sojourn"
_SOURCE_BYTES_MAX = 4 * 2**20


def loaded_distributions(before: Collection[str], root: str) -> dict[str, str]:
    """Name (in normal form, lower case with hyphens) and version of each distribution whose modules were loaded.

    Args:
        before: Names of the modules that were there before the import.
        root: Directory of the author's code, whose modules are of no distribution.

    Source:
        Names in normal form: Python Packaging User Guide, "Name normalization".
    """
    own_files, files = [], {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and is_inside(file, root):
            own_files.append(file)
        else:
            files[name] = file if isinstance(file, str) else ""
    imported = _imported_by(own_files)
    tops: dict[str, list[str]] = {}
    for name, file in files.items():
        top = name.partition(".")[0]
        if top != _OWN and top not in sys.stdlib_module_names and (name not in before or top in imported):
            tops.setdefault(top, []).append(file)
    found: dict[str, str] = {}
    for top, distribution in _providers(tops):
        if top != _OWN:
            found.setdefault(_normal(distribution.name), distribution.version)
    found.pop(_OWN, None)
    return dict(sorted(found.items()))


def distribution_of(top: str) -> str:
    """Name and version of an installed distribution that has this top-level module; empty if there is none."""
    for _, distribution in _providers({top: []}):
        return f"{_normal(distribution.name)} {distribution.version}"
    return ""


def _imported_by(files: Iterable[str]) -> set[str]:
    """Top-level names that import statements of these source files mention."""
    names: set[str] = set()
    for file in files:
        try:
            with open(file, "rb") as source:  # noqa: PTH123 - as in all of this package
                tree = ast.parse(source.read(_SOURCE_BYTES_MAX))
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue  # no source of Python's: an extension module
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names


def _providers(tops: dict[str, list[str]]) -> list[tuple[str, Distribution]]:
    """Top-level module and distribution, for each of `tops`; several where they share a namespace."""
    candidates: dict[str, list[Distribution]] = {}
    seen: set[str] = set()
    for distribution in distributions():
        if distribution.metadata is None:
            continue  # a directory that an uninstallation has left
        for top in _tops_of(distribution):
            if top in tops and f"{top} {distribution.name}" not in seen:  # the first on the path is the one imported
                seen.add(f"{top} {distribution.name}")
                candidates.setdefault(top, []).append(distribution)
    found = []
    for top, several in candidates.items():
        certain = [one for one in several if _has_any(one, tops[top])] if len(several) > 1 else several
        found += [(top, distribution) for distribution in certain or several]
    return found


def _tops_of(distribution: Distribution) -> set[str]:
    """Names of its top-level modules."""
    told = distribution.read_text("top_level.txt")
    if told:
        return set(told.split())
    tops = set()
    for path in _recorded(distribution):
        first, slash, _ = path.partition("/")
        if slash or path.endswith((".py", ".so")):
            tops.add(first if slash else first.partition(".")[0])
    return tops


def _recorded(distribution: Distribution) -> list[str]:
    """Its files; read by hand, since torch alone has ten thousand and each would become an object of many."""
    return [line.partition(",")[0].strip('"') for line in (distribution.read_text("RECORD") or "").splitlines()]


def _has_any(distribution: Distribution, files: list[str]) -> bool:
    place = str(distribution.locate_file("")).rstrip(os.sep) + os.sep
    relative = {file[len(place) :] for file in files if file.startswith(place)}
    return not relative.isdisjoint(_recorded(distribution))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
