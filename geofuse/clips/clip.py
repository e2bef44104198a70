"""Cutting a piece out of a product on its own grid, without resampling; or onto another one, where asked.

Everything is decided in `plan_clip`, from headers: window, grid, type, bytes. `write_clip` then reads block by
block and writes whole or not at all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.config.errands import ClipOptions
from geofuse.errors import BandError, GeorefError, UsageError
from geofuse.geometry import Window
from geofuse.nouns import GeoJson
from geofuse.rasters.cog import CogSpec, checked_spec
from geofuse.rasters.image import Band, Grid, Image, Piece
from geofuse.rasters.opening.describing import image_of
from geofuse.rasters.pixels import inspect, read_raw, read_reduced, read_window
from geofuse.rasters.preview import choose_rgb
from geofuse.rasters.validity import good
from geofuse.scenes.aoi import window_of
from geofuse.scenes.projecting import crs_name, projector, rectangle, same_crs, to_map
from geofuse.version import __version__

BLOCK_PX = 512
SAMPLE_PX = 1024
LOW, HIGH = 2.0, 98.0
"""Percentiles of the product that a picture's stretch takes where none is given."""
MOST_GROWTH = 4.0
"""Of the number of pixels, when reprojected."""
TellPixels = Callable[[int, int], None]
"""Called with pixels done and pixels in all; may raise, which stops the clip."""


@dataclass(frozen=True, slots=True)
class Format:
    """A form a clip can have."""

    key: str
    """Its name."""
    label: str
    """For people."""
    extension: str
    """Of the file; several files come as one archive."""
    picture: bool = False
    """8 bits for the eye: one band or three, stretched."""
    bytes_per_value: float | None = None
    """Estimate for a stored value; None: as the product is compressed."""


FORMATS = {
    form.key: form
    for form in (
        Format("cog", "Cloud Optimized GeoTIFF", ".tif"),
        Format("gtiff", "GeoTIFF", ".tif"),
        Format("jpeg", "JPEG, 8 bit, with world file", ".zip", picture=True, bytes_per_value=0.35),
        Format("png", "PNG, 8 bit, with world file", ".zip", picture=True, bytes_per_value=0.85),
        Format("netcdf", "NetCDF (CF)", ".nc"),
        Format("zarr", "Zarr, zipped", ".zip"),
    )
}
"""By name."""


@dataclass(frozen=True, slots=True)
class Credit:
    """What a clip says of where it is from."""

    item: str
    """Id of the item, or the file's name."""
    title: str
    """In a line."""
    attribution: str
    """Credit line; empty if there is none."""
    license: str = ""
    """SPDX identifier, or "other"."""
    terms: str = ""
    """Address or words of the terms."""
    acquired: str = ""
    """ISO 8601."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be cut, and how; an area is one of bbox, aoi, geometry and window."""

    bbox: Sequence[float] | None = None
    """West, south, east, north in degrees."""
    aoi: str | None = None
    """Vector file of polygons."""
    geometry: GeoJson | None = None
    """GeoJSON of polygons."""
    window: Sequence[int] | None = None
    """Row, column, height, width on the product."""
    bands: tuple[str, ...] = ()
    """Names, in the order wanted; empty: all, or true colour for a picture."""
    form: str = "cog"
    """One of `FORMATS`."""
    crs: str | None = None
    """"EPSG:n"; None: the product's own grid, without resampling."""
    ranges: tuple[tuple[float, float], ...] | None = None
    """Of a picture: what becomes black and white; None: percentiles of the product."""
    gamma: float = ClipOptions().gamma
    """Of a picture: above 1 lifts the shadows."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A clip, decided."""

    image: Image
    """Reads pixels on the clip's grid, or on the product's where they are the same."""
    window: Window
    """What of the image's grid is cut: row0, row1, col0, col1."""
    native: Window
    """What of the product is cut."""
    spec: CogSpec
    """Grid, type, nodata, names, scales and tags of the clip."""
    form: Format
    """What is written."""
    ranges: tuple[tuple[float, float], ...]
    """Of a picture; empty for others."""
    gamma: float
    """Of a picture."""
    credit: Credit
    """Where it is from."""
    estimate_bytes: int
    """About how large it becomes."""

    @property
    def pixels(self) -> int:
        """Rows times columns."""
        return self.spec.height * self.spec.width


def plan_clip(path: Path, names: Sequence[str], wish: Wish, credit: Credit) -> Cut:
    """Decide a clip from the product's header; `names` are its bands'.

    Raises AreaError for an area outside or malformed, BandError, UsageError, GeorefError.
    """
    if wish.form not in FORMATS:
        raise UsageError(f"format {wish.form!r:.40}", wanted=", ".join(FORMATS))
    form, facts = FORMATS[wish.form], inspect(str(path))
    chosen = _chosen(names, wish, form)
    native, _ = window_of(
        facts.grid, bbox=wish.bbox, aoi=wish.aoi, window=wish.window, geometry=wish.geometry
    )
    native = native or (0, facts.grid.height, 0, facts.grid.width)
    bands = tuple(
        Band(
            name=names[at],
            pieces=(Piece(str(path), at + 1),),
            dtype=facts.dtypes[at],
            nodata=facts.nodata[at],
            tag_scale=facts.scales[at],
            tag_offset=facts.offsets[at],
            color=facts.colors[at],
        )
        for at in chosen
    )
    image = replace(image_of(facts, role="product", bands=bands), alpha=(), masks=())
    window, grid, nodata = native, window_grid(facts.grid, native), bands[0].nodata
    target = None if wish.crs is None else _known_crs(wish.crs)
    if target is not None and not same_crs(target, facts.grid.crs):
        grid = reprojected(grid, target)
        image = replace(image, grid=grid, warped=True)
        window = (0, grid.height, 0, grid.width)
        nodata = _some_nodata(bands) if nodata is None else nodata
    spec = _spec(bands, grid, nodata, facts.tags, credit)
    values = grid.height * grid.width * len(bands)
    share = form.bytes_per_value or _stored_share(path, facts.grid, len(names), bands[0].dtype) * 1.05
    ranges = _ranges(path, chosen, wish.ranges) if form.picture else ()
    estimate = int(values * share * (1.0 if form.picture else np.dtype(bands[0].dtype).itemsize)) + 8192
    return Cut(image, window, native, spec, form, ranges, wish.gamma, credit, estimate)


def _chosen(names: Sequence[str], wish: Wish, form: Format) -> tuple[int, ...]:
    known = {name.casefold(): at for at, name in enumerate(names)}
    for at in range(len(names)):
        known.setdefault(str(at + 1), at)
    for name in wish.bands:
        if name.casefold() not in known:
            raise BandError(f"no band {name!r:.40}", wanted=", ".join(names))
    chosen = tuple(known[name.casefold()] for name in wish.bands)
    if len(set(chosen)) < len(chosen):
        raise BandError("a band twice", wanted="each once")
    if form.picture:
        chosen = chosen or tuple(dict.fromkeys(at - 1 for at in choose_rgb(list(names))))
        if len(chosen) not in (1, 3):
            raise BandError(
                f"{len(chosen)} bands for a picture", wanted="one, or three for red, green and blue"
            )
    return chosen or tuple(range(len(names)))


def window_grid(grid: Grid, window: Window) -> Grid:
    """Return the grid of a window of a grid."""
    a, b, c, d, e, f = grid.transform
    row0, row1, col0, col1 = window
    corner = (a, b, c + a * col0 + b * row0, d, e, f + d * col0 + e * row0)
    return Grid(grid.crs, corner, row1 - row0, col1 - col0)


def _known_crs(text: str) -> str:
    """Return the WKT of a coordinate system; raises UsageError for what is none, or none for maps."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    if not re.fullmatch(r"EPSG:\d{4,6}", text, re.ASCII):
        raise UsageError(f"coordinate system {text!r:.40}", wanted="EPSG:n")
    try:
        found = CRS(text)
    except CRSError as fault:
        raise UsageError(f"coordinate system {text}", wanted="one that is known") from fault
    if not (found.is_projected or found.is_geographic) or len(found.axis_info) > 2:
        raise UsageError(f"coordinate system {text}", wanted="one on a map or in degrees")
    return str(found.to_wkt())


def reprojected(grid: Grid, wkt: str) -> Grid:
    """Return the grid in another coordinate system that holds this one, north up, with as many pixels an area.

    Its lines lie on whole multiples of its pixel. Raises GeorefError where the system does not reach.
    """
    outline = projector(grid.crs, wkt)(
        to_map(grid, rectangle((0.0, 0.0), (float(grid.width), float(grid.height))))
    )
    if not np.isfinite(outline).all():
        raise GeorefError(f"an area beyond the domain of {crs_name(wkt)}", wanted="a system for this place")
    x, y = outline.T
    area = 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))
    step = float(f"{math.sqrt(area / (grid.height * grid.width)):.9g}")
    west, north = math.floor(x.min() / step), math.ceil(y.max() / step)
    width, height = math.ceil(x.max() / step) - west, north - math.floor(y.min() / step)
    if not step > 0.0 or width * height > max(MOST_GROWTH * grid.height * grid.width, 4096.0):
        raise GeorefError(f"{width} x {height} pixels in {crs_name(wkt)}", wanted="a system for this place")
    return Grid(wkt, (step, 0.0, west * step, 0.0, -step, north * step), height, width)


def _some_nodata(bands: Sequence[Band]) -> float:
    kind = np.dtype(bands[0].dtype)
    return math.nan if kind.kind == "f" else 0.0 if kind.kind == "u" else float(np.iinfo(kind).min)


def _spec(
    bands: Sequence[Band], grid: Grid, nodata: float | None, tags: dict[str, str], credit: Credit
) -> CogSpec:
    if len({band.dtype for band in bands}) > 1:
        raise BandError("bands of several types", wanted="bands of one type")
    said = {
        "AREA_OR_POINT": "Area",
        "TIFFTAG_SOFTWARE": f"geofuse {__version__}",
        "TIFFTAG_IMAGEDESCRIPTION": f"clip of {credit.item}: {credit.title}",
        **({"TIFFTAG_DATETIME": tags["TIFFTAG_DATETIME"]} if "TIFFTAG_DATETIME" in tags else {}),
        **({"ACQUIRED": credit.acquired} if credit.acquired else {}),
        **({"LICENSE": credit.license} if credit.license else {}),
        **({"TERMS": credit.terms} if credit.terms else {}),
    }
    owed = credit.attribution or tags.get("TIFFTAG_COPYRIGHT", "")
    if owed:
        said["TIFFTAG_COPYRIGHT"] = owed
    return checked_spec(
        CogSpec(
            height=grid.height,
            width=grid.width,
            bands=len(bands),
            dtype=bands[0].dtype,
            nodata=nodata,
            crs=grid.crs,
            transform=grid.transform,
            descriptions=tuple(band.name for band in bands),
            colors=tuple(band.color for band in bands),
            scales=tuple(band.tag_scale for band in bands),
            offsets=tuple(band.tag_offset for band in bands),
            tags=said,
            compress="deflate",
        )
    )


def _stored_share(path: Path, grid: Grid, bands: int, dtype: str) -> float:
    """Return the product's bytes over those of its pixels plain: what its pixels compress to, overviews too."""
    plain = grid.height * grid.width * bands * np.dtype(dtype).itemsize
    return min(1.4, path.stat().st_size / plain)


def _ranges(
    path: Path, chosen: Sequence[int], given: tuple[tuple[float, float], ...] | None
) -> tuple[tuple[float, float], ...]:
    if given is not None:
        spans = given * len(chosen) if len(given) == 1 else given
        if len(spans) != len(chosen) or any(not (math.isfinite(a + b) and a < b) for a, b in spans):
            raise UsageError(
                "a range that cannot be", wanted="low under high, one for all or one for each band"
            )
        return spans
    values, valid = read_reduced(str(path), SAMPLE_PX)
    found = []
    for at in chosen:
        seen = values[at][valid]
        low, high = (float(v) for v in np.percentile(seen, [LOW, HIGH])) if seen.size else (0.0, 1.0)
        found.append((low, high if high > low else low + 1.0))
    return tuple(found)


def parsed_ranges(text: str) -> tuple[tuple[float, float], ...]:
    """Read "low,high" or several of them by semicolons; raises UsageError.

    >>> parsed_ranges("0,1;2,3.5")
    ((0.0, 1.0), (2.0, 3.5))
    """
    wanted = "low,high, or one for each band by semicolons; low under high"
    try:
        spans = [tuple(float(number) for number in span.split(",")) for span in text.split(";")]
    except ValueError as fault:
        raise UsageError("a range that is no numbers", wanted=wanted) from fault
    if not all(len(span) == 2 and np.isfinite(span).all() and span[0] < span[1] for span in spans):
        raise UsageError("a range that cannot be", wanted=wanted)
    return tuple((span[0], span[1]) for span in spans)


def blocks(
    cut: Cut, tell: TellPixels, side: int = BLOCK_PX
) -> Iterator[tuple[tuple[int, int], NDArray[Any]]]:
    """Yield the clip's pixels (bands, h, w) as they are to be stored, by blocks, with first row and column.

    The blocks are `side` long but at the end, by rows from the top.
    """
    done = 0
    tell(0, cut.pixels)
    for row in range(0, cut.spec.height, side):
        for col in range(0, cut.spec.width, side):
            rows = row, min(row + side, cut.spec.height)
            cols = col, min(col + side, cut.spec.width)
            pixels = _pixels(cut, rows, cols)
            yield (row, col), pixels
            done += pixels.shape[1] * pixels.shape[2]
            tell(done, cut.pixels)


def _pixels(cut: Cut, rows: tuple[int, int], cols: tuple[int, int]) -> NDArray[Any]:
    top, left = cut.window[0], cut.window[2]
    window = (top + rows[0], top + rows[1], left + cols[0], left + cols[1])
    every = tuple(range(len(cut.image.bands)))
    if not cut.image.warped:
        return np.stack([read_raw(cut.image, at, window) for at in every])
    values, valid = read_window(cut.image, every, window)
    return _stored(values, valid, cut.spec)


def _stored(values: NDArray[Any], valid: NDArray[np.bool_], spec: CogSpec) -> NDArray[Any]:
    """Return resampled values as they are stored: rounded, within the type, nodata where invalid and only there."""
    kind = np.dtype(spec.dtype)
    if kind.kind == "f":
        out = values.astype(kind)
    else:
        limits = np.iinfo(kind)
        out = np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max).astype(kind)
    if spec.nodata is None:
        return out
    if not math.isnan(spec.nodata):
        mark = kind.type(spec.nodata)
        beside = mark + kind.type(1) if kind.kind == "f" or mark < np.iinfo(kind).max else mark - kind.type(1)
        out[(out == mark) & valid] = beside
    out[:, ~valid] = kind.type(spec.nodata)
    return out


def stored_validity(cut: Cut, pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where stored pixels (bands, h, w) are valid in all bands."""
    found = np.ones(pixels.shape[1:], np.bool_)
    for plane in pixels:
        found &= good(plane, cut.spec.nodata)
    return found
