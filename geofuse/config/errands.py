"""The options of errands beside fusing: benches, simulated cameras, clips, the demo; described as `sections` are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from geofuse.config.option import Needs, option

Protocol = Literal["reduced", "full"]
ClipFormat = Literal["cog", "gtiff", "jpeg", "png", "netcdf", "zarr"]
PICTURES = ("jpeg", "png")
"""Formats of a clip that show it to the eye."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What is compared, and how."""

    SECTION: ClassVar = "bench"
    methods: tuple[str, ...] = option(("all",), "all, or some", "--methods", "LIST", shown="all")
    protocol: Protocol = option(
        "reduced",
        "reduced: both images degraded, MS is the reference; full: no reference",
        "--protocol",
        "NAME",
    )
    rounds: tuple[int, ...] = option(
        (0, 3), "numbers of back-projections: a row for each", "--back-projections", "LIST", shown="0,3"
    )


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """How a fine raster is looked at."""

    SECTION: ClassVar = "camera"
    ratio: float = option(4.0, "MS over PAN pixel size, 1 to 8", "--ratio", "R", shown="4")
    mtf_gains: tuple[float, ...] = option(
        (0.3,),
        "MTF at the MS's Nyquist frequency: one, or one a band",
        "--gain",
        "LIST",
        shown="0.3",
    )
    pan_weights: tuple[float, ...] | None = option(
        None, "PAN's weight of each band", "--weights", "LIST", shown="equal"
    )
    noise_sigma: float = option(
        0.0, "noise in both images", "--noise", "SIGMA", shown="0", unit="DN", least=0.0
    )
    snr: float | None = option(None, "the same as mean over standard deviation", "--snr", "S")
    seed: int = option(
        0, "of the noise", "--seed", "N", shown="0", needs=Needs("noise_sigma", ("above 0, or snr",))
    )


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """How a piece is written."""

    SECTION: ClassVar = "clip"
    format: ClipFormat | None = option(
        None,
        "cog, gtiff, jpeg, png, netcdf or zarr",
        "--format",
        "NAME",
        shown="by FILE's ending",
    )
    crs: str | None = option(
        None, "resampled into this one", "--crs", "EPSG:N", shown="the product's own grid"
    )
    gamma: float = option(1.0, "of a picture", "--gamma", "G", shown="1", needs=Needs("format", PICTURES))


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What is drawn."""

    SECTION: ClassVar = "demo"
    size: int = option(2048, "side of the simulated PAN", "--size", "PX", unit="pixels", least=256)


ERRANDS = (BenchOptions, CameraOptions, ClipOptions, DemoOptions)
