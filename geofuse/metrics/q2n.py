"""Q and its hypercomplex extension Q2n on disjoint blocks, as sums that can be merged over tiles.

Blocks are 32 x 32, anchored at the array's origin; incomplete blocks and blocks with any invalid pixel are
dropped. A tile therefore has to begin on a multiple of 32 pixels of the image and to end on one, or at the
image's end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from operator import add
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import UsageError
from geofuse.geometry import Floats, Mask

BLOCK = 32
FLAT = 1e-26
"""Variance over squared mean below which a block counts as constant: far under any stored value's step."""

Planes = NDArray[Any]
Sums = TypeVar("Sums")


@dataclass(frozen=True, slots=True)
class MeanSums:
    """What a mean over pixels, windows or blocks needs, one total per band or band pair."""

    total: Floats
    """Sum of the local values (K,)."""
    count: int
    """How many local values were added to each total."""


def merge(first: Sums, second: Sums) -> Sums:
    """Add the sums of two tiles: those of the two together.

    Works on every ``...Sums`` of the metrics, and on nouns of such; a field that is no sum names its operation in its
    metadata. Sums by name are added name by name; what no tile has stays None.
    """
    joined = {
        field.name: _joined(
            field.metadata.get("merge", add), getattr(first, field.name), getattr(second, field.name)
        )
        for field in fields(first)  # type: ignore[arg-type]
    }
    return type(first)(**joined)


def _joined(how: Callable[[Any, Any], Any], first: Any, second: Any) -> Any:
    if first is None:
        return None
    if is_dataclass(first):
        return merge(first, second)
    if isinstance(first, Mapping):
        return {key: _joined(how, value, second[key]) for key, value in first.items()}
    return how(first, second)


def means(sums: MeanSums) -> Floats:
    """Return the mean of each total (K,), NaN where nothing could be measured."""
    return sums.total / sums.count if sums.count else np.full(sums.total.shape, np.nan)


def mean(sums: MeanSums) -> float:
    """Return the mean over all totals, NaN where nothing could be measured."""
    return float(means(sums).mean())


def check_pair(first: Planes, second: Planes, valid: Mask | None) -> Mask:
    """Return the validity plane (H, W) of two images (B, H, W), all true for None.

    The second may have one band. Raises UsageError where the shapes do not fit.
    """
    same = first.ndim == second.ndim == 3 and first.shape[1:] == second.shape[1:]
    if not same or second.shape[0] not in (1, first.shape[0]):
        raise UsageError(f"images of shape {first.shape} and {second.shape}", wanted="two images (B, H, W)")
    if valid is None:
        return np.ones(first.shape[1:], dtype=np.bool_)
    if valid.shape != first.shape[1:]:
        raise UsageError(f"a validity plane of shape {valid.shape}", wanted=f"{first.shape[1:]}")
    return valid.astype(np.bool_, copy=False)


def q_sums(reference: Planes, fused: Planes, *, valid: Mask | None = None) -> MeanSums:
    """Sum Q over the blocks, per band; a second image of one band is compared with every band.

    Images (B, H, W), `valid` (H, W) where both hold. Source: as `q`.
    """
    total, count = np.zeros(reference.shape[0]), 0
    for x, y in _block_rows((reference, fused), check_pair(reference, fused, valid)):
        mean_x, mean_y = x.mean(axis=2), y.mean(axis=2)
        dx, dy = x - mean_x[:, :, None], y - mean_y[:, :, None]
        degrees = x.shape[2] - 1
        cov = (dx * dy).sum(axis=2) / degrees
        spread = ((dx * dx).sum(axis=2) + (dy * dy).sum(axis=2)) / degrees
        total += _q_from_moments(mean_x, mean_y, cov, spread).sum(axis=0)
        count += x.shape[0]
    return MeanSums(total, count)


def q(reference: Planes, fused: Planes, *, valid: Mask | None = None) -> float:
    """Return Wang and Bovik's universal quality index, in [-1, 1], mean over 32 x 32 blocks, then bands.

    Images (B, H, W), `valid` (H, W) where both hold; NaN where no block is whole. A constant pair of blocks
    is judged by its means alone. Source: Wang and Bovik 2002, IEEE Signal Processing Letters 9(3), eq. 2
    and section II.
    """
    return mean(q_sums(reference, fused, valid=valid))


def q_pair_sums(image: Planes, *, valid: Mask | None = None) -> MeanSums:
    """Sum Q between every two bands of an image (B, H, W) over the blocks: B (B - 1) / 2 totals."""
    first, second = np.triu_indices(image.shape[0], 1)
    total, count = np.zeros(first.size), 0
    for (x,) in _block_rows((image,), check_pair(image, image, valid)):
        centre = x.mean(axis=2)
        dx = x - centre[:, :, None]
        cov = dx @ dx.transpose(0, 2, 1) / (x.shape[2] - 1)  # (n, B, B)
        var = np.diagonal(cov, axis1=1, axis2=2)
        spread = var[:, first] + var[:, second]
        total += _q_from_moments(centre[:, first], centre[:, second], cov[:, first, second], spread).sum(
            axis=0
        )
        count += x.shape[0]
    return MeanSums(total, count)


def hypercomplex_signs(count: int) -> NDArray[np.int8]:
    """Return s (count, count) of the Cayley-Dickson algebra of 2^n units: e_i e_j = s_ij e_(i xor j).

    Doubling: (a, b)(c, d) = (a c - d* b, d a + b c*). Source: Garzelli and Nencini 2009, IEEE GRSL 6(4),
    eq. 3-4.

    >>> hypercomplex_signs(2).tolist()
    [[1, 1], [1, -1]]
    """
    signs = np.ones((1, 1), dtype=np.int8)
    while len(signs) < count:
        conjugated = _conjugation(len(signs))
        signs = np.block([[signs, signs.T], [signs * conjugated, -signs.T * conjugated]]).astype(np.int8)
    return signs


def q2n_sums(
    reference: Planes, fused: Planes, *, valid: Mask | None = None, whole_dn: bool = False
) -> MeanSums:
    """Sum |Q2n| over the blocks: one total. Images (B, H, W), `valid` and `whole_dn` as in `q2n`."""
    ok = check_pair(reference, fused, valid)
    if reference.shape != fused.shape:
        raise UsageError(f"{fused.shape[0]} fused bands", wanted=f"{reference.shape[0]}, as in the reference")
    signs = hypercomplex_signs(1 << (reference.shape[0] - 1).bit_length())
    total, count = 0.0, 0
    for x, y in _block_rows((reference, fused), ok):
        pair = (_whole(x), _whole(y)) if whole_dn else (x, y)
        total += float(_q2n_of_blocks(*pair, signs).sum())
        count += x.shape[0]
    return MeanSums(np.array([total]), count)


def q2n(reference: Planes, fused: Planes, *, valid: Mask | None = None, whole_dn: bool = False) -> float:
    """Return the hypercomplex quality index Q2n (Q4, Q8, ...), in [0, 1], mean over 32 x 32 blocks.

    Images (B, H, W) of any band count, padded with zero bands to the next 2^n; `valid` (H, W) where both
    hold; NaN where no block is whole. Each band is normalised by the reference block's mean and standard
    deviation, so a common gain and pedestal do not matter. `whole_dn` first rounds both to whole
    non-negative DN, as the published tables do; not for reflectance. Sources: Garzelli and Nencini 2009,
    IEEE GRSL 6(4), eq. 8-12; Alparone et al. 2004, IEEE GRSL 1(4).
    """
    return mean(q2n_sums(reference, fused, valid=valid, whole_dn=whole_dn))


def _block_rows(images: tuple[Planes, ...], valid: Mask) -> Iterator[tuple[Floats, ...]]:
    """Yield each row of blocks as (n, B, 1024) per image, without the blocks that hold an invalid pixel."""
    height, across = valid.shape[0], valid.shape[1] // BLOCK
    for top in range(0, height - BLOCK + 1, BLOCK):
        strip = valid[top : top + BLOCK, : across * BLOCK].reshape(BLOCK, across, BLOCK)
        whole = strip.all(axis=(0, 2))
        if whole.any():
            yield tuple(_blocks_of(image, top, across)[whole] for image in images)


def _blocks_of(image: Planes, top: int, across: int) -> Floats:
    bands = image.shape[0]
    strip = image[:, top : top + BLOCK, : across * BLOCK].reshape(bands, BLOCK, across, BLOCK)
    return strip.transpose(2, 0, 1, 3).reshape(across, bands, BLOCK * BLOCK).astype(np.float64)


def _q_from_moments(mean_x: Floats, mean_y: Floats, cov: Floats, spread: Floats) -> Floats:
    """Q as correlation-and-contrast times luminance; either factor is 1 where it has nothing to compare."""
    level = mean_x * mean_x + mean_y * mean_y
    varies = spread > FLAT * level
    structure = np.divide(2.0 * cov, spread, out=np.ones_like(spread), where=varies)
    luminance = np.divide(2.0 * mean_x * mean_y, level, out=np.ones_like(level), where=level > 0.0)
    return np.asarray(structure * luminance, dtype=np.float64)


def _q2n_of_blocks(x: Floats, y: Floats, signs: NDArray[np.int8]) -> Floats:
    """|Q2n| of each block (n,).

    The product is bilinear, so the hypercovariance of z1 with conj(z2) is the bands' cross-covariance
    matrix contracted with the multiplication table: no product of pixels is ever formed. A zero band
    becomes the constant 1 in both images.
    """
    bands, units, degrees = x.shape[1], len(signs), x.shape[2] - 1
    mean_x, mean_y = x.mean(axis=2), y.mean(axis=2)
    dx, dy = x - mean_x[:, :, None], y - mean_y[:, :, None]
    var_x = (dx * dx).sum(axis=2) / degrees
    step = np.sqrt(np.where(var_x > FLAT * mean_x * mean_x, var_x, 1.0))  # a constant band is not stretched
    dx, dy = dx / step[:, :, None], dy / step[:, :, None]
    cross = np.zeros((len(x), units, units))
    cross[:, :bands, :bands] = dx @ dy.transpose(0, 2, 1) / degrees
    i = np.arange(units)[:, None]
    j = i ^ np.arange(units)  # e_i conj(e_j) lands on unit i xor j
    hyper = (cross[:, i, j] * (signs * _conjugation(units))[i, j]).sum(axis=1)  # (n, units)
    spread = ((dx * dx).sum(axis=(1, 2)) + (dy * dy).sum(axis=(1, 2))) / degrees
    mean_fused = (mean_y - mean_x) / step + 1.0
    level_x = float(units)  # the normalised reference has mean 1 in every unit
    level_y = (mean_fused * mean_fused).sum(axis=1) + (units - bands)
    bias = 2.0 * np.sqrt(level_x * level_y) / (level_x + level_y)
    size = np.sqrt((hyper * hyper).sum(axis=1))
    varies = spread > FLAT * (level_x + level_y)
    structure = np.divide(2.0 * size, spread, out=np.ones_like(spread), where=varies)
    return np.asarray(structure * bias, dtype=np.float64)


def _conjugation(count: int) -> NDArray[np.int8]:
    return np.where(np.arange(count) == 0, 1, -1).astype(np.int8)


def _whole(values: Floats) -> Floats:
    return np.maximum(np.floor(values + 0.5), 0.0)
