"""What the machine has for replicas."""

from __future__ import annotations

import os

import pytest

from sojourn.launcher.machine import machine_resources


@pytest.fixture
def found(tmp_path, monkeypatch):
    """What is found with these control group and device files."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    cgroup, devices = tmp_path / "cgroup", tmp_path / "dev"
    cgroup.mkdir()
    devices.mkdir()

    def find(*device_names, **files):
        for name, text in files.items():
            (cgroup / name.replace("_", ".")).write_text(text)
        for name in device_names:
            (devices / name).touch()
        return machine_resources(cgroup, devices)

    return find


def test_without_limits_it_is_what_the_process_may_use(found):
    """Its cores and all memory."""
    resources = found(cpu_max="max 100000\n", memory_max="max\n")
    assert resources.cpus == len(os.sched_getaffinity(0))
    assert resources.memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert resources.gpus == 0


def test_without_control_groups_it_is_the_same(found):
    """No such files, or no such folder."""
    assert found() == found(cpu_max="max 100000", memory_max="max")


def test_the_limits_of_its_control_group_count(found):
    """Half a core and 64 MiB, whatever the machine has."""
    resources = found(cpu_max="50000 100000\n", memory_max=f"{2**26}\n")
    assert (resources.cpus, resources.memory_bytes) == (0.5, 2**26)


def test_a_limit_above_what_there_is_adds_nothing(found):
    """A quota of a thousand cores."""
    resources = found(cpu_max="100000000 100000", memory_max=str(2**60))
    assert resources.cpus == len(os.sched_getaffinity(0))
    assert resources.memory_bytes < 2**60


@pytest.mark.parametrize("text", ["", "soon", "100000", "100000 0"])
def test_a_quota_that_cannot_be_read_is_none(found, text):
    """Nothing is made up, and nothing fails."""
    assert found(cpu_max=text, memory_max="some").cpus == len(os.sched_getaffinity(0))


def test_accelerators_are_counted_by_their_devices(found):
    """Control devices beside them are none."""
    assert found("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia0.old", "null").gpus == 2


@pytest.mark.parametrize(("visible", "count"), [("", 0), ("-1", 0), ("0", 1), ("2,5", 2), ("0, 1,", 2)])
def test_the_environment_says_which_accelerators_may_be_seen(found, monkeypatch, visible, count):
    """It overrides the devices."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert found("nvidia0", "nvidia1", "nvidia2").gpus == count


def test_a_machine_without_a_device_folder_has_no_accelerators(tmp_path, monkeypatch):
    """As where there is no /dev."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert machine_resources(tmp_path, tmp_path / "none").gpus == 0
