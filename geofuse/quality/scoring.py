"""What a product scores: every metric of the table over arrays in memory, with or without a reference."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from geofuse.errors import PluginError
from geofuse.geometry import Axes, AxisMap, Window, gaussian_sigma_px
from geofuse.kernels.resample import fill
from geofuse.methods.observation import (
    Observation,
    axes_at,
    degrade_bands,
    degrade_reach_bands,
    upsample_bands,
)
from geofuse.methods.sharpen.closed_form import FILL_CPX
from geofuse.metrics.full_resolution import pan_low
from geofuse.metrics.metric import Metric
from geofuse.metrics.table import installed
from geofuse.quality.measuring import Views, derived, images_needed, is_derived, measured
from geofuse.rasters.opening.describing import image_of
from geofuse.rasters.pixels import inspect, read_window
from geofuse.run.patch_reading import coarse_span, job_of, read_patch
from geofuse.run.plans.plan import Plan

log = logging.getLogger(__name__)
REFLECTANCE, UNKNOWN = "reflectance", "DN, pedestal unknown"
CUBIC_REACH_CPX = 2


@dataclass(frozen=True, slots=True)
class Ground:
    """What every product of a plan is judged against; images in physical values where those are known."""

    pan: NDArray[np.float64]
    """PAN (1, H, W)."""
    valid: NDArray[np.bool_]
    """Where both images are valid (H, W)."""
    upsampled: NDArray[np.float64]
    """U of the MS, registered to PAN (B, H, W)."""
    pan_low: NDArray[np.float64]
    """PAN at the coarse scale, back on its own grid (1, H, W)."""
    seen: NDArray[np.float64]
    """MS pixels whose whole neighbourhood lies in the product (B, h, w)."""
    seen_valid: NDArray[np.bool_]
    """(h, w)."""
    seen_window: Window
    """Where they lie: coarse rows and columns of the axes."""
    axes: Axes
    """Coarse = scale * fine + offset, of the product's grid."""
    observation: Observation
    """How the MS is taken to come from the product."""
    gain: NDArray[np.float64]
    """Physical value of a DN above the pedestal (B,); 1 where unknown."""
    pedestal: NDArray[np.float64]
    """DN of zero (B,)."""
    units: str
    """REFLECTANCE or UNKNOWN."""

    @property
    def ratio(self) -> float:
        """Fine pixels per coarse pixel, mean of both axes."""
        return 2.0 / (self.axes[0].scale + self.axes[1].scale)


def ground_of(plan: Plan) -> Ground:
    """Read what a plan's products are judged against: whole images, for areas that fit in memory."""
    job = job_of(plan)
    height, width = plan.grid.height, plan.grid.width
    patch = read_patch(plan, (0, height, 0, width), job.pedestal)
    bands = [plan.pair.target.bands[index] for index in plan.pair.bands]
    pan_band = plan.pair.guide_band
    known = all(band.gain is not None and band.offset is not None for band in (*bands, pan_band))
    gain = np.array([band.gain or 1.0 for band in bands]) if known else np.ones(len(bands))
    top, left = (-start for start in patch.guides_origin)
    fine, fine_valid = (
        image[..., top : top + height, left : left + width] for image in (patch.guides, patch.guides_valid)
    )
    pan = fine.astype(np.float64) * (pan_band.gain or 1.0 if known else 1.0)
    coarse = patch.target.values.astype(np.float64) * gain[:, None, None]
    axes = (plan.pair.axis_y, plan.pair.axis_x)
    filled = fill(coarse, patch.target.valid, FILL_CPX)
    window = _seen_whole(axes, job.observation, (height, width))
    rows = slice(window[0] - patch.target.origin[0], window[1] - patch.target.origin[0])
    cols = slice(window[2] - patch.target.origin[1], window[3] - patch.target.origin[1])
    return Ground(
        pan=pan,
        valid=patch.valid,
        upsampled=upsample_bands(filled, patch.target.origin, axes, (0, height, 0, width), job.observation),
        pan_low=_pan_low(pan, fine_valid, axes, job.observation),
        seen=coarse[:, rows, cols],
        seen_valid=patch.target.valid[rows, cols],
        seen_window=window,
        axes=axes,
        observation=job.observation,
        gain=gain,
        pedestal=job.pedestal,
        units=REFLECTANCE if known else UNKNOWN,
    )


def _seen_whole(axes: Axes, observation: Observation, size: tuple[int, int]) -> Window:
    """Return the coarse pixels whose whole footprint through D lies in the fine image; perhaps none."""
    rows, cols = (coarse_span(axis, 0, side, 0) for axis, side in zip(axes, size, strict=True))
    reach = degrade_reach_bands(axes, (*rows, *cols), observation)
    spare = (
        math.ceil(max(0, -reach[0]) * axes[0].scale),
        math.ceil(max(0, reach[1] - size[0]) * axes[0].scale),
        math.ceil(max(0, -reach[2]) * axes[1].scale),
        math.ceil(max(0, reach[3] - size[1]) * axes[1].scale),
    )
    row0, col0 = rows[0] + spare[0], cols[0] + spare[2]
    return row0, max(row0, rows[1] - spare[1]), col0, max(col0, cols[1] - spare[3])


def _pan_low(
    pan: NDArray[np.float64], valid: NDArray[np.bool_], axes: Axes, observation: Observation
) -> NDArray[np.float64]:
    """PAN at the coarse scale on the lattice that the MS really has; invalid pixels filled from beside."""
    spans = [coarse_span(axis, 0, side, 0) for axis, side in zip(axes, pan.shape[1:], strict=True)]
    placed = [
        AxisMap(axis.scale, axis.offset - first)
        for axis, (first, _) in zip(axes_at(axes, observation.shift_px)[:2], spans, strict=True)
    ]
    filled = fill(pan, valid, math.ceil(CUBIC_REACH_CPX / min(axis.scale for axis in axes)))
    size = spans[0][1] - spans[0][0], spans[1][1] - spans[1][0]
    return pan_low(filled, axis_y=placed[0], axis_x=placed[1], coarse_shape=size)


def read_raster(path: Path, window: Window | None = None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read all bands of a raster that geofuse wrote, over a window or whole: (B, H, W), (H, W)."""
    facts = inspect(str(path))
    image = image_of(facts)
    return read_window(
        image, tuple(range(len(image.bands))), window or (0, facts.grid.height, 0, facts.grid.width)
    )


def physical(stored: NDArray[Any], ground: Ground) -> NDArray[np.float64]:
    """Turn stored values (B, H, W) into those of the ground: less the pedestal, times the gain."""
    less: NDArray[np.float64] = stored.astype(np.float64) - ground.pedestal[:, None, None]
    less *= ground.gain[:, None, None]
    return less


def score(
    ground: Ground,
    fused: NDArray[np.float64],
    valid: NDArray[np.bool_],
    *,
    reference: NDArray[np.float64] | None = None,
) -> dict[str, float | None]:
    """Return every metric of a product (B, H, W) in the ground's units; None where it cannot be measured.

    With a reference (B, H, W), which `valid` must cover too, those that need one come first. One of a package that
    fails is None, and logged.
    """
    metrics = [metric for metric in installed().of_images if reference is not None or not metric.referenced]
    views = _views(ground, fused, valid, reference, images_needed(metrics))
    found: dict[str, float] = {}
    for metric in metrics:
        try:
            found[metric.key] = _measured(metric, views[metric.of_coarse], found)
        except PluginError as fault:
            log.warning("%s", fault)
            found[metric.key] = math.nan
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def _measured(metric: Metric, views: Views, found: dict[str, float]) -> float:
    if is_derived(metric):
        return derived(metric, found)
    return math.nan if min(views.valid.shape) == 0 else measured(metric, views)


def _views(
    ground: Ground,
    fused: NDArray[np.float64],
    valid: NDArray[np.bool_],
    reference: NDArray[np.float64] | None,
    needed: frozenset[str],
) -> tuple[Views, Views]:
    """Return what metrics are measured on: on the fine grid, and on the coarse one."""
    fine = {"fused": fused, "pan": ground.pan, "upsampled": ground.upsampled, "pan_low": ground.pan_low}
    if reference is not None:
        fine["reference"] = reference
    if "fused_low" in needed:
        fine["fused_low"] = mtf_filtered(fused, valid, ground.axes, ground.observation)
    coarse, seen = {"coarse": ground.seen}, ground.seen_valid
    if "degraded" in needed and min(seen.shape) > 0:
        coarse["degraded"], ok = degrade_bands(
            np.where(valid, fused, 0.0),
            valid,
            (0, 0),
            ground.axes,
            ground.seen_window,
            observation=ground.observation,
        )
        seen = ok & seen
    return Views(fine, valid, ground.ratio), Views(coarse, seen, ground.ratio)


def mtf_filtered(
    fused: NDArray[np.float64], valid: NDArray[np.bool_], axes: Axes, observation: Observation
) -> NDArray[np.float64]:
    """Low-pass each band (B, H, W) with its own MTF, without decimation; invalid pixels are left out.

    Source: Khan, Alparone and Chanussot 2009, IEEE TGRS 47(11); of the filter: Aiazzi et al. 2006, PE&RS 72(5).
    """
    out = np.empty_like(fused)
    weights: dict[float, NDArray[np.float64]] = {}
    for band, gain in enumerate(observation.mtf_gain):
        sigma = [gaussian_sigma_px(gain, 1.0 / axis.scale) for axis in axes]
        out[band] = gaussian_filter(np.where(valid, fused[band], 0.0), sigma)
        if not valid.all():
            if gain not in weights:
                weights[gain] = gaussian_filter(valid.astype(np.float64), sigma)
            np.divide(out[band], weights[gain], out=out[band], where=valid)
    return out


def error_percent(
    fused: NDArray[np.float64], reference: NDArray[np.float64], valid: NDArray[np.bool_]
) -> list[float | None]:
    """Return each band's root mean squared error in percent of the reference's mean."""
    found: list[float | None] = []
    for made, wanted in zip(fused, reference, strict=True):
        mean = float(wanted[valid].mean()) if valid.any() else 0.0
        rmse = math.sqrt(float(((made - wanted)[valid] ** 2).mean())) if valid.any() else 0.0
        found.append(100.0 * rmse / abs(mean) if mean else None)
    return found
