"""Backup, restore and check: what is brought back is what was there, or nothing is changed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import sqlite3
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from sojourn.errors import StateError
from sojourn.state import swap
from sojourn.state.backup import write_backup
from sojourn.state.check import check_state
from sojourn.state.manifest import read_manifest
from sojourn.state.restore import restore_backup
from sojourn.state.schema import VERSION
from sojourn.state.store import StateStore

sys.path.insert(0, str(Path(__file__).parent))
from state_samples import WALL_S, all_of, bundle_of, fill, go_live, key

OTHERS = ("history.db",)


def put_bundle(state_dir, number):
    """A bundle as they lie there: read-only, with a directory, an executable and an empty one in it."""
    bundle = state_dir / "bundles" / bundle_of(number)
    (bundle / "src" / "empty").mkdir(parents=True)
    (bundle / "src" / "app.py").write_text(f"number = {number}\n")
    (bundle / "run.sh").write_text("#!/bin/sh\n")
    (bundle / "run.sh").chmod(0o555)
    (bundle / "src" / "app.py").chmod(0o444)
    for directory in (bundle / "src" / "empty", bundle / "src", bundle):
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


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A state directory with all that belongs to it; tests leave it as it is."""
    state_dir = tmp_path_factory.mktemp("filled")
    store = StateStore.opened_in(state_dir)
    fill(store)
    store.close()
    for number in (1, 2, 3, 4):
        put_bundle(state_dir, number)
    with contextlib.closing(sqlite3.connect(state_dir / "history.db")) as connection:
        connection.executescript("CREATE TABLE cells (a); INSERT INTO cells VALUES (42);")
    return state_dir


def backed_up(state_dir, file, **options):
    return write_backup(state_dir, file, WALL_S, "0.test", other_databases=OTHERS, **options)


@pytest.fixture(scope="module")
def archive(filled, tmp_path_factory):
    """A backup of it."""
    file = tmp_path_factory.mktemp("archive") / "state.tar"
    backed_up(filled, file)
    return file


def restored(file, state_dir, **options):
    return restore_backup(file, state_dir, other_databases=OTHERS, **options)


def test_a_restored_directory_is_what_was_backed_up(filled, archive, tmp_path):
    """The state, the history, and the bundles with names, modes and contents; the backup is private."""
    told = restored(archive, tmp_path)
    assert (told.functions, told.keys, told.bundles, told.has_replaced) == (["digits", "words"], 2, 4, False)
    assert said_by(tmp_path) == said_by(filled)
    assert tree_of(tmp_path / "bundles") == tree_of(filled / "bundles")
    with contextlib.closing(sqlite3.connect(tmp_path / "history.db")) as connection:
        assert connection.execute("SELECT * FROM cells").fetchall() == [(42,)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundles", "history.db", "state.db"]
    assert check_state(tmp_path, other_databases=OTHERS).faults == []
    assert archive.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in archive.parent.iterdir()] == ["state.tar"]


def test_the_manifest_can_be_checked_by_other_tools(filled, archive):
    """It stands first, with its checksum beside it; each file has its SHA-256."""
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        content = tar.extractfile(names[0]).read()
        assert names[:3] == ["manifest.json", "manifest.json.sha256", "state.db"]
        assert tar.extractfile(names[1]).read().decode() == f"{hashlib.sha256(content).hexdigest()}  manifest.json\n"
        manifest = json.loads(content)
        assert (manifest["written_by"], manifest["state_version"]) == ("0.test", VERSION)
        for entry in manifest["entries"]:
            if entry["sha256"]:
                found = tar.extractfile(entry["name"]).read()
                assert (hashlib.sha256(found).hexdigest(), len(found)) == (entry["sha256"], entry["size"])


def test_a_backup_of_a_store_that_is_written_meanwhile_is_of_one_instant(filled, tmp_path):
    """Whole transactions: with a key there is the event that was put with it, whatever the writer does."""
    source = tmp_path / "source"
    source.mkdir()
    store = StateStore.opened_in(source)
    go_live(store, 1)
    put_bundle(source, 1)
    stops, begun = threading.Event(), threading.Event()

    def write():
        number = 0
        while not stops.is_set() and number < 10_000:
            number += 1
            with store.transaction():
                store.put_key(key(number))
                store.set_limits("digits", number, None)
            begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(60)
        for attempt in range(3):
            backed_up(source, tmp_path / f"{attempt}.tar")
    finally:
        stops.set()
        writer.join()
    counts = []
    for attempt in range(3):
        target = tmp_path / f"target-{attempt}"
        target.mkdir()
        restored(tmp_path / f"{attempt}.tar", target)
        reading = StateStore.read_from(target)
        counts.append(len(reading.keys()))
        assert reading.limits()["digits"].min_replicas == counts[-1] >= 1
        assert reading.faults() == []
        reading.close()
    assert counts == sorted(counts)
    assert counts[-1] <= len(store.keys())
    store.close()


def test_a_bundle_that_is_deleted_while_it_is_copied_is_no_fault(filled, tmp_path):
    """The backup begins anew, from a state that does not refer to it any more."""
    source = tmp_path / "source"
    source.mkdir()
    store = StateStore.opened_in(source)
    for number, function in ((1, "digits"), (4, "words")):
        go_live(store, number, function)
        put_bundle(source, number)

    def verify(bundles, digest):
        if digest == bundle_of(4):
            store.delete_function("words")
            swap.remove_tree(bundles / digest)
            return "it is gone"
        return ""

    made = backed_up(source, tmp_path / "state.tar", verify=verify)
    store.close()
    assert (made.functions, made.bundles) == (1, 1)


def test_an_incomplete_state_is_not_backed_up_as_if_it_were_whole(filled, tmp_path):
    """A bundle that is missing is named; no file is left."""
    source = tmp_path / "source"
    source.mkdir()
    store = StateStore.opened_in(source)
    go_live(store, 1)
    store.close()
    with pytest.raises(StateError, match=f"bundle {bundle_of(1)}"):
        backed_up(source, tmp_path / "state.tar")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StateError, match="no server has kept its state here"):
        backed_up(tmp_path / "empty", tmp_path / "state.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "source"]
    assert check_state(source).faults == [f"bundle {bundle_of(1)}: No such file or directory"]


def test_links_in_a_bundle_are_refused(filled, tmp_path):
    """They could lead out of it."""
    source = tmp_path / "source"
    (source / "bundles" / bundle_of(1)).mkdir(parents=True)
    (source / "bundles" / bundle_of(1) / "app.py").symlink_to("/etc/hostname")
    (source / "bundles").rename(tmp_path / "aside")
    store = StateStore.opened_in(source)
    go_live(store, 1)
    store.close()
    (tmp_path / "aside").rename(source / "bundles")
    with pytest.raises(StateError, match="neither file nor directory"):
        backed_up(source, tmp_path / "state.tar")


def test_an_existing_backup_is_not_written_over_unasked(filled, archive, tmp_path):
    """Backups are what nobody wants to lose."""
    file = tmp_path / "state.tar"
    file.write_bytes(b"an older one")
    with pytest.raises(StateError, match="exists"):
        backed_up(filled, file)
    assert file.read_bytes() == b"an older one"
    backed_up(filled, file, is_replacing=True)
    assert tarfile.is_tarfile(file)


def test_a_state_that_is_there_is_replaced_only_if_that_is_asked(archive, tmp_path):
    """Then all of it, and nothing of the old one stays; what is not of the state does."""
    store = StateStore.opened_in(tmp_path)
    go_live(store, 9, "old")
    store.close()
    put_bundle(tmp_path, 9)
    (tmp_path / "server.lock").write_text("7")
    before = tree_of(tmp_path)
    with pytest.raises(StateError, match="holds a state already"):
        restored(archive, tmp_path)
    assert tree_of(tmp_path) == before
    assert restored(archive, tmp_path, is_replacing=True).has_replaced
    assert [one.name for one in said_by(tmp_path)[0]] == ["digits", "words"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundles", "history.db", "server.lock", "state.db"]
    assert not (tmp_path / "bundles" / bundle_of(9)).exists()


def test_a_damaged_state_can_be_replaced(archive, tmp_path):
    """That is what backups are for."""
    (tmp_path / "state.db").write_bytes(b"")
    restored(archive, tmp_path, is_replacing=True)
    assert len(said_by(tmp_path)[0]) == 2


@pytest.fixture
def hasty(monkeypatch):
    """Without waiting for the disk: whether a process ended or a file was damaged does not depend on that."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.mark.usefixtures("hasty")
def test_a_damaged_backup_changes_nothing(archive, tmp_path):
    """Cut anywhere or with any byte changed: refused in our words, or what comes back is what was backed up."""
    store = StateStore.opened_in(tmp_path)
    store.put_key(key(1))
    store.close()
    whole = archive.read_bytes()
    before = tree_of(tmp_path)
    target = tmp_path / "target"
    bad = tmp_path / "bad.tar"
    reference = None
    rng = random.Random(3)
    cuts = [whole[: size * 512] for size in rng.sample(range(len(whole) // 512 - 20), 30)]
    flips = []
    used = [place for place, value in enumerate(whole) if value]
    for place in rng.sample(used, 60):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.randrange(8)
        flips.append(bytes(flipped))
    refused = 0
    for content in [whole, *cuts, *flips]:
        bad.write_bytes(content)
        target.mkdir()
        try:
            restored(bad, target)
        except StateError:
            refused += 1
            assert list(target.iterdir()) == []
        else:
            reference = reference or said_by(target)
            assert said_by(target) == reference
        swap.remove_tree(target)
    bad.unlink()
    assert refused >= 80
    assert tree_of(tmp_path) == before


def tar_of(file, entries, members, **manifest):
    """A backup made by hand."""
    content = json.dumps(
        {"sojourn_backup": 1, "written_by": "x", "state_version": 1, "made_at_s": 0, "entries": entries, **manifest}
    ).encode()
    checksum = f"{hashlib.sha256(content).hexdigest()}  manifest.json\n".encode()
    with tarfile.open(file, "w") as tar:
        for name, data in [("manifest.json", content), ("manifest.json.sha256", checksum), *members]:
            member = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            body = b"" if isinstance(data, tarfile.TarInfo) else data
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))


def link(name, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


EMPTY = {"mode": 0o600, "size": 0, "sha256": hashlib.sha256(b"").hexdigest()}


@pytest.mark.parametrize(
    ("entries", "members", "words"),
    [
        ([{"name": "../out", **EMPTY}], [("../out", b"")], "cannot be part of a state"),
        ([{"name": "/etc/out", **EMPTY}], [("/etc/out", b"")], "cannot be part of a state"),
        ([{"name": "server.lock", **EMPTY}], [("server.lock", b"")], "cannot be part of a state"),
        ([{"name": "bundles", "mode": 0o700}, {"name": "bundles/..", "mode": 0o700}], [], "cannot be part of a state"),
        ([{"name": f"bundles/{'a' * 64}/x", **EMPTY}], [], "cannot be part of a state"),
        ([{"name": "state.db", **EMPTY}] * 2, [], "cannot be part of a state"),
        ([{"name": "state.db", **EMPTY, "size": -1}], [], "cannot be part of a state"),
        ([{"name": "state.db", **EMPTY}], [("state.db", link("state.db", tarfile.SYMTYPE))], "holds"),
        ([{"name": "state.db", **EMPTY}], [("state.db", link("state.db", tarfile.LNKTYPE))], "holds"),
        ([{"name": "state.db", **EMPTY}], [("state.db", link("state.db", tarfile.CHRTYPE))], "holds"),
        ([{"name": "state.db", **EMPTY}], [("state.db", b"more than it said")], "holds"),
        ([{"name": "state.db", **EMPTY, "size": 1}], [("state.db", b"x")], "is damaged in it"),
        ([{"name": "state.db", **EMPTY}], [("state.db", b""), ("further", b"")], "more in it"),
        ([{"name": "state.db", **EMPTY}], [("state.db", b"")], "state.db is damaged"),
        ([], [], "no such file"),
        ([{"name": "state.db"}], [], "cannot be understood"),
    ],
)
def test_hostile_backups_write_nothing_anywhere(tmp_path, entries, members, words):
    """Names that lead out, links, devices, lies about sizes: refused, and the directory is as it was."""
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    tar_of(tmp_path / "bad.tar", entries, members)
    with pytest.raises(StateError, match=words):
        restored(tmp_path / "bad.tar", target)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert left == {"deep", "bad.tar", "deep/target"}


def test_backups_of_later_versions_are_refused_by_version(filled, archive, tmp_path):
    """Of the form of the file, and of the state in it."""
    tar_of(tmp_path / "form.tar", [], [], sojourn_backup=2)
    with pytest.raises(StateError, match="form 2"):
        restored(tmp_path / "form.tar", tmp_path)
    newer = tmp_path / "newer.db"
    newer.write_bytes((filled / "state.db").read_bytes())
    with contextlib.closing(sqlite3.connect(newer)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    content = newer.read_bytes()
    entry = {"name": "state.db", "mode": 0o600, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    tar_of(tmp_path / "newer.tar", [entry], [("state.db", content)])
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(StateError, match=f"has version {VERSION + 1}"):
        restored(tmp_path / "newer.tar", target)
    assert list(target.iterdir()) == []


def test_what_is_no_backup_is_told(tmp_path):
    """Another tar, another file, none."""
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("readme"))
    (tmp_path / "text.tar").write_text("hello")
    target = tmp_path / "target"
    target.mkdir()
    for name in ("other.tar", "text.tar", "nothing.tar", "target"):
        with pytest.raises(StateError):
            restored(tmp_path / name, target)
    assert list(target.iterdir()) == []


class _StoppedError(BaseException):
    """Stands for the end of the process."""


@pytest.mark.usefixtures("hasty")
def test_a_restore_stopped_at_any_step_ends_whole(filled, archive, tmp_path, monkeypatch):
    """Each change of a name is a step; the next who holds the directory finds the old state or the new, and no third."""
    outcomes = []
    for step in range(1, 60):
        target = tmp_path / f"at-{step}"
        target.mkdir()
        store = StateStore.in_memory()
        store.put_key(key(7))
        store.save_as(target / "state.db")
        store.close()
        put_bundle(target, 9)
        left = [step]

        def counted(original, left=left):
            def act(*arguments, **options):
                left[0] -= 1
                if left[0] == 0:
                    raise _StoppedError
                return original(*arguments, **options)

            return act

        with monkeypatch.context() as patched:
            for owner, name in ((Path, "rename"), (Path, "mkdir"), (Path, "rmdir"), (swap, "remove_tree")):
                patched.setattr(owner, name, counted(getattr(owner, name)))
            patched.setattr("sojourn.state.restore.remove_tree", lambda _: None)
            with contextlib.suppress(_StoppedError):
                restored(archive, target, is_replacing=True)
        is_over = left[0] > 0
        swap.finish_restore(target)
        functions, *_, keys, _, _ = said_by(target)
        is_new = [one.name for one in functions] == ["digits", "words"]
        assert is_new or [one.id for one in keys] == [key(7).id], step
        bundles = {path.name for path in (target / "bundles").iterdir()}
        assert bundles == ({bundle_of(n) for n in (1, 2, 3, 4)} if is_new else {bundle_of(9)}), step
        assert not list(target.glob("restore.*"))
        outcomes.append(is_new)
        if is_over:
            break
    assert is_over
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


def test_check_says_what_is_there_and_what_is_wrong(filled, tmp_path):
    """Counts; a bundle whose content is wrong by the one who verifies; what is damaged beside it is only noted."""
    checked = check_state(filled, other_databases=OTHERS)
    assert (checked.functions, checked.revisions, checked.keys, checked.bundles) == (2, 4, 2, 4)
    assert (checked.version, checked.faults, checked.notes) == (VERSION, [], [])
    wrong = check_state(filled, verify=lambda _, digest: "other bytes" if digest == bundle_of(1) else "")
    assert wrong.faults == [f"bundle {bundle_of(1)}: other bytes"]
    store = StateStore.opened_in(tmp_path)
    store.close()
    (tmp_path / "history.db").write_bytes(b"no database at all, and long enough to be taken for one")
    put_bundle(tmp_path, 5)
    noted = check_state(tmp_path, other_databases=OTHERS)
    assert noted.faults == []
    assert ["history.db is damaged" in note for note in noted.notes] == [True, False]
    assert "belong to no revision" in noted.notes[1]
    assert check_state(tmp_path / "nowhere").faults


def test_names_in_a_manifest_are_those_of_a_state():
    """A directory stands before what is in it; bundles are named by digests."""
    entries = [{"name": "bundles", "mode": 448}, {"name": f"bundles/{'a' * 64}", "mode": 365}]
    told = {"sojourn_backup": 1, "written_by": "x", "state_version": 1, "made_at_s": 0.0, "entries": entries}
    assert len(read_manifest(json.dumps(told).encode(), frozenset()).entries) == 2
    for name in (
        "bundles/short",
        "bundles//x",
        f"bundles/{'a' * 64}/",
        f"bundles/{'a' * 64}/./x",
        "",
        "bundles/" + "A" * 64,
    ):
        bad = {**told, "entries": [*entries, {"name": name, "mode": 0}]}
        with pytest.raises(StateError, match="cannot be part"):
            read_manifest(json.dumps(bad).encode(), frozenset())
