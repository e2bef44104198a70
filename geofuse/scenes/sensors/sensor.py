"""The noun of a sensor, and what a file of its bands holds."""

from __future__ import annotations

from dataclasses import dataclass

_BGRN = ("blue", "green", "red", "nir")


@dataclass(frozen=True, slots=True)
class SensorBand:
    """One band of a sensor."""

    name: str
    """Canonical name."""
    wavelength_nm: float
    """Centre wavelength."""
    mtf_gain: float
    """MTF at the band's own Nyquist frequency."""
    aliases: tuple[str, ...] = ()
    """The provider's and other common names."""
    thermal: bool = False
    """Emissive band."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor, as its provider describes it."""

    key: str
    """Name in Scene.sensor."""
    title: str
    """Name for people."""
    bands: tuple[SensorBand, ...]
    """Coarse bands in the provider's order; empty where a file's bands cannot be known beforehand."""
    pan: SensorBand | None
    """Fine band; None where the fine image is itself multispectral."""
    mtf_gain: float
    """MTF of a coarse band that is not in `bands`."""
    ratio: float
    """Nominal coarse pixel over fine pixel."""
    bits: int
    """Significant bits of a stored number."""
    fill: float | None
    """Stored value of a pixel without data, where no tag says so; None if there is no convention."""
    default: tuple[str, ...]
    """Bands fused when none are named; empty for all that are not thermal."""
    licence: str
    """Terms of use, in a few words."""
    attribution: str
    """Credit line."""
    access: str
    """"open", "registered", "commercial" or "unknown"."""
    terms_url: str | None = None
    """Page of the terms, where they are public."""
    provider: str = ""
    """Who made the images, where the credit line does not say it."""
    provider_url: str | None = None
    """The maker's page."""
    quantity: str = "physical value"
    """What a delivery's gain and offset make of its numbers, for people."""
    satellite_ids: tuple[str, ...] = ()
    """What the provider's own metadata call it: the `satId` of a DigitalGlobe .IMD file."""


def layout(sensor: Sensor, count: int) -> tuple[SensorBand, ...] | None:
    """Return the bands a file of `count` bands of this sensor holds, in file order; None if not known.

    All of the sensor's bands, or the four that every very-high-resolution bundle has: blue, green, red, nir.
    """
    if count == len(sensor.bands):
        return sensor.bands
    if count == 4 and sensor.bands:
        found = {band.name: band for band in sensor.bands}
        return tuple(found[name] for name in _BGRN)
    return None


def band_of(sensor: Sensor, name: str) -> SensorBand | None:
    """Return the sensor's coarse band of that canonical name, or None."""
    return next((band for band in sensor.bands if band.name == name), None)


def aliased(sensor: Sensor, alias: str) -> SensorBand | None:
    """Return the sensor's coarse band of that alias, such as "B4", or None."""
    return next((band for band in sensor.bands if alias in band.aliases), None)
