"""Journals as text: what is written is read back to the digit, and what is no journal is refused by its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.domain.action import CancelBatch, DispatchBatch, Finish, ReturnLease, SuspectReplica
from sojourn.domain.event import BatchCompleted, ClientGone, ReplicaLeased, RequestArrived, Tick
from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO
from sojourn.domain.policy import Fixed
from sojourn.domain.request import Fault, Outcome
from sojourn.errors import ConfigurationError
from sojourn.telemetry.journal import Journal
from sojourn.telemetry.journal_file import JournalHead, journal_lines, read_journal, write_journal

SETTINGS = FunctionSettings(name="f", slo=SLO(0.1), batching=Fixed(size=3, wait_s=0.01), max_batch_size=3)
HEAD = JournalHead(function="f", revision="abc", settings=SETTINGS)
NUMBERS = st.integers(0, 2**40)
SECONDS = st.floats(0, 1e6)
EVENTS = st.one_of(
    st.builds(RequestArrived, NUMBERS, NUMBERS, st.integers(0, 2), st.none() | SECONDS),
    st.builds(ClientGone, NUMBERS),
    st.builds(ReplicaLeased, NUMBERS, st.integers(1, 9)),
    st.builds(
        BatchCompleted, NUMBERS, NUMBERS, st.lists(st.tuples(NUMBERS, st.sampled_from(Fault))).map(tuple), SECONDS
    ),
    st.just(Tick()),
)
ACTIONS = st.one_of(
    st.builds(DispatchBatch, NUMBERS, NUMBERS, st.lists(NUMBERS)),
    st.builds(CancelBatch, NUMBERS, NUMBERS),
    st.builds(Finish, NUMBERS, st.sampled_from(Outcome), st.none() | st.sampled_from(Fault), latency_s=SECONDS),
    st.builds(ReturnLease, NUMBERS),
    st.builds(SuspectReplica, NUMBERS, st.text(), st.booleans()),
)


@given(st.lists(st.tuples(SECONDS, EVENTS, st.lists(ACTIONS))))
def test_what_is_written_is_read_back(tmp_path_factory, steps):
    """Events, actions and instants are the same to the last digit, and so are the options of the function."""
    steps.sort(key=lambda step: step[0])
    path = tmp_path_factory.mktemp("journal") / "f.journal"
    write_journal(path, HEAD, steps)
    found = read_journal(path)
    assert found.head == HEAD
    assert found.steps == steps


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"rubbish", "line 2"),
        (b'{"at_s":1,"event":"Nonsense","facts":{},"actions":[]}', "'Nonsense' is none of BatchCompleted"),
        (b'{"at_s":1,"event":"Tick","facts":{},"actions":[["Explode",{}]]}', "'Explode' is none of"),
        (b'{"at_s":1,"event":"ClientGone","facts":{"request_id":"x"},"actions":[]}', r"\$\.request_id"),
        (
            b'{"at_s":-1,"event":"Tick","facts":{},"actions":[]}\n{"at_s":-2,"event":"Tick","facts":{},"actions":[]}',
            "line 3",
        ),
    ],
)
def test_a_line_that_is_no_step_is_named(tmp_path, line, why):
    """By its number and by what is wrong with it."""
    path = tmp_path / "f.journal"
    path.write_bytes(next(journal_lines(HEAD, [])) + line + b"\n")
    with pytest.raises(ConfigurationError, match=why):
        read_journal(path)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"journal":2}', b"\xff\xfe", b"[" * 3000])
def test_a_file_that_is_no_journal_is_refused(tmp_path, content):
    """Whatever it is."""
    path = tmp_path / "f.journal"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="line 1"):
        read_journal(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_journal(tmp_path)


def test_a_journal_knows_how_much_of_its_beginning_is_missing():
    """Nothing until its bound is reached."""
    journal = Journal(3)
    for number in range(5):
        assert journal.dropped == max(0, number - 3)
        journal.append(float(number), Tick(), [])
    assert journal.dropped == 2
    assert [at_s for at_s, _, _ in journal.tail(9)] == [2.0, 3.0, 4.0]
