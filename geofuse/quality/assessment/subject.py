"""What is assessed: a product matched to the scene it came from, by georeference, and how to read both together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import BandError, GeorefError
from geofuse.geometry import Axes, Window, gaussian_taps
from geofuse.methods.observation import (
    CUBIC_REACH_CPX,
    Observation,
    axes_at,
    bands_by,
    degrade,
    degrade_reach,
    degrade_reach_bands,
    upsample_bands,
)
from geofuse.methods.sharpen.closed_form import FILL_CPX, coarse_layers, stray_cpx
from geofuse.metrics.full_resolution import d_rho_window
from geofuse.metrics.reference import SSIM_HALO_PX
from geofuse.metrics.seams import SEAM_HALO_PX
from geofuse.metrics.sharpness import edge_reach_px
from geofuse.metrics.unsupported_detail import support_reach_px
from geofuse.nouns import from_json
from geofuse.rasters.grids import composed, has_pixel_size
from geofuse.rasters.image import Grid, Image
from geofuse.rasters.ledger import json_path
from geofuse.rasters.opening.describing import image_of
from geofuse.rasters.pixels import RasterFacts, inspect, read_window
from geofuse.run.calibrating import calibrated_plan
from geofuse.run.patch_reading import pedestal_of, read_patch
from geofuse.run.plans.plan import Plan
from geofuse.run.plans.planning import make_plan
from geofuse.run.plans.request import make_request
from geofuse.run.records.documents import CalibrationReport, ProductRecord
from geofuse.run.records.product_files import read_record
from geofuse.scenes.bands import select_bands
from geofuse.scenes.projecting import same_crs
from geofuse.scenes.relating import guide_of, target_of
from geofuse.scenes.scene import Scene

ALIGNED_PX = 0.01
"""How far two grids may lie apart, in pixels, and still be one."""
WHOLE_SHARE = 0.99
"""Of the sensor's filter, what must lie on valid pixels: less would compare a filter's remainder with the image."""
REFLECTANCE, UNKNOWN = "reflectance", "DN, pedestal unknown"


@dataclass(frozen=True, slots=True)
class Scale:
    """How stored values of some bands become what is compared: (value - pedestal) * gain."""

    pedestal: NDArray[np.float64]
    """Stored value of zero (B,)."""
    gain: NDArray[np.float64]
    """(B,)."""


@dataclass(frozen=True, slots=True)
class PlacedRaster:
    """A raster on the fine grid, or on one that holds it."""

    image: Image
    """Where it is."""
    indices: tuple[int, ...]
    """Its bands, in the order of the product."""
    origin: tuple[int, int]
    """Its pixel under the assessed area's first one."""
    scale: Scale
    """What its values mean."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A product, the scene it came from, and perhaps a reference: all that a pass over it needs."""

    plan: Plan
    """Area, grids and bands of the scene."""
    observation: Observation
    """What D and U use."""
    fused: PlacedRaster
    """The product."""
    reference: PlacedRaster | None
    """What it should be, where that is known."""
    pan_gain: float
    """PAN's gain: its pedestal goes when it is read."""
    coarse: Scale
    """The MS bands' scale."""
    record: ProductRecord | None
    """The product's own record, where it has one."""
    notes: tuple[str, ...]
    """What was noticed."""

    @property
    def names(self) -> tuple[str, ...]:
        """The bands' names."""
        return tuple(self.plan.options.names)

    @property
    def calibration(self) -> CalibrationReport | None:
        """The report of the calibration that found the observation; None where there was none."""
        recorded = self.record.get("calibration") if self.record else None
        return recorded or self.plan.calibration

    @property
    def known(self) -> bool:
        """Whether values are reflectance."""
        return _known(self.plan)

    @property
    def axes(self) -> Axes:
        """How the grids relate."""
        return self.plan.pair.axis_y, self.plan.pair.axis_x

    @property
    def ratio(self) -> float:
        """Fine pixels per coarse pixel."""
        return float(self.plan.options.ratio)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the assessed area."""
        return self.plan.grid.height, self.plan.grid.width


@dataclass(frozen=True, slots=True)
class Region:
    """What is read for one tile: its core with a halo that ends at the area's border."""

    window: Window
    """In pixels of the area."""
    core: tuple[slice, slice]
    """Where the core lies in it."""
    fused: NDArray[Any]
    """(B, H, W)."""
    pan: NDArray[Any]
    """(1, H, W), with more around it: see `pan_part`."""
    pan_valid: NDArray[np.bool_]
    """Where PAN is valid, of the same size."""
    pan_part: tuple[slice, slice]
    """Where the window lies in `pan`."""
    pan_origin: tuple[int, int]
    """Area coordinates of pan[0, 0, 0]."""
    upsampled: NDArray[Any]
    """U (B, H, W)."""
    valid: NDArray[np.bool_]
    """Valid in the product, PAN and the coarse pixel underneath (H, W)."""


def open_subject(
    path: Path,
    scene: Scene,
    *,
    bands: Sequence[str] | None = None,
    nodata: float | None = None,
    reference: Path | None = None,
) -> Subject:
    """Match a product, and perhaps a reference, to the scene by their grids. Reads headers only.

    Raises GeorefError where a grid is not PAN's, pixel by pixel, or lies beyond it, and BandError where it cannot
    be told which bands the product holds.
    """
    facts = inspect(str(path))
    record = read_record(json_path(path))
    names = _names(facts, record, scene, bands)
    row, col = _place(facts.grid, guide_of(scene).grid, path=str(path), other="the PAN")
    window = (row, col, facts.grid.height, facts.grid.width)
    request = make_request(method="exp", bands=names, nodata=nodata, window=window, workers=1)
    plan = make_plan(scene, request) if _has_observation(record) else calibrated_plan(scene, request)
    chosen = [plan.pair.target.bands[index] for index in plan.pair.bands]
    observation = observation_of(plan, record)
    known = _known(plan)
    coarse = _scale([(pedestal_of(band), band.gain or 1.0) if known else (0.0, 1.0) for band in chosen])
    fused = _image(facts, (plan.pair.origin[0] - row, plan.pair.origin[1] - col), coarse, known=known)
    beside = None if reference is None else _reference(reference, plan, fused.scale)
    plan, pan_gain, notes = _pan_like_ms(plan, coarse)
    if known and not record and fused.scale is coarse:
        notes.append(f"{path.name} does not state its scale: taken for DN of the scene")
    return Subject(
        plan=replace(plan, reach=_reach(plan, observation)),
        observation=observation,
        fused=fused,
        reference=beside,
        pan_gain=pan_gain,
        coarse=coarse,
        record=record,
        notes=(*plan.notes, *notes),
    )


def _pan_like_ms(plan: Plan, coarse: Scale) -> tuple[Plan, float, list[str]]:
    """Return PAN's gain; where only the MS knows its own, PAN is given the MS bands' mean pedestal and gain.

    Without that the means of PAN and of a band, which D_s compares, would be in different units.
    """
    pan = plan.pair.guide_band
    if not _known(plan):
        return plan, 1.0, []
    if pan.gain and pan.offset is not None:
        return plan, pan.gain, []
    gain = float(coarse.gain.mean())
    pan = replace(pan, gain=gain, offset=-gain * float(coarse.pedestal.mean()))
    guide = replace(plan.pair.guide, bands=(pan,))
    pair = replace(plan.pair, guide=guide, guide_bands=(0,))
    return replace(plan, pairs=(pair,)), gain, ["PAN's scale is unknown: taken for the mean of the bands'"]


def observation_of(plan: Plan, record: ProductRecord | None) -> Observation:
    """Return what the product's record says it was made with, else the plan's own: estimated from the scene."""
    if record is None or not _has_observation(record):
        return plan.pair.observation
    return from_json(Observation, record["observation"])


def _has_observation(record: ProductRecord | None) -> bool:
    return record is not None and "observation" in record and "bands" in record.get("parameters", {})


def _known(plan: Plan) -> bool:
    """Whether every band's physical value is known."""
    bands = (plan.pair.target.bands[index] for index in plan.pair.bands)
    return all(band.gain and band.offset is not None for band in bands)


def _scale(pairs: Sequence[tuple[float, float]]) -> Scale:
    pedestal, gain = zip(*pairs, strict=True)
    return Scale(np.array(pedestal), np.array(gain))


def _bands_of(facts: RasterFacts) -> int:
    return len(facts.dtypes) - bool(facts.alpha)


def _names(
    facts: RasterFacts, record: ProductRecord | None, scene: Scene, bands: Sequence[str] | None
) -> list[str]:
    """Return the canonical names of a product's bands.

    As given, else by its record, by its descriptions, by the sensor's default. Raises BandError where it cannot
    be so many, or where what is given is not what the record says.
    """
    recorded = list(record["parameters"]["bands"]) if record and _has_observation(record) else None
    asked = list(bands) if bands else recorded or _described(facts, scene)
    names = [target_of(scene).bands[index].name for index in select_bands(scene, asked)]
    if recorded is not None and names != recorded:
        raise BandError(
            f"bands {', '.join(names)}",
            wanted=", ".join(recorded),
            do="its record says which bands it holds: leave --bands out",
            path=facts.path,
        )
    if _bands_of(facts) != len(names):
        raise BandError(
            f"{_bands_of(facts)} bands",
            wanted=f"{len(names)}: {', '.join(names)}",
            do="name its bands with --bands",
            path=facts.path,
        )
    return names


def _described(facts: RasterFacts, scene: Scene) -> list[str] | None:
    """Return a product's band descriptions where each names a band of the scene; else None."""
    texts = [text for at, text in enumerate(facts.descriptions, 1) if at != facts.alpha]
    described = [text for text in texts if text]
    if len(described) < len(texts):
        return None
    try:
        select_bands(scene, described)
    except BandError:
        return None
    return described


def _place(inner: Grid, outer: Grid, *, path: str, other: str) -> tuple[int, int]:
    """Return the outer pixel under the inner grid's first; GeorefError where they are not one grid."""
    do = "assess it against the scene it was made from, or resample it to that grid"
    if not (has_pixel_size(inner) and inner.crs):
        raise GeorefError("no georeference", wanted=f"the grid of {other}", path=path)
    if not same_crs(inner.crs, outer.crs):
        raise GeorefError("another coordinate reference system", wanted=f"that of {other}", do=do, path=path)
    a, b, c, d, e, f = composed(inner, outer)
    skew = max(abs(b), abs(d)) * max(inner.height, inner.width)
    stretch = max(abs(a - 1.0) * inner.width, abs(e - 1.0) * inner.height)
    if max(skew, stretch) > ALIGNED_PX:
        size = f"{math.hypot(inner.transform[0], inner.transform[3]):g}"
        raise GeorefError(
            f"a grid of {size} pixels, {a:.6g} x {e:.6g} of {other}'s",
            wanted=f"{other}'s pixel size and axes",
            do=do,
            path=path,
        )
    row, col = round(f), round(c)
    if max(abs(f - row), abs(c - col)) > ALIGNED_PX:
        raise GeorefError(
            f"a grid {f - row:+.3f} rows and {c - col:+.3f} columns beside {other}'s pixels",
            wanted="pixels that coincide",
            do=do,
            path=path,
        )
    if row < 0 or col < 0 or row + inner.height > outer.height or col + inner.width > outer.width:
        raise GeorefError(
            f"rows {row}..{row + inner.height - 1}, columns {col}..{col + inner.width - 1} of {other}",
            wanted=f"a part of its {outer.height} x {outer.width} pixels",
            do="assess it against the scene it was made from",
            path=path,
        )
    return row, col


def _image(facts: RasterFacts, origin: tuple[int, int], scale: Scale, *, known: bool) -> PlacedRaster:
    """Describe a raster of the fine grid; its own scale tags, where it has any, say what its values mean."""
    places = [at for at in range(len(facts.dtypes)) if at + 1 != facts.alpha]
    tags = [(facts.scales[at], facts.offsets[at]) for at in places]
    if known and any(tag != (1.0, 0.0) for tag in tags):
        scale = _scale([(-offset / gain, gain) for gain, offset in tags])
    return PlacedRaster(image_of(facts), tuple(range(len(places))), origin, scale)


def _reference(path: Path, plan: Plan, scale: Scale) -> PlacedRaster:
    facts = inspect(str(path))
    if _bands_of(facts) != len(plan.pair.bands):
        raise BandError(
            f"a reference of {_bands_of(facts)} bands",
            wanted=f"{len(plan.pair.bands)}: {', '.join(plan.options.names)}",
            path=str(path),
        )
    origin = _place(plan.grid, facts.grid, path=str(path), other="the reference")
    return _image(facts, origin, scale, known=_known(plan))


def halo_px(ratio: float, gain: float) -> int:
    """Return the halo that every sliding window of the metrics stays inside; ``gain``: the least of the bands' MTF."""
    windows = SSIM_HALO_PX, d_rho_window(ratio) // 2, SEAM_HALO_PX, edge_reach_px(ratio) + 1
    return max(*windows, support_reach_px(gain, ratio))


def _reach(plan: Plan, observation: Observation) -> tuple[int, int]:
    """PAN around a region for its antialiased low-pass and back; MS for the cubic, the fill and the shift."""
    slowest = min(plan.pair.axis_y.scale, plan.pair.axis_x.scale)
    stray = stray_cpx(observation, max(plan.pair.axis_y.scale, plan.pair.axis_x.scale))
    return math.ceil(5.0 / slowest) + 2, CUBIC_REACH_CPX + FILL_CPX + 2 * stray + 1


def scaled(values: NDArray[Any], valid: NDArray[np.bool_], scale: Scale) -> NDArray[Any]:
    """Turn stored values (B, H, W) into what is compared, in place; invalid ones stay 0."""
    for plane, pedestal, gain in zip(values, scale.pedestal, scale.gain, strict=True):
        if pedestal != 0.0:
            np.subtract(plane, plane.dtype.type(pedestal), out=plane, where=valid)
        if gain != 1.0:
            plane *= plane.dtype.type(gain)
    return values


def read_placed(placed: PlacedRaster, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read a window, in pixels of the area, mirrored beyond the file: values (B, H, W), valid (H, W)."""
    top, left = placed.origin
    row0, row1, col0, col1 = window
    values, valid = read_window(
        placed.image, placed.indices, (row0 + top, row1 + top, col0 + left, col1 + left)
    )
    return scaled(values, valid, placed.scale), valid


def read_coarse(subject: Subject, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Read the MS bands over a coarse window: values (B, h, w), valid (h, w)."""
    values, valid = read_window(subject.plan.pair.target, subject.plan.pair.bands, window)
    return scaled(values, valid, subject.coarse), valid


def read_region(subject: Subject, core: Window) -> Region:
    """Read a tile's core with its halo from product, PAN and MS, the latter brought to the fine grid."""
    halo, (height, width) = halo_px(subject.ratio, min(subject.observation.mtf_gain)), subject.shape
    row0, row1 = max(core[0] - halo, 0), min(core[1] + halo, height)
    col0, col1 = max(core[2] - halo, 0), min(core[3] + halo, width)
    window = (row0, row1, col0, col1)
    patch = read_patch(subject.plan, window, subject.coarse.pedestal)
    layers, origin = coarse_layers(patch, subject.observation, with_low=False)
    layers = layers * subject.coarse.gain[:, None, None].astype(layers.dtype)
    upsampled = upsample_bands(layers, origin, subject.axes, window, subject.observation)
    fused, valid = read_placed(subject.fused, window)
    top, left = patch.guides_origin
    return Region(
        window=window,
        core=(slice(core[0] - row0, core[1] - row0), slice(core[2] - col0, core[3] - col0)),
        fused=fused,
        pan=patch.guides * patch.guides.dtype.type(subject.pan_gain),
        pan_valid=patch.guides_valid,
        pan_part=(slice(row0 - top, row1 - top), slice(col0 - left, col1 - left)),
        pan_origin=patch.guides_origin,
        upsampled=upsampled,
        valid=valid & patch.valid,
    )


def valid_of(subject: Subject, core: Window) -> NDArray[np.bool_]:
    """Return where PAN and the coarse pixel underneath are valid, over a core (H, W)."""
    return read_patch(replace(subject.plan, reach=(0, 0)), core, subject.coarse.pedestal).valid


def read_pan_as_seen(subject: Subject, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return D(P) over a coarse window, (1, h, w), as all bands together see PAN, and where it is valid."""
    observation = subject.observation
    axes, gain = axes_at(subject.axes, observation.shift_px, observation.field), observation.joint_gain
    row0, row1, col0, col1 = degrade_reach(axes, gain, window)
    top, left = subject.plan.pair.origin
    pan, known = read_window(
        subject.plan.pair.guide,
        subject.plan.pair.guide_bands,
        (row0 + top, row1 + top, col0 + left, col1 + left),
    )
    return degrade(pan, known, (row0, col0), axes, window, gain=gain, minimum=WHOLE_SHARE)


def comparable(subject: Subject) -> Window:
    """Return the coarse pixels whose filter lies on the product: row0, row1, col0, col1; may hold none."""
    found: list[int] = []
    coarse = subject.plan.pair.target.grid
    for along, sizes in enumerate(((subject.shape[0], coarse.height), (subject.shape[1], coarse.width))):
        inside = np.ones(sizes[1], np.bool_)
        for gain, shift in _filters(subject.observation):
            taps = gaussian_taps(axes_at(subject.axes, shift)[:2][along], gain, 0, sizes[1])
            place = taps.first[:, None] + np.arange(taps.weights.shape[1])
            share = np.where((place >= 0) & (place < sizes[0]), taps.weights, 0.0).sum(axis=1)
            inside &= share >= WHOLE_SHARE
        at = np.flatnonzero(inside)
        found += [int(at[0]), int(at[-1]) + 1] if at.size else [0, 0]
    return found[0], found[1], found[2], found[3]


def _filters(observation: Observation) -> list[tuple[float, tuple[float, float]]]:
    return list(dict.fromkeys(zip(observation.mtf_gain, observation.shifts_px, strict=True)))


def degraded(subject: Subject, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return D(F) over a coarse window, (B, h, w), and where the whole of every band's filter is valid (h, w)."""
    observation = subject.observation
    reach = degrade_reach_bands(subject.axes, window, observation)
    fine, fine_valid = read_placed(subject.fused, reach)
    out = np.empty((len(fine), window[1] - window[0], window[3] - window[2]), fine.dtype)
    valid = np.ones(out.shape[1:], np.bool_)
    keys = list(zip(observation.mtf_gain, observation.shifts_px, strict=True))
    for (gain, shift), bands in bands_by(keys):
        axes = axes_at(subject.axes, shift, observation.field)
        out[bands], seen = degrade(
            fine[bands], fine_valid, (reach[0], reach[2]), axes, window, gain=gain, minimum=WHOLE_SHARE
        )
        valid &= seen
    return out, valid
