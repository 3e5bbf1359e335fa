"""Log files of what replicas print: rotated, bounded, and no burden when the disk is."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from sojourn.telemetry.log_files import LogFiles


@pytest.fixture
def make(tmp_path):
    """Makes log files below a directory; the faults told are in `faults`."""
    opened = []

    def begin(file_bytes=2**20, files=3, **more):
        log_files = LogFiles(tmp_path / "logs", file_bytes, files, begin.faults.append, **more)
        opened.append(log_files)
        return log_files

    begin.faults = []
    yield begin
    for log_files in opened:
        log_files.close()


def texts(path):
    """The lines of a file without their instants."""
    return [line.partition(" ")[2] for line in path.read_text().splitlines()]


def test_lines_are_kept_by_revision_for_the_owner_only(make, tmp_path):
    """With instant, replica and stream; a deployment without a revision has a file, too."""
    files = make(wall_clock=lambda: 0.25)
    files.write("talk@0123456789ab", 7, "stderr", "caf\u00e9 \ud800")
    files.write("talk", 8, "stdout", "hello")
    files.close()
    path = files.path("talk@0123456789ab")
    assert path == tmp_path / "logs" / "talk" / "0123456789ab.log"
    assert path.read_text() == "1970-01-01T00:00:00.250Z [7] stderr caf\u00e9 \\ud800\n"
    assert texts(files.path("talk")) == ["[8] stdout hello"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


def test_a_function_never_takes_more_than_its_files(make, tmp_path):
    """Whatever is written, by however many revisions; the latest lines are there, in order."""
    files = make(file_bytes=4096, files=3)
    for revision in range(6):
        for number in range(200):
            files.write(f"talk@{revision:012x}", 1, "stdout", f"{number} " + "x" * 40)
    files.close()
    found = list((tmp_path / "logs" / "talk").iterdir())
    assert len(found) <= 3
    assert sum(file.stat().st_size for file in found) <= 3 * 4096
    last = texts(files.path("talk@000000000005"))
    before = texts(files.path("talk@000000000005").with_suffix(".log.1"))
    numbers = [int(text.split()[2]) for text in before + last]
    assert numbers == list(range(200 - len(numbers), 200))


def test_one_file_is_enough(make, tmp_path):
    """With a single file kept, it is begun anew when it is full."""
    files = make(file_bytes=4096, files=1)
    for number in range(300):
        files.write("talk", 1, "stdout", f"{number}")
    files.close()
    (only,) = (tmp_path / "logs" / "talk").iterdir()
    assert only.stat().st_size <= 4096
    assert texts(only)[-1] == "[1] stdout 299"


def test_a_file_goes_on_where_an_earlier_server_left_it(make):
    """Restarting a server loses nothing."""
    for word in ("one", "two"):
        files = make()
        files.write("talk", 1, "stdout", word)
        files.close()
    assert texts(files.path("talk")) == ["[1] stdout one", "[1] stdout two"]


class Faults:
    """Told of faults by the writing thread; a test waits for the next one."""

    def __init__(self):
        self.told = []
        self._changed = threading.Condition()

    def __call__(self, fault):
        with self._changed:
            self.told.append(fault)
            self._changed.notify()

    def wait_for(self, count):
        """All, once there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.told) >= count, 30)
            return list(self.told)


def test_a_fault_is_told_once_and_its_end_too(tmp_path):
    """Lines that cannot be written are lost and counted; when writing works again, the count comes first."""
    faults = Faults()
    files = LogFiles(tmp_path / "logs", 2**20, 3, faults)
    path = files.path("talk")
    path.mkdir(parents=True)  # something that cannot be written to stands in its place
    for _ in range(3):
        files.write("talk", 1, "stdout", "lost")
    assert faults.wait_for(1) == ["Is a directory"]
    files.write("talk", 1, "stdout", "lost")
    files.write("other", 1, "stdout", "written")  # the fault of one is over when the next can be written
    faults.wait_for(2)
    path.rmdir()
    files.write("talk", 1, "stdout", "found")
    files.close()
    assert texts(path) == [f"[{files.dropped} lines lost]", "[1] stdout found"]
    assert files.dropped == 4


def test_a_full_disk_does_not_reach_the_writer(tmp_path):
    """/dev/full says ENOSPC to each write, as a full disk does."""
    faults = Faults()
    files = LogFiles(tmp_path / "logs", 2**20, 3, faults)
    files._open["talk"] = os.open("/dev/full", os.O_WRONLY)
    files._size = lambda deployment, path: 0  # a device has no length
    files.write("talk", 1, "stdout", "lost")
    assert faults.wait_for(1) == ["No space left on device"]
    files.close()


def test_a_disk_that_hangs_costs_lines_not_memory(tmp_path):
    """What is on its way has a bound; what is beyond it is counted."""
    begun, goes_on = threading.Event(), threading.Event()
    files = LogFiles(tmp_path / "logs", 2**30, 3, lambda fault: None)
    flush = files._flush

    def hang(*arguments):
        begun.set()
        goes_on.wait(60)
        flush(*arguments)

    files._flush = hang
    files.write("talk", 1, "stdout", "first")
    assert begun.wait(30)
    for _ in range(3000):
        files.write("talk", 1, "stdout", "x" * 8192)
    assert files._queued_bytes <= 8 * 2**20
    lost = files.dropped
    assert lost > 1900
    goes_on.set()
    files.close()
    assert f"[{lost} lines lost]" in texts(files.path("talk"))
    assert len(texts(files.path("talk"))) == 1 + 1 + 3000 - lost


@pytest.mark.parametrize("name", ["../x", "talk@../../x", "", "a/b", ".hidden", "talk@"])
def test_names_are_no_paths(make, tmp_path, name):
    """What cannot be a name is written nowhere."""
    files = make()
    if name != "talk@":
        with pytest.raises(ValueError, match="cannot be part"):
            files.path(name)
    files.write(name, 1, "stdout", "x")
    files.close()
    assert all(file.parent.parent == tmp_path / "logs" for file in tmp_path.rglob("*.log"))
    assert files.dropped == (name != "talk@")


def test_a_link_in_place_of_the_file_is_not_followed(make, tmp_path):
    """Nothing is written to where it leads."""
    files = make()
    path = files.path("talk")
    path.parent.mkdir(parents=True)
    (tmp_path / "victim").write_text("mine")
    path.symlink_to(tmp_path / "victim")
    files.write("talk", 1, "stdout", "x")
    files.close()
    assert (tmp_path / "victim").read_text() == "mine"
    assert files.dropped == 1
