"""What Landlock closes to replicas: the state directory, other processes, signals; and what is open without it."""

import os

import pytest

from sojourn.launcher.memory import memory_bytes
from sojourn.replica.landlock import ABI_MIN, ABI_SCOPES, landlock_abi

MIB = 2**20
with_landlock = pytest.mark.skipif(landlock_abi() < ABI_MIN, reason=f"this kernel has Landlock {landlock_abi()}")
with_scopes = pytest.mark.skipif(landlock_abi() < ABI_SCOPES, reason=f"this kernel has Landlock {landlock_abi()}")


@with_landlock
def test_landlock_closes_the_state_directory_to_deployed_code(play_isolated):
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

    play_isolated(scene)


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
def test_no_look_into_other_processes(play_isolated):
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

    play_isolated(scene, deployed=False)


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
