"""Pictures of an assessment: places to look at, before and after, and maps in a perceptually uniform colour ramp."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from geofuse.geometry import Bytes, Window
from geofuse.quality.assessment.maps import LocalMap
from geofuse.quality.assessment.subject import Subject, read_region
from geofuse.quality.assessment.values import Assessment
from geofuse.rasters.pixels import read_reduced
from geofuse.rasters.preview import choose_rgb, detail_window, jpeg_of, png_of, stretch

OVERVIEW_PX = 900
CROP_PX = 192
HERO_PX = (320, 590)
DETAIL_PX = 384
PLACES = 3
CLIPPED = (1.0, 99.0)
"""Percentiles at which a map's colours end."""
LIGHTNESS, CHROMA, HUE_DEG = (0.22, 0.94), (0.08, 0.13), (290.0, 95.0)
"""The ramp from its low end to its high one, in OKLCH: night blue, rose, straw."""

WORST_BY = ("ergas", "r_ergas")


@dataclass(frozen=True, slots=True)
class Detail:
    """A detail of the product, as three pictures of one size with one stretch."""

    title: str
    """Why it is shown."""
    window: Window
    """Where, in pixels of the product."""
    before: str
    """Upsampled MS: a data URI."""
    pan: str
    """PAN."""
    after: str
    """The product."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole product, small."""

    picture: str
    """A data URI."""
    size_px: tuple[int, int]
    """Height and width of the picture."""
    step: float
    """Fine pixels per pixel of it."""


@dataclass(frozen=True, slots=True)
class MapPicture:
    """A local metric as a picture with what its colours mean."""

    picture: str
    """A data URI, one pixel a cell."""
    size: tuple[int, int]
    """Rows and columns."""
    box: tuple[float, float, float, float]
    """Left, top, width, height of the picture, as shares of the product's size."""
    aspect: float
    """Width over height of the product."""
    low: float
    """Value of the darkest colour."""
    high: float
    """Value of the brightest colour."""
    worst: float
    """Largest value, which may lie beyond."""


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes as an image a page can hold."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def pictures_of(assessment: Assessment) -> tuple[Overview, Detail, list[Detail]]:
    """Make the pictures of a product: the whole of it, a wide detail, and the places worth a look.

    These are where the picture has most edges and colours, and where the local metric is worst.
    """
    subject = assessment.subject
    reduced, valid = read_reduced(subject.fused.image.bands[0].path, OVERVIEW_PX)
    height, width = subject.fused.image.grid.height, subject.fused.image.grid.width
    step = max(height / valid.shape[0], width / valid.shape[1])
    small = stretch(_rgb(reduced, subject), valid)
    gray = small[..., :3].mean(axis=2).astype(np.uint8)
    overview = Overview(data_uri(jpeg_of(small, quality=85), "jpeg"), (small.shape[0], small.shape[1]), step)
    found = _richest(gray, small, max(8, round(CROP_PX / step)))
    windows = [_around(centre, step, subject, (CROP_PX, CROP_PX)) for centre in found]
    titles = ["Edges and colours"] * len(windows)
    worst = worst_place(assessment)
    if worst is not None:
        windows.append(_clamped(*worst, subject, (CROP_PX, CROP_PX)))
        titles.append("Where it is worst")
    places = [_place(subject, window, title) for window, title in zip(windows, titles, strict=True)]
    wide = _richest(gray, small, max(8, round(HERO_PX[1] / step)))[0]
    hero = _place(subject, _around(wide, step, subject, HERO_PX), "Detail", photo=True)
    return overview, hero, places


def detail_png(assessment: Assessment) -> bytes:
    """Return a detail of the product beside the upsampled MS, with one stretch, as a PNG: before, then after."""
    subject = assessment.subject
    reduced, valid = read_reduced(subject.fused.image.bands[0].path, OVERVIEW_PX)
    height = subject.fused.image.grid.height
    step = max(1.0, height / valid.shape[0])
    small = stretch(_rgb(reduced, subject), valid)
    gray = small[..., :3].mean(axis=2).astype(np.uint8)
    centre = _richest(gray, small, max(8, round(DETAIL_PX / step)))[0]
    region = read_region(subject, _around(centre, step, subject, (DETAIL_PX, DETAIL_PX)))
    core = (slice(None), *region.core)
    valid = region.valid[region.core]
    both = np.concatenate([_rgb(region.upsampled[core], subject), _rgb(region.fused[core], subject)], axis=2)
    return png_of(stretch(both, np.concatenate([valid, valid], axis=1)))


def _rgb(planes: NDArray[np.floating], subject: Subject) -> NDArray[np.floating]:
    chosen = [band - 1 for band in choose_rgb(subject.names)]
    return planes[chosen]


def _richest(gray: Bytes, picture: Bytes, side: int) -> list[tuple[float, float]]:
    """Return the centres of the squares with most edges and colours, each beside the earlier ones."""
    left = picture.copy()
    found = []
    for _ in range(PLACES):
        row0, row1, col0, col1 = detail_window(gray, left, side)
        found.append((0.5 * (row0 + row1), 0.5 * (col0 + col1)))
        left[row0:row1, col0:col1, 3] = 0  # what is shown already counts as transparent
        if not (left[..., 3] == 255).any():
            break
    return found


def _around(centre: tuple[float, float], step: float, subject: Subject, size: tuple[int, int]) -> Window:
    top, left = subject.fused.origin
    return _clamped(centre[0] * step - top, centre[1] * step - left, subject, size)


def _clamped(row: float, col: float, subject: Subject, size: tuple[int, int]) -> Window:
    """Return the window of a size about a point, moved inside the product."""
    out: list[int] = []
    for at, whole, side in zip((row, col), subject.shape, size, strict=True):
        side = min(side, whole)
        first = min(max(round(at - 0.5 * side), 0), whole - side)
        out += [first, first + side]
    return out[0], out[1], out[2], out[3]


def worst_by(assessment: Assessment) -> str | None:
    """Name the map that says where it is worst: of ERGAS, else of the residual at the coarse scale."""
    usable = (name for name in WORST_BY if name in assessment.maps)
    return next((name for name in usable if np.isfinite(assessment.maps[name].values).any()), None)


def worst_place(assessment: Assessment) -> tuple[float, float] | None:
    """Return the fine pixel at the centre of the worst cell."""
    name = worst_by(assessment)
    if name is None:
        return None
    chosen = assessment.maps[name]
    row, col = np.unravel_index(int(np.nanargmax(chosen.values)), chosen.values.shape)
    return (
        chosen.origin_px[0] + (float(row) + 0.5) * chosen.cell_px[0],
        chosen.origin_px[1] + (float(col) + 0.5) * chosen.cell_px[1],
    )


def _place(subject: Subject, window: Window, title: str, *, photo: bool = False) -> Detail:
    region = read_region(subject, window)
    core = (slice(None), *region.core)
    valid = region.valid[region.core]
    before, after = _rgb(region.upsampled[core], subject), _rgb(region.fused[core], subject)
    alike = stretch(np.concatenate([before, after], axis=2), np.concatenate([valid, valid], axis=1))
    pan = stretch(region.pan[:, *region.pan_part][core], valid)
    width = valid.shape[1]
    pictures = [alike[:, :width], pan, alike[:, width:]]
    if photo:
        return Detail(title, window, *(data_uri(jpeg_of(picture), "jpeg") for picture in pictures))
    return Detail(title, window, *(data_uri(png_of(picture), "png") for picture in pictures))


def picture_of(local: LocalMap, shape: tuple[int, int]) -> MapPicture | None:
    """Paint a map of a product (H, W), bright where it is worse, transparent where nothing was measured.

    None where nothing was measured at all.
    """
    known = np.isfinite(local.values)
    if not known.any():
        return None
    low, high = (float(edge) for edge in np.percentile(local.values[known], CLIPPED))
    span = high - low or 1.0
    level = np.clip((np.where(known, local.values, low) - low) / span, 0.0, 1.0)
    picture = np.zeros((*local.values.shape, 4), np.uint8)
    picture[..., :3] = ramp()[np.round(255.0 * level).astype(np.int64)]
    picture[..., 3] = np.where(known, 255, 0)
    rows, cols = local.values.shape
    return MapPicture(
        picture=data_uri(png_of(picture), "png"),
        size=(rows, cols),
        box=(
            local.origin_px[1] / shape[1],
            local.origin_px[0] / shape[0],
            cols * local.cell_px[1] / shape[1],
            rows * local.cell_px[0] / shape[0],
        ),
        aspect=shape[1] / shape[0],
        low=low,
        high=high,
        worst=float(local.values[known].max()),
    )


@cache
def ramp() -> Bytes:
    """Return 256 colours (256, 3) whose lightness rises evenly: equal steps of a value look equally far apart.

    Lightness is linear in OKLab, hue and chroma follow it, chroma is cut to what a screen can show. Source:
    Ottosson 2020, "A perceptual color space for image processing".
    """
    at = np.linspace(0.0, 1.0, 256)
    lightness = LIGHTNESS[0] + at * (LIGHTNESS[1] - LIGHTNESS[0])
    chroma = CHROMA[0] + (CHROMA[1] - CHROMA[0]) * np.sin(np.pi * at)
    hue = np.radians(HUE_DEG[0] + at * ((HUE_DEG[1] - HUE_DEG[0]) % 360.0))
    for _ in range(64):
        colours = _from_oklab(lightness, chroma * np.cos(hue), chroma * np.sin(hue))
        outside = ((colours < 0.0) | (colours > 1.0)).any(axis=1)
        if not outside.any():
            break
        chroma = np.where(outside, 0.96 * chroma, chroma)
    linear = np.clip(colours, 0.0, 1.0)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1.0 / 2.4) - 0.055)
    return np.asarray(np.round(255.0 * coded), dtype=np.uint8)


def _from_oklab(
    lightness: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Turn OKLab into linear sRGB (n, 3)."""
    cones = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    mix = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    return np.asarray((mix @ cones**3).T, dtype=np.float64)


def gradient_stops(count: int = 9) -> Sequence[str]:
    """Return the ramp's colours at even places, as CSS writes them."""
    chosen = ramp()[np.linspace(0, 255, count).round().astype(int)]
    return ["#" + "".join(f"{int(part):02x}" for part in colour) for colour in chosen]
