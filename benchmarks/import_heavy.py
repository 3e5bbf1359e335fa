"""A function that is nearly all import: what it loads are libraries, its model is nothing. For `coldstart.py`."""

from __future__ import annotations

import numpy as np
import scipy.optimize
import scipy.stats
import sklearn.ensemble
import sklearn.linear_model
import sklearn.pipeline

import sojourn

USED = (scipy.optimize, scipy.stats, sklearn.ensemble, sklearn.linear_model, sklearn.pipeline)


@sojourn.function
class ImportHeavy:
    """The square root of numbers."""

    def __call__(self, items: list[float]) -> list[float]:
        """One root per number, in their order."""
        return [float(root) for root in np.sqrt(np.array(items))]
