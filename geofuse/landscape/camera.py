"""Pairs with known truth: a landscape, and how a satellite would see it as PAN and MS. numpy and scipy only.

The operators here apply the same tap tables as the product's own, by another road (sparse matrices, symmetric
padding), so that a pair made here is an independent check of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import UsageError
from geofuse.geometry import EDGE_TOLERANCE_CPX, AxisMap, axis_from_grids, gaussian_taps, shifted
from geofuse.landscape import BANDS, make_truth
from geofuse.methods.resampling import resampled

__all__ = [
    "BANDS",
    "Camera",
    "camera_axes",
    "coarse_size",
    "make_truth",
    "observe",
    "slanted_valid",
]


@dataclass(frozen=True, slots=True)
class Camera:
    """How a simulated satellite sees the truth: all that a calibration should find again."""

    mtf_gains: tuple[float, ...]
    """MTF at the coarse Nyquist frequency per band, inside (0, 1)."""
    pan_weights: tuple[float, ...]
    """PAN's spectral weight of each band."""
    pan_extra: float = 0.0
    """PAN's weight of light outside the bands: the geometric mean of the last two, as a red edge would be."""
    ratio: float = 4.0
    """Coarse over fine pixel size, 1 or more, not necessarily whole; not used where both axes are given."""
    shift_px: tuple[float, float] = (0.0, 0.0)
    """(dy, dx): what is at fine (row, col) is seen in MS where the grids put (row + dy, col + dx)."""
    band_shifts_px: tuple[tuple[float, float], ...] = ()
    """The same per band, on top of `shift_px`, for sensors with several detector arrays; empty for none."""
    noise_sigma: float = 0.0
    """Standard deviation of the white Gaussian noise added to every pixel of both images, DN."""
    axis_y: AxisMap | None = None
    """How the rows of the two grids relate; None for outer edges that coincide."""
    axis_x: AxisMap | None = None
    """The same of the columns."""


def camera_axes(camera: Camera) -> tuple[AxisMap, AxisMap]:
    """Return the (y, x) maps of the two grids as a georeference would state them: without the shift."""
    if not camera.ratio >= 1.0:
        raise UsageError(f"a ratio of {camera.ratio:g}", wanted="1 or more")
    aligned = axis_from_grids(0.0, 1.0, 0.0, camera.ratio)
    return camera.axis_y or aligned, camera.axis_x or aligned


def coarse_size(axis: AxisMap, fine_size: int) -> int:
    """Return how many coarse pixels, from pixel 0 on, end inside a fine image of `fine_size` pixels.

    >>> coarse_size(AxisMap(0.5, -0.5), 1207), coarse_size(AxisMap(0.25, -0.375), 1024)
    (603, 256)
    """
    return max(0, math.floor(axis.scale * (fine_size - 0.5) + axis.offset + 0.5 + EDGE_TOLERANCE_CPX))


def observe(
    truth: NDArray[Any], camera: Camera, *, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """See a landscape (B, H, W) as PAN (1, H, W) and MS (B, h, w), float32 DN.

    PAN is the spectral mix on the fine grid; each MS band is blurred with its Gaussian MTF and taken at the
    coarse centres at their sub-pixel phase. The coarse image is as large as fits. The truth is what a
    perfect fusion returns. Raises UsageError where the camera does not fit the truth. Source of the
    protocol: Wald, Ranchin and Mangolini 1997, PE&RS 63(6); of the filter: Aiazzi et al. 2006, PE&RS 72(5).
    """
    bands, height, width = truth.shape
    _check(camera, bands)
    axis_y, axis_x = camera_axes(camera)
    size_y, size_x = coarse_size(axis_y, height), coarse_size(axis_x, width)
    ms = np.empty((bands, size_y, size_x))
    for band, gain in enumerate(camera.mtf_gains):
        own = camera.band_shifts_px[band] if camera.band_shifts_px else (0.0, 0.0)
        rows = gaussian_taps(shifted(axis_y, camera.shift_px[0] + own[0]), gain, 0, size_y)
        cols = gaussian_taps(shifted(axis_x, camera.shift_px[1] + own[1]), gain, 0, size_x)
        ms[band] = resampled(truth[band : band + 1], rows, cols)[0]
    pan = np.tensordot(np.asarray(camera.pan_weights), truth.astype(np.float64), axes=1)[None]
    if camera.pan_extra:
        beside = np.maximum(truth[-2:].astype(np.float64), 0.0)
        pan += camera.pan_extra * np.exp(np.log(np.maximum(beside, 1e-9)).mean(axis=0))
    if camera.noise_sigma > 0.0:
        pan += rng.normal(0.0, camera.noise_sigma, pan.shape)
        ms += rng.normal(0.0, camera.noise_sigma, ms.shape)
    return pan.astype(np.float32), ms.astype(np.float32)


def slanted_valid(
    height: int, width: int, *, angle_deg: float, axes: tuple[AxisMap, AxisMap] | None = None
) -> NDArray[np.bool_]:
    """Return where a swath turned by `angle_deg` against its grid has data, as Landsat's scenes lie.

    The area is the rectangle, turned about the fine image's centre, whose corners touch that image's outer
    edges. Height and width are the fine image's; without `axes` the answer is on the fine grid (H, W), with
    them on the coarse grid (h, w) they lead to: one area, judged at each grid's own pixel centres. Raises
    UsageError where the image is too narrow for the angle.
    """
    turn = math.radians(angle_deg)
    cos, sin = math.cos(turn), abs(math.sin(turn))
    long_y = (height * cos - width * sin) / math.cos(2.0 * turn)
    long_x = (width * cos - height * sin) / math.cos(2.0 * turn)
    if not abs(angle_deg) < 45.0 or long_y <= 0.0 or long_x <= 0.0:
        raise UsageError(
            f"an angle of {angle_deg:g} degrees in an image of {height} x {width}",
            wanted="under 45 degrees, and less in a narrow image",
        )
    if axes is None:
        y, x = np.arange(height, dtype=np.float64), np.arange(width, dtype=np.float64)
    else:
        y, x = _fine_places(axes[0], height), _fine_places(axes[1], width)
    dy, dx = y[:, None] - 0.5 * (height - 1), x[None, :] - 0.5 * (width - 1)
    along_x = dx * cos + dy * math.sin(turn)
    along_y = dy * cos - dx * math.sin(turn)
    inside: NDArray[np.bool_] = (np.abs(along_x) <= 0.5 * long_x) & (np.abs(along_y) <= 0.5 * long_y)
    return inside


def _fine_places(axis: AxisMap, fine_size: int) -> NDArray[np.float64]:
    return (np.arange(coarse_size(axis, fine_size), dtype=np.float64) - axis.offset) / axis.scale


def _check(camera: Camera, bands: int) -> None:
    for name, given in (("MTF gains", camera.mtf_gains), ("PAN weights", camera.pan_weights)):
        if len(given) != bands:
            raise UsageError(f"{len(given)} {name}", wanted=f"{bands}, one for each band of the truth")
    if len(camera.band_shifts_px) not in (0, bands):
        raise UsageError(f"{len(camera.band_shifts_px)} band shifts", wanted=f"none or {bands}")
    if not all(0.0 < gain < 1.0 for gain in camera.mtf_gains):
        raise UsageError(f"MTF gains {camera.mtf_gains}", wanted="each between 0 and 1")
