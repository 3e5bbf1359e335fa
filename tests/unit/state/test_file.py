"""The state file: made once, upgraded, and never taken for another or for empty when something is wrong with it."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import sys
from pathlib import Path

import pytest

from sojourn.domain.access import Scope
from sojourn.domain.deployment import CANARY, RolloutPlan
from sojourn.errors import StateError
from sojourn.state.check import check_state
from sojourn.state.schema import APPLICATION_ID, MIGRATIONS, VERSION
from sojourn.state.store import StateStore

sys.path.insert(0, str(Path(__file__).parent))
from state_samples import all_of, bundle_of, fill, go_live, key, name_of, revision

FIXTURE = Path(__file__).parent / "fixtures" / "state_v1.sql"
PAGE_BYTES = 4096


@pytest.fixture(scope="module")
def filled_once(tmp_path_factory):
    """The bytes of a state file that has something of everything, and what it says."""
    state_dir = tmp_path_factory.mktemp("filled")
    store = StateStore.opened_in(state_dir)
    fill(store)
    said = all_of(store)
    store.close()
    return (state_dir / "state.db").read_bytes(), said


@pytest.fixture
def filled(tmp_path, filled_once):
    """A directory with that file, and what it says."""
    content, said = filled_once
    (tmp_path / "state.db").write_bytes(content)
    return tmp_path, said


@pytest.fixture
def version_1(tmp_path):
    """A directory with a file as the first version wrote it."""
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        connection.executescript(FIXTURE.read_text())
        connection.execute("PRAGMA journal_mode = WAL")
    return tmp_path


def said_by(state_dir):
    """All a store says that is opened for this."""
    store = StateStore.opened_in(state_dir)
    try:
        return all_of(store)
    finally:
        store.close()


def change(state_dir, *statements):
    """What another program might do to it."""
    with contextlib.closing(sqlite3.connect(state_dir / "state.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_new_file_is_private_durable_and_says_whose_it_is(tmp_path):
    """Mode 0600 with its log, WAL with full synchronisation, foreign keys, and a number of our own."""
    store = StateStore.opened_in(tmp_path)
    store.put_key(key(1))
    with store.transaction() as connection:
        connection.execute("PRAGMA user_version").fetchone()
        modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        asked = ("application_id", "user_version", "journal_mode", "synchronous", "foreign_keys")
        pragmas = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in asked}
    store.close()
    assert modes == {0o600}
    assert pragmas == {
        "application_id": APPLICATION_ID,
        "user_version": VERSION,
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
    }


def test_a_file_others_may_read_is_made_private(filled):
    """It holds the hashes of keys."""
    state_dir, _ = filled
    (state_dir / "state.db").chmod(0o644)
    said_by(state_dir)
    assert (state_dir / "state.db").stat().st_mode & 0o777 == 0o600


def test_a_file_of_version_1_is_upgraded_with_all_it_holds(version_1):
    """Every table comes through; revisions are in the order of their deploys; a second start finds nothing to do."""
    functions, (digits, words), (rollouts, _), bundles, limits, keys, fits, events = said_by(version_1)
    assert [(one.name, one.live, one.previous, one.candidate) for one in functions] == [
        ("digits", "a" * 12, "b" * 12, "c" * 12),
        ("words", "d" * 12, None, None),
    ]
    assert functions[0].plan == RolloutPlan(strategy=CANARY, shares=(0.1, 0.5), step_s=30.0)
    assert [one.revision[0] for one in digits] == ["c", "a", "b"]
    assert digits[0].manifest.settings.keepalive.idle_s == float("inf")
    assert str(digits[2].manifest.settings.slo) == "99% < 120ms"
    assert [one.dependencies for one in words] == [{"numpy": "2.1.0"}]
    assert [one.outcome for one in rollouts] == [None, "promoted", "promoted"]
    assert bundles == {"1" * 64, "2" * 64, "3" * 64}
    assert (limits["digits"].min_replicas, limits["digits"].max_replicas) == (1, 4)
    assert keys[1].scopes == (Scope("invoke", "digits"), Scope("read"))
    assert keys[1].revoked_at_s is not None
    assert fits[0].fit.samples == 12
    assert [one.event for one in events] == ["rollout.promoted", "key.revoked"]
    before = (version_1 / "state.db").read_bytes()
    said_by(version_1)
    assert (version_1 / "state.db").read_bytes() == before


def test_an_upgraded_file_goes_on_being_used(version_1):
    """The next deploy is the latest."""
    store = StateStore.opened_in(version_1)
    store.abandon_candidate("digits", 0.0, "superseded")
    go_live(store, 5)
    assert [one.revision[0] for one in store.revisions("digits")] == ["0", "c", "a", "b"]
    assert store.faults() == []
    store.close()


def test_an_upgrade_that_fails_leaves_the_old_version_whole(version_1, monkeypatch):
    """Each version is one transaction."""

    def failing(connection):
        MIGRATIONS[1](connection)
        raise sqlite3.OperationalError("no more")

    monkeypatch.setattr("sojourn.state.file.MIGRATIONS", (MIGRATIONS[0], failing))
    with pytest.raises(StateError, match="no more"):
        said_by(version_1)
    monkeypatch.undo()
    assert said_by(version_1)[0][0].live == "a" * 12


def test_reading_an_old_file_does_not_upgrade_it(version_1):
    """`state check` looks and says so."""
    checked = check_state(version_1)
    assert checked.version == 1
    assert any("version 1" in note for note in checked.notes)
    with contextlib.closing(sqlite3.connect(version_1 / "state.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_newer_file_is_refused_by_version_and_not_touched(filled):
    """The message has both versions and what to do."""
    state_dir, _ = filled
    change(state_dir, f"PRAGMA user_version = {VERSION + 1}")
    before = (state_dir / "state.db").read_bytes()
    for attempt in (StateStore.opened_in, StateStore.read_from):
        with pytest.raises(StateError) as caught:
            attempt(state_dir)
        assert f"version {VERSION + 1}" in str(caught.value)
        assert f"up to {VERSION}" in str(caught.value)
        assert "Run the version" in str(caught.value)
    assert (state_dir / "state.db").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"S", b"hello, world\n" * 1000, b"SQLite format 3\0", bytes(8192)])
def test_what_is_no_state_file_is_refused_and_left_alone(tmp_path, content):
    """Empty, too: a file is never seen under its name before it has its tables."""
    (tmp_path / "state.db").write_bytes(content)
    for attempt in (StateStore.opened_in, StateStore.read_from):
        with pytest.raises(StateError, match=r"damaged.*sojourn state restore"):
            attempt(tmp_path)
    assert (tmp_path / "state.db").read_bytes() == content


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE things (name)"],
        [f"PRAGMA application_id = {APPLICATION_ID}", "CREATE TABLE things (name)"],
        [f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {VERSION}", "CREATE TABLE keys (name)"],
        [f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = -1"],
    ],
)
def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path, statements):
    """By its number, and where that is ours by its tables."""
    change(tmp_path, *statements)
    before = (tmp_path / "state.db").read_bytes()
    with pytest.raises(StateError, match="damaged"):
        StateStore.opened_in(tmp_path)
    assert (tmp_path / "state.db").read_bytes() == before


@pytest.mark.parametrize("left", ["state.db-wal", f"bundles/{'a' * 64}"])
def test_a_lost_file_is_not_replaced_by_an_empty_one(tmp_path, left):
    """A log or bundles without the file: something went wrong, and a new file would have the bundles swept."""
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).write_bytes(b"x")
    for attempt in (StateStore.opened_in, StateStore.read_from):
        with pytest.raises(StateError, match="it is gone"):
            attempt(tmp_path)
    assert not (tmp_path / "state.db").exists()


def test_a_start_that_was_killed_while_making_the_file_is_made_good(tmp_path):
    """What it left has another name."""
    (tmp_path / "state.db.new").write_bytes(b"half")
    assert said_by(tmp_path)[0] == []
    assert not (tmp_path / "state.db.new").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE functions SET live = previous",
        "UPDATE keys SET revoked_at_s = NULL",
        "UPDATE keys SET scopes = '[\"admin\"]'",
        "UPDATE revisions SET bundle = 'x' WHERE function = 'words'",
        "UPDATE limits SET max_replicas = 'many'",
        "UPDATE events SET fields = '{}' WHERE id = 2",
        "UPDATE fits SET fit = x'ff'",
        "UPDATE rollouts SET outcome = 'promoted'",
        "DELETE FROM revisions WHERE function = 'words'",
        "DROP INDEX rollouts_of_function",
        "DROP TABLE limits",
    ],
)
def test_what_was_not_written_by_us_is_noticed(filled, statement):
    """SQLite finds such a file sound; each row has a checksum of its own."""
    state_dir, _ = filled
    change(state_dir, "PRAGMA foreign_keys = OFF", statement)
    with pytest.raises(StateError, match="damaged"):
        StateStore.opened_in(state_dir)
    assert check_state(state_dir).faults


def test_a_file_truncated_at_any_page_is_refused(filled):
    """Never an error of another kind, never taken for an empty one."""
    state_dir, _ = filled
    whole = (state_dir / "state.db").read_bytes()
    for size in range(0, len(whole), PAGE_BYTES):
        (state_dir / "state.db").write_bytes(whole[:size])
        for attempt in (StateStore.opened_in, StateStore.read_from):
            with pytest.raises(StateError, match="damaged"):
                attempt(state_dir)
        assert (state_dir / "state.db").read_bytes() == whole[:size]


def test_a_flipped_byte_is_refused_or_changes_nothing_that_is_said(filled):
    """In any place: the file says what it said, or it is an error in our words."""
    state_dir, said = filled
    whole = (state_dir / "state.db").read_bytes()
    rng = random.Random(7)
    # All of the header and of the beginnings of pages, where structure is; a sample of the rest, where values are.
    places = [*range(100), *(page + offset for page in range(0, len(whole), PAGE_BYTES) for offset in range(12))]
    used = [place for place in range(len(whole)) if whole[place]]
    refused = 0
    for place in [*places[:: 1 + len(places) // 150], *rng.sample(used, 150)]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        (state_dir / "state.db").write_bytes(damaged)
        try:
            store = StateStore.read_from(state_dir)
        except StateError:
            refused += 1
            continue
        try:
            assert all_of(store) == said, f"byte {place}"
        finally:
            store.close()
    assert refused > 100


def test_a_log_cut_or_flipped_anywhere_costs_nothing_acknowledged(filled):
    """Each change has left the log for the file when it returns."""
    state_dir, _ = filled
    store = StateStore.opened_in(state_dir)
    store.put_key(key(8))
    said = all_of(store)
    log = state_dir / "state.db-wal"
    assert not log.exists() or log.stat().st_size == 0
    store.close()
    log.write_bytes(bytes(range(256)) * 16)
    assert said_by(state_dir) == said


def test_a_full_file_refuses_changes_and_goes_on_reading(filled):
    """Nothing of the change is there; with room again it is made."""
    state_dir, _ = filled
    store = StateStore.opened_in(state_dir)
    with store.transaction() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    acknowledged = []

    def fill_up():
        for number in range(10, 100):
            store.put_revision(revision(number, f"function-{number}"))
            acknowledged.append(f"function-{number}")

    with pytest.raises(StateError, match=r"cannot be written.*serving goes on"):
        fill_up()
    assert store.failure
    assert [one.name for one in store.functions()] == sorted(["digits", *acknowledged, "words"])
    store._connection.execute("PRAGMA max_page_count = 1000000")
    store.put_key(key(9))
    assert not store.failure
    store.close()
    again = StateStore.opened_in(state_dir)
    kept = again.keys()
    assert key(9) in kept
    assert [one.name for one in again.functions()] == sorted(["digits", *acknowledged, "words"])
    assert again.faults() == []
    again.close()


def test_a_file_removed_or_replaced_while_it_is_open_is_noticed(filled):
    """What would be written to a file without a name is refused instead of acknowledged."""
    state_dir, _ = filled
    store = StateStore.opened_in(state_dir)
    (state_dir / "state.db").rename(state_dir / "elsewhere")
    with pytest.raises(StateError, match="another file has taken its place or it was removed"):
        store.put_key(key(9))
    assert store.failure
    store.close()


def test_a_directory_that_is_none_is_told_in_words(tmp_path):
    """No exception of another kind."""
    with pytest.raises(StateError):
        StateStore.opened_in(tmp_path / "nowhere")
    with pytest.raises(StateError, match="no such file"):
        StateStore.read_from(tmp_path)
    (tmp_path / "state.db").mkdir()
    with pytest.raises(StateError):
        StateStore.opened_in(tmp_path)


def test_samples_have_bundles_of_their_own():
    """What other tests compare is not the same by chance."""
    assert len({bundle_of(number) for number in range(100)}) == len({name_of(number) for number in range(100)}) == 100
