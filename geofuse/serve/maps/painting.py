"""One tile: the pixels under it from the right overview, bilinear between them, stretched, encoded.

WebMercatorQuad only: x to the east, y to the south, 2^z tiles along each.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from geofuse.errors import MissingError
from geofuse.kernels.picture import paint
from geofuse.rasters.validity import mapped
from geofuse.serve.maps.rasters import Raster, read_scaled, scaled_shape
from geofuse.serve.maps.rendering import Rendering, curve_of

HALF_M = 20037508.342789244
"""Half the side of the Web Mercator square, in its metres."""
MERCATOR = "EPSG:3857"
DEEPEST = 24
FORMATS = {"png": "image/png", "webp": "image/webp", "jpg": "image/jpeg"}
MARGIN_PX = 2
MOST_PX = 4096
"""Along a side of what is read for one tile; a tile that would need more is of no use to anybody."""
_here = threading.local()


@dataclass(frozen=True, slots=True)
class TilePlace:
    """A tile's address and size."""

    z: int
    """Level, 0 to 24."""
    x: int
    """From the west."""
    y: int
    """From the north."""
    size: int = 256
    """Pixels along a side."""


def checked_place(place: TilePlace) -> TilePlace:
    """Return the place if there is such a tile; raises MissingError."""
    if not 0 <= place.z <= DEEPEST or not (0 <= place.x < 2**place.z and 0 <= place.y < 2**place.z):
        raise MissingError(f"no tile {place.z}/{place.x}/{place.y}", wanted=f"levels 0 to {DEEPEST}")
    return place


def tile(raster: Raster, look: Rendering, place: TilePlace, *, scale: int, form: str) -> bytes:
    """Return a tile's bytes; where the raster is not, or has no data, it is transparent.

    `scale` bounds the detail: no pixel of the raster is seen but as the mean of `scale` x `scale`.
    """
    pixels = painted(raster, look, place, scale=scale)
    return empty(place.size, form) if pixels is None else encode(pixels, form)


def painted(raster: Raster, look: Rendering, place: TilePlace, *, scale: int) -> NDArray[np.uint8] | None:
    """Return a tile's pixels (size, size, 4); None where nothing of the raster lies in it."""
    step = 4 if place.z < 6 else 16
    rows, cols = _places(raster, place, step)
    factor = max(_factor(rows, cols, step, max(raster.shape)), scale)
    rows, cols = (rows + 0.5) / factor - 0.5, (cols + 0.5) / factor - 0.5
    shape = scaled_shape(raster, factor)
    spans = (_span(rows, shape[0]), _span(cols, shape[1]))
    if any(start >= stop for start, stop in spans) or any(stop - start > MOST_PX for start, stop in spans):
        return None
    (row0, row1), (col0, col1) = spans
    order = tuple(dict.fromkeys(look.bands))
    values, valid = read_scaled(raster, order, (row0, row1, col0, col1), factor)
    if not valid.any():
        return None
    planes = values if order == look.bands else values[[order.index(band) for band in look.bands]]
    out = np.empty((place.size, place.size, 4), np.uint8)
    low = np.array([span[0] for span in look.ranges])
    gain = 1.0 / (np.array([span[1] for span in look.ranges]) - low)
    knots = np.stack([rows - row0, cols - col0])
    paint(np.ascontiguousarray(planes), valid, knots, step, low, gain, curve_of(look.gamma), out)
    return out


def _places(raster: Raster, place: TilePlace, step: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows and columns on the raster, centres whole numbers, under every `step`-th pixel of a tile."""
    side = 2.0 * HALF_M / 2**place.z
    at = (np.arange(0, place.size + 1, step) + 0.5) / place.size * side
    y, x = np.meshgrid(HALF_M - place.y * side - at, place.x * side - HALF_M + at, indexing="ij")
    east, north = _mover(raster.facts.grid.crs)(x.ravel(), y.ravel())
    col, row = mapped(_inverse(raster.facts.grid.transform), east, north)
    return row.reshape(x.shape) - 0.5, col.reshape(x.shape) - 0.5


def _mover(crs: str) -> Any:
    """Return this thread's way from Web Mercator to a coordinate system; infinities become NaN."""
    from pyproj import CRS, Transformer

    known: dict[str, Callable[..., tuple[Any, Any]]] = getattr(_here, "movers", None) or {}
    _here.movers = known
    if crs not in known:
        if len(known) > 64:
            known.clear()
        transform = Transformer.from_crs(CRS(MERCATOR), CRS(crs), always_xy=True).transform

        def move(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Any, Any]:
            with np.errstate(invalid="ignore"):
                east, north = transform(x, y)
            bad = ~(np.isfinite(east) & np.isfinite(north))
            if bad.any():
                east[bad] = north[bad] = np.nan
            return east, north

        known[crs] = move
    return known[crs]


def _inverse(transform: tuple[float, ...]) -> tuple[float, ...]:
    a, b, c, d, e, f = transform
    det = a * e - b * d
    return e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det


def _factor(rows: NDArray[np.float64], cols: NDArray[np.float64], step: int, longest: int) -> int:
    """Return the power of two of raster pixels that come to lie in one tile pixel, or a little fewer."""
    with np.errstate(invalid="ignore"):
        straight = np.diff(rows, axis=0)[:, :-1] * np.diff(cols, axis=1)[:-1]
        turned = np.diff(cols, axis=0)[:, :-1] * np.diff(rows, axis=1)[:-1]
        areas = np.abs(straight - turned) / step**2
    known = areas[np.isfinite(areas)]
    if not known.size:
        return 1
    ratio = math.sqrt(max(float(np.median(known)), 1.0))
    return int(2 ** min(math.floor(math.log2(ratio) + 1e-6), max(longest.bit_length() - 1, 0)))


def _span(places: NDArray[np.float64], size: int) -> tuple[int, int]:
    """Return the pixels in [0, size) that lie under places, with a margin."""
    known = places[np.isfinite(places)]
    if not known.size:
        return 0, 0
    low, high = float(known.min()), float(known.max())
    if high < -1.0 or low > size:
        return 0, 0
    return max(0, math.floor(low) - MARGIN_PX), min(size, math.ceil(high) + MARGIN_PX + 1)


def encode(pixels: NDArray[np.uint8], form: str) -> bytes:
    """Encode pixels (H, W, 4); without alpha where all are there, white behind them in JPEG."""
    whole = bool((pixels[:, :, 3] == 255).all())
    if form == "jpg":
        solid = np.where(pixels[:, :, 3:] > 0, pixels[:, :, :3], np.uint8(255))
        return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(solid), level=88))
    shown = np.ascontiguousarray(pixels[:, :, :3]) if whole else pixels
    if form == "webp":
        return bytes(imagecodecs.webp_encode(shown, level=82))
    return bytes(imagecodecs.png_encode(shown, level=1))


_EMPTY: dict[tuple[int, str], bytes] = {}


def empty(size: int, form: str) -> bytes:
    """Return a tile in which there is nothing."""
    if (size, form) not in _EMPTY:
        _EMPTY[size, form] = encode(np.zeros((size, size, 4), np.uint8), form)
    return _EMPTY[size, form]


def picture(raster: Raster, look: Rendering, factor: int) -> NDArray[np.uint8]:
    """Return a raster made smaller by `factor` on its own grid: (h, w, 4)."""
    height, width = scaled_shape(raster, factor)
    order = tuple(dict.fromkeys(look.bands))
    values, valid = read_scaled(raster, order, (0, height, 0, width), factor)
    return shaded(values[[order.index(band) for band in look.bands]], valid, look)


def shaded(planes: NDArray[Any], valid: NDArray[np.bool_], look: Rendering) -> NDArray[np.uint8]:
    """Stretch planes (3, h, w) to (h, w, 4), as tiles are."""
    low = np.array([span[0] for span in look.ranges])[:, None, None]
    high = np.array([span[1] for span in look.ranges])[:, None, None]
    curve = curve_of(look.gamma)
    level = np.clip((planes - low) / (high - low), 0.0, 1.0)
    out = np.zeros((*valid.shape, 4), np.uint8)
    out[:, :, :3] = np.moveaxis(curve[(level * (len(curve) - 1) + 0.5).astype(np.int64)], 0, 2)
    out[:, :, 3] = 255
    out[~valid] = 0
    return out
