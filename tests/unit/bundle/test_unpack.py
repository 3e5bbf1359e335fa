"""Archives of strangers: what is taken comes out as it was, what is not leaves nothing behind."""

import gzip
import io
import os
import resource
import stat
import subprocess
import sys
import tarfile
import zlib

import pytest
from bundle_bench import BLOCK, END, content_of, entry, extended, header, of_files, padded, zipped
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sojourn.bundle.disk import remove_tree
from sojourn.bundle.gunzip import Gunzip
from sojourn.bundle.limits import BundleLimits
from sojourn.bundle.tar import EXTENDED_BYTES_MAX
from sojourn.bundle.unpack import unpack
from sojourn.errors import BundleError, StateError

SMALL = BundleLimits(
    files=10, bytes=100_000, archive_bytes=50_000, name_bytes=60, depth=3, ratio=20, ratio_from_bytes=50_000
)
GOOD = entry("app.py")
LONG = "d" * 120 + ".py"

HOSTILE = {
    "parent": (zipped(entry("../evil.py")), r"'\.\./evil\.py': `\.\.` would lead out"),
    "parent inside": (zipped(entry("a/../../evil.py")), r"`\.\.` would lead out"),
    "parent by a long name": (zipped(extended([("path", "../evil.py")]), GOOD), r"'\.\./evil\.py': `\.\.`"),
    "parent by prefix": (zipped(entry("evil.py", prefix=b"..")), r"'\.\./evil\.py': `\.\.`"),
    "absolute": (zipped(entry("/etc/evil.py")), r"'/etc/evil\.py': absolute paths are not taken"),
    "absolute after a dot": (zipped(entry(".//etc/evil.py")), "absolute paths are not taken"),
    "absolute directory": (zipped(header("/etc/", kind=b"5"), GOOD), "absolute paths"),
    "hard link": (zipped(GOOD, header("b.py", kind=b"1", link=b"app.py")), r"'b\.py': hard links are not taken"),
    "symbolic link": (zipped(header("b.py", kind=b"2", link=b"/etc"), entry("b.py/x")), "symbolic links"),
    "character device": (zipped(header("null", kind=b"3")), "'null': devices are not taken"),
    "block device": (zipped(header("disk", kind=b"4")), "devices are not taken"),
    "named pipe": (zipped(header("pipe", kind=b"6")), "named pipes are not taken"),
    "contiguous file": (zipped(header("c", kind=b"7")), "contiguous files"),
    "sparse file": (zipped(header("s", kind=b"S")), "sparse files are not taken"),
    "sparse by pax": (
        zipped(extended([("GNU.sparse.major", "1"), ("GNU.sparse.realsize", "9999999999")]), GOOD),
        r"an extended header with 'GNU\.sparse\.major'",
    ),
    "size by pax": (zipped(extended([("size", "9999999999999")]), GOOD), "an extended header with 'size'"),
    "link by pax": (zipped(extended([("linkpath", "/etc")]), GOOD), "an extended header with 'linkpath'"),
    "unknown kind": (zipped(header("z", kind=b"Z")), "kind b'Z' are not taken"),
    "global header": (zipped(extended([("path", "x.py")], kind=b"g"), GOOD), "global extended headers"),
    "long name of a link": (zipped(entry("k", b"x\0", kind=b"K"), GOOD), "long names of links"),
    "same name": (zipped(GOOD, GOOD), r"'app\.py': there are two files of this name"),
    "same name with a dot": (zipped(GOOD, entry("./app.py")), "two files of this name"),
    "same directory": (zipped(header("a/", kind=b"5"), header("a/", kind=b"5"), GOOD), "two directories"),
    "case": (zipped(GOOD, entry("App.py")), r"'App\.py': it differs from 'app\.py' by case or Unicode form only"),
    "case of a directory": (zipped(entry("a/x.py"), entry("A/y.py")), "'A/y.py': it differs from 'a' by case"),
    "Unicode form": (zipped(entry("\u00e9.py"), entry("e\u0301.py")), "by case or Unicode form"),
    "compatibility form": (zipped(entry("fi.py"), entry("\ufb01.py")), "by case or Unicode form"),
    "sharp s": (zipped(entry("stra\u00dfe.py"), entry("strasse.py")), "by case or Unicode form"),
    "file, then directory": (zipped(entry("a"), entry("a/b.py")), "'a' is a file and a directory"),
    "directory, then file": (zipped(entry("a/b.py"), entry("a")), "'a' is a file and a directory"),
    "newline": (zipped(entry("a\nb.py")), r"'a\\nb\.py': control characters"),
    "escape": (zipped(entry("\x1b[2J.py")), "control characters"),
    "zero byte": (zipped(extended([("path", "app.py\0.txt")]), GOOD), r"'app\.py\\x00\.txt': control"),
    "writing direction": (zipped(entry("a\u202eyp.exe")), "cannot be seen"),
    "no UTF-8": (zipped(entry(b"\xff\xfe.py")), "names must be valid UTF-8"),
    "backslash": (zipped(entry("..\\evil.py")), "backslashes are not taken"),
    "dot": (zipped(entry("a/./b.py")), "paths must be plain"),
    "empty part": (zipped(entry("a//b.py")), "paths must be plain"),
    "no name": (zipped(entry("")), "names must not be empty"),
    "file with a slash": (zipped(entry("a/")), "a file whose name ends in a slash"),
    "long part": (zipped(extended([("path", "x" * 256)]), GOOD), "at most 255 bytes"),
    "long path": (zipped(entry("x/" + "y" * 60)), "a path takes at most 60 bytes"),
    "deep": (zipped(entry("a/b/c/d/e.py")), "at most 3 directories deep"),
    "declared size": (zipped(header("big", 2**33 - 1)), r"'big': with it the tree would take more than 100\.0 kB"),
    "sizes that add up": (zipped(entry("a", os.urandom(30_000)), header("b", 70_001)), "'b': with it the tree"),
    "size in base 256": (
        zipped(header("big", size_field=b"\x80" + b"\0" * 3 + b"\xff" * 8)),
        "a number of its header is not octal",
    ),
    "negative size": (zipped(header("neg", size_field=b"-0000000001\0")), "not octal"),
    "directory with content": (zipped(header("d/", 512, kind=b"5"), bytes(512), GOOD), "a directory with content"),
    "many files": (zipped(*(entry(f"{i}.py", b"") for i in range(11))), "more than 10 files are not taken"),
    "many directories": (zipped(*(header(f"d{i}/", kind=b"5") for i in range(22))), "'d10/': more than 10 directories"),
    "root again and again": (zipped(*[header("./", kind=b"5")] * 22, GOOD), "more than 20 entries"),
    "directories by the way": (
        zipped(*(entry(f"{i}/a/b/x.py", b"") for i in range(4))),
        "'3/a/b/x.py': more than 10 directories are not taken",
    ),
    "huge extended header": (
        zipped(header("pax", EXTENDED_BYTES_MAX + 1, kind=b"x")),
        f"an extended header of {EXTENDED_BYTES_MAX + 1} bytes is not taken",
    ),
    "huge long name": (zipped(header("L", 2**32, kind=b"L")), "an extended header of 4294967296 bytes"),
    "chain of headers": (zipped(*[extended([("path", "b.py")])] * 3, GOOD), "two extended headers for one entry"),
    "chain without names": (zipped(*[extended([("mtime", "1")])] * 3, GOOD), "two extended headers for one entry"),
    "two paths": (zipped(extended([("path", "b.py"), ("path", "c.py")]), GOOD), "two paths"),
    "broken records": (zipped(entry("pax", b"99 path=x\n", kind=b"x"), GOOD), "cannot be read"),
    "record of length zero": (zipped(entry("pax", b"0 path=x\n", kind=b"x"), GOOD), "cannot be read"),
    "record without end": (zipped(entry("pax", b"9 path=x;", kind=b"x"), GOOD), "cannot be read"),
    "header without entry": (zipped(extended([("path", "b.py")])), "ends where this entry should follow"),
    "checksum": (zipped(header("app.py", checksum=b"0000000\0")), "the checksum of its header is wrong"),
    "old format": (zipped(header("app.py", magic=bytes(8))), "not a ustar header"),
    "no file": (zipped(), "the archive holds no file"),
    "only a directory": (zipped(header("d/", kind=b"5")), "the archive holds no file"),
    "nothing": (b"", "the archive is cut off"),
    "no gzip": (b"PK\x03\x04" + bytes(100), "not gzip"),
    "not packed": (GOOD + END, "not gzip"),
    "not tar": (gzip.compress(b"x" * 2000), "not octal|checksum|ustar"),
    "no end": (zipped(GOOD, end=b""), "a header or its end is missing"),
    "half an end": (zipped(GOOD, end=bytes(BLOCK)), "the archive's end is cut off"),
    "cut in a header": (gzip.compress(GOOD + GOOD[:100]), "a header or its end is missing"),
    "cut in a file": (gzip.compress(header("app.py", 5000) + b"x" * 100), r"'app\.py': the archive is cut off inside"),
    "cut in padding": (gzip.compress(header("app.py", 5) + b"x" * 50), "cut off after this file"),
    "cut in an extended header": (gzip.compress(header("pax", 600, kind=b"x") + b"x"), "inside an extended header"),
    "cut gzip": (zipped(GOOD)[:-5], "the archive is cut off"),
    "wrong check sum of gzip": (zipped(GOOD)[:-8] + bytes(8), "damaged"),
    "garbage after gzip": (zipped(GOOD) + b"garbage", "something follows the end of the gzip archive"),
    "second member": (zipped(GOOD) + zipped(GOOD), "something follows the end of the gzip archive"),
    "entry after the end": (zipped(GOOD, END, entry("b.py")), "something follows the archive's end"),
    "zeros without end": (
        zipped(GOOD, end=bytes(2**21)),
        "unpacks to more than 20 times|zeros follow|unpacks to more than 100",
    ),
    "archive too large": (zipped(entry("a", os.urandom(60_000))), r"the archive takes more than 50\.0 kB"),
    "bomb": (zipped(header("zeros", 90_000), padded(bytes(90_000))), "unpacks to more than 20 times its size"),
    "bomb in gzip": (gzip.compress(gzip.compress(bytes(10**7))), "octal|checksum|ustar"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_not_taken_is_named_and_leaves_nothing(trees, case):
    """Each rule: a BundleError that says which, and neither the fresh directory nor anything outside it."""
    archive, expected = HOSTILE[case]
    with pytest.raises(BundleError, match=expected):
        trees.unpack(archive, limits=SMALL)
    assert list(trees.parent.iterdir()) == []
    assert list(trees.outside.iterdir()) == []


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_archives_of_other_packers_are_taken(trees, form):
    """All three formats in use, with long names where they have them."""
    files = {"app.py": b"x = 1\n", "pkg/__init__.py": b"", "data/" + "d" * 90 + "/table.csv": b"1,2\n" * 500}
    if form != tarfile.USTAR_FORMAT:
        files |= {LONG: b"long", "gr\u00fc\u00dfe.txt": b"hello"}
    unpacked = trees.unpack(of_files(files, form))
    assert {name: content for name, (content, _) in content_of(unpacked.path).items()} == files
    assert (unpacked.files, unpacked.bytes) == (len(files), sum(map(len, files.values())))


def test_an_archive_of_tar_itself_is_taken(trees):
    """`tar -czf - .` writes `./` before each name, and the directory itself."""
    trees.write({"app.py": "x = 1\n", "pkg/inner.py": "y = 2\n"})
    done = subprocess.run(["tar", "-C", trees.root, "-czf", "-", "."], capture_output=True, check=True, timeout=60)
    unpacked = trees.unpack(done.stdout)
    assert content_of(unpacked.path) == content_of(trees.root)
    assert unpacked.digest == trees.pack()[0].digest


def test_the_tree_is_read_only_and_in_a_directory_of_its_own(trees):
    """Files 0444 or 0555, directories 0555; two of the same lie beside each other."""
    archive = zipped(entry("app.py"), entry("bin/run", b"#!/bin/sh\n", mode=0o4777), header("empty/", kind=b"5"))
    first, second = trees.unpack(archive), trees.unpack(archive)
    assert first.path != second.path
    assert first.digest == second.digest
    modes = {
        path.relative_to(first.path).as_posix(): stat.S_IMODE(path.lstat().st_mode) for path in first.path.rglob("*")
    }
    assert modes == {"app.py": 0o444, "bin": 0o555, "bin/run": 0o555}
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o555


def test_a_missing_parent_is_a_state_error(trees):
    """Where it should be unpacked is the server's own business: no fault of the archive."""
    trees.parent.rmdir()
    with pytest.raises(StateError, match="a bundle cannot be unpacked: No such file or directory"):
        trees.unpack(zipped(GOOD))
    trees.parent.mkdir()


BOMB = """
import io, resource, sys, zlib
from pathlib import Path
from sojourn.bundle.limits import BundleLimits
from sojourn.bundle.unpack import unpack
from sojourn.errors import BundleError
archive = sys.stdin.buffer.read()
limits = BundleLimits(ratio=10**6, ratio_from_bytes=10**12)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    unpack(io.BytesIO(archive), Path(sys.argv[1]), limits)
except BundleError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_stays_bounded(trees):
    """A header that asks for 40 MB, and a file of 40 MB, take a few MB of memory at most."""
    content = bytes(4 * 10**7)
    for blocks in (header("pax", len(content), kind=b"x"), header("big.bin", len(content))):
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        archive = packer.compress(blocks) + packer.compress(content + END) + packer.flush()
        done = subprocess.run(
            [sys.executable, "-c", BOMB, trees.parent], input=archive, capture_output=True, check=True, timeout=60
        )
        assert int(done.stdout.split()[-1]) < 10_000, done.stdout  # kB


def limited():
    """No file may grow beyond 64 kB in this process: a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))


FULL = """
import io, sys
from pathlib import Path
from sojourn.bundle.unpack import unpack
from sojourn.errors import StateError
try:
    unpack(io.BytesIO(sys.stdin.buffer.read()), Path(sys.argv[1]))
except StateError as error:
    print(error)
"""


def test_a_full_disk_is_told_and_leaves_nothing(trees):
    """StateError with the remedy; the half-written tree is gone."""
    archive = zipped(entry("a.bin", os.urandom(1000)), entry("b/c.bin", os.urandom(100_000)))
    done = subprocess.run(
        [sys.executable, "-c", FULL, trees.parent],
        input=archive,
        capture_output=True,
        check=True,
        timeout=60,
        preexec_fn=limited,
    )
    assert done.stdout.decode().startswith("a bundle cannot be unpacked: File too large; make room there")
    assert list(trees.parent.iterdir()) == []


names = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(["..", ".", "", "a", "A", "b.py", "\\", "\u202e", "e\u0301", "\u00e9", "x" * 300]), max_size=8
    ).map("/".join),
)
kinds = st.sampled_from([b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"L", b"x", b"g", b"S", b"Q"])
many = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def everything_below(folder):
    """All there is in a directory, by name."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def attempt(trees, archive):
    """Unpack; afterwards the tree is there as told, or nothing is; outside of it nothing ever."""
    before = everything_below(trees.root) + everything_below(trees.outside)
    try:
        unpacked = trees.unpack(archive, limits=SMALL)
    except BundleError:
        assert list(trees.parent.iterdir()) == []
    else:
        assert [unpacked.path] == list(trees.parent.iterdir())
        assert all(not path.is_symlink() and (path.is_file() or path.is_dir()) for path in unpacked.path.rglob("*"))
        remove_tree(unpacked.path)
    assert everything_below(trees.root) + everything_below(trees.outside) == before
    assert sorted(path.name for path in trees.parent.parent.iterdir()) == ["outside", "tree", "unpacked"]


@many
@given(st.lists(st.tuples(names, kinds, st.binary(max_size=20)), max_size=6))
@example([("../outside/evil", b"0", b"x")])
@example([("a", b"2", b"../outside"), ("a/evil", b"0", b"x")])
def test_no_list_of_entries_writes_outside(trees, entries):
    """Whatever names and kinds follow each other."""
    blocks = [
        header(name, len(content), kind=kind, link=content if kind in {b"1", b"2"} else b"") + padded(content)
        for name, kind, content in entries
    ]
    attempt(trees, zipped(*blocks))


@many
@given(names)
def test_no_long_name_writes_outside(trees, name):
    """Names that come in extended headers, of any length and content."""
    attempt(trees, zipped(extended([("path", name)]), GOOD))
    attempt(trees, zipped(entry("L", name.encode("utf-8", "surrogateescape") + b"\0", kind=b"L"), GOOD))


@many
@given(st.one_of(st.binary(max_size=3000), st.binary(max_size=3000).map(lambda data: gzip.compress(data, mtime=0))))
def test_arbitrary_bytes_write_nothing_outside(trees, data):
    """Neither as they are nor in a gzip archive."""
    attempt(trees, data)


@many
@given(st.lists(st.tuples(st.integers(0, 2047), st.integers(0, 255)), min_size=1, max_size=4))
def test_no_changed_byte_writes_outside(trees, changes):
    """A good archive with bytes of its headers changed, with and without a right checksum."""
    data = bytearray(entry("pkg/app.py") + extended([("path", "data/table.csv")]) + GOOD)
    for at, value in changes:
        data[at % len(data)] = value
    attempt(trees, zipped(bytes(data)))
    for start in (0, 1024, 2048):
        block = data[start : start + BLOCK]
        block[148:156] = b" " * 8
        data[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    attempt(trees, zipped(bytes(data)))


def test_a_stream_is_as_good_as_a_file(trees, tmp_path):
    """From a path, or from something that can be read only once and in small pieces."""

    class Trickle:
        def __init__(self, data):
            self._data = data

        def read(self, size=-1):
            piece, self._data = self._data[:7], self._data[7:]
            return piece

    archive = zipped(entry("app.py"), entry("big.txt", os.urandom(5000)))
    path = tmp_path / "outside" / "a.tar.gz"
    path.write_bytes(archive)
    assert unpack(path, trees.parent).digest == unpack(Trickle(archive), trees.parent).digest


def test_no_more_is_unpacked_than_files_headers_and_padding_may_take():
    """Whatever the bytes are: the reader of the format need not have understood them."""
    limits = BundleLimits(files=1, bytes=1000)
    with pytest.raises(BundleError, match=r"unpacks to more than 1\.0 kB"):
        Gunzip(io.BytesIO(gzip.compress(os.urandom(3 * 2**20), 1)), limits).read(3 * 2**20)
