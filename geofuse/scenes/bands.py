"""A scene's bands: which of them are meant, and what marks their invalid pixels."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from geofuse.errors import BandError, PixelError
from geofuse.rasters.image import Band, Image
from geofuse.rasters.validity import holds
from geofuse.scenes.relating import target_of
from geofuse.scenes.scene import Scene
from geofuse.scenes.sensors.names import plain
from geofuse.scenes.sensors.table import sensor_or_generic


def with_nodata(scene: Scene, nodata: float) -> Scene:
    """Return the scene with another nodata value in every band of its images but the quality band.

    Raises PixelError where a band's type cannot hold it.
    """

    def marked(image: Image) -> Image:
        if image.role == "quality":
            return image
        for band in image.bands:
            if not holds(band.dtype, nodata):
                raise PixelError(
                    f"nodata {nodata:g} in {band.dtype}", wanted="a value its type can hold", path=band.path
                )
        return replace(image, bands=tuple(replace(band, nodata=nodata) for band in image.bands))

    return replace(scene, images=tuple(marked(image) for image in scene.images))


def select_bands(scene: Scene, names: Sequence[str] | None) -> tuple[int, ...]:
    """Return the 0-based indices into the target's bands of the bands named, in the order named.

    A band answers to its canonical name, its aliases and, where no name is better, its number, in any case.
    None means the sensor's default: Landsat's blue, green, red and nir; else every band that is not thermal.
    Raises BandError for a name that is unknown, ambiguous, given twice, or a thermal band.
    """
    bands = target_of(scene).bands
    if names is None:
        default = sensor_or_generic(scene.sensor).default
        names = default or [band.name for band in bands if not band.thermal]
    if not names:
        raise BandError("no band to sharpen", wanted="one or more of " + _band_list(bands))
    chosen: list[int] = []
    for name in names:
        index = _band_index(bands, name)
        if bands[index].thermal:
            raise BandError(
                f"the thermal band {name}",
                wanted="reflective bands",
                do="PAN holds nothing about emitted radiance",
            )
        if index in chosen:
            raise BandError(f"band {name} twice", wanted="each band once")
        chosen.append(index)
    return tuple(chosen)


def _band_index(bands: Sequence[Band], name: str) -> int:
    key = plain(str(name))
    found = [at for at, band in enumerate(bands) if plain(band.name) == key]
    if not found:
        found = [at for at, band in enumerate(bands) if key in map(plain, band.aliases)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BandError(f"band {name}, which {len(found)} bands are called", wanted=_band_list(bands))
    known = {plain(text): text for band in bands for text in (band.name, *band.aliases)}
    near = difflib.get_close_matches(key, known, n=1)
    raise BandError(
        f"no band {name}",
        wanted="one of " + _band_list(bands),
        do=f"did you mean {known[near[0]]}?" if near else "",
    )


def _band_list(bands: Sequence[Band]) -> str:
    shown = [band.name + (f" ({band.aliases[0]})" if band.aliases else "") for band in bands[:20]]
    return ", ".join(shown) + (", ..." if len(bands) > 20 else "")
