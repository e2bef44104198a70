"""CogSpec: everything beside the pixels that determines a product's bytes, and what follows from it alone."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypedDict, get_args

import numpy as np

from geofuse.config.sections import Compress, EncodeOptions, Interleave, Predictor, Validity
from geofuse.errors import UsageError
from geofuse.geometry import Transform
from geofuse.nouns import Json, from_json, to_json
from geofuse.rasters.image import FLOAT_DTYPES, WHOLE_DTYPES

BLOCK_PX = 512
"""Height and width of a block, in pixels of its own level."""
PIXEL_INTERLEAVE_BYTES = 32
"""Up to this many bytes a pixel the bands lie pixel by pixel, above it plane by plane.

Pixel interleave shows all bands with one request a block and is what older COG writers know. The bands of a fused
image share PAN's detail: measured at zstd 9 on 4 x uint16 it is 13 to 22 % smaller at 0.5 m and 2.5 % on Landsat 8,
1 % at 8 bands and no smaller at 10, for 1.2 to 2 times the CPU to encode; one band alone costs as many times more
to read as there are bands.
"""
USUAL = EncodeOptions()
"""The defaults, as every door has them."""
FORMAT = 2
"""Goes up when the same pixels and spec give other bytes: parts of another number are not used."""
LEVELS = {"zstd": (4, 22), "deflate": (6, 12)}
"""Default and highest level of the codecs that have one, on GDAL's scale; the lowest is 1. See `cog.zstd`."""
COMPRESSIONS = get_args(Compress)
PREDICTED = ("zstd", "deflate", "lzw")
"""Codecs whose blocks may go through a predictor."""
OVERVIEWS = ("average", "or", "nearest")
ALPHA_DTYPES = ("uint8", "uint16")
"""Types in which readers know an alpha band's largest value for opaque."""


@dataclass(frozen=True, slots=True)
class CogSpec:
    """Everything that determines the file's bytes beside the pixels; pass it through `checked_spec`."""

    height: int
    """Rows."""
    width: int
    """Columns."""
    bands: int
    """Bands."""
    dtype: str
    """numpy name: uint8, int16, uint16, int32, uint32, float32 or float64."""
    nodata: float | None = None
    """Marks invalid samples; may be NaN for floats; None if all are valid, or validity is not "nodata"."""
    validity: str = USUAL.validity
    """What marks invalid pixels: "nodata", "alpha" (one more band) or "mask" (one bit a pixel, for all bands)."""
    crs: str = ""
    """WKT; empty if unknown."""
    transform: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    """Affine a ... f as in `Grid`; the identity means not georeferenced."""
    descriptions: tuple[str, ...] = ()
    """Name of each band; empty: none."""
    colors: tuple[str, ...] = ()
    """GDAL colour interpretation of each band; what the GDAL at hand does not know becomes undefined."""
    scales: tuple[float, ...] = ()
    """Scale tag of each band; empty: 1."""
    offsets: tuple[float, ...] = ()
    """Offset tag of each band; empty: 0."""
    tags: dict[str, str] = field(default_factory=dict)
    """Dataset tags, such as TIFFTAG_SOFTWARE."""
    rpcs: dict[str, str] | None = None
    """Rational polynomial coefficients, GDAL's RPC metadata items."""
    compress: str = USUAL.compress
    """zstd, deflate, lzw, none or lerc."""
    level: int | None = None
    """Effort of zstd (1 ... 22) or deflate (1 ... 12), on GDAL's scale; None: 4 and 6; others have none."""
    predictor: str = USUAL.predictor
    """"none", "2" (differences), "3" (of floats' bytes), or "auto": 3 for floats, 2 for whole numbers."""
    max_error: float = USUAL.max_error
    """Largest error LERC may make; 0: lossless."""
    sparse: bool = USUAL.sparse
    """Leave blocks that are all nodata out of the file; many readers beside GDAL cannot read that."""
    bigtiff: str = "auto"
    """"auto": BigTIFF where the file would reach 4 GiB; "yes": always."""
    overview: str = "average"
    """How overviews are made: "average"; "or" joins bit flags; "nearest"."""
    interleave: str = USUAL.interleave
    """"pixel", "band", or "auto": see PIXEL_INTERLEAVE_BYTES."""


def make_spec(**fields: Any) -> CogSpec:
    """Make a checked spec from CogSpec's fields; raises UsageError as `checked_spec` does."""
    return checked_spec(CogSpec(**fields))


def checked_spec(spec: CogSpec) -> CogSpec:
    """Return the spec with all defaults written out.

    Raises UsageError where it asks for what a file cannot hold or the writer cannot do.
    """
    _check_shape(spec)
    _check_codec(spec)
    _check_choices(spec)
    return replace(
        spec,
        nodata=_checked_nodata(spec),
        level=_checked_level(spec),
        descriptions=_per_band(spec, "descriptions", ""),
        colors=_per_band(spec, "colors", "gray" if spec.bands == 1 else "undefined"),
        scales=_per_band(spec, "scales", 1.0),
        offsets=_per_band(spec, "offsets", 0.0),
    )


def spec_to_json(spec: CogSpec) -> dict[str, Json]:
    """Turn a spec into JSON values; a nodata that JSON has no number for becomes its name."""
    named = spec.nodata is not None and not math.isfinite(spec.nodata)
    plain = {field.name: to_json(getattr(spec, field.name)) for field in fields(spec)}
    return {**plain, "nodata": str(spec.nodata) if named else spec.nodata}


def spec_from_json(value: Mapping[str, object]) -> CogSpec:
    """Rebuild a spec from `spec_to_json`'s values, also after a trip through JSON text."""
    nodata = value["nodata"]
    return from_json(CogSpec, {**value, "nodata": float(nodata) if isinstance(nodata, str) else nodata})


class Encoding(TypedDict):
    """How a product is encoded: fields of a CogSpec that place and pixels do not change."""

    compress: str
    level: int | None
    max_error: float
    predictor: int
    interleave: str
    validity: str
    sparse: bool
    bigtiff: str


def encoding_of(spec: CogSpec) -> Encoding:
    """Return how a product is encoded, as plans and records tell it: what "auto" came to, and no placement.

    >>> encoding_of(make_spec(height=9, width=9, bands=40, dtype="uint8"))["interleave"]
    'band'
    """
    return {
        "compress": spec.compress,
        "level": spec.level,
        "max_error": spec.max_error,
        "predictor": predictor_of(spec),
        "interleave": "pixel" if planes(spec) == 1 else "band",
        "validity": spec.validity,
        "sparse": spec.sparse,
        "bigtiff": spec.bigtiff,
    }


def block_key(spec: CogSpec) -> str:
    """Return a digest of all that determines the bytes of the blocks: parts of another key do not fit."""
    names = (
        *("height", "width", "bands", "dtype", "nodata", "validity", "compress", "level", "predictor"),
        *("max_error", "sparse", "overview", "interleave"),
    )
    value = spec_to_json(spec)
    text = json.dumps([FORMAT, *(value[name] for name in names)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def levels(spec: CogSpec) -> tuple[tuple[int, int], ...]:
    """Return (height, width) of the full image and its overviews: halved, rounded up, until both are <= 512.

    >>> levels(CogSpec(height=513, width=1025, bands=1, dtype="uint8"))
    ((513, 1025), (257, 513), (129, 257))
    """
    sizes = [(spec.height, spec.width)]
    while max(sizes[-1]) > BLOCK_PX:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return tuple(sizes)


def blocks_of(size: tuple[int, int]) -> tuple[int, int]:
    """Return how many rows and columns of blocks an image of `size` (h, w) has."""
    return -(-size[0] // BLOCK_PX), -(-size[1] // BLOCK_PX)


def samples(spec: CogSpec) -> int:
    """Return how many samples a pixel has in the file: its bands, and alpha."""
    return spec.bands + (spec.validity == "alpha")


def planes(spec: CogSpec) -> int:
    """Return how many planes the samples lie in: 1 in pixel interleave, else one each.

    LERC's validity mask has no bands, so floats, whose NaN it must carry, lie in planes.
    """
    if samples(spec) == 1 or spec.interleave == "pixel":
        return 1
    if spec.interleave == "band" or (spec.compress == "lerc" and spec.dtype in FLOAT_DTYPES):
        return samples(spec)
    return 1 if pixel_bytes(spec) <= PIXEL_INTERLEAVE_BYTES else samples(spec)


def abreast(spec: CogSpec) -> int:
    """Return how many frames lie side by side for one block of a plane: 2 where its mask comes behind it."""
    return 2 if spec.validity == "mask" and planes(spec) == 1 else 1


def frames_of(spec: CogSpec, size: tuple[int, int]) -> tuple[int, int, int]:
    """Return planes, rows and columns of the frames of a level of `size` (h, w), in the order of the file.

    A mask's blocks lie behind those of the image they mask, block by block, where the bands lie pixel by
    pixel; where bands lie in planes, the mask is one more plane.

    >>> spec = CogSpec(height=600, width=700, bands=3, dtype="uint8", validity="mask")
    >>> frames_of(spec, (600, 700)), frames_of(replace(spec, interleave="band"), (600, 700))
    ((1, 2, 4), (4, 2, 2))
    """
    rows, cols = blocks_of(size)
    apart = spec.validity == "mask" and planes(spec) > 1
    return planes(spec) + apart, rows, cols * abreast(spec)


def fill_of(spec: CogSpec) -> float | None:
    """Return what invalid samples hold: nodata, 0 below an alpha band or mask, None if all are valid."""
    return spec.nodata if spec.validity == "nodata" else 0.0


def predictor_of(spec: CogSpec) -> int:
    """Return TIFF's number of the predictor: 1 is none."""
    if spec.compress not in PREDICTED or spec.predictor == "none":
        return 1
    if spec.predictor == "auto":
        return 3 if spec.dtype in FLOAT_DTYPES else 2
    return int(spec.predictor)


def pixel_bytes(spec: CogSpec) -> int:
    """Return the bytes of one pixel over all samples."""
    return samples(spec) * np.dtype(spec.dtype).itemsize


def depth_of(tile_px: int) -> int:
    """Return m of a tile of ``512 * 2**m`` fine pixels: it holds whole blocks of the levels 0 ... m.

    Raises UsageError for other sizes.
    """
    depth = max(tile_px // BLOCK_PX, 1).bit_length() - 1
    if tile_px != BLOCK_PX << depth:
        raise UsageError(f"tile of {tile_px} pixels", wanted=f"{BLOCK_PX} times a power of two")
    return depth


def tile_grid(spec: CogSpec, tile_px: int) -> tuple[int, int]:
    """Return how many rows and columns of tiles cover the image; raises UsageError as `depth_of` does."""
    depth_of(tile_px)
    return -(-spec.height // tile_px), -(-spec.width // tile_px)


def expected_bytes(spec: CogSpec) -> int:
    """Return the size of the product with its overviews if nothing were compressed, for estimates."""
    blocks = sum(math.prod(blocks_of(size)) for size in levels(spec))
    mask = BLOCK_PX * BLOCK_PX // 8 + 16 if spec.validity == "mask" else 0
    return blocks * (BLOCK_PX * BLOCK_PX * pixel_bytes(spec) + 16 * planes(spec) + mask)


def _check_shape(spec: CogSpec) -> None:
    if spec.dtype not in WHOLE_DTYPES + FLOAT_DTYPES:
        raise UsageError(f"product of {spec.dtype}", wanted=", ".join(WHOLE_DTYPES + FLOAT_DTYPES))
    if not (0 < spec.height < 2**31 and 0 < spec.width < 2**31 and 0 < spec.bands < 2**16):
        raise UsageError(
            f"product of {spec.height} x {spec.width} pixels and {spec.bands} bands",
            wanted="1 ... 2**31 - 1 pixels a side and 1 ... 65535 bands",
        )
    if len(spec.transform) != 6 or not all(map(math.isfinite, spec.transform)):
        raise UsageError(f"transform {spec.transform}", wanted="six finite numbers")


def _check_codec(spec: CogSpec) -> None:
    if spec.compress not in COMPRESSIONS:
        raise UsageError(f"compression {spec.compress!r}", wanted=", ".join(COMPRESSIONS))
    if not (math.isfinite(spec.max_error) and spec.max_error >= 0.0):
        raise UsageError(f"max_error {spec.max_error}", wanted="a finite number, 0 or more")
    if spec.max_error and spec.compress != "lerc":
        raise UsageError(f"max_error with {spec.compress}", wanted="lerc, the only lossy codec")
    if spec.max_error and spec.nodata is not None and not math.isnan(spec.nodata):
        raise UsageError(
            f"lossy lerc with nodata {spec.nodata:g}",
            wanted="no nodata, or NaN, which lerc keeps apart",
            do="an error would turn valid pixels into nodata and back; use max_error 0",
        )
    if spec.compress == "lerc" and spec.interleave == "pixel" and spec.dtype in FLOAT_DTYPES:
        raise UsageError("pixel interleave of floats with lerc", wanted="interleave band or auto")


def _check_choices(spec: CogSpec) -> None:
    choices = {
        "bigtiff": ("auto", "yes"),
        "overview": OVERVIEWS,
        "interleave": get_args(Interleave),
        "predictor": get_args(Predictor),
        "validity": get_args(Validity),
    }
    for name, wanted in choices.items():
        if getattr(spec, name) not in wanted:
            raise UsageError(f"{name} {getattr(spec, name)!r}", wanted=", ".join(wanted))
    if spec.overview == "or" and spec.dtype in FLOAT_DTYPES:
        raise UsageError(f"overview 'or' of {spec.dtype}", wanted="whole numbers, whose bits are flags")
    if spec.sparse and fill_of(spec) is None:
        raise UsageError(
            "a sparse product without nodata", wanted="nodata, an alpha band or a mask, for absent blocks"
        )
    if spec.predictor != "auto" and spec.compress not in PREDICTED:
        raise UsageError(f"predictor {spec.predictor} with {spec.compress}", wanted=", ".join(PREDICTED))
    if spec.predictor == "3" and spec.dtype not in FLOAT_DTYPES:
        raise UsageError(f"predictor 3 of {spec.dtype}", wanted="floats, or predictor 2")
    _check_validity(spec)


def _check_validity(spec: CogSpec) -> None:
    if spec.validity == "nodata":
        return
    if spec.nodata is not None:
        raise UsageError(f"nodata {spec.nodata:g} with {spec.validity}", wanted="one of the two")
    if spec.validity == "alpha" and spec.dtype not in ALPHA_DTYPES:
        raise UsageError(
            f"alpha of {spec.dtype}", wanted=" or ".join(ALPHA_DTYPES), do="use a mask: it suits every type"
        )


def _checked_level(spec: CogSpec) -> int | None:
    if spec.compress not in LEVELS:
        if spec.level is not None:
            raise UsageError(f"level {spec.level} with {spec.compress}", wanted=" or ".join(LEVELS))
        return None
    default, highest = LEVELS[spec.compress]
    if spec.level is not None and not 1 <= spec.level <= highest:
        raise UsageError(f"{spec.compress} level {spec.level}", wanted=f"1 ... {highest}")
    return default if spec.level is None else spec.level


def _checked_nodata(spec: CogSpec) -> float | None:
    if spec.nodata is None:
        return None
    if spec.dtype in FLOAT_DTYPES:
        with np.errstate(over="ignore"):
            stored = float(np.dtype(spec.dtype).type(spec.nodata))
        if math.isfinite(stored) == math.isfinite(spec.nodata):
            return stored
    elif float(spec.nodata).is_integer():
        limits = np.iinfo(spec.dtype)
        if limits.min <= spec.nodata <= limits.max:
            return float(spec.nodata)
    raise UsageError(f"nodata {spec.nodata:g}", wanted=f"a value of {spec.dtype}", do="choose another nodata")


def _per_band(spec: CogSpec, name: str, default: Any) -> tuple[Any, ...]:
    values: tuple[Any, ...] = getattr(spec, name)
    if values and len(values) != spec.bands:
        raise UsageError(f"{len(values)} {name}", wanted=f"{spec.bands}, one a band")
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        raise UsageError(f"{name} {values}", wanted="finite numbers")
    return values or (default,) * spec.bands
