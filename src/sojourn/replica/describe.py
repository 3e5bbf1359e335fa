"""`python -m sojourn.replica.describe TARGET --fd N`: what a target declares, as data.

The server never imports user code. This short-lived process does, and writes a `Description` as JSON, or
`{"error": "..."}` with exit status 1, to the file descriptor N; standard output and error belong to the
author's code. With `--root DIR` the target lies in a tree (an unpacked bundle): that is the working directory and
first on the import path, nothing is written to it, and the description tells which distributions were loaded.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import msgspec

from sojourn.declare import Declaration
from sojourn.domain.deployment import Description
from sojourn.domain.function import FunctionManifest
from sojourn.errors import SojournError, TargetError
from sojourn.replica.codec import ItemCodec
from sojourn.replica.confine import confine
from sojourn.replica.place import one_line, place_of
from sojourn.replica.process import die_with_parent, leave
from sojourn.replica.signature import Signature, read_signature
from sojourn.replica.target import Target, load_target
from sojourn.wire.spec import Confinement

_REVISION_DIGITS = 12


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Describe the target named on the command line; ends the process."""
    parser = argparse.ArgumentParser(prog="sojourn.replica.describe", description="Describe a target's functions.")
    parser.add_argument("target", help="a file such as app.py or a module such as pkg.module")
    parser.add_argument("--fd", type=int, default=1, help="file descriptor the JSON is written to")
    parser.add_argument("--parent", type=int, default=0, help="process this one does not outlive")
    parser.add_argument("--confinement", type=_confinement, help="limits of this process, as JSON")
    parser.add_argument("--root", default="", help="directory of the tree that the target lies in")
    given = parser.parse_args(arguments)
    if not die_with_parent(given.parent):
        leave(1)
    root = os.path.abspath(given.root) if given.root else ""  # noqa: PTH100 - as replicas do it
    try:
        if given.confinement is not None:
            confine(given.confinement)
        answer, status = msgspec.json.encode(describe(given.target, root)), 0
    except SojournError as error:
        _show_cause(error)
        answer, status = msgspec.json.encode({"error": str(error)}), 1
    with os.fdopen(given.fd, "wb", closefd=False) as output:
        output.write(answer)
    leave(status)


def _confinement(text: str) -> Confinement:
    return msgspec.json.decode(text, type=Confinement)


def describe(text: str, root: str = "") -> Description:
    """Import a target and describe each of its functions, in the order of declaration.

    Args:
        text: The file or module.
        root: Directory of the tree it lies in; empty: it lies where it says, and no dependencies are looked for.

    Raises:
        TargetError: It cannot be imported or served; the message names the author's file and line.
    """
    before = frozenset(sys.modules)
    if root:
        _go_to(root)
    target = load_target(text, root)
    dependencies = _dependencies(before, root) if root else {}
    declared = target.declared()
    if not declared:
        raise TargetError(
            f"{text}: declares no functions; put @sojourn.function(...) above the class or function to serve"
        )
    _check_names(text, [declaration for _, declaration in declared.values()])
    source = _source_digest(target)
    manifests = []
    for attribute, (subject, declaration) in declared.items():
        signature = read_signature(subject, declaration)
        settings, place = declaration.settings, place_of(subject)
        manifests.append(
            FunctionManifest(
                target=text,
                attribute=attribute,
                settings=settings,
                revision=_revision(source, declaration),
                is_async=declaration.is_async,
                input_schema=signature.input_schema(settings.name, place),
                output_schema=signature.output_schema(),
                examples=example_texts(declaration, signature, f"{place}: function {settings.name!r}"),
                root=root,
            )
        )
    return Description(functions=manifests, dependencies=dependencies)


def _go_to(root: str) -> None:
    try:
        os.chdir(root)
    except OSError as error:
        raise TargetError(f"the tree to describe cannot be entered: {error.strerror}") from None


def _dependencies(before: frozenset[str], root: str) -> dict[str, str]:
    from sojourn.replica.dependencies import loaded_distributions  # noqa: PLC0415 - paid where it is asked for

    return loaded_distributions(before, root)


def _check_names(text: str, declarations: list[Declaration]) -> None:
    places: dict[str, str] = {}
    for declaration in declarations:
        name = declaration.settings.name
        if name in places:
            raise TargetError(
                f"{text}: two functions are called {name!r}, at {places[name]} and {declaration.place}; "
                "give one of them another name=..."
            )
        places[name] = declaration.place


def _source_digest(target: Target) -> bytes:
    digest = hashlib.sha256()
    for file in target.source_files():
        with open(file, "rb") as source:  # noqa: PTH123 - pathlib would be paid by replicas too
            content = source.read()
        # Names relative to the root: the same code elsewhere is the same revision.
        digest.update(f"{os.path.relpath(file, target.root)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.digest()


def _revision(source: bytes, declaration: Declaration) -> str:
    settings = msgspec.json.encode(declaration.settings)
    return hashlib.sha256(source + settings).hexdigest()[:_REVISION_DIGITS]


def example_texts(declaration: Declaration, signature: Signature, label: str) -> list[str]:
    """The declared examples as JSON text, each proved to be a valid item.

    Raises:
        TargetError: One is not; the message says which and why.
    """
    codec = ItemCodec(signature.item_type, label)
    bodies, kinds, faults = codec.encode(declaration.examples, b"", None, len(declaration.examples))
    if kinds:
        raise TargetError(f"{label}: examples must be items that JSON can hold, not bytes")
    faults = faults or codec.decode(bodies, b"")[2]
    if faults:
        raise TargetError(f"{label}: examples[{faults[0].position}] is not a valid item: {faults[0].message}")
    return [body.decode() for body in bodies]


def _show_cause(error: BaseException) -> None:
    """The author's traceback on stderr, where there is one."""
    if error.__cause__ is not None:
        import traceback  # noqa: PLC0415 - paid only when something went wrong

        try:
            traceback.print_exception(error.__cause__)
        except Exception as failure:  # noqa: BLE001 - an exception of the author's may not even print
            print(one_line(failure), file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
