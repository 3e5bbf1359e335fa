"""Packing a tree: what goes in, always the same way; what cannot, and why."""

import gzip
import io
import os
import shutil
import socket
import tarfile

import pytest
from bundle_bench import content_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sojourn.bundle import walk
from sojourn.bundle.disk import remove_tree
from sojourn.bundle.limits import BundleLimits
from sojourn.bundle.names import FILE, NameBook, name_fault
from sojourn.bundle.pack import pack
from sojourn.errors import BundleError, ConfigurationError, TargetError

parts = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)
contents = st.tuples(st.binary(max_size=2000), st.booleans())
files = st.dictionaries(st.lists(parts, min_size=1, max_size=4).map("/".join), contents, max_size=8)


def usable(tree):
    """Those files of a tree that could stand on one disk under the rules of names, and say nothing about others."""
    book = NameBook()
    return {
        name: value
        for name, value in tree.items()
        if not {walk.VENV_MARK, walk.IGNORE_FILE} & set(name.split("/"))
        and name_fault(name, BundleLimits()) is None
        and book.fault_of(name, FILE) is None
    }


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files)
def test_what_is_packed_comes_out_the_same(trees, tree):
    """Names, contents, executable bits; the digest on both ends; nothing outside the bundle's own directory."""
    shutil.rmtree(trees.root)
    tree = usable({"app.py": (b"x = 1\n", False)} | tree)
    for name, (content, is_executable) in tree.items():
        trees.write({name: content})
        (trees.root / name).chmod(0o755 if is_executable else 0o600)
    ignored = walk.IgnoreRules()
    expected = {name: value for name, value in tree.items() if not ignored.ignores_deeply(name)}
    packed, archive = trees.pack()
    unpacked = trees.unpack(archive)
    assert content_of(unpacked.path) == expected
    assert (packed.digest, packed.files, packed.bytes) == (unpacked.digest, unpacked.files, unpacked.bytes)
    assert packed.archive_bytes == len(archive)
    remove_tree(unpacked.path)


def test_the_same_content_gives_the_same_archive(trees, tmp_path):
    """Elsewhere, at another time, by other modes and in another order of creation: byte for byte."""
    tree = {"app.py": "x = 1\n", "b/c.py": "y = 2\n", "a.txt": "z"}
    trees.write(tree)
    other = tmp_path / "outside" / "elsewhere"
    for name in reversed(tree):
        path = other / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tree[name])
        path.chmod(0o664)
        os.utime(path, (1, 1))
    output = io.BytesIO()
    there = pack(other, "app.py", output)
    here, archive = trees.pack()
    assert there == here
    assert output.getvalue() == archive
    assert archive[4:8] == bytes(4)  # no time in the header of gzip
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        told = [(info.name, info.mode, info.mtime, info.uid, info.gid, info.uname, info.gname) for info in tar]
    assert told == [(name, 0o644, 0, 0, 0, "", "") for name in ("a.txt", "app.py", "b/c.py")]
    assert str(tmp_path).encode() not in gzip.decompress(archive)


def test_the_digest_follows_content_name_and_executable_bit(trees):
    """And nothing else: an empty directory, a time, another permission are no other bundle."""
    trees.write({"app.py": "x = 1\n", "run.sh": "#!/bin/sh\n"})
    first = trees.pack()[0].digest
    (trees.root / "empty").mkdir()
    (trees.root / "app.py").chmod(0o640)
    assert trees.pack()[0].digest == first
    (trees.root / "run.sh").chmod(0o755)
    executable = trees.pack()[0].digest
    (trees.root / "run.sh").rename(trees.root / "run2.sh")
    renamed = trees.pack()[0].digest
    trees.write({"run2.sh": "#!/bin/sh\n\n"})
    assert len({first, executable, renamed, trees.pack()[0].digest}) == 4


def test_what_is_ignored_stays_out(trees):
    """The defaults, the lines of the file, and virtual environments whatever they are called."""
    trees.write(
        {
            "app.py": "",
            ".sojournignore": "*.csv\n!small.csv\n/notes/\n",
            "big.csv": "",
            "small.csv": "",
            "notes/n.txt": "",
            "pkg/notes/n.txt": "",
            ".env": "SECRET=1",
            "tls/server.key": "",
            "__pycache__/app.cpython-311.pyc": "",
            "my-env/pyvenv.cfg": "",
            "my-env/lib/x.py": "",
        }
    )
    assert trees.names(trees.pack()[1]) == ["app.py", "pkg/notes/n.txt", "small.csv"]


def test_targets(trees):
    """A file, a directory, a module of a package, a module by itself: which tree, and what is to be served there."""
    trees.write(
        {
            "app.py": "",
            "beside.py": "",
            "sub/app.py": "",
            "sub/in.py": "",
            "pkg/__init__.py": "",
            "pkg/m.py": "",
            "pkg/s/q.py": "",
        }
    )
    cases = {
        "app.py": (
            "app.py",
            ["app.py", "beside.py", "pkg/__init__.py", "pkg/m.py", "pkg/s/q.py", "sub/app.py", "sub/in.py"],
        ),
        "sub/app.py": ("app.py", ["app.py", "in.py"]),
        "sub": ("app.py", ["app.py", "in.py"]),
        "sub/": ("app.py", ["app.py", "in.py"]),
        "pkg.m": ("pkg.m", ["pkg/__init__.py", "pkg/m.py", "pkg/s/q.py"]),
        "pkg.s.q": ("pkg.s.q", ["pkg/__init__.py", "pkg/m.py", "pkg/s/q.py"]),
        "pkg": ("pkg", ["pkg/__init__.py", "pkg/m.py", "pkg/s/q.py"]),
        str(trees.root / "sub" / "app.py"): ("app.py", ["app.py", "in.py"]),
    }
    for target, (inner, expected) in cases.items():
        packed, archive = trees.pack(target)
        assert (packed.target, trees.names(archive)) == (inner, expected), target
    assert trees.pack("beside")[0].target == "beside.py"
    for target, message in {
        "none.py": "no such file",
        "pkg/": "the directory has no app.py",
        "no.where": "no module 'no'",
        "pkg.none": "has no module 'pkg.none'",
        "what-is-this": "neither a file nor a module name",
        "pkg/s/q.txt": "no such file",
    }.items():
        with pytest.raises(TargetError, match=message):
            trees.pack(target)


def test_links_inside_are_what_they_lead_to(trees):
    """To a file and to a directory; the bundle holds plain files."""
    trees.write({"app.py": "x = 1\n", "v2/weights.bin": b"w"})
    (trees.root / "current").symlink_to("v2")
    (trees.root / "main.py").symlink_to(trees.root / "app.py")
    unpacked = trees.unpack(trees.pack()[1])
    assert content_of(unpacked.path) == {
        "app.py": (b"x = 1\n", False),
        "current/weights.bin": (b"w", False),
        "main.py": (b"x = 1\n", False),
        "v2/weights.bin": (b"w", False),
    }


def test_all_that_cannot_be_packed_is_told_at_once(trees, tmp_path, monkeypatch):
    """Links that lead out, nowhere, to what is left out, or in circles; pipes, sockets, names."""
    trees.write(
        {
            "app.py": "",
            ".env": "SECRET=1",
            "a/b/c.py": "",
            "\u00e9.txt": "",
            "e\u0301.txt": "",
            "x\ny": "",
            "back\\slash": "",
        }
    )
    (trees.root / "out").symlink_to(tmp_path / "outside")
    (trees.root / "etc").symlink_to("/etc/hostname")
    (trees.root / "broken").symlink_to("nowhere")
    (trees.root / "settings").symlink_to(".env")
    (trees.root / "a/b/up").symlink_to("../../a")
    (trees.root / "self").symlink_to("self")
    os.mkfifo(trees.root / "pipe")
    monkeypatch.chdir(trees.root)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(BundleError) as caught:
            trees.pack()
    told = str(caught.value)
    for name, reason in {
        "out": "a link that leads out of the tree",
        "etc": "a link that leads out of the tree",
        "broken": "a link that leads nowhere",
        "settings": "a link to '.env', which is left out",
        "a/b/up": "a link to a directory that it lies in",
        "self": "a link that leads nowhere",
        "pipe": "a named pipe; leave it out",
        "socket": "a socket; leave it out",
        r"x\ny": "control characters",
        r"back\\slash": "backslashes",
        "\u00e9.txt": "by case or Unicode form only",
    }.items():
        assert f"'{name}': " in told
        assert reason in told.partition(f"'{name}': ")[2].splitlines()[0]
    assert len(told.splitlines()) == 12


def test_too_much_names_where_it_lies(trees):
    """Files and bytes; the largest directories, deep ones by the place where they branch."""
    trees.write({"app.py": "x" * 10})
    trees.write({f"data/raw/images/{number}.png": "x" * 100 for number in range(30)})
    trees.write({"model/weights.bin": b"w" * 9000, "model/tiny.txt": b""})
    with pytest.raises(BundleError) as caught:
        trees.pack(limits=BundleLimits(files=20, bytes=5000))
    told = str(caught.value)
    assert "33 files, and at most 20 may be packed" in told
    assert "12.0 kB, and at most 5.0 kB may be packed" in told
    assert "largest parts: data/raw/images/ (30 files, 3.0 kB), model/ (2 files, 9.0 kB), app.py" in told
    assert ".sojournignore" in told
    trees.write({".sojournignore": "data/\nmodel/\n"})
    assert trees.pack(limits=BundleLimits(files=20, bytes=5000))[0].files == 1
    with pytest.raises(ConfigurationError, match=r"files must be >= 1, not 0; bytes must be <= 8589934591"):
        BundleLimits(files=0, bytes=2**40)
    trees.write({"a/b/c/d.py": ""})
    with pytest.raises(BundleError, match="3 directories, and at most 2 may be packed"):
        trees.pack(limits=BundleLimits(files=2))
    with pytest.raises(BundleError, match="at most 2 directories deep"):
        trees.pack(limits=BundleLimits(depth=2))
    with pytest.raises(BundleError, match="a path takes at most 8 bytes"):
        trees.pack(limits=BundleLimits(name_bytes=8))


def test_the_packed_size_is_bounded_too(trees):
    """By what the receiver takes: bytes of the archive, and how often they may be unfolded."""
    trees.write({"app.py": "", "noise.bin": os.urandom(5000)})
    with pytest.raises(BundleError, match=r"the archive takes more than 1\.0 kB"):
        trees.pack(limits=BundleLimits(archive_bytes=1000))
    trees.write({"noise.bin": bytes(100_000)})
    with pytest.raises(BundleError, match=r"compresses .* times, and more than 50 times is taken for an attack"):
        trees.pack(limits=BundleLimits(ratio=50, ratio_from_bytes=10_000))


def test_too_many_to_look_at_is_told_soon(trees, monkeypatch):
    """A home directory by mistake: the walk has an end, too."""
    monkeypatch.setattr(walk, "_ENTRIES_MAX", 5)
    trees.write({"app.py": ""} | {f"many/{number}": "" for number in range(10)})
    with pytest.raises(BundleError, match="more than 5 files and directories: is this the right one"):
        trees.pack()


def test_nothing_to_serve_is_told(trees):
    """When the ignore file leaves out too much, or cannot be read."""
    trees.write({"app.py": "", ".sojournignore": "*.py\n"})
    with pytest.raises(BundleError, match=r"app\.py itself is left out; look at \.sojournignore"):
        trees.pack()
    trees.write({"pkg/a.py": ""})
    with pytest.raises(BundleError, match="nothing to pack in pkg"):
        trees.pack("pkg.a")
    trees.write({".sojournignore": b"\xff\n"})
    with pytest.raises(ConfigurationError, match="must be UTF-8"):
        trees.pack()
    trees.write({".sojournignore": "[a\n[b\n"})
    with pytest.raises(ConfigurationError, match=r"(?s)sojournignore:1.*sojournignore:2"):
        trees.pack()


@pytest.mark.parametrize("written_min", [0, 300_000], ids=["before", "amid"])
@pytest.mark.parametrize("change", ["grow", "shrink", "vanish", "link", "rewrite"])
def test_a_file_that_changes_while_it_is_packed_is_told(trees, tmp_path, change, written_min):
    """Between the look through the tree and the file's first byte, and from there to its last."""
    trees.write({"app.py": "", "later.bin": os.urandom(600_000)})
    (tmp_path / "outside" / "secret").write_text("secret")
    later = trees.root / "later.bin"

    class Meddling(io.BytesIO):
        """Changes the tree as soon as the first bytes are written."""

        def write(self, data):
            if self.tell() < written_min:
                pass
            elif change == "grow":
                with later.open("ab") as file:
                    file.write(b"more")
            elif change == "shrink":
                os.truncate(later, 10)
            elif change == "rewrite":
                later.write_bytes(os.urandom(600_000))
            elif later.exists() and not later.is_symlink():
                later.unlink()
                if change == "link":
                    later.symlink_to(tmp_path / "outside" / "secret")
            return super().write(data)

    output = Meddling()
    with pytest.raises(BundleError, match=r"'later\.bin': (changed|could not be read) while the tree was being packed"):
        pack(trees.root, "app.py", output)
    assert b"secret" not in output.getvalue()
