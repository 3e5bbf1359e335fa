"""Restoring from what is damaged, hostile or newer changes nothing; stopped at any step, it ends whole."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import sqlite3
import sys
import tarfile
from pathlib import Path

import pytest

from sojourn.errors import StateError
from sojourn.state import swap
from sojourn.state.manifest import read_manifest
from sojourn.state.restore import restore_backup
from sojourn.state.schema import VERSION
from sojourn.state.store import StateStore

sys.path.insert(0, str(Path(__file__).parent))
from state_samples import bundle_of, key, put_bundle, restored, said_by, tree_of


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


def test_a_backup_with_a_bundle_that_is_not_what_its_name_says_is_refused(archive, tmp_path):
    """Whole as a file, it holds what was damaged before it was made: nothing is restored, and the bundle is named."""
    asked = []

    def verify(bundles, digest):
        asked.append(digest)
        assert (bundles / digest).is_dir()
        return "a file was changed" if digest == bundle_of(2) else ""

    with pytest.raises(StateError, match=f"bundle {bundle_of(2)}: a file was changed"):
        restore_backup(archive, tmp_path, other_databases=("history.db",), verify=verify)
    assert list(tmp_path.iterdir()) == []
    assert len(asked) > 1


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
