"""What replicas share can be set: cpus, gpus and memory."""

from __future__ import annotations

import pytest

from sojourn.config.load import load_settings
from sojourn.errors import ConfigurationError

HOME = {"HOME": "/home/someone"}


def test_by_default_nothing_is_said_and_the_machine_decides(tmp_path):
    """None is not zero."""
    settings = load_settings({}, HOME, directory=tmp_path)
    assert (settings.cpus, settings.gpus, settings.memory) == (None, None, None)


def test_flags_environment_and_file_are_read(tmp_path):
    """Fractions of cores, whole accelerators, memory as text."""
    (tmp_path / "sojourn.toml").write_text('memory = "2GiB"\n')
    settings = load_settings({"cpus": "2.5"}, {**HOME, "SOJOURN_GPUS": "4"}, directory=tmp_path)
    assert (settings.cpus, settings.gpus, settings.memory) == (2.5, 4, 2 * 2**30)


def test_no_accelerators_can_be_said(tmp_path):
    """Zero hides what is found."""
    assert load_settings({"gpus": "0"}, HOME, directory=tmp_path).gpus == 0


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"cpus": "0"}, "--cpus: must be in [0.1, 100000]"),
        ({"cpus": "-2"}, "--cpus: must be a number"),
        ({"cpus": "all"}, "--cpus: must be a number"),
        ({"gpus": "0.5"}, "--gpus: must be a whole number"),
        ({"gpus": "-1"}, "--gpus: must be in [0, 10000]"),
        ({"memory": "1KiB"}, "--memory: must be >= 1048576"),
        ({"memory": "much"}, "--memory: must be a number of bytes or a size"),
    ],
)
def test_what_no_server_has_is_refused_with_its_place(tmp_path, flags, told):
    """One line says which flag and what it may be."""
    with pytest.raises(ConfigurationError) as error:
        load_settings(flags, HOME, directory=tmp_path)
    assert told in str(error.value)
