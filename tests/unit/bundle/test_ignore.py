"""Patterns of `.sojournignore`: what they leave out, and which of them cannot be read."""

import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sojourn.bundle.ignore import DEFAULTS, LINES_MAX, IgnoreRules
from sojourn.errors import ConfigurationError


def left_out(lines, path):
    """Whether a file is left out by these lines."""
    return IgnoreRules(lines).ignores_deeply(path)


@pytest.mark.parametrize(
    ("lines", "out", "within"),
    [
        (["*.log"], ["a.log", "x/y/b.log", ".log"], ["a.logs", "log"]),
        (["/a.txt"], ["a.txt"], ["x/a.txt"]),
        (["data/"], ["data/x", "y/data/x/z"], ["data", "mydata/x"]),
        (["x/data"], ["x/data", "x/data/y"], ["y/x/data"]),
        (["**/x/data"], ["x/data", "y/z/x/data/q"], ["x/y/data"]),
        (["a/**"], ["a/x", "a/x/y"], ["a", "b/a/x"]),
        (["a/**/b"], ["a/b", "a/x/b", "a/x/y/b/c"], ["a/xb", "ab"]),
        (["a?c"], ["abc"], ["ac", "a/c", "abbc"]),
        (["[a-c].txt"], ["b.txt"], ["d.txt"]),
        (["[!a-c].txt"], ["d.txt"], ["b.txt"]),
        (["[]a].txt"], ["].txt", "a.txt"], ["b.txt"]),
        ([r"\#x", r"\!y", r"\*z"], ["#x", "!y", "*z"], ["x", "y", "az"]),
        (["# a", "", "   "], [], ["# a", " ", "a"]),
        (["a  ", r"b\ "], ["a", "b "], ["a  ", "b"]),
        (["*.txt", "!keep.txt"], ["a.txt"], ["keep.txt", "x/keep.txt"]),
        (["!keep.txt", "*.txt"], ["keep.txt"], []),
        (["data/", "!data/keep"], ["data/keep"], []),
        (["data/*", "!data/keep"], ["data/x"], ["data/keep"]),
        (["*"], ["a", "a/b"], []),
        (["**"], ["a", "a/b"], []),
        (["***.log"], ["a.log"], ["a.txt"]),
        (["a.b+c(d)|$^"], ["a.b+c(d)|$^"], ["aXb+c(d)|$^"]),
        (
            [],
            [".git/config", "x/__pycache__/a.pyc", "m.pyo", "venv/x", "certs/tls.key", "a.pem", ".env", ".env.local"],
            [],
        ),
        ([], [".ssh/id_rsa", "sub/id_ed25519", ".git", ".sojournignore"], ["x/.sojournignore", ".gitignore", "env.py"]),
        (["!ca.pem"], ["tls.pem"], ["ca.pem", "x/ca.pem"]),
    ],
)
def test_patterns(lines, out, within):
    """Each kind of pattern, by what it leaves out and what not."""
    assert [path for path in out if not left_out(lines, path)] == []
    assert [path for path in within if left_out(lines, path)] == []


def test_what_cannot_be_read_is_told_with_its_lines():
    """All faults at once."""
    with pytest.raises(ConfigurationError) as caught:
        IgnoreRules(["ok", "a[b/c]d", "x\\", "/", "[z-a]", "a" * 2000])
    told = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in told] == [f".sojournignore:{number}" for number in (2, 3, 4, 5, 6)]
    with pytest.raises(ConfigurationError, match="lines, and at most"):
        IgnoreRules(["a"] * (LINES_MAX + 1))


def test_every_default_has_a_reason():
    """The defaults are told group by group."""
    assert all(reason and patterns for reason, patterns in DEFAULTS.items())


pieces = st.sampled_from(["a", "b", "*", "**", "?", "a*", "*b", "[ab]", "[!a]", "ab"])
patterns = st.builds(
    lambda negates, anchors, parts, ends: f"{negates}{anchors}{'/'.join(parts)}{ends}",
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(pieces, min_size=1, max_size=4),
    st.sampled_from(["", "", "/"]),
)
PATHS = ["a", "b", "ab", "a/a", "a/b", "b/a", "b/ab", "a/b/a", "a/a/b", "b/b/ab", "a/ab/b/a", "b/a/b/b"]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(patterns, min_size=1, max_size=4))
def test_git_agrees(tmp_path, lines):
    """The same lines leave out the same files in git (where it is installed)."""
    try:
        subprocess.run(["git", "init", "-q", tmp_path], check=True, timeout=60, capture_output=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    (tmp_path / ".gitignore").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        ["git", "-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "--stdin"],
        input="\n".join(PATHS),
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    assert {path for path in PATHS if left_out(lines, path)} == set(done.stdout.split()), lines
