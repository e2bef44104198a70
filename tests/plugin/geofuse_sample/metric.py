"""A metric: how far the product's mean is from what it should be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.metrics.metric import Metric


def bias(reference: NDArray[Any], fused: NDArray[Any], valid: NDArray[np.bool_]) -> float:
    """Return the mean of fused - reference over the valid pixels of all bands."""
    return float((fused - reference)[:, valid].mean())


SAMPLE_BIAS = Metric(
    "sample_bias",
    "BIAS",
    "Mean difference from the reference.",
    best=0.0,
    direction="",
    needs=("reference", "fused"),
    target="geofuse_sample.metric:bias",
    unit="DN",
)
