"""Checks a state directory: the file, what it says, and the bundles it refers to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from sojourn.domain.wording import counted
from sojourn.errors import StateError
from sojourn.state.bundle_files import Verify, bundle_faults, is_present
from sojourn.state.file import BUNDLES_NAME, FILE_NAME, version_of
from sojourn.state.restore import database_fault
from sojourn.state.schema import VERSION
from sojourn.state.store import StateStore
from sojourn.state.swap import is_pending


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in a state directory.

    Args:
        state_dir: The directory.
        version: Of the state file; None if it cannot be told.
        functions: How many it holds, as all counts 0 if it cannot be read.
        revisions: How many.
        keys: How many, those that are no longer in force among them.
        bundles: How many its revisions run from.
        faults: What must be repaired before a server starts or can start everything.
        notes: What is worth knowing and harms nothing.
    """

    state_dir: str
    version: int | None = None
    functions: int = 0
    revisions: int = 0
    keys: int = 0
    bundles: int = 0
    faults: list[str] = []
    notes: list[str] = []


def check_state(state_dir: Path, *, other_databases: Sequence[str] = (), verify: Verify = is_present) -> Checked:
    """Read all of a state directory; nothing is changed, and a server may hold it.

    Args:
        state_dir: The directory.
        other_databases: Further SQLite files, without which a server starts all the same.
        verify: How a bundle is verified.
    """
    notes = []
    if is_pending(state_dir):
        notes.append(
            "a restore was interrupted; it is ended when a server or `sojourn state restore` holds the directory next"
        )
    faults_of_others = {
        name: database_fault(state_dir / name) for name in other_databases if (state_dir / name).exists()
    }
    notes += [
        f"{name} is damaged ({fault}); the next server sets it aside and begins a new one"
        for name, fault in faults_of_others.items()
        if fault
    ]
    try:
        version = version_of(state_dir / FILE_NAME) if (state_dir / FILE_NAME).exists() else None
        store = StateStore.read_from(state_dir)
    except StateError as err:
        return Checked(state_dir=str(state_dir), faults=[str(err)], notes=notes)
    try:
        faults = store.faults()
        digests = store.referenced_bundles()
        bundles = state_dir / BUNDLES_NAME
        faults += bundle_faults(bundles, digests, verify)
        functions = store.functions()
        if version != VERSION:
            notes.append(f"the file has version {version}; the next server brings it to {VERSION}")
        unused = {path.name for path in bundles.iterdir()} - digests if bundles.is_dir() else set()
        if unused:
            notes.append(
                f"{counted(len(unused), 'bundle belongs', 'bundles belong')} to no revision; the next start removes what nothing needs"
            )
        return Checked(
            state_dir=str(state_dir),
            version=version,
            functions=len(functions),
            revisions=sum(len(store.revisions(one.name)) for one in functions),
            keys=len(store.keys()),
            bundles=len(digests),
            faults=faults,
            notes=notes,
        )
    except StateError as err:
        return Checked(state_dir=str(state_dir), version=version, faults=[str(err)], notes=notes)
    finally:
        store.close()
