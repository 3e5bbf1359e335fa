"""Describing a target from the server: manifests or one TargetError, in bounded time."""

import asyncio
import os
import textwrap

import pytest
import uvloop

from sojourn.errors import TargetError
from sojourn.launcher.describe import describe

GOOD = """
    import sojourn

    @sojourn.function(slo="99% < 50ms")
    def first(items: list[int]) -> list[int]:
        return items

    @sojourn.function(batching=sojourn.Fixed(size=3))
    async def second(items: list[str]) -> list[str]:
        return items
"""


@pytest.fixture(params=["asyncio", "uvloop"])
def ask(request, tmp_path):
    """Describes a source on either kind of loop."""

    def answer(source, **more):
        path = tmp_path / "app.py"
        path.write_text(textwrap.dedent(source))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if request.param == "uvloop" else None) as runner:
            return runner.run(describe(str(path), **more))

    return answer


def test_manifests_come_back_whole(ask):
    """Settings with their policy objects survive the way."""
    first, second = ask(GOOD)
    assert (first.name, str(first.settings.slo), first.slots) == ("first", "99% < 50ms", 1)
    assert (second.name, second.settings.batching.size, second.slots) == ("second", 3, 64)
    assert first.input_schema == {"type": "integer"}


def test_the_targets_fault_is_a_target_error(ask):
    """The message is the describe process's own, with file and line."""
    with pytest.raises(TargetError, match=r"import failed at app.py:2 in <module>: ZeroDivisionError"):
        ask("import sojourn\n1 / 0\n")


def test_a_process_that_dies_without_a_word_is_told_with_its_last_lines(ask):
    """A crash below Python: the cause of the end and what it printed."""
    with pytest.raises(TargetError) as caught:
        ask("import os\nprint('about to die')\nos.write(2, b'really\\n')\nos.abort()\n")
    text = str(caught.value)
    assert "its import ended the process (killed by SIGABRT)" in text
    assert "    really" in text


def test_an_import_without_end_is_stopped(ask):
    """After the timeout the process is killed and the error says so."""
    with pytest.raises(TargetError, match=r"longer than 0\.5 s and was stopped; its last words:\n    waiting"):
        ask("import threading\nprint('waiting', flush=True)\nthreading.Event().wait()\n", timeout_s=0.5)


def test_noise_does_not_corrupt_the_answer(ask):
    """A target may print as much as it likes."""
    noise = "    for _ in range(3000): print('[' * 100)\n"
    assert [one.name for one in ask(GOOD + noise)] == ["first", "second"]


def test_an_answer_that_cannot_be_read_is_the_targets_fault(ask):
    """Its code can write to where the answer goes: what is nested too deeply there is an error of the target's."""
    forged = """
        import os, sys
        fd = int(sys.argv[sys.argv.index("--fd") + 1])
        os.write(fd, b'{"functions": [{"input_schema": ' + b'{"a":' * 100_000)
        os._exit(0)
    """
    with pytest.raises(TargetError, match="its import ended the process"):
        ask(forged)


@pytest.mark.parametrize("times", [1, 3])
def test_cancelling_ends_the_process(tmp_path, times):
    """Whoever gives up waiting, and says so again, leaves no process behind when it goes on, not even a dead one."""
    path, fifo = tmp_path / "app.py", tmp_path / "fifo"
    os.mkfifo(fifo)
    told = f"held = open({str(fifo)!r}, 'w')\nprint(os.getpid(), file=held, flush=True)\n"
    path.write_text(f"import os, threading\n{told}threading.Event().wait()\n")

    async def scene():
        waiting = asyncio.create_task(describe(str(path)))
        reading = await asyncio.to_thread(fifo.open)
        pid = int(await asyncio.to_thread(reading.readline))
        for _ in range(times):
            waiting.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        reading.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(asyncio.wait_for(scene(), 60))
