"""Changes a state file in processes that are killed at every step, and says what was found afterwards.

A command: `state_crash.py DIRECTORY SCENARIO`. Each statement that reaches SQLite is a step, and so is each file that is
opened, renamed or removed. A child does the scenario and is killed with SIGKILL before its n-th step; what it had acknowledged until then it wrote to a pipe. The file is
then opened as the next server would. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "state"))
from state_samples import CANARY_PLAN, WALL_S, all_of, go_live, key, name_of, revision

from sojourn.domain.deployment import RolloutPlan
from sojourn.state.record import StoredEvent
from sojourn.state.store import StateStore

STEPS_MAX = 400
FILE_STEPS = {"open", "os.rename", "os.remove", "os.chmod", "os.mkdir", "os.truncate"}
_connect = sqlite3.connect


class _Hasty(sqlite3.Connection):
    """Does not wait for the disk: a process that is killed loses nothing it has handed to the system."""

    def execute(self, statement, *values):
        return super().execute(statement.replace("synchronous = FULL", "synchronous = OFF"), *values)


def deploy(store):
    """A canary that is superseded, one that is promoted, keys, limits, and what goes with it."""
    yield store.put_revision(revision(2))
    yield store.set_candidate("digits", name_of(2), CANARY_PLAN, WALL_S)
    yield store.put_revision(revision(3))
    yield store.set_candidate("digits", name_of(3), RolloutPlan(), WALL_S + 1)
    yield store.promote("digits", name_of(3), WALL_S + 2, "promoted", {"requests": 400})
    with store.transaction():
        store.set_limits("digits", 1, 4)
        store.append_event(StoredEvent(at_s=WALL_S, level="info", event="rollout.promoted"))
    yield
    yield store.revoke_key(key(1).id, WALL_S + 3)
    yield store.delete_function("digits")


def nothing(store):
    """Only opening counts: making the file, or bringing it up to date."""
    yield


SCENARIOS = {"deploy": deploy, "create": nothing, "upgrade": nothing}


def prepared(state_dir: Path, scenario: str) -> None:
    state_dir.mkdir()
    if scenario == "deploy":
        store = StateStore.opened_in(state_dir)
        go_live(store, 1)
        store.put_key(key(1))
        store.close()
    elif scenario == "upgrade":
        fixture = Path(__file__).parents[1] / "unit" / "state" / "fixtures" / "state_v1.sql"
        connection = sqlite3.connect(state_dir / "state.db")
        connection.executescript(fixture.read_text())
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()


def killed_at(step: int, state_dir: Path, scenario: str) -> tuple[int, bool]:
    """How many changes the child acknowledged, and whether it was killed (else the scenario had fewer steps)."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        left = [step]

        def count(_statement):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def connect(*arguments, **options):
            connection = _connect(*arguments, factory=_Hasty, **options)
            connection.set_trace_callback(count)
            return connection

        def look(event, arguments):
            if event in FILE_STEPS and str(arguments[0]).startswith(str(state_dir)):
                count(event)

        sqlite3.connect = connect
        sys.addaudithook(look)
        try:
            store = StateStore.opened_in(state_dir)
            for _ in SCENARIOS[scenario](store):
                os.write(tell, b"x")
            store.close()
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        acknowledged = len(pipe.read())
    _, status = os.waitpid(pid, 0)
    return acknowledged, os.WIFSIGNALED(status)


def main(directory: Path, scenario: str) -> dict:
    sqlite3.connect = lambda *arguments, **options: _connect(*arguments, factory=_Hasty, **options)
    os.fsync = lambda _: None
    prepared(directory / "before", scenario)
    shutil.copytree(directory / "before", directory / "whole")
    store = StateStore.opened_in(directory / "whole")
    said = [all_of(store), *(all_of(store) for _ in SCENARIOS[scenario](store))]
    store.close()
    wrong, acknowledged_at = [], []
    for step in range(1, STEPS_MAX):
        state_dir = directory / f"at-{step}"
        shutil.copytree(directory / "before", state_dir)
        acknowledged, is_killed = killed_at(step, state_dir, scenario)
        store = StateStore.opened_in(state_dir)
        found = all_of(store)
        faults = store.faults()
        store.close()
        if found not in said[acknowledged : acknowledged + 2] or faults:
            wrong.append({"step": step, "acknowledged": acknowledged, "faults": faults})
        shutil.rmtree(state_dir)
        acknowledged_at.append(acknowledged)
        if not is_killed:
            return {"steps": step - 1, "wrong": wrong, "acknowledged": acknowledged, "changes": len(said) - 1}
    raise AssertionError(f"more than {STEPS_MAX} steps")


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))  # noqa: T201 (a command)
