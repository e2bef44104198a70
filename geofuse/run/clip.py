"""Cutting a piece out of a product on its own grid, into the form that is wanted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """A form a clip can have."""

    key: str
    """Its name."""
    label: str
    """For people."""
    extension: str
    """Of the file."""


FORMATS = {
    form.key: form
    for form in (
        Format("cog", "Cloud Optimized GeoTIFF", ".tif"),
        Format("gtiff", "GeoTIFF", ".tif"),
        Format("jpeg", "JPEG, 8 bit, with world file", ".zip"),
        Format("png", "PNG, 8 bit, with world file", ".zip"),
        Format("netcdf", "NetCDF", ".nc"),
        Format("zarr", "Zarr", ".zip"),
    )
}
"""By name."""
