"""A single raster as an image: one band for each that is not alpha, masked as its file says."""

from __future__ import annotations

from collections.abc import Sequence

from geofuse.rasters.image import Band, Grid, Image, Piece
from geofuse.rasters.opening.headers import RasterFacts


def bands_of(facts: RasterFacts) -> tuple[Band, ...]:
    """Return a raster's bands but for its alpha, called by their number: type, nodata, nothing else."""
    return tuple(
        Band(str(at), (Piece(facts.path, at),), dtype, nodata=facts.nodata[at - 1])
        for at, dtype in enumerate(facts.dtypes, 1)
        if at != facts.alpha
    )


def image_of(
    facts: RasterFacts,
    *,
    role: str = "raster",
    bands: Sequence[Band] | None = None,
    grid: Grid | None = None,
) -> Image:
    """Return a raster as an image of `bands`, by default all of its own, on `grid`, by default its own."""
    return Image(
        role,
        bands_of(facts) if bands is None else tuple(bands),
        facts.grid if grid is None else grid,
        {facts.path: facts.driver},
        alpha=(Piece(facts.path, facts.alpha),) if facts.alpha else (),
        masks=(facts.path,) if facts.internal_mask else (),
        block=facts.block,
    )
