"""Tap tables applied to whole images in float64: the resampler of drawn worlds and of metrics.

Fusion itself resamples tiles with the kernels; this one is plain, symmetric at the image's own edges, and no tile's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from geofuse.geometry import Taps


def resampled(image: NDArray[Any], rows: Taps, cols: Taps) -> NDArray[np.float64]:
    """Apply two tap tables to an image (B, H, W) -> (B, n, m), in float64, symmetric at the edges."""
    down = _tap_matrix(rows, image.shape[1])
    across = _tap_matrix(cols, image.shape[2])
    return np.stack([(across @ (down @ band.astype(np.float64)).T).T for band in image])


def _tap_matrix(taps: Taps, size: int) -> sparse.csr_array:
    """The table as a sparse matrix (n, size), every tap outside the image folded back to its mirror pixel."""
    count, width = taps.weights.shape
    place = (taps.first[:, None] + np.arange(width)) % (2 * size)
    place = np.minimum(place, 2 * size - 1 - place)  # symmetric: the edge pixel is repeated
    row = np.repeat(np.arange(count), width)
    weights = taps.weights.astype(np.float64).ravel()
    return sparse.csr_array((weights, (row, place.ravel())), shape=(count, size))
