"""The examples do what their docstrings say."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sojourn.domain.function import FunctionManifest
from sojourn.wire.message import Run

EXAMPLES = Path(__file__).parents[3] / "examples"


def started(bench, name, environment=None):
    """The manifest of an example, and a replica of it."""
    status, answer, _ = bench.describe(str(EXAMPLES / f"{name}.py"))
    assert status == 0, answer
    (manifest,) = msgspec.convert(answer, list[FunctionManifest])
    spec = bench.spec(manifest, environment=environment or {})
    return manifest, bench.accept(bench.launch(spec)).ready()


@pytest.fixture
def example(bench):
    """Starts a replica of an example; gives its manifest too."""
    return lambda name, environment=None: started(bench, name, environment)


@pytest.fixture(scope="module")
def digits(lasting_bench):
    """The manifest of the digits, and a replica of them, which takes seconds to start."""
    pytest.importorskip("sklearn")
    return started(lasting_bench, "digits")


def test_digits_recognises_what_it_never_saw(digits):
    """The held-out images come back under their own ids, at least 97 % of them recognised."""
    code = "import sys, msgspec, digits; sys.stdout.buffer.write(msgspec.json.encode(digits.held_out()))"
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True, timeout=60)
    held_out = msgspec.json.decode(done.stdout)
    manifest, replica = digits
    assert (manifest.name, manifest.settings.max_batch_size, str(manifest.settings.slo)) == ("digits", 64, "99% < 50ms")
    right = 0
    for at in range(0, len(held_out), 64):
        batch = held_out[at : at + 64]
        answer = replica.run(*(msgspec.json.encode(image) for image, _ in batch))
        assert answer.faults == []
        for (image, digit), body in zip(batch, answer.bodies, strict=True):
            prediction = msgspec.json.decode(body)
            assert prediction["id"] == image["id"]
            assert 0 < prediction["confidence"] <= 1
            right += prediction["digit"] == digit
    assert len(held_out) > 800
    assert right / len(held_out) >= 0.97


def test_digits_refuses_an_image_of_the_wrong_size(digits):
    """63 pixels never reach the model, and the message says how many there must be."""
    _, replica = digits
    (fault,) = replica.run(msgspec.json.encode({"id": 1, "pixels": [0] * 63})).faults
    assert fault.code == "item_invalid"
    assert "length >= 64" in fault.message


def test_accelerator_takes_the_time_it_was_told(example):
    """A batch lasts beta + alpha x its size, never less, and the items come back."""
    _, replica = example("accelerator", {"SOJOURN_FN_ALPHA_S": "0.001", "SOJOURN_FN_BETA_S": "0.01"})
    done = replica.run(*(b'{"id":%d}' % number for number in range(8)))
    assert done.bodies == [b'{"id":%d}' % number for number in range(8)]
    assert done.called_at_s - done.decoded_at_s >= 0.018


def test_async_io_asks_for_many_keys_at_once(example):
    """Each query gets its own answer, in whatever order they come; a bad key fails alone."""
    manifest, replica = example("async_io", {"SOJOURN_FN_DELAY_S": "0"})
    assert manifest.slots == 64
    replica.send(*(Run(number, [b'{"key":"key-%d"}' % number]) for number in range(64)), Run(64, [b'{"key":" "}']))
    answers = {}
    for _ in range(65):
        done = replica.receive()
        answers[done.batch_id] = done
    for number in range(64):
        key = f"key-{number}"
        assert msgspec.json.decode(answers[number].bodies[0]) == {"key": key, "value": key[::-1]}
    assert [(fault.code, fault.status) for fault in answers[64].faults] == [("item_error", 422)]
    assert replica.drain() == 0


def test_noop_gives_back_what_it_got(example):
    """Any JSON comes back as it was."""
    _, replica = example("noop")
    assert replica.run(b'{"any":["JSON",1]}', b"null").bodies == [b'{"any":["JSON",1]}', b"null"]
