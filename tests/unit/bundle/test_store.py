"""The store of bundles: one per content, found whole, found damaged, swept; whatever kills the server."""

import asyncio
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from bundle_bench import content_of, entry, header, zipped

from sojourn.bundle.disk import remove_tree
from sojourn.bundle.limits import BundleLimits
from sojourn.bundle.store import BundleStore
from sojourn.errors import BundleError, StateError

ONE = zipped(entry("app.py", b"x = 1\n"), entry("pkg/inner.py", b"y = 2\n"))
SAME = zipped(header("pkg/", kind=b"5"), entry("pkg/inner.py", b"y = 2\n"), entry("./app.py", b"x = 1\n"))
OTHER = zipped(entry("app.py", b"x = 2\n"))


@pytest.fixture
def store(tmp_path):
    """An open store whose read-only trees are removed at the end."""
    made = BundleStore(tmp_path / "store", BundleLimits(archive_bytes=4_000_000))
    made.open()
    yield made
    remove_tree(tmp_path / "store")


async def pieces(data, size=100):
    """An upload as it comes in."""
    for at in range(0, len(data), size):
        yield data[at : at + size]


def put(store, archive):
    """The digest of an uploaded archive."""
    return asyncio.run(store.put(pieces(archive)))


def left(tmp_path):
    """All that is in the store, beside whole bundles."""
    store = tmp_path / "store"
    return [*(store / "incoming").iterdir(), *(path for path in (store / "bundles").iterdir() if path.name[0] == ".")]


def test_the_same_content_is_one_bundle(store, tmp_path):
    """However it was packed and whoever sent it; nothing else is left."""
    first, same, other = put(store, ONE), put(store, SAME), put(store, OTHER)
    assert first == same != other
    assert store.digests() == sorted([first, other])
    assert content_of(store.path_of(first)) == {"app.py": (b"x = 1\n", False), "pkg/inner.py": (b"y = 2\n", False)}
    store.verify(first)
    assert left(tmp_path) == []


def test_the_same_content_at_once_is_one_bundle(store, tmp_path):
    """Eight uploads in eight threads."""

    async def scene():
        return await asyncio.gather(*(store.put(pieces(archive)) for archive in [ONE, SAME] * 4))

    digests = asyncio.run(scene())
    assert store.digests() == [digests[0]]
    assert set(digests) == {digests[0]}
    store.verify(digests[0])
    assert left(tmp_path) == []


def test_what_is_not_there_is_told(store):
    """An unknown digest, and text that is none, whatever it might lead to."""
    for digest in ("0" * 64, "..", "", "../incoming", "A" * 64):
        with pytest.raises(BundleError, match="no bundle"):
            store.path_of(digest)
        with pytest.raises(BundleError, match="no bundle"):
            store.verify(digest)


def changed_content(path):
    path.joinpath("app.py").chmod(0o644)
    path.joinpath("app.py").write_bytes(b"x = 3\n")


def changed_mode(path):
    path.joinpath("app.py").chmod(0o755)


def added_file(path):
    path.joinpath("new.py").write_bytes(b"")


def added_directory(path):
    path.joinpath("numpy").mkdir()


def added_link(path):
    path.joinpath("link").symlink_to("/etc")


def added_link_to_a_file(path):
    path.joinpath("link").symlink_to("app.py")


def removed_file(path):
    path.joinpath("pkg/inner.py").unlink()


@pytest.mark.parametrize(
    "harm",
    [changed_content, changed_mode, added_file, added_directory, added_link, added_link_to_a_file, removed_file],
)
def test_damage_is_found_and_healed(store, tmp_path, harm):
    """Whatever was changed in a tree; adding its source again replaces it."""
    digest = put(store, ONE)
    path = store.path_of(digest)
    path.chmod(0o755)
    path.joinpath("pkg").chmod(0o755)
    harm(path)
    with pytest.raises(StateError, match=f"bundle {digest} is damaged: .* deploy its source again"):
        store.verify(digest)
    assert put(store, ONE) == digest
    store.verify(digest)
    assert len(left(tmp_path)) == 1  # replicas may run there: the next sweep takes it
    assert store.sweep([digest]).leftovers == 1
    assert left(tmp_path) == []


def test_an_upload_is_bounded_and_leaves_nothing(store, tmp_path):
    """More bytes than the limit end it at once, however many more would come; so does a client that leaves."""
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1
            yield bytes(100_000)

    async def leaving():
        yield ONE[:50]
        raise ConnectionError

    with pytest.raises(BundleError, match=r"the archive takes more than 4\.0 MB"):
        asyncio.run(store.put(endless()))
    assert sent == 41
    with pytest.raises(StateError, match="an upload cannot be written"):
        asyncio.run(store.put(leaving()))
    with pytest.raises(BundleError, match="cut off"):
        put(store, ONE[:-9])
    assert left(tmp_path) == []


def test_a_cancelled_upload_leaves_nothing(store, tmp_path):
    """While it waits for the next bytes."""

    async def stuck(begun):
        yield ONE[:50]
        begun.set()
        await asyncio.Event().wait()

    async def scene():
        begun = asyncio.Event()
        task = asyncio.create_task(store.put(stuck(begun)))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
    assert left(tmp_path) == []


def test_a_cancelled_write_ends_before_its_file_is_closed(store, tmp_path, monkeypatch):
    """Else the thread that writes would write into whatever is opened next under the same number."""
    begun, go_on, wrote = threading.Event(), threading.Event(), []

    def slow(fd, data):
        begun.set()
        assert go_on.wait(60)
        wrote.append(os.write(fd, data))

    monkeypatch.setattr("sojourn.bundle.store.write_all", slow)

    async def scene():
        task = asyncio.create_task(store.put(pieces(ONE)))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        task.cancel()
        asyncio.get_running_loop().call_soon(go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scene())
    assert wrote == [len(ONE)]
    assert left(tmp_path) == []


def test_a_sweep_keeps_what_is_needed(store, tmp_path):
    """Referenced bundles and uploads under way stay; others, and what killed servers left, go; strangers' files stay."""
    keep, gone = put(store, ONE), put(store, OTHER)
    killed = tmp_path / "store" / "bundles" / ".new-killed"
    killed.mkdir()
    (killed / "inner").mkdir(mode=0o555)
    killed.chmod(0o555)
    (tmp_path / "store" / "incoming" / "upload-killed").write_bytes(b"x")
    (tmp_path / "store" / "bundles" / "notes.txt").write_text("somebody's")

    async def scene():
        under_way = await store.receive(pieces(ONE))
        swept = store.sweep({keep})
        assert (swept.bundles, swept.leftovers, swept.kept) == ((gone,), 2, ())
        assert store.add(under_way) == keep
        store.drop(under_way)

    asyncio.run(scene())
    assert store.digests() == [keep]
    assert left(tmp_path) == []
    assert (tmp_path / "store" / "bundles" / "notes.txt").exists()
    assert store.sweep({keep}).leftovers == 0


def test_a_sweep_waits_for_those_who_add(store, monkeypatch):
    """While an upload is being unpacked nothing is removed."""
    digest = put(store, ONE)
    begun, go_on = threading.Event(), threading.Event()

    def slow(path):
        begun.set()
        assert go_on.wait(60)
        raise BundleError("enough")

    monkeypatch.setattr("sojourn.bundle.store.unpack", lambda archive, *_: slow(archive))

    def add():
        with pytest.raises(BundleError, match="enough"):
            store.add(Path("any"))

    adding = threading.Thread(target=add)
    adding.start()
    assert begun.wait(60)
    assert store.sweep([]).kept == ("a bundle is being added",)
    go_on.set()
    adding.join()
    assert store.sweep([]).bundles == (digest,)


DISK = """
import asyncio, sys
from pathlib import Path
from sojourn.bundle.store import BundleStore
from sojourn.errors import StateError
store = BundleStore(Path(sys.argv[1]))
store.open()
data = sys.stdin.buffer.read()
async def pieces():
    for at in range(0, len(data), 1000):
        yield data[at:at + 1000]
try:
    asyncio.run(store.put(pieces()))
except StateError as error:
    print(error)
"""


def test_a_full_disk_is_told(store, tmp_path):
    """While the upload is written, and while it is unpacked; nothing is left."""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))

    unpacks = zipped(entry("big.txt", b"0123456789" * 20_000))
    assert len(unpacks) < 65_536
    for archive, expected in (
        (zipped(entry("noise", os.urandom(100_000))), "an upload cannot"),
        (unpacks, "a bundle cannot"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", DISK, tmp_path / "store"],
            input=archive,
            capture_output=True,
            check=True,
            timeout=60,
            preexec_fn=limited,
        )
        assert done.stdout.decode().startswith(expected)
        assert "File too large; make room there, or choose another --state-dir" in done.stdout.decode()
        assert left(tmp_path) == []


# Forks a process for each step: an audit hook of the interpreter sees every call that changes a file system just
# before it is made, and kills the process, as a power switch would, at the one whose turn it is.
CRASHES = """
import asyncio, os, signal, sys
from pathlib import Path
from sojourn.bundle.store import BundleStore

root, action = Path(sys.argv[1]), sys.argv[2]
one, other = Path(sys.argv[3]).read_bytes(), Path(sys.argv[4]).read_bytes()
CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "tempfile.mkstemp", "tempfile.mkdtemp"}

async def pieces(data):
    for at in range(0, len(data), 64):
        yield data[at:at + 64]

def put(store, data):
    return asyncio.run(store.put(pieces(data)))

def act(store):
    if action == "put":
        put(store, other)
    elif action == "put again":
        put(store, one)
    elif action == "heal":
        put(store, one)
    else:
        store.sweep([])

def prepared(store):
    if DIGEST_OF_ONE not in store.digests():
        put(store, one)
    if action == "heal":
        path = store.path_of(DIGEST_OF_ONE)
        path.chmod(0o755)
        (path / "added").write_bytes(b"")

def killed_at(step, store):
    count = 0
    def hook(event, arguments):
        nonlocal count
        if event in CHANGES:
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    act(store)
    os._exit(0)

first = BundleStore(root)
first.open()
DIGEST_OF_ONE = put(first, one)
step = 0
while True:
    step += 1
    prepared(first)
    child = os.fork()
    if not child:
        try:
            killed_at(step, BundleStore(root))
        finally:
            os._exit(3)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, -signal.SIGKILL}, status
    after = BundleStore(root)  # the next server
    after.open()
    whole = after.digests()
    if action != "heal" or status == 0:
        for digest in whole:
            after.verify(digest)
    after.sweep(whole)
    left = [name for name in os.listdir(root / "bundles") if name not in whole] + os.listdir(root / "incoming")
    assert left == [], left
    if action == "heal":
        assert put(after, one) == DIGEST_OF_ONE
        after.verify(DIGEST_OF_ONE)
    after.sweep([DIGEST_OF_ONE])
    if status == 0:
        print(step)
        break
"""


@pytest.mark.parametrize(("action", "steps_min"), [("put", 8), ("put again", 10), ("heal", 10), ("sweep", 4)])
def test_a_server_killed_at_any_step_leaves_whole_bundles(tmp_path, action, steps_min):
    """SIGKILL before each change of the file system: what has a bundle's name is whole, a sweep takes the rest."""
    for name, archive in (("one", ONE), ("other", OTHER)):
        (tmp_path / name).write_bytes(archive)
    done = subprocess.run(
        [sys.executable, "-c", CRASHES, tmp_path / "store", action, tmp_path / "one", tmp_path / "other"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > steps_min
