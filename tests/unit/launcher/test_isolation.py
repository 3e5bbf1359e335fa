"""What keeps replicas apart, shown by real ones, forked and plain; each wall is also shown to be the wall."""

import os
import stat
import sys
from pathlib import Path

import msgspec
import pytest

from sojourn.launcher.in_force import mechanisms, off_in_words
from sojourn.launcher.isolation import Isolation, IsolationSettings
from sojourn.wire.message import Drain, Run
from sojourn.wire.spec import Confinement

sys.path.insert(0, str(Path(__file__).parent))
from isolated_scene import player

MIB = 2**20


def test_limits_are_in_force_for_good(play_isolated):
    """Each as it was set; none can be raised again, by root neither; files are private; no core, no new privileges."""

    async def scene(s):
        link, _ = await s.start(1)
        limits = "[resource.getrlimit(getattr(resource, 'RLIMIT_' + name)) for name in ('NOFILE', 'FSIZE', 'CORE')]"
        assert await s.ask(link, limits) == f"[(99, 99), ({MIB}, {MIB}), (0, 0)]"
        assert await s.tried(link, "resource.setrlimit(resource.RLIMIT_NOFILE, (99, 100))") == "ValueError"
        assert await s.ask(link, "oct(os.umask(0o77))") == "0o77"
        assert int(await s.ask(link, "open('/proc/self/oom_score_adj').read()")) >= 500
        status = await s.ask(link, "open('/proc/self/status').read()")
        assert "NoNewPrivs:\t1" in status
        held = int(status.partition("CapBnd:")[2].split()[0], 16) & int(status.partition("CapEff:")[2].split()[0], 16)
        assert not held & (1 << 19 | 1 << 21 | 1 << 24 | 1 << 38)  # SYS_PTRACE, SYS_ADMIN, SYS_RESOURCE, PERFMON

    play_isolated(scene, replica_open_files=99, replica_file_bytes=MIB)


def test_who_hits_a_limit_is_told_which_and_where_it_is_set(play_forked):
    """Memory, files, descriptors: the batch fails with the limit and its setting, and the replica lives on."""

    async def scene(s):
        link, _ = await s.start(1)
        assert await s.ask(link, "len(bytes(32 * 2**20))") == str(32 * MIB)
        message = await s.fault(link, "bytes(2**30)")
        assert "MemoryError" in message
        assert "224 MiB of memory: raise the function's `memory`, or --replica-memory-headroom" in message
        assert "1 MiB (--replica-file-bytes)" in await s.fault(link, "open('long', 'wb').write(bytes(2**21))")
        assert "99 descriptors open (--replica-open-files)" in await s.fault(link, "[os.pipe() for _ in range(99)]")
        assert await s.ask(link, "1 + 1") == "2"

    limits = {"replica_memory_headroom": 64 * MIB, "replica_open_files": 99, "replica_file_bytes": MIB}
    play_forked(scene, options='memory="64MiB"', **limits)


def test_a_model_that_does_not_fit_says_so(play_isolated):
    """The start fails with the limit in its cause; so does one that a library ends by aborting."""

    async def scene(s):
        assert "it may" not in (cause := await s.fatal(1))
        assert cause.startswith("__init__ raised MemoryError")
        assert "--replica-memory-headroom" in cause

    play_isolated(
        scene, options='memory="64MiB"', at_load="self.model = bytes(2**30)", replica_memory_headroom=64 * MIB
    )


def test_an_abort_may_have_been_the_memory_limit(play_forked):
    """Libraries that get no memory abort; the cause names the limit, where there is one."""

    async def scene(s):
        link, _ = await s.start(1)
        link.send(Run(1, [b'"os.abort()"']))
        assert "killed by SIGABRT; if it ran out of memory: its replica may ask for" in await s.server.end(1)

    play_forked(scene, options='memory="64MiB"')


@pytest.mark.parametrize(("options", "switch"), [("", "claim"), ('memory="64MiB"', "off")])
def test_memory_has_no_limit_without_a_claim_or_with_the_switch_off(play_forked, options, switch):
    """Nothing honest is ended by a limit that nobody set."""

    async def scene(s):
        link, _ = await s.start(1)
        assert await s.ask(link, "resource.getrlimit(resource.RLIMIT_DATA)") == "(-1, -1)"

    play_forked(scene, options=options, replica_memory_limit=switch)


@pytest.mark.parametrize(
    ("modules", "work", "value"),
    [
        ("numpy", "numpy.linalg.svd(numpy.random.rand(300, 300))[1].shape", "(300,)"),
        pytest.param("sklearn.svm", "sklearn.svm.SVC().fit([[0], [1]], [0, 1]).C", "1.0", marks=pytest.mark.slow),
    ],
)
def test_what_libraries_reserve_fits_into_a_small_claim(play_forked, modules, work, value):
    """What BLAS and OpenMP reserve for two threads is not taken for memory that is used."""
    pytest.importorskip(modules)

    async def scene(s):
        link, _ = await s.start(1)
        assert await s.ask(link, f"[exec('import {modules}', globals()), {work}][1]") == value

    play_forked(scene, options='memory="256MiB", threads=2')


def test_a_private_directory_holds_what_is_temporary_and_goes_with_the_replica(play_isolated):
    """Also what was closed to its owner, also after SIGKILL; the import has one, too."""

    async def scene(s):
        link, _ = await s.start(1)
        made = Path(await s.ask(link, "tempfile.mkdtemp()"))
        assert made.is_relative_to(s.scratch.path)
        private = made.parent.parent
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        await s.ask(link, f"open({str(made / 'x')!r}, 'w'), os.chmod({str(made)!r}, 0)")
        other, _ = await s.start(2)
        assert not Path(await s.ask(other, "tempfile.gettempdir()")).is_relative_to(private)
        os.kill(s.server.launcher.pid(1), 9)
        await s.server.end(1)
        other.send(Drain())
        await s.server.end(2)
        await s.server.launcher.close()
        assert not s.scratch.path.exists()

    play_isolated(scene, deployed=False)


def test_a_served_file_keeps_working_directory_and_home(play_forked):
    """`sojourn serve app.py` runs where it was started."""

    async def scene(s):
        link, _ = await s.start(1)
        assert await s.ask(link, "os.getcwd(), os.environ['HOME']") == str((os.getcwd(), os.environ["HOME"]))  # noqa: PTH109

    play_forked(scene, deployed=False)


def test_deployed_code_has_a_working_directory_of_its_own(play_isolated):
    """Relative reads find the tree; what is written is private to the replica; home is, too."""

    async def scene(s):
        first, _ = await s.start(1)
        second, _ = await s.start(2)
        assert await s.ask(first, "open('data/words.txt').read(), sorted(os.listdir())") == (
            "('mine', ['data', 'talk.py'])"
        )
        assert await s.ask(first, "open('mine.txt', 'w').write('x')") == "1"
        assert await s.ask(second, "os.path.exists('mine.txt')") == "False"
        homes = [await s.ask(link, "os.path.expanduser('~')") for link in (first, second)]
        assert len(set(homes)) == 2
        assert all(Path(home).is_relative_to(s.scratch.path) for home in homes)
        assert sorted(path.name for path in s.tree.iterdir()) == ["data", "talk.py"]

    play_isolated(scene)


def test_a_replica_sees_no_secret_and_no_descriptor_of_the_server(play_isolated, monkeypatch):
    """Of its environment only what is allowed, and what it opened itself; never the server's sockets and files."""
    secrets = (
        "SOJOURN_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "HF_TOKEN",
        "MY_TOKEN",
        "DATABASE_PASSWORD",
        "SOJOURN_STATE_DIR",
    )
    for name in secrets:
        monkeypatch.setenv(name, "canary")
    kept = os.memfd_create("of-the-server", 0)
    os.set_inheritable(kept, True)

    async def scene(s):
        link, _ = await s.start(1)
        assert "canary" not in await s.ask(link, "dict(os.environ)")
        assert "canary" not in await s.ask(link, "open('/proc/self/environ').read()")
        look = "{int(fd): os.readlink('/proc/self/fd/' + fd) for fd in os.listdir('/proc/self/fd') if attempt("
        found = await s.ask(link, look + "lambda: os.readlink('/proc/self/fd/' + fd)) != 'FileNotFoundError'}")
        opened = eval(found)  # noqa: S307 - a dict of our own making
        assert opened.pop(0) == "/dev/null"
        assert opened.pop(1).startswith("pipe:")
        assert opened.pop(2).startswith("pipe:")
        assert [target.split(":")[0] for target in opened.values()] == ["socket"], opened  # its link

    try:
        play_isolated(scene, deployed=False)
    finally:
        os.close(kept)


def test_who_cannot_be_confined_does_not_serve(tmp_path):
    """The cause says what was lacking."""

    async def scene(s):
        make = s.isolation._scratch.make
        s.isolation._scratch.make = lambda *names: make(*names) + "/gone"
        assert "could not be confined" in await s.fatal(1)

    for share in ("share=None", 'share="none"'):
        folder = tmp_path / share[-3]
        folder.mkdir()
        player(folder, share)(scene)


def test_a_full_disk_ends_a_start_with_its_reason(play_forked):
    """No process is started that has no place; the others are not harmed."""

    async def scene(s):
        await s.start(1)

        def full(*_names):
            raise OSError(28, "No space left on device")

        s.isolation._scratch.make = full
        s.server.start(2)
        assert await s.server.end(2) == (
            "could not be started: no private directory can be made for it: No space left on device"
        )

    play_forked(scene)


def test_what_is_in_force_is_told():
    """Each mechanism says what it is, or why not and what to do; the words of the settings are those of the flags."""
    everything_off = IsolationSettings(
        replica_memory_limit="off",
        replica_open_files=0,
        replica_processes=0,
        replica_file_bytes=0,
        replica_landlock="off",
    )
    off = {mechanism.name: mechanism for mechanism in mechanisms(Isolation(everything_off)) if not mechanism.is_on}
    assert {"memory limit", "open files", "processes", "file length", "other processes", "state directory"} <= set(off)
    assert all(mechanism.found and mechanism.remedy for mechanism in off.values())
    assert "state directory: switched off" in off_in_words(list(off.values()))
    isolation = Isolation(IsolationSettings())
    isolation.abi, isolation.uses_landlock = 0, False
    told = {mechanism.name: mechanism for mechanism in mechanisms(isolation)}
    assert "no Landlock" in told["state directory"].found
    assert "lsm=landlock" in told["state directory"].remedy


def test_the_spec_has_room_for_everything():
    """It passes through JSON unchanged."""
    whole = Confinement(
        data_bytes=1, open_files=2, processes=3, file_bytes=4, scratch="s", has_home=True, hidden=("a",)
    )
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Confinement) == whole
