"""What keeps replicas apart, shown by real ones, forked and plain; each wall is also shown to be the wall."""

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sojourn.launcher.in_force import mechanisms, off_in_words
from sojourn.launcher.isolation import Isolation, IsolationSettings
from sojourn.launcher.memory import memory_bytes
from sojourn.replica.landlock import ABI_MIN, ABI_SCOPES, landlock_abi
from sojourn.wire.message import Drain, Run
from sojourn.wire.spec import Confinement

sys.path.insert(0, str(Path(__file__).parent))
from isolated_scene import ATTEMPT, IsolatedScene
from launcher_bench import PATIENCE_S

MIB = 2**20
with_landlock = pytest.mark.skipif(landlock_abi() < ABI_MIN, reason=f"this kernel has Landlock {landlock_abi()}")
with_scopes = pytest.mark.skipif(landlock_abi() < ABI_SCOPES, reason=f"this kernel has Landlock {landlock_abi()}")
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


@pytest.fixture(params=["share=None", 'share="none"'], ids=["forked", "plain"])
def play(request, tmp_path):
    """Runs `async def scene(s)` with an `IsolatedScene` in each way of starting replicas."""
    return player(tmp_path, request.param)


@pytest.fixture
def play_forked(tmp_path):
    """The same with forked replicas, where the way makes no difference."""
    return player(tmp_path, "share=None")


def player(tmp_path, share):
    """What the fixtures above give."""

    def run(scene, options="", at_load="", *, deployed=True, **settings):
        async def main():
            one = IsolatedScene(tmp_path, settings)
            try:
                await one.open(ATTEMPT, at_load, ", ".join(filter(None, (share, options))))
                if deployed:
                    one.deploy()
                await scene(one)
            finally:
                print(*one.server.lines, *one.logged(), sep="\n")  # noqa: T201 - shown if the scene fails
                await one.close()

        asyncio.run(asyncio.wait_for(main(), 3 * PATIENCE_S))

    return run


def test_limits_are_in_force_for_good(play):
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

    play(scene, replica_open_files=99, replica_file_bytes=MIB)


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


def test_a_model_that_does_not_fit_says_so(play):
    """The start fails with the limit in its cause; so does one that a library ends by aborting."""

    async def scene(s):
        assert "it may" not in (cause := await s.fatal(1))
        assert cause.startswith("__init__ raised MemoryError")
        assert "--replica-memory-headroom" in cause

    play(scene, options='memory="64MiB"', at_load="self.model = bytes(2**30)", replica_memory_headroom=64 * MIB)


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


def test_a_private_directory_holds_what_is_temporary_and_goes_with_the_replica(play):
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

    play(scene, deployed=False)


def test_a_served_file_keeps_working_directory_and_home(play_forked):
    """`sojourn serve app.py` runs where it was started."""

    async def scene(s):
        link, _ = await s.start(1)
        assert await s.ask(link, "os.getcwd(), os.environ['HOME']") == str((os.getcwd(), os.environ["HOME"]))  # noqa: PTH109

    play_forked(scene, deployed=False)


def test_deployed_code_has_a_working_directory_of_its_own(play):
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

    play(scene)


@with_landlock
def test_landlock_closes_the_state_directory_to_deployed_code(play):
    """Database and other bundles can be neither read, changed, moved, removed nor added to; the own tree can be read only."""

    async def scene(s):
        link, _ = await s.start(1)
        state = str(s.state)
        for code in (
            f"open({state!r} + '/state.db').read()",
            f"open({state!r} + '/state.db', 'a')",
            f"os.truncate({state!r} + '/state.db', 0)",
            f"os.unlink({state!r} + '/state.db')",
            f"os.link({state!r} + '/state.db', 'link')",
            f"os.mkdir({state!r} + '/new')",
            f"open({state!r} + '/new', 'w')",
            f"open({str(s.theirs)!r}).read()",
            "open('data/words.txt', 'a')",
            "os.unlink('data/words.txt')",
        ):
            assert await s.tried(link, code) in {"PermissionError", "OSError"}, code
        moved = f"os.rename({state!r} + '/state.db', 'moved')"
        assert await s.tried(link, moved) in {"PermissionError", "OSError"}
        assert (
            await s.tried(link, f"subprocess.run(['cat', {state!r} + '/state.db'], capture_output=True).stdout")
            == "b''"
        )
        assert (s.state / "state.db").read_text() == "secret"
        # What is not prevented, and said so in SECURITY.md: names and sizes can be seen, modes be changed.
        assert "state.db" in await s.ask(link, f"os.listdir({state!r})")
        assert await s.ask(link, f"os.stat({state!r} + '/state.db').st_size") == "6"
        assert await s.tried(link, f"os.chmod({state!r} + '/state.db', 0o600)") == "None"

    play(scene)


def test_without_landlock_the_state_directory_is_open(play_forked):
    """The other way round: it is Landlock that closes it, nothing else does."""

    async def scene(s):
        link, _ = await s.start(1)
        assert await s.ask(link, f"open({str(s.state)!r} + '/state.db').read()") == "secret"
        assert await s.ask(link, f"'Talk' in open({str(s.theirs)!r}).read()") == "True"

    play_forked(scene, replica_landlock="off")


def test_a_served_file_below_the_state_directory_keeps_what_it_had(play_forked, tmp_path):
    """Auto: where a working place contains the state directory it stays open, so that new files can be made there."""

    async def scene(s):
        (s.state / "state.db").write_text("secret")
        link, _ = await s.start(1)
        assert await s.ask(link, f"open({str(s.state)!r} + '/state.db').read()") == "secret"
        assert await s.ask(link, f"open({str(tmp_path)!r} + '/new', 'w').write('x')") == "1"

    play_forked(scene, deployed=False)


@with_landlock
def test_a_served_file_can_be_kept_out_always(play_forked):
    """With the price that is documented: nothing new can be opened beside the way to the state directory."""

    async def scene(s):
        (s.state / "state.db").write_text("secret")
        link, _ = await s.start(1)
        assert await s.tried(link, f"open({str(s.state)!r} + '/state.db').read()") == "PermissionError"
        assert await s.tried(link, f"open({str(s.folder)!r} + '/new', 'w')") == "PermissionError"
        assert await s.tried(link, "tempfile.mkdtemp()") != "PermissionError"

    play_forked(scene, deployed=False, replica_landlock="always")


@with_landlock
def test_no_look_into_other_processes(play):
    """Not into the server's memory or environment, not into a sibling's; root's powers do not help."""

    async def scene(s):
        link, _ = await s.start(1)
        await s.start(2)
        for pid in (os.getpid(), s.server.launcher.pid(2)):
            for file in ("environ", "mem", "maps"):
                assert await s.tried(link, f"open('/proc/{pid}/{file}', 'rb').read(1)") == "PermissionError"
            attach = f"__import__('ctypes').CDLL(None).ptrace(16, {pid}, 0, 0)"
            assert await s.ask(link, attach) == "-1"
        assert await s.ask(link, "open('/proc/self/environ', 'rb').read(1) != b''") == "True"
        assert memory_bytes(s.server.launcher.pid(1)) > MIB  # the server can look into replicas, as it must

    play(scene, deployed=False)


@with_scopes
def test_no_signals_to_other_processes(play_forked):
    """A replica can end its own children, and neither the server nor a sibling."""

    async def scene(s):
        link, _ = await s.start(1)
        await s.start(2)
        for pid in (os.getpid(), s.server.launcher.pid(2)):
            assert await s.tried(link, f"os.kill({pid}, 0)") == "PermissionError"
        own = "(lambda child: (child.kill(), child.wait())[1])(subprocess.Popen(['sleep', '60']))"
        assert await s.ask(link, own) == "-9"

    play_forked(scene, deployed=False)


def test_a_replica_sees_no_secret_and_no_descriptor_of_the_server(play, monkeypatch):
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
        play(scene, deployed=False)
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


AS_NOBODY = """
import os, sys, subprocess
sys.path.insert(0, {source!r})
import msgspec, resource, errno
from sojourn.wire.spec import Confinement
from sojourn.replica.confine import confine
from sojourn.launcher.isolation import _tasks_max
os.setgroups([]); os.setgid(65534); os.setuid({uid})
{code}
"""


def run_as(uid, code):
    """What a process prints that became another user."""
    source = str(Path(__file__).parents[3] / "src")
    text = AS_NOBODY.format(source=source, uid=uid, code=code)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert not done.stderr, done.stderr
    return done.stdout.split()


@as_root
def test_a_fork_bomb_is_stopped_where_users_are_counted():
    """Not for root: that is said by `doctor`; for any other user at the number above what it has."""
    bomb = """
confine(Confinement(processes=_tasks_max(5)))
forked = []
try:
    for _ in range(20):
        pid = os.fork()
        if not pid:
            import signal
            signal.pause()
        forked.append(pid)
except BlockingIOError:
    print("stopped")
print(len(forked))
for pid in forked:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
"""
    assert run_as(54321, bomb) == ["stopped", "5"]


@as_root
def test_without_landlock_processes_of_one_user_cannot_look_into_a_replica():
    """The next best thing: it is not dumpable, and so belongs to root as far as /proc goes; its memory can still be read."""
    look = """
reading, writing = os.pipe()
waiting, go = os.pipe()
pid = os.fork()
if not pid:
    confine(Confinement({how}))
    os.write(writing, b"x")
    os.read(waiting, 1)
    os._exit(0)
os.read(reading, 1)
for file in ("environ", "mem", "smaps_rollup"):
    try:
        open(f"/proc/{{pid}}/{{file}}", "rb").read(0)
        print("open")
    except PermissionError:
        print("closed")
from sojourn.launcher.memory import memory_bytes
print(memory_bytes(pid) > 2**20)
os.write(go, b"x")
os.waitpid(pid, 0)
"""
    assert run_as(54321, look.format(how="")) == ["closed", "closed", "closed", "True"]


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


def test_a_place_below_a_long_path_is_elsewhere(tmp_path):
    """Names of sockets must fit; what was left by a killed server is swept all the same, and nothing else."""
    from sojourn.launcher.scratch import ScratchSpace  # noqa: PLC0415 - only here

    run = tmp_path / ("long" * 15)
    run.mkdir()
    left = ScratchSpace(run)
    Path(left.make("a@1", "1"), "file").touch()
    assert len(os.fsencode(left.path)) < 50
    assert (run / "r").is_symlink()
    strange = run / "left-x"
    strange.mkdir()
    (strange / "r").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").mkdir()
    again = ScratchSpace(run)  # the first one was never closed
    Path(again.make("a@1", "1"), "file").touch()
    again.close()
    assert not left.path.exists()
    assert not again.path.exists()
    assert list(run.iterdir()) == []
    assert (tmp_path / "precious").is_dir()
    left._remover.shutdown()


def test_nothing_is_left_of_a_revision_that_is_gone(tmp_path):
    """Neither its directory nor a note of it; while another one runs, and where it comes again, each has its own."""
    from sojourn.launcher.scratch import ScratchSpace  # noqa: PLC0415 - only here

    (tmp_path / "run").mkdir()
    space = ScratchSpace(tmp_path / "run")
    stays = Path(space.make("f@stays", "1"))
    for number in range(5):
        Path(space.make(f"f@{number}", "1"), "left").write_text("by a process")
        space.forget(f"f@{number}")
        space.forget(f"f@{number}")
    again = Path(space.make("f@0", "1"))
    space._remover.submit(int).result()
    assert {path.name for path in space.path.iterdir()} == {stays.parent.name, again.parent.name}
    assert space._revisions == {"f@stays": str(stays.parent), "f@0": str(again.parent)}
    space.close()


def test_the_spec_has_room_for_everything():
    """It passes through JSON unchanged."""
    whole = Confinement(
        data_bytes=1, open_files=2, processes=3, file_bytes=4, scratch="s", has_home=True, hidden=("a",)
    )
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Confinement) == whole
