"""Revisions and a filled store for tests of the state file, and all that a store says."""

from __future__ import annotations

import hashlib

from sojourn.bundle.digest import TreeDigest
from sojourn.domain.access import KeyRecord, Scope
from sojourn.domain.deployment import CANARY, Revision, RolloutPlan
from sojourn.domain.function import FunctionManifest, FunctionSettings
from sojourn.estimate.service_time import ServiceTimeFit, ServiceTimeModel
from sojourn.state.backup import write_backup
from sojourn.state.record import StoredEvent
from sojourn.state.restore import restore_backup
from sojourn.state.store import StateStore

OTHERS = ("history.db",)
WALL_S = 1_795_500_000.0
CANARY_PLAN = RolloutPlan(strategy=CANARY, shares=(0.1, 0.5), step_s=30.0)


def name_of(number: int) -> str:
    return f"{number:012x}"


def bundle_of(number: int) -> str:
    """The digest of what `put_bundle` makes."""
    digest = TreeDigest()
    app = hashlib.sha256(b"number = %d\n" % number).digest()
    digest.add("src/app.py", is_executable=False, content=app)
    digest.add("run.sh", is_executable=True, content=hashlib.sha256(b"#!/bin/sh\n").digest())
    return digest.hexdigest()


def revision(number: int, function: str = "digits", **settings) -> Revision:
    """A revision whose name and bundle come from its number."""
    return Revision(
        function=function,
        revision=name_of(number),
        bundle=bundle_of(number),
        manifest=FunctionManifest(
            target="app.py",
            attribute="Model",
            settings=FunctionSettings(name=function, **settings),
            revision=name_of(number),
            input_schema={"type": "array"},
            examples=["[1, 2]"],
        ),
        dependencies={"numpy": "2.1.0"},
        created_at_s=WALL_S + number,
    )


def key(number: int, **fields) -> KeyRecord:
    given = {"label": f"key {number}", "scopes": (Scope("invoke", "digits"), Scope("read")), "created_at_s": WALL_S}
    return KeyRecord(id=f"{number:08x}", digest=number.to_bytes(32, "big"), **{**given, **fields})


def fit() -> ServiceTimeFit:
    model = ServiceTimeModel(8)
    for step in range(20):
        model.observe(1 + step % 4, 0.005 + 0.001 * (1 + step % 4), step * 0.1)
    return model.fit(2.0)


def go_live(store: StateStore, number: int, function: str = "digits") -> None:
    """Deploy a revision all the way."""
    store.put_revision(revision(number, function))
    store.set_candidate(function, name_of(number), RolloutPlan(), WALL_S + number)
    store.promote(function, name_of(number), WALL_S + number + 1, "promoted", {"requests": 400})


def fill(store: StateStore) -> None:
    """Something of everything: two functions, one with a candidate under way."""
    go_live(store, 1)
    go_live(store, 2)
    store.put_revision(revision(3))
    store.set_candidate("digits", name_of(3), CANARY_PLAN, WALL_S + 10)
    go_live(store, 4, "words")
    store.set_limits("digits", 1, 4)
    store.put_key(key(1))
    store.put_key(key(2, expires_at_s=WALL_S + 100))
    store.revoke_key(key(1).id, WALL_S + 5)
    store.put_fit("digits", name_of(2), fit(), WALL_S + 20)
    store.append_event(StoredEvent(at_s=WALL_S, level="info", event="rollout.promoted", function="words"))
    store.append_event(StoredEvent(at_s=WALL_S, level="error", event="server.started", fields={"pid": 7}))


def all_of(store: StateStore) -> tuple:
    """All that it says, to be compared."""
    functions = store.functions()
    names = sorted({one.name for one in functions} | {"digits", "words"})
    return (
        functions,
        [store.revisions(name) for name in names],
        [store.rollouts(name) for name in names],
        store.referenced_bundles(),
        store.limits(),
        store.keys(),
        store.fits(),
        store.events(),
    )


def put_bundle(state_dir, number, *, is_genuine=False):
    """A bundle as they lie there: read-only, an executable in it, and (no genuine one has that) an empty directory."""
    bundle = state_dir / "bundles" / bundle_of(number)
    (bundle / "src").mkdir(parents=True)
    directories = [bundle / "src", bundle]
    if not is_genuine:
        directories.insert(0, bundle / "src" / "empty")
        directories[0].mkdir()
    (bundle / "src" / "app.py").write_text(f"number = {number}\n")
    (bundle / "run.sh").write_text("#!/bin/sh\n")
    (bundle / "run.sh").chmod(0o555)
    (bundle / "src" / "app.py").chmod(0o444)
    for directory in directories:
        directory.chmod(0o555)


def tree_of(path):
    """All below a directory: names, modes, contents."""
    return {
        str(inner.relative_to(path)): (inner.stat().st_mode, inner.read_bytes() if inner.is_file() else None)
        for inner in sorted(path.rglob("*"))
    }


def said_by(state_dir):
    store = StateStore.read_from(state_dir)
    try:
        return all_of(store)
    finally:
        store.close()


def backed_up(state_dir, file, **options):
    return write_backup(state_dir, file, WALL_S, "0.test", other_databases=OTHERS, **options)


def restored(file, state_dir, **options):
    return restore_backup(file, state_dir, other_databases=OTHERS, **options)
