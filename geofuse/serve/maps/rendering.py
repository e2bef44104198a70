"""How an item is shown: which image, which bands, which stretch; and what its numbers are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from geofuse.clips.clip import parsed_ranges
from geofuse.errors import BandError, MissingError, UsageError
from geofuse.geometry import Window
from geofuse.rasters.preview import choose_rgb
from geofuse.scenes.projecting import projector, rectangle, to_pixels
from geofuse.scenes.quality import CLOUD, SHADOW
from geofuse.serve.answers import PresetAnswer
from geofuse.serve.maps.rasters import Raster, read_scaled, scaled_shape
from geofuse.serve.stac.archive import IndexRow

SAMPLE_PX = 1024
"""Statistics are of the image made small enough for this."""
BINS = 128
CLEAR_SHARE = 0.01
"""Of the valid pixels: with fewer that are clear, the clouds are what there is to see."""
LOW, HIGH = 2.0, 98.0
"""Percentiles of the default stretch."""
CURVE = 4096
"""Steps of a stretch before it becomes 8 bits."""


@dataclass(frozen=True, slots=True)
class BandStats:
    """What a band's valid pixels are like, seen on the image made small."""

    least: float
    """Smallest."""
    most: float
    """Largest."""
    low: float
    """2nd percentile."""
    high: float
    """98th percentile."""
    mean: float
    """Mean."""
    counts: tuple[int, ...]
    """Histogram, at most `BINS` bins from `edges[0]` to `edges[1]`."""
    edges: tuple[float, float]
    """Least and most of the histogram."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """How an image is shown."""

    bands: tuple[int, int, int]
    """Of red, green and blue, counted from 0."""
    ranges: tuple[tuple[float, float], ...]
    """What becomes black and white, of each."""
    gamma: float = 1.0
    """Above 1 lifts the shadows."""


@dataclass(frozen=True, slots=True)
class ViewStretch:
    """How black and white are found in what is looked at."""

    low: float = LOW
    """Percentile that becomes black."""
    high: float = HIGH
    """Percentile that becomes white."""
    scale: int = 1
    """No pixel is seen but as the mean of `scale` x `scale`."""


def stats_of(raster: Raster, mask: Raster | None = None) -> tuple[BandStats, ...]:
    """Return what each band of a raster is like; measured once for each state of the files.

    Clouds and their shadows, as the `mask` beside it has them, count for the least and the most alone: a stretch
    over clouds would leave the land nearly black.
    """
    return _measured(raster, mask)


@lru_cache(maxsize=1024)
def _measured(raster: Raster, mask: Raster | None) -> tuple[BandStats, ...]:
    factor = 1
    while max(raster.shape) > SAMPLE_PX * factor:
        factor *= 2
    height, width = scaled_shape(raster, factor)
    every = tuple(range(len(raster.facts.dtypes)))
    window = (0, height, 0, width)
    clear = None if mask is None else clear_of(mask, window, factor)
    found = []
    for band in every:
        values, valid = read_scaled(raster, (band,), window, factor)
        seen, whole = values[0][valid], np.dtype(raster.facts.dtypes[band]).kind in "iu"
        stats = _stats(seen, whole)
        if clear is not None and clear.shape == valid.shape:
            cloudless = values[0][valid & clear]
            if cloudless.size >= max(1.0, CLEAR_SHARE * seen.size):
                stats = replace(_stats(cloudless, whole), least=stats.least, most=stats.most)
        found.append(stats)
    return tuple(found)


def clear_of(mask: Raster, window: Window, factor: int) -> NDArray[np.bool_]:
    """Return where a mask has neither cloud nor shadow, (rows, cols), as `read_scaled` counts them."""
    flags, _ = read_scaled(mask, (0,), window, factor, flags=True)
    clear: NDArray[np.bool_] = (flags[0].astype(np.uint8) & (CLOUD | SHADOW)) == 0
    return clear


def ranges_in(
    raster: Raster, mask: Raster | None, bands: tuple[int, ...], box: Sequence[float], look: ViewStretch
) -> list[tuple[float, float]]:
    """Return black and white of bands by what lies in a box, west, south, east, north in degrees, without clouds.

    Raises MissingError where the box holds no pixel of the raster.
    """
    west, south, east, north = box
    east += 360.0 if east < west else 0.0
    outline = projector("OGC:CRS84", raster.facts.grid.crs)(rectangle((west, south), (east, north)))
    places = to_pixels(raster.facts.grid, outline)
    if not np.isfinite(places).all():
        raise MissingError("a box beyond the domain of the item's projection", wanted="one on the item")
    height, width = raster.shape
    (col0, row0), (col1, row1) = places.min(axis=0), places.max(axis=0)
    side = max(min(row1, height) - max(row0, 0), min(col1, width) - max(col0, 0))
    factor = look.scale
    while side > SAMPLE_PX * factor:
        factor *= 2
    rows, cols = scaled_shape(raster, factor)
    window = (
        *(max(0, int(row0 // factor)), min(rows, int(row1 // factor) + 1)),
        *(max(0, int(col0 // factor)), min(cols, int(col1 // factor) + 1)),
    )
    if window[0] >= window[1] or window[2] >= window[3]:
        raise MissingError("nothing of the item in that box")
    values, valid = read_scaled(raster, bands, window, factor)
    clear = clear_of(mask, window, factor) if mask is not None and mask.shape == raster.shape else valid
    seen = valid & clear if (valid & clear).sum() >= CLEAR_SHARE * valid.sum() else valid
    if not seen.any():
        raise MissingError("no valid pixel of the item in that box")
    found = np.percentile(values[:, seen], [look.low, look.high], axis=1).T
    return [(float(low), float(high) if high > low else float(low) + 1.0) for low, high in found]


def _stats(values: NDArray[np.float32], whole: bool) -> BandStats:
    if not values.size:
        return BandStats(0.0, 0.0, 0.0, 1.0, 0.0, (0,) * BINS, (0.0, 1.0))
    low, high, first, last = (float(v) for v in np.percentile(values, [LOW, HIGH, 0.1, 99.9]))
    if first >= last:
        first, last = float(values.min()), float(values.max()) + 1.0
    bins = BINS
    if (
        whole
    ):  # as many whole numbers in each bin: else every other bin of 8 bits has twice what its neighbour has
        first, last = np.floor(first), np.floor(last)
        step = -(-(last - first + 1.0) // BINS)
        bins = int(-(-(last - first + 1.0) // step))
        first, last = float(first - 0.5), float(first - 0.5 + bins * step)
    counts, _ = np.histogram(values, bins, (first, last))
    return BandStats(
        least=float(values.min()),
        most=float(values.max()),
        low=low,
        high=high if high > low else low + 1.0,
        mean=float(values.mean(dtype=np.float64)),
        counts=tuple(int(count) for count in counts),
        edges=(first, last),
    )


def band_names(row: IndexRow) -> list[str]:
    """Return the names of an item's bands, in their order."""
    return [str(band["name"]) for band in row.assets["data"]["bands"]]


def look_of(
    row: IndexRow,
    raster: Raster,
    *,
    mask: Raster | None = None,
    bands: str | None = None,
    ranges: str | None = None,
    gamma: float = 1.0,
) -> Rendering:
    """Read a look from what an address says; by default true colour between the percentiles of what is clear.

    `bands` are one name (grey) or three, `ranges` "low,high" for all or one of each, by semicolons. Raises
    BandError, UsageError.
    """
    names = band_names(row)
    chosen = tuple(at - 1 for at in choose_rgb(names)) if bands is None else chosen_bands(bands, names)
    if not 0.1 <= gamma <= 10.0:
        raise UsageError(f"gamma {gamma:g}", wanted="0.1 to 10")
    if ranges is not None:
        spans = _ranges(ranges)
    else:
        stats = stats_of(raster, mask)
        spans = tuple((stats[at].low, stats[at].high) for at in chosen)
    red, green, blue = chosen
    return Rendering((red, green, blue), spans, gamma)


def chosen_bands(text: str, names: list[str]) -> tuple[int, ...]:
    """Read one band (three times) or three, counted from 0; raises BandError."""
    asked = [name.strip() for name in text.split(",")]
    known = {name.casefold(): at for at, name in enumerate(names)} | {
        str(at + 1): at for at in range(len(names)) if str(at + 1) not in names
    }
    for name in asked:
        if name.casefold() not in known:
            raise BandError(f"no band {name[:40]!r}", wanted=", ".join(names))
    if len(asked) not in (1, 3):
        raise BandError(f"{len(asked)} bands", wanted="one, or three for red, green and blue")
    return tuple(known[name.casefold()] for name in (asked * 3)[:3])


def _ranges(text: str) -> tuple[tuple[float, float], ...]:
    spans = parsed_ranges(text)
    if len(spans) not in (1, 3):
        raise UsageError(f"{len(spans)} ranges", wanted="one, or three for red, green and blue")
    return (spans * 3)[:3]


@lru_cache(maxsize=64)
def curve_of(gamma: float) -> NDArray[np.uint8]:
    """Return the table that takes a level, 0 to 1 in `CURVE` steps, to 8 bits."""
    level = np.linspace(0.0, 1.0, CURVE)
    return np.round(255.0 * level ** (1.0 / gamma)).astype(np.uint8)


def presets_of(names: list[str]) -> list[PresetAnswer]:
    """Return the band combinations that analysts have names for, as far as the bands are there."""
    kinds = (
        ("true", "True colour", ("red", "green", "blue")),
        ("cir", "Colour infrared", ("nir", "red", "green")),
        ("urban", "Urban (SWIR)", ("swir2", "swir1", "red")),
        ("agriculture", "Agriculture", ("swir1", "nir", "blue")),
    )
    found: list[PresetAnswer] = [
        {"id": key, "label": label, "bands": list(bands)}
        for key, label, bands in kinds
        if set(bands) <= set(names)
    ]
    if not any(preset["id"] == "true" for preset in found):
        chosen = [names[at - 1] for at in choose_rgb(names)]
        label = "Grey" if len(set(chosen)) == 1 else "First bands"
        found.insert(
            0, {"id": "true", "label": label, "bands": chosen if len(set(chosen)) > 1 else chosen[:1]}
        )
    return found
