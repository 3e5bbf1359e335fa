"""Reading what a process prints costs the server little, however much it is."""

import asyncio
import fcntl
import os
import struct
import termios

import pytest

from sojourn.launcher.output import LINES_PER_S_MAX, READS_PER_S_MAX, LineReader


class Bench:
    """A reader on a loop whose clock stands still until it is set."""

    def __init__(self):
        self.now_s = 100.25
        self.lines = []
        self.loop = asyncio.SelectorEventLoop()
        self.loop.time = lambda: self.now_s
        reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)
        self._reading = os.dup(reading)  # tells how much waits, also once the reader has closed its own
        self.reader = LineReader(reading, self.lines.append)
        self.loop.run_until_complete(self._start())

    async def _start(self):
        self.reader.start()

    def turn(self):
        """Let the loop do what is due, without waiting."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def waiting_bytes(self):
        """Bytes in the pipe."""
        return struct.unpack("i", fcntl.ioctl(self._reading, termios.FIONREAD, bytes(4)))[0]

    def close(self):
        """Close everything."""
        self.reader.finish()
        os.close(self.writing)
        os.close(self._reading)
        self.loop.close()


@pytest.fixture
def bench():
    """One reader."""
    bench = Bench()
    yield bench
    bench.close()


def flood(bench, times):
    """Print a few lines at a time, as often as there is room; how often there was."""
    written = 0
    for _ in range(times):
        try:
            os.write(bench.writing, b"y\n" * 50)
            written += 1
        except BlockingIOError:
            pass
        bench.turn()
    return written


def test_a_flood_waits_for_the_next_second(bench):
    """After so many reads the pipe fills up and blocks whoever floods it; in the next second reading goes on."""
    times = 20 * READS_PER_S_MAX
    written = flood(bench, times)
    assert READS_PER_S_MAX <= written < times
    assert bench.waiting_bytes() > 32 * 1024
    assert len(bench.lines) == LINES_PER_S_MAX
    bench.now_s = 101.0
    bench.turn()
    bench.turn()
    assert bench.waiting_bytes() == 0
    total = written * 50
    dropped = sum(int(line[1:].split()[0]) for line in bench.lines if "lines dropped" in line)
    assert bench.lines[LINES_PER_S_MAX].startswith("[")
    assert total - 64 * 1024 <= LINES_PER_S_MAX + dropped < total
    assert flood(bench, 10) == 10
    assert bench.waiting_bytes() == 0


def test_the_end_of_a_paused_process_is_heard(bench):
    """What still lies in the pipe is handed over though the reader was waiting for the next second."""
    flood(bench, READS_PER_S_MAX + 1)
    bench.now_s = 101.5
    os.write(bench.writing, b"last words\n")
    bench.reader.finish()
    assert bench.lines[-1] == "last words"


def test_what_keeps_within_the_rate_is_read_at_once(bench):
    """Second after second just below the limit, nothing waits and nothing is dropped."""
    for second in range(3):
        bench.now_s = 200.0 + second
        for number in range(READS_PER_S_MAX - 1):
            os.write(bench.writing, b"%d\n" % number)
            bench.turn()
            assert bench.waiting_bytes() == 0
    assert len(bench.lines) == 3 * (READS_PER_S_MAX - 1)
