"""From a folder, an archive or rasters to a Scene, and from a scene to its bands. Reads headers only."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from geofuse.errors import BandError, FormatError, GeorefError, PixelError, ProductError
from geofuse.rasters import sniffing
from geofuse.rasters.datasets import inspect
from geofuse.rasters.grids import apart_px
from geofuse.rasters.headers import RasterFacts
from geofuse.rasters.image import WHOLE_DTYPES, Band, Grid, Image, Piece
from geofuse.rasters.tiling import SAME_GRID_PX, Layout, laid_out
from geofuse.scenes import sidecars
from geofuse.scenes.readers import landsat
from geofuse.scenes.relating import same_crs, target_of
from geofuse.scenes.scene import Given, Scene
from geofuse.scenes.sensors import table as sensors

_PACKED = (b"\x1f\x8b", b"PK\3\4", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")


@dataclass(frozen=True, slots=True)
class _File:
    """One raster: what its header and its honest sidecars say."""

    facts: RasterFacts
    """The header."""
    grid: Grid
    """Its grid, by a world file where the header has none."""
    rpcs: dict[str, str] | None
    """RPCs of the header or of a sidecar."""
    imd: sidecars.Imd | None
    """The provider's metadata file, if there is one."""
    warnings: tuple[str, ...]
    """Sidecars that were ignored."""


def open_scene(path: str) -> Scene:
    """Open a folder, or an uncompressed .tar in place, that holds one Landsat 8 or 9 Level-1 scene.

    Raises ProductError where the scene is not whole, FormatError for anything else than a folder or a tar.
    """
    sniffing.safe_path(path)
    if os.path.isdir(path):
        return _landsat_scene(landsat.delivery(landsat.list_folder(path)), path)
    with sniffing.opened(path) as span:
        head = sniffing.bytes_at(span, 0, 512)
    wanted = "a folder or an uncompressed .tar with one Landsat scene"
    if head.startswith(_PACKED):
        raise FormatError("a compressed archive", wanted=wanted, do="unpack it first", path=path)
    if head[257:262] != b"ustar" and not path.lower().endswith(".tar"):
        do = "name single rasters as PAN and MS"
        raise FormatError("neither a folder nor a tar archive", wanted=wanted, do=do, path=path)
    return _landsat_scene(landsat.delivery(landsat.list_tar(path)), path)


def open_pair(pan: str | Sequence[str], ms: Sequence[str], *, nodata: float | None = None) -> Scene:
    """Open any PAN raster of one image band, or its tiles, and its MS: one file of several bands, or several files.

    Bands keep the order of the files. `nodata` overrides the files' own tags. Raises BandError, PixelError,
    ProductError or GeorefError for files that do not make a pair, and what reading headers raises.
    """
    if not ms:
        raise ProductError("no MS file", wanted="one or more")
    tiles = (pan,) if isinstance(pan, str) else tuple(pan)
    if not tiles:
        raise ProductError("no PAN file", wanted="one, or its tiles")
    plain = [sniffing.safe_path(path) for path in (*tiles, *ms)]
    paths = [path if path.startswith(sniffing.TAR) else os.path.realpath(path) for path in plain]
    twice = next((name for at, name in enumerate(paths) if name in paths[:at]), None)
    if twice:
        raise ProductError("the same file twice", wanted="different PAN and MS files", path=twice)
    fine, coarse = [_file(path) for path in tiles], [_file(path) for path in ms]
    for file in fine:
        if len(file.facts.dtypes) - bool(file.facts.alpha) != 1:
            found = f"PAN with {len(file.facts.dtypes)} bands"
            raise BandError(
                found, wanted="exactly one image band", do="extract PAN's band", path=file.facts.path
            )
    described = [file.imd for file in (*fine, *coarse) if file.imd]
    satellites = {imd.satellite for imd in described if imd.satellite}
    sensor = sensors.SENSORS[sensors.SATELLITES.get(min(satellites, default=""), "generic")]
    warnings = [text for file in (*fine, *coarse) for text in file.warnings]
    if len(satellites) > 1:
        sensor = sensors.SENSORS["generic"]
        warnings.append(f"PAN and MS name different satellites: {', '.join(sorted(satellites))}")
    bands = _ms_bands(coarse, sensor, warnings)
    scene = Scene(
        scene_id=_stem(tiles[0]),
        sensor=sensor.key,
        images=(_pan_image(fine, sensor, warnings), _image("ms", coarse, bands)),
        reader="pair",
        source=(*(Given("pan", path) for path in tiles), *(Given("ms", path) for path in ms)),
        acquired=next((imd.acquired for imd in described if imd.acquired), None),
        metadata=_pair_metadata(described, sensor),
        warnings=tuple(warnings),
    )
    return scene if nodata is None else with_nodata(scene, nodata)


def _stem(path: str) -> str:
    if path.startswith(sniffing.TAR):
        path = path.partition("!")[2]
    return os.path.splitext(os.path.basename(path))[0]


def with_nodata(scene: Scene, nodata: float) -> Scene:
    """Return the scene with another nodata value in every band of its images but the quality band.

    Raises PixelError where a band's type cannot hold it.
    """

    def marked(image: Image) -> Image:
        if image.role == "quality":
            return image
        for band in image.bands:
            if not _holds(band.dtype, nodata):
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
        default = sensors.SENSORS[scene.sensor].default if scene.sensor in sensors.SENSORS else ()
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
    key = sensors.plain(str(name))
    found = [at for at, band in enumerate(bands) if sensors.plain(band.name) == key]
    if not found:
        found = [at for at, band in enumerate(bands) if key in map(sensors.plain, band.aliases)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BandError(f"band {name}, which {len(found)} bands are called", wanted=_band_list(bands))
    known = {sensors.plain(text): text for band in bands for text in (band.name, *band.aliases)}
    near = difflib.get_close_matches(key, known, n=1)
    raise BandError(
        f"no band {name}",
        wanted="one of " + _band_list(bands),
        do=f"did you mean {known[near[0]]}?" if near else "",
    )


def _band_list(bands: Sequence[Band]) -> str:
    shown = [band.name + (f" ({band.aliases[0]})" if band.aliases else "") for band in bands[:20]]
    return ", ".join(shown) + (", ..." if len(bands) > 20 else "")


def _landsat_scene(found: landsat.Delivery, path: str) -> Scene:
    sensor = sensors.SENSORS[found.sensor]
    files = {number: inspect(path) for number, path in found.bands.items()}
    for facts in files.values():
        if len(facts.dtypes) != 1:
            raise ProductError(f"{len(facts.dtypes)} bands", wanted="one band a file", path=facts.path)
    made = {number: _landsat_band(found, number, facts) for number, facts in files.items()}
    fine = files.pop(landsat.PAN_BAND)
    coarse = [_bare(facts) for facts in files.values()]
    images = [
        _image("pan", [_bare(fine)], (made.pop(landsat.PAN_BAND),)),
        _image("ms", coarse, tuple(made.values())),
    ]
    warnings: list[str] = []
    if found.quality is not None:
        place, layout = found.quality
        facts = inspect(place)
        if facts.dtypes == ("uint16",):
            _one_grid([*coarse, _bare(facts)])
            band = Band("quality", (Piece(place),), "uint16")
            images.append(replace(_image("quality", [_bare(facts)], (band,)), bit_layout=layout))
        else:
            warnings.append(f"{place}: quality band of type {', '.join(facts.dtypes)}, not uint16; ignored")
    return Scene(
        scene_id=found.scene_id,
        sensor=sensor.key,
        images=tuple(images),
        reader="landsat",
        source=(Given("", path),),
        acquired=landsat.acquired(found),
        metadata=landsat.metadata(found),
        warnings=tuple(warnings),
    )


def _landsat_band(found: landsat.Delivery, number: int, facts: RasterFacts) -> Band:
    sensor = sensors.SENSORS[found.sensor]
    known = sensor.pan if number == landsat.PAN_BAND else sensors.aliased(sensor, f"B{number}")
    if known is None:
        raise ProductError(f"band {number}", wanted="Landsat's bands 1 to 11", path=facts.path)
    gain, offset, top = landsat.radiometry(found, number)
    tag = facts.nodata[0] if _holds(facts.dtypes[0], facts.nodata[0]) else None
    return Band(
        name=known.name,
        pieces=(Piece(facts.path),),
        dtype=facts.dtypes[0],
        aliases=known.aliases,
        nodata=sensor.fill if tag is None else tag,
        gain=gain,
        offset=offset,
        tag_scale=facts.scales[0],
        tag_offset=facts.offsets[0],
        saturation=_type_top(facts.dtypes[0]) if top is None else top,
        wavelength_nm=known.wavelength_nm,
        mtf_gain=known.mtf_gain,
        color=facts.colors[0],
        thermal=known.thermal,
    )


def _bare(facts: RasterFacts) -> _File:
    return _File(facts, facts.grid, facts.rpcs, None, ())


def _file(path: str) -> _File:
    facts = inspect(path)
    grid, rpcs = facts.grid, facts.rpcs
    warnings: list[str] = []
    if not facts.has_transform:
        transform, more = sidecars.world_beside(path)
        grid = grid if transform is None else replace(grid, transform=transform)
        warnings += more
    if rpcs is None:
        rpcs, more = sidecars.rpcs_beside(path)
        warnings += more
    imd, more = sidecars.imd_beside(path)
    warnings += more
    if facts.alpha:
        warnings.append(f"{path}: band {facts.alpha} is an alpha band: it masks, it is not fused")
    return _File(facts, grid, rpcs, imd, tuple(warnings))


def _image(role: str, files: Sequence[_File], bands: tuple[Band, ...]) -> Image:
    _one_grid(files)
    alphas = tuple(Piece(file.facts.path, file.facts.alpha) for file in files if file.facts.alpha)
    if len(alphas) > 1:
        raise PixelError(
            "alpha bands in several files of one image", wanted="one at most", path=alphas[1].path
        )
    blocks = [file.facts.block for file in files]
    return Image(
        role=role,
        bands=bands,
        grid=files[0].grid,
        drivers={file.facts.path: file.facts.driver for file in files},
        alpha=alphas,
        masks=tuple(file.facts.path for file in files if file.facts.internal_mask),
        rpcs=next((file.rpcs for file in files if file.rpcs), None),
        block=(max(rows for rows, _ in blocks), max(cols for _, cols in blocks)),
    )


def _pan_image(files: Sequence[_File], sensor: sensors.Sensor, warnings: list[str]) -> Image:
    """Return PAN of one file, or of tiles that make one grid."""
    band = _pan_band(files[0], sensor, warnings)
    if len(files) == 1:
        return _image("pan", files, (band,))
    layout = laid_out([replace(file.facts, grid=file.grid) for file in files])
    pieces = tuple(
        Piece(tile.path, band.pieces[0].index, window=window)
        for tile, window in zip(layout.tiles, layout.windows, strict=True)
    )
    return _tiled(_image("pan", files[:1], (replace(band, pieces=pieces),)), layout)


def _tiled(image: Image, layout: Layout) -> Image:
    """Return the image of the first tile as that of all of them."""
    blocks = [tile.block for tile in layout.tiles]
    return replace(
        image,
        grid=layout.grid,
        drivers={tile.path: tile.driver for tile in layout.tiles},
        alpha=tuple(
            Piece(tile.path, tile.alpha, window=window)
            for tile, window in zip(layout.tiles, layout.windows, strict=True)
            if tile.alpha
        ),
        masks=tuple(tile.path for tile in layout.tiles if tile.internal_mask),
        rpcs=None,  # a tile's coefficients speak of its own pixels
        block=(max(rows for rows, _ in blocks), max(cols for _, cols in blocks)),
    )


def _one_grid(files: Sequence[_File]) -> None:
    first = files[0]
    for other in files[1:]:
        one, two = first.grid, other.grid
        same = (one.height, one.width) == (two.height, two.width) and bool(one.crs) == bool(two.crs)
        if same and one.transform != two.transform:
            same = apart_px(one, two) <= SAME_GRID_PX
        if not same or not same_crs(one.crs, two.crs):
            raise GeorefError(
                f"a grid other than that of {first.facts.path}",
                wanted="all MS bands on one grid",
                do="warp them to one grid first",
                path=other.facts.path,
            )


def _pan_band(file: _File, sensor: sensors.Sensor, warnings: list[str]) -> Band:
    at = next(at for at in range(len(file.facts.dtypes)) if at + 1 != file.facts.alpha)
    known = sensor.pan or sensors.SENSORS["generic"].pan
    band = _band(file, at, warnings)
    return replace(
        band,
        name="pan",
        aliases=(str(at + 1),),
        wavelength_nm=known.wavelength_nm if known and sensor.key != "generic" else None,
        mtf_gain=known.mtf_gain if known else band.mtf_gain,
    )


def _ms_bands(files: Sequence[_File], sensor: sensors.Sensor, warnings: list[str]) -> tuple[Band, ...]:
    """Name each band by the sensor where known, else by description, colour or number, no name twice."""
    places = [
        (file, at) for file in files for at in range(len(file.facts.dtypes)) if at + 1 != file.facts.alpha
    ]
    if not places:
        raise BandError("MS without an image band", wanted="one or more", path=files[0].facts.path)
    layout = _layout(files[0].imd, sensor, len(places))
    made: list[Band] = []
    for number, (file, at) in enumerate(places, 1):
        text = file.facts.descriptions[at]
        meant = layout[number - 1] if layout else None
        name = meant or sensors.canonical_name(text) or sensors.canonical_name(file.facts.colors[at])
        if name is None or any(band.name == name for band in made):
            name = str(number)
        known = sensors.band_of(sensor, name)
        described = text.strip()[:60] if text and not text.strip().isdigit() else ""
        aliases = (str(number), described, *(known.aliases if known else ()))
        made.append(
            replace(
                _band(file, at, warnings),
                name=name,
                aliases=tuple(dict.fromkeys(alias for alias in aliases if alias and alias != name)),
                wavelength_nm=known.wavelength_nm if known else None,
                mtf_gain=known.mtf_gain if known else sensor.mtf_gain,
                thermal=sensors.is_thermal(name),
            )
        )
    return tuple(made)


def _layout(imd: sidecars.Imd | None, sensor: sensors.Sensor, count: int) -> tuple[str, ...] | None:
    """Return the names of an MS file's bands as its .IMD lists them, else as the sensor delivers so many."""
    if imd is not None and len(imd.bands) == count and "pan" not in imd.bands:
        return imd.bands
    found = sensors.layout(sensor, count)
    return tuple(band.name for band in found) if found else None


def _band(file: _File, at: int, warnings: list[str]) -> Band:
    """Return what the file alone says of a band; `at` is 0-based."""
    facts = file.facts
    nodata, dtype = facts.nodata[at], facts.dtypes[at]
    if not _holds(dtype, nodata):
        warnings.append(f"{facts.path}: band {at + 1}: nodata {nodata:g} does not fit {dtype}; ignored")
        nodata = None
    scale, offset = facts.scales[at], facts.offsets[at]
    tagged = (scale, offset) != (1.0, 0.0)
    return Band(
        name=str(at + 1),
        pieces=(Piece(facts.path, at + 1),),
        dtype=dtype,
        nodata=nodata,
        gain=scale if tagged else None,
        offset=offset if tagged else None,
        tag_scale=scale,
        tag_offset=offset,
        saturation=_type_top(dtype),
        color=facts.colors[at],
    )


def _pair_metadata(described: Sequence[sidecars.Imd], sensor: sensors.Sensor) -> dict[str, str | int | float]:
    """Return what the providers' files say, the PAN's before the MS's, and the sensor's terms."""
    names = {
        "satellite": "spacecraft",
        "sun_elevation_deg": "sun_elevation_deg",
        "sun_azimuth_deg": "sun_azimuth_deg",
        "off_nadir_deg": "off_nadir_deg",
        "cloud_cover_percent": "cloud_cover_percent",
    }
    found: dict[str, str | int | float] = {}
    for imd in described:
        for field, name in names.items():
            if getattr(imd, field) is not None:
                found.setdefault(name, getattr(imd, field))
    if sensor.key != "generic":
        found.update(attribution=sensor.attribution, licence=sensor.licence, access=sensor.access)
    return found


def _holds(dtype: str, value: float | None) -> bool:
    """Say whether a type can hold a nodata value; NaN and infinities only fit floats."""
    if value is None or dtype not in WHOLE_DTYPES:
        return True
    limits = np.iinfo(dtype)
    return value == value // 1 and limits.min <= value <= limits.max


def _type_top(dtype: str) -> float | None:
    """Return the largest number of an 8- or 16-bit type, where saturated detectors end; None for others."""
    return float(np.iinfo(dtype).max) if dtype in ("uint8", "int16", "uint16") else None
