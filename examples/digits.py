"""Handwritten digits, recognised by a support vector machine.

The model is trained when a replica starts (about a tenth of a second) on one half of scikit-learn's
bundled images; the other half, `held_out()`, is for honest requests. Needs the extra `demo`
(scikit-learn). Serve it and ask it:

    sojourn serve examples/digits.py
    sojourn invoke digits '{"id": 1, "pixels": [0, 0, 5, 13, ...]}'      (64 numbers, 0 to 16)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

import sojourn

PIXELS = 64
SPLIT_SEED = 2026


class Image(msgspec.Struct):
    """An image of 8 x 8 pixels, row by row, each from 0 (white) to 16 (black)."""

    id: int
    pixels: Annotated[list[float], msgspec.Meta(min_length=PIXELS, max_length=PIXELS)]


@dataclass
class Prediction:
    """The digit an image shows, and how sure the model is of it, from 0 to 1."""

    id: int
    digit: int
    confidence: float


def _split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    pixels, digits = load_digits(return_X_y=True)
    return tuple(train_test_split(pixels, digits, test_size=0.5, random_state=SPLIT_SEED, stratify=digits))


def held_out() -> list[tuple[Image, int]]:
    """The images the model never saw in training, numbered from 0, each with the digit it shows."""
    _, pixels, _, digits = _split()
    return [
        (Image(id=number, pixels=row.tolist()), int(digit))
        for number, (row, digit) in enumerate(zip(pixels, digits, strict=True))
    ]


@sojourn.function(
    slo="99% < 50ms",
    max_batch_size=64,
    examples=[Image(id=0, pixels=[0.0] * PIXELS), Image(id=1, pixels=[8.0] * PIXELS)],
)
class Digits:
    """Predicts the digit on each image."""

    def __init__(self) -> None:
        pixels, _, digits, _ = _split()
        self._classifier = SVC(gamma=0.001, C=10.0, decision_function_shape="ovr").fit(pixels, digits)

    def __call__(self, images: list[Image]) -> list[Prediction]:
        """One prediction per image, in their order."""
        scores = self._classifier.decision_function(np.array([image.pixels for image in images]))
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares = weights / weights.sum(axis=1, keepdims=True)
        best = shares.argmax(axis=1)
        return [
            Prediction(id=image.id, digit=int(self._classifier.classes_[column]), confidence=float(share[column]))
            for image, column, share in zip(images, best, shares, strict=True)
        ]
