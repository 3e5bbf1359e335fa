"""`sojourn state`: what people type, what they read, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sojourn.cli.main import run
from sojourn.config.state_dir import claim
from sojourn.state.store import StateStore

sys.path.insert(0, str(Path(__file__).parents[1] / "state"))
from state_samples import bundle_of, go_live, key, put_bundle


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """No settings of this machine, and a home of its own."""
    for name in ("SOJOURN_STATE_DIR", "SOJOURN_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def make_state(state_dir, number=1):
    """A directory as a server leaves it."""
    state_dir.mkdir(parents=True, mode=0o700)
    store = StateStore.opened_in(state_dir)
    go_live(store, number)
    store.put_key(key(number))
    store.close()
    put_bundle(state_dir, number, is_genuine=True)
    return state_dir


def test_backup_and_restore_of_a_stopped_server(tmp_path, capsys):
    """By port without further words: backed up, restored into the empty directory of another, checked there."""
    make_state(tmp_path / "home" / "sojourn" / "8080")
    assert run(["state", "backup", "state.tar"]) == 0
    said = capsys.readouterr().out
    assert "1 function, 1 revision, 1 key, 1 bundle, state.db" in said
    assert "sojourn state restore state.tar" in said
    assert run(["state", "restore", "state.tar", "--port", "9000"]) == 0
    said = capsys.readouterr().out
    assert "into an empty directory" in said
    assert "functions: digits; 1 revision, 1 key, 1 bundle" in said
    assert run(["state", "check", "--port", "9000"]) == 0
    assert "1 function, 1 revision, 1 key, 1 bundle" in capsys.readouterr().out


def test_restore_replaces_only_a_directory_that_is_named(tmp_path, capsys):
    """The default one could hold what somebody needs."""
    default = make_state(tmp_path / "home" / "sojourn" / "8080")
    make_state(tmp_path / "other", 2)
    assert run(["state", "backup", "state.tar", "--state-dir", "other"]) == 0
    assert run(["state", "restore", "state.tar"]) == 1
    assert "holds a state already" in capsys.readouterr().err
    assert run(["state", "restore", "state.tar", "--state-dir", str(default)]) == 0
    assert "in place of what was there" in capsys.readouterr().out
    store = StateStore.read_from(default)
    assert store.referenced_bundles() == {bundle_of(2)}
    store.close()


def test_a_state_that_is_not_where_it_is_looked_for_is_asked_for_by_name(tmp_path, capsys):
    """Who named a directory is told that nothing is there; who named none, how to name one."""
    for words in (["backup", "state.tar"], ["check"]):
        assert run(["state", *words]) == 1
        shown = capsys.readouterr()
        assert "no server has kept its state here" in shown.out + shown.err
        assert "--state-dir DIR" in shown.err
        assert run(["state", *words, "--state-dir", "nowhere"]) == 1
        assert "--state-dir DIR" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_refused_restore_leaves_no_directory_behind(tmp_path, capsys):
    """Neither for a file that is not there nor for a damaged one; what was there before stays."""
    make_state(tmp_path / "from")
    assert run(["state", "backup", "state.tar", "--state-dir", "from"]) == 0
    (tmp_path / "cut.tar").write_bytes((tmp_path / "state.tar").read_bytes()[:4000])
    (tmp_path / "there").mkdir()
    for file in ("none.tar", "cut.tar"):
        assert run(["state", "restore", file]) == 1
        assert run(["state", "restore", file, "--state-dir", "new/and/deep"]) == 1
        assert run(["state", "restore", file, "--state-dir", "there/new"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.tar", "from", "state.tar", "there"]
    assert list((tmp_path / "there").iterdir()) == []
    assert run(["state", "restore", "state.tar", "--state-dir", "new/and/deep"]) == 0
    assert (tmp_path / "new" / "and" / "deep" / "server.lock").exists()
    capsys.readouterr()


def test_while_a_server_holds_it_backup_and_check_go_on_and_restore_is_refused(tmp_path, capsys):
    """A real second process; nothing is changed by its refusal."""
    state_dir = make_state(tmp_path / "held")
    held = claim(state_dir)
    store = StateStore.opened_in(state_dir)
    try:
        assert run(["state", "backup", "state.tar", "--state-dir", "held"]) == 0
        assert run(["state", "check", "--state-dir", "held"]) == 0
        words = ["state", "restore", "state.tar", "--state-dir", "held"]
        ended = subprocess.run(
            [sys.executable, "-m", "sojourn.cli.main", *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 1
        assert "is held by a running server" in ended.stderr
        assert "stop it first, or restore into another directory" in ended.stderr
        store.put_key(key(2))
    finally:
        store.close()
        held.release()
    capsys.readouterr()
    assert run(["state", "check", "--state-dir", "held", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["keys"] == 2


def test_json_for_programs(tmp_path, capsys):
    """Each command prints one object."""
    make_state(tmp_path / "here")
    printed = []
    for words in (["check"], ["backup", "state.tar"], ["restore", "state.tar"]):
        assert run(["state", *words, "--state-dir", "here", "--json"]) == 0
        printed.append(json.loads(capsys.readouterr().out))
    checked, made, restored = printed
    assert (checked["ok"], checked["faults"], checked["functions"]) == (True, [], 1)
    assert (made["bundles"], made["databases"]) == (1, ["state.db"])
    assert (restored["functions"], restored["has_replaced"]) == (["digits"], True)


def test_check_tells_what_is_wrong_and_ends_with_1(tmp_path, capsys):
    """A missing bundle, then a damaged file, with what to do about it; no directory at all."""
    state_dir = make_state(tmp_path / "here")
    bundle = state_dir / "bundles" / bundle_of(1)
    (bundle / "src").chmod(0o755)
    (bundle / "src" / "app.py").unlink()
    assert run(["state", "check", "--state-dir", "here"]) == 1
    assert f"bundle {bundle_of(1)}: its content has changed" in capsys.readouterr().out
    content = (state_dir / "state.db").read_bytes()
    (state_dir / "state.db").write_bytes(content[:8192])
    assert run(["state", "check", "--state-dir", "here", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert "sojourn state restore FILE" in found["faults"][0]
    assert run(["state", "backup", "state.tar", "--state-dir", "here"]) == 1
    assert "is damaged" in capsys.readouterr().err
    assert run(["state", "check", "--state-dir", "nowhere"]) == 1
    assert not (tmp_path / "state.tar").exists()
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "words", [["check", "--port", "many"], ["backup"], ["restore"], ["check", "--port", "0"], ["forget"]]
)
def test_usage_errors_end_with_2(words, capsys):
    """With what was wrong."""
    assert run(["state", *words]) == 2
    assert capsys.readouterr().err
