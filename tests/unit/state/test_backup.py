"""Backup and check: what is brought back is what was there, or what is wrong is named."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from sojourn.errors import StateError
from sojourn.state import swap
from sojourn.state.check import check_state
from sojourn.state.schema import VERSION
from sojourn.state.store import StateStore

sys.path.insert(0, str(Path(__file__).parent))
from state_samples import OTHERS, backed_up, bundle_of, go_live, key, put_bundle, restored, said_by, tree_of


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
    assert "1 bundle belongs to no revision" in noted.notes[1]
    assert check_state(tmp_path / "nowhere").faults
