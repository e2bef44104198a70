"""The options, by section: one default and one help text each, for all doors (`geofuse.config.option` says how).

The same classes are the sections `scene`, `fuse`, `encode` and `work` of a configuration, and what a `Request` holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from geofuse.config.option import Needs, Option, Place, Seconds, Size, Switch, option, options_of

Access = Literal["open", "view-only", "internal"]
Compress = Literal["zstd", "deflate", "lzw", "none", "lerc"]
Predictor = Literal["auto", "none", "2", "3"]
Interleave = Literal["auto", "pixel", "band"]
Validity = Literal["nodata", "alpha", "mask"]
FORBID: dict[str, str] = {"extra": "forbid"}
"""What pydantic is to do with keys that are not known."""
AREAS = ("bbox", "aoi", "window")
"""Options that say an area: one of them at most."""


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """Which scene, which bands, which area."""

    SECTION: ClassVar = "scene"
    __pydantic_config__: ClassVar = FORBID
    path: Place = option("", "scene folder or .tar (Landsat 8/9 Level-1)", metavar="SCENE")
    pan: Place = option("", "fine image, instead of SCENE", "--pan", "PAN.tif")
    ms: tuple[Place, ...] = option(
        (), "coarse image: one file of many bands, or repeated, one for each", "--ms", "MS.tif"
    )
    bands: tuple[str, ...] | None = option(
        None,
        "red,green,blue,nir or B4,B3,B2 or 1,2,3: output in this order",
        "--bands",
        "LIST",
        shown="the sensor's own",
    )
    nodata: float | None = option(
        None, "value that marks invalid pixels in all inputs", "--nodata", "V", shown="their own"
    )
    bbox: tuple[float, float, float, float] | None = option(
        None, "west, south, east, north in degrees", "--bbox", ("W", "S", "E", "N"), unit="degrees"
    )
    aoi: Place | None = option(None, "vector file; its bounding window", "--aoi", "AREA.geojson")
    window: tuple[int, int, int, int] | None = option(
        None, "in PAN pixels", "--window", ("ROW", "COL", "HEIGHT", "WIDTH"), unit="PAN pixels"
    )


@dataclass(frozen=True, slots=True)
class FuseOptions:
    """How it is fused."""

    SECTION: ClassVar = "fuse"
    __pydantic_config__: ClassVar = FORBID
    method: str = option(
        "auto", "see `geofuse methods`", "--method", "NAME", shown="auto: by hold-out on the scene"
    )
    weights: tuple[float, ...] | None = option(
        None,
        "intensity weights of brovey, one for each band",
        "--weights",
        "LIST",
        shown="equal",
        by_method=True,
    )
    calibrate: bool = option(
        True,
        "measure shift, blur and the method's gain on the scene",
        switches=(
            Switch(
                "--no-calibrate",
                False,
                "measure nothing: the sensor table's figures, no hold-out, no back-projection unless asked for",
            ),
        ),
    )
    shift_px: tuple[float, float] | None = option(
        None,
        "shift in PAN pixels, instead of a measured one: PAN (row, col) is seen at MS (row + DY, col + DX)",
        "--shift",
        ("DY", "DX"),
        unit="PAN pixels",
    )
    back_projections: int | None = option(
        None,
        "rounds of consistency with the coarse image",
        "--back-projections",
        "N",
        least=0,
        shown="3, fewer where calibration is unsure",
    )
    force: bool = option(
        False,
        "go on with images that do not match",
        switches=(Switch("--force", True),),
        needs=Needs("calibrate", (True,)),
    )
    network: str | None = option(
        None,
        "weights of a network: a file, or a shipped name",
        "--network",
        "FILE|NAME",
        shown="the shipped ones that fit best",
        by_method=True,
    )
    adapt: bool = option(
        False,
        "let a network's weights learn from the scene first, and keep them beside the product",
        switches=(Switch("--adapt", True),),
        by_method=True,
        needs=Needs("calibrate", (True,)),
    )


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How the product is encoded."""

    SECTION: ClassVar = "encode"
    __pydantic_config__: ClassVar = FORBID
    compress: Compress = option("zstd", "zstd, deflate, lzw, none or lerc", "--compress", "CODEC")
    level: int | None = option(
        None,
        "effort of the codec: zstd 1 to 22, deflate 1 to 12",
        "--level",
        "N",
        shown="4 and 6",
        needs=Needs("compress", ("zstd", "deflate")),
    )
    max_error: float = option(
        0.0,
        "largest error of --compress lerc",
        "--max-error",
        "E",
        least=0.0,
        shown="0: none",
        unit="DN",
        needs=Needs("compress", ("lerc",)),
    )
    predictor: Predictor = option(
        "auto",
        "none, 2 or 3",
        "--predictor",
        "P",
        shown="3 for floats, 2 for whole numbers",
        needs=Needs("compress", ("zstd", "deflate", "lzw")),
    )
    interleave: Interleave = option(
        "auto", "pixel or band", "--interleave", "HOW", shown="band from 32 bytes a pixel on"
    )
    validity: Validity = option(
        "nodata",
        "what marks invalid pixels: nodata, alpha or mask",
        switches=(
            Switch(
                "--alpha",
                "alpha",
                "mark invalid pixels by an alpha band instead of a nodata value (8 and 16 bit unsigned)",
            ),
            Switch(
                "--mask", "mask", "mark invalid pixels by a mask of one bit a pixel instead of a nodata value"
            ),
        ),
    )
    sparse: bool = option(
        False,
        "leave out blocks without a valid pixel; some readers cannot read it",
        switches=(Switch("--sparse", True),),
    )
    bigtiff: bool = option(False, "BigTIFF also for files under 4 GiB", switches=(Switch("--bigtiff", True),))


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Certificates of a cluster that speaks TLS."""

    __pydantic_config__: ClassVar = FORBID
    ca: Place
    """Certificate of the authority."""
    cert: Place
    """Own certificate."""
    key: Place
    """Own key."""


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """Who does the work; changes nothing of the product, but for the device of a network."""

    SECTION: ClassVar = "work"
    __pydantic_config__: ClassVar = FORBID
    scheduler: str = option(
        "threads", "serial, threads, dask, tcp://HOST:PORT or tls://HOST:PORT", "--scheduler", "NAME"
    )
    workers: int | None = option(
        None, "tiles at a time", "--workers", "N", least=1, shown="one for each core"
    )
    tile_px: int | None = option(
        None,
        "side of a tile: 512, 1024, 2048, ...",
        "--tile",
        "PX",
        least=512,
        shown="1024, less where memory is short",
        unit="pixels",
    )
    memory: Size | None = option(
        None,
        "what the run may take, such as 4GiB",
        "--memory",
        "SIZE",
        shown="80 % of what is free",
        unit="bytes",
        gt=0,
    )
    tls: TlsOptions | None = None
    """For tls:// schedulers; in a configuration only."""
    device: str = option(
        "auto", "what a network runs on: auto, cpu, cuda, cuda:1", "--device", "NAME", by_method=True
    )
    retries: int = option(3, "times a stage is tried again, where that may help", least=0, le=20)
    backoff: Seconds = option(
        10.0, "wait before the first of them; each later one is twice as long", unit="seconds", least=0.0
    )


SECTIONS = (SceneOptions, FuseOptions, EncodeOptions, WorkOptions)
"""What a request is made of."""


def every_option() -> dict[str, Option]:
    """Return all options of a request by name, in the order of the sections."""
    return {each.name: each for section in SECTIONS for each in options_of(section)}


@dataclass(frozen=True, slots=True)
class CatalogOptions:
    """Where products are published, and with which rights."""

    SECTION: ClassVar = "catalog"
    __pydantic_config__: ClassVar = FORBID
    folder: Place | None = option(None, "the catalogue; nothing is published without", "--catalog", "DIR")
    access: Access | None = option(
        None, "open, view-only or internal", "--access", "CLASS", shown="the sensor's"
    )
    license: str | None = option(
        None,
        'SPDX identifier such as CC-BY-4.0, or "other"',
        "--license",
        "SPDX",
        shown="the sensor's",
        pattern=r"^[\w.+-]+$",
    )
    attribution: str | None = option(
        None, "credit line, also in the product's tags", "--attribution", "TEXT", shown="the sensor's"
    )
    acquired: str | None = option(
        None, "time or day of acquisition, where the inputs do not tell it", "--acquired", "TIME"
    )
