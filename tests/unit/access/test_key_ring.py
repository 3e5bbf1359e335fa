"""The keys of a server: found while they are valid, kept before they count, and every change is told."""

from itertools import count

import pytest
from msgspec import structs

from sojourn.access.key_ring import KeyRing
from sojourn.access.key_store import PassingKeys
from sojourn.domain.access import KEYS_MAX, Scope, parse_scope
from sojourn.errors import ConfigurationError, StateError

READ = Scope("read")


class Clock:
    """Time that passes when it is told to."""

    now_s = 1_000_000.0

    def __call__(self):
        return self.now_s


class BrokenStore(PassingKeys):
    """Keeps nothing new."""

    def put_key(self, record):
        raise StateError("the disk is full")

    def revoke_key(self, key_id, wall_s):
        raise StateError("the disk is full")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ring(clock):
    return KeyRing(PassingKeys(), clock)


def told(ring):
    """A counter of what its listeners hear."""
    calls = []
    ring.listeners.append(lambda: calls.append(1))
    return calls


def test_a_ring_is_open_until_the_first_key_and_never_again(ring, clock):
    """The end of the last key must not let everybody in."""
    assert ring.is_open
    first, _ = ring.create("a", [READ], clock.now_s + 10)
    second, _ = ring.create("b", [READ])
    ring.revoke(second.id)
    clock.now_s += 11
    assert not first.is_valid(clock.now_s)
    assert not ring.is_open


def test_a_key_is_found_by_its_text_and_by_nothing_else(ring):
    """Not by its id, nor by its digest, nor by a well-formed text with its id."""
    record, secret = ring.create("ci", [parse_scope("invoke:digits")])
    other = KeyRing(PassingKeys(), random_bytes=lambda size: bytes.fromhex(record.id) if size == 4 else bytes(size))
    _, forged = other.create("forged", [READ])
    assert forged[:12] == secret[:12]
    assert ring.find(secret) is record
    for text in (forged, record.id, record.digest.hex(), secret[:-1], secret + "A", ""):
        assert ring.find(text) is None
    assert secret not in repr(record)
    assert (record.label, record.created_at_s) == ("ci", 1_000_000.0)


def test_a_key_ends_at_its_instant_or_when_it_is_revoked(ring, clock):
    """And stays ended, however often it is revoked."""
    record, secret = ring.create("a", [READ], clock.now_s + 10)
    clock.now_s += 9.999
    assert ring.find(secret) is record
    clock.now_s += 0.001
    assert ring.find(secret) is None
    other, secret = ring.create("b", [READ])
    revoked = ring.revoke(other.id)
    clock.now_s += 5
    assert ring.find(secret) is None
    assert ring.revoke(other.id) is revoked
    assert ring.revoke("00000000") is None


def test_listeners_hear_of_every_change_and_of_the_end_of_a_keys_time(ring, clock):
    """Once each; in between nothing is told."""
    calls = told(ring)
    ring.create("a", [READ], clock.now_s + 10)
    ring.create("b", [READ], clock.now_s + 20)
    record, _ = ring.create("c", [READ])
    assert len(calls) == 3
    ring.revoke(record.id)
    ring.revoke(record.id)
    assert len(calls) == 4
    for passed_s, heard in ((9, 4), (1, 5), (1, 5), (9, 6), (100, 6)):
        clock.now_s += passed_s
        ring.notice_expiry()
        assert len(calls) == heard


def test_keys_are_read_back_from_the_store(clock):
    """As they were, those that ended included."""
    store = PassingKeys()
    ring = KeyRing(store, clock)
    kept, secret = ring.create("a", [READ])
    gone, dead = ring.create("b", [READ])
    ring.revoke(gone.id)
    again = KeyRing(store, clock)
    again.load()
    assert again.records() == ring.records()
    assert again.find(secret) == kept
    assert again.find(dead) is None


def test_what_cannot_be_kept_does_not_count(clock):
    """No key is handed out that a restart would forget, and none is called revoked that a restart would revive."""
    ring = KeyRing(BrokenStore(), clock)
    with pytest.raises(StateError):
        ring.create("a", [READ])
    assert ring.is_open
    store = BrokenStore()
    record, secret = ring_with_one(store, clock)
    ring = KeyRing(store, clock)
    ring.load()
    with pytest.raises(StateError):
        ring.revoke(record.id)
    assert ring.find(secret) == record


def ring_with_one(store, clock):
    """A key put past the store's fault."""
    working = PassingKeys()
    made = KeyRing(working, clock).create("a", [READ])
    store._records = working._records
    return made


def test_all_faults_of_a_new_key_are_told_at_once(ring, clock):
    """Label, scopes and end; nothing is made."""
    with pytest.raises(ConfigurationError, match=r"label must be.*scopes must be.*in the future"):
        ring.create("", [], clock.now_s)
    for label in (" a", "a\n", "x" * 101, "\x1b[31m"):
        with pytest.raises(ConfigurationError, match="label"):
            ring.create(label, [READ])
    for end_s in (float("nan"), float("inf"), -1.0):
        with pytest.raises(ConfigurationError, match="future"):
            ring.create("a", [READ], end_s)
    assert ring.is_open


def test_an_id_that_is_taken_is_not_given_again(clock):
    """Chance may repeat itself; ids do not."""
    numbers = count()

    def repeating(size):
        return (next(numbers) // 4).to_bytes(size)

    ring = KeyRing(PassingKeys(), clock, repeating)
    ids = {ring.create("a", [READ])[0].id for _ in range(8)}
    assert len(ids) == 8


def test_the_number_of_keys_is_bounded_and_those_that_ended_make_room(clock):
    """A loop that makes keys fills neither memory nor disk; a server that renews them for years can go on."""
    store = PassingKeys()
    ring = KeyRing(store, clock)
    first, secret = ring.create("a", [READ])
    others = [structs.replace(first, id=f"{number:08x}") for number in range(KEYS_MAX - 1)]
    for record in others:
        store.put_key(record)
    ring.load()
    with pytest.raises(ConfigurationError, match="10000 keys in force"):
        ring.create("b", [READ])
    ring.revoke(others[7].id)
    clock.now_s += 1
    ring.revoke(others[3].id)
    new, _ = ring.create("c", [READ])
    kept = store.keys()
    for ids in ({one.id for one in ring.records()}, {one.id for one in kept}):
        assert len(ids) == KEYS_MAX
        assert {new.id, others[3].id} <= ids
        assert others[7].id not in ids
    assert ring.find(secret) == first


def test_the_same_scope_twice_is_one(ring):
    """In the order given."""
    record, _ = ring.create("a", [READ, Scope("admin"), READ])
    assert record.scopes == (READ, Scope("admin"))
