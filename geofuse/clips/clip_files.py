"""A clip in each of its forms: GeoTIFFs, pictures with world file, NetCDF and Zarr by the CF conventions."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofuse.clips.clip import BLOCK_PX, Cut, TellPixels, blocks, stored_validity
from geofuse.errors import AreaError, ConfigError, LimitError
from geofuse.files import replacing, write_bytes, write_faults
from geofuse.rasters.cog import assemble, encode_tile, write_part, write_plain
from geofuse.rasters.opening.handles import close_handles
from geofuse.rasters.preview import eight_bits, picture_file
from geofuse.version import __version__

PART_BYTES = 64 << 20
PICTURE_PX = 64_000_000
"""A picture is made in memory, at 3 or 4 bytes a pixel."""
JPEG_SIDE_PX = 65_500
CHUNK_PX = 512
PAM = """<PAMDataset>
  <SRS>{wkt}</SRS>
</PAMDataset>
"""


def write_cog_clip(cut: Cut, out: Path, tell: TellPixels) -> None:
    """Write a COG, tile by tile."""
    spec, side = cut.spec, BLOCK_PX
    pixel = spec.bands * np.dtype(spec.dtype).itemsize
    while side < 2048 and 4 * side * side * pixel <= PART_BYTES and side < max(spec.height, spec.width):
        side *= 2
    with write_faults(out), tempfile.TemporaryDirectory(dir=out.parent, prefix=".clip-") as folder:
        parts: list[Path] = []
        for (row, col), pixels in blocks(cut, tell, side):
            tile = encode_tile(
                np.ascontiguousarray(np.moveaxis(pixels, 0, 2)),
                spec,
                tile_row=row // side,
                tile_col=col // side,
                tile_px=side,
            )
            parts.append(Path(folder) / f"{len(parts)}.part")
            write_part(parts[-1], [tile], fingerprint="clip", extra={})
        with replacing(out) as draft:
            assemble(draft, spec, parts, tile_px=side)


def write_gtiff_clip(cut: Cut, out: Path, tell: TellPixels) -> None:
    """Write a plain GeoTIFF."""
    write_plain(out, cut.spec, blocks(cut, tell))


def write_picture_clip(cut: Cut, out: Path, tell: TellPixels) -> None:
    """Write an 8-bit picture with its world file, its coordinate system and a note that states the stretch."""
    form = cut.form.key
    if cut.pixels > PICTURE_PX or (form == "jpeg" and max(cut.spec.height, cut.spec.width) > JPEG_SIDE_PX):
        raise LimitError(
            f"a picture of {cut.spec.height} x {cut.spec.width} pixels",
            wanted=f"{PICTURE_PX // 10**6} million at most, and {JPEG_SIDE_PX} along a side of a JPEG",
            do="take a smaller area, or GeoTIFF",
        )
    bands = cut.spec.bands
    shown = np.zeros((cut.spec.height, cut.spec.width, bands + (form == "png")), np.uint8)
    for (row, col), pixels in blocks(cut, tell):
        valid = stored_validity(cut, pixels)
        part = shown[row : row + valid.shape[0], col : col + valid.shape[1]]
        part[:, :, :bands] = np.moveaxis(eight_bits(pixels, cut.ranges, cut.gamma), 0, 2)
        part[~valid] = 0
        if form == "png":
            part[:, :, bands] = np.where(valid, 255, 0)
    owed = cut.spec.tags.get("TIFFTAG_COPYRIGHT", "")
    title = cut.spec.tags["TIFFTAG_IMAGEDESCRIPTION"]
    suffix = ".png" if form == "png" else ".jpg"
    stem = cut.credit.item if out.suffix == ".zip" else out.stem
    if form == "png" and bands == 1:
        shown = shown[:, :, [0, 0, 0, 1]]
    files = {
        f"{stem}{suffix}{'.aux.xml'}": PAM.format(wkt=_escaped(cut.spec.crs)).encode(),
        f"{stem}{'.pgw' if form == 'png' else '.jgw'}": _world(cut.spec.transform).encode(),
        f"{stem}.txt": _note(cut).encode(),
        f"{stem}{suffix}": picture_file(shown, form, title=f"{title}; {_stretch_words(cut)}", credit=owed),
    }
    if out.suffix == ".zip":
        write_bytes(out, _zipped(files))
        return
    for name, data in files.items():
        write_bytes(out if name == f"{stem}{suffix}" else out.with_name(name), data)


def _world(transform: tuple[float, ...]) -> str:
    """Return a world file: the affine map of pixel centres."""
    a, b, c, d, e, f = transform
    values = (a, d, b, e, c + 0.5 * a + 0.5 * b, f + 0.5 * d + 0.5 * e)
    return "".join(f"{value!r}\n" for value in map(float, values))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _stretch_words(cut: Cut) -> str:
    spans = [
        f"{name} {low:g} to {high:g}"
        for name, (low, high) in zip(cut.spec.descriptions, cut.ranges, strict=True)
    ]
    curve = "straight" if cut.gamma == 1.0 else f"gamma {cut.gamma:g}"
    return f"stretch to 0..255: {', '.join(spans)}, {curve}"


def _note(cut: Cut) -> str:
    credit = cut.credit
    rows, cols = cut.native[:2], cut.native[2:]
    said = (
        ("picture", cut.spec.tags["TIFFTAG_IMAGEDESCRIPTION"]),
        ("credit", cut.spec.tags.get("TIFFTAG_COPYRIGHT", "")),
        ("licence", credit.license),
        ("terms", credit.terms),
        ("acquired", credit.acquired),
        ("bands", ", ".join(cut.spec.descriptions)),
        ("stretch", _stretch_words(cut)),
        ("nodata", "transparent" if cut.form.key == "png" else "black"),
        ("rows", f"{rows[0]} to {rows[1] - 1} of the product"),
        ("columns", f"{cols[0]} to {cols[1] - 1} of the product"),
        ("resampled", "cubic, to another coordinate system" if cut.image.warped else "no"),
        ("made by", f"geofuse {__version__}"),
    )
    return "".join(f"{name}: {text}\n" for name, text in said if text)


def _zipped(files: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return memory.getvalue()


def _attributes(cut: Cut) -> dict[str, object]:
    """Return what a CF file says of itself."""
    credit = cut.credit
    said = {
        "Conventions": "CF-1.8",
        "title": cut.spec.tags["TIFFTAG_IMAGEDESCRIPTION"],
        "attribution": cut.spec.tags.get("TIFFTAG_COPYRIGHT", ""),
        "license": credit.license,
        "references": credit.terms,
        "source": f"geofuse {__version__}",
        "time_coverage_start": credit.acquired,
    }
    return {name: text for name, text in said.items() if text}


def _band_attributes(cut: Cut, at: int) -> dict[str, object]:
    spec = cut.spec
    found: dict[str, object] = {"long_name": spec.descriptions[at], "grid_mapping": "spatial_ref"}
    scale, offset = spec.scales[at], spec.offsets[at]
    if (scale, offset) != (1.0, 0.0):
        found |= {"scale_factor": float(scale), "add_offset": float(offset)}
    return found


def _mapping(cut: Cut) -> dict[str, object]:
    """Return the attributes of the grid mapping: CF's own, and those that GDAL and rioxarray read."""
    from pyproj import CRS

    a, b, c, d, e, f = cut.spec.transform
    known = CRS(cut.spec.crs).to_cf()
    place = " ".join(repr(float(value)) for value in (c, a, b, f, d, e))
    plain = {name: value for name, value in known.items() if isinstance(value, str | float | int)}
    return {**plain, "crs_wkt": cut.spec.crs, "spatial_ref": cut.spec.crs, "GeoTransform": place}


def _axes(cut: Cut) -> dict[str, tuple[NDArray[Any], dict[str, str]]]:
    """Return the coordinates of pixel centres and what they are; a turned grid has pixel numbers."""
    from pyproj import CRS

    a, b, c, d, e, f = cut.spec.transform
    rows, cols = np.arange(cut.spec.height) + 0.5, np.arange(cut.spec.width) + 0.5
    if b or d:
        return {"y": (rows, {"long_name": "row"}), "x": (cols, {"long_name": "column"})}
    degrees = CRS(cut.spec.crs).is_geographic
    words = ("latitude", "longitude") if degrees else ("projection_y_coordinate", "projection_x_coordinate")
    units = ("degrees_north", "degrees_east") if degrees else ("m", "m")
    return {
        "y": (f + e * rows, {"standard_name": words[0], "units": units[0], "axis": "Y"}),
        "x": (c + a * cols, {"standard_name": words[1], "units": units[1], "axis": "X"}),
    }


def _variable(name: str) -> str:
    return f"band_{name}" if not name or name[0].isdigit() else name.replace(" ", "_").replace("/", "_")


def write_netcdf_clip(cut: Cut, out: Path, tell: TellPixels) -> None:
    """Write NetCDF 4: a variable for each band, stored values with scale, offset and fill."""
    try:
        import h5netcdf
    except ImportError as fault:
        raise ConfigError("NetCDF without h5netcdf", do="pip install 'geofuse[serve]'") from fault
    chunk = min(CHUNK_PX, cut.spec.height), min(CHUNK_PX, cut.spec.width)
    with replacing(out) as draft, write_faults(out), h5netcdf.File(draft, "w") as file:
        file.dimensions = {"y": cut.spec.height, "x": cut.spec.width}
        file.attrs.update(_attributes(cut))
        for name, (values, said) in _axes(cut).items():
            file.create_variable(name, (name,), data=values).attrs.update(said)
        file.create_variable("spatial_ref", (), data=np.int32(0)).attrs.update(_mapping(cut))
        kept = []
        for at, name in enumerate(cut.spec.descriptions):
            fill = None if cut.spec.nodata is None else np.dtype(cut.spec.dtype).type(cut.spec.nodata)
            variable = file.create_variable(
                _variable(name),
                ("y", "x"),
                cut.spec.dtype,
                fillvalue=fill,
                chunks=chunk,
                compression="gzip",
                compression_opts=4,
                shuffle=True,
            )
            variable.attrs.update(_band_attributes(cut, at))
            kept.append(variable)
        for (row, col), pixels in blocks(cut, tell):
            for variable, plane in zip(kept, pixels, strict=True):
                variable[row : row + plane.shape[0], col : col + plane.shape[1]] = plane


def write_zarr_clip(cut: Cut, out: Path, tell: TellPixels) -> None:
    """Write Zarr (format 2, which all readers know) in a zip: a variable for each band."""
    try:
        import zarr
        from numcodecs import Zstd
    except ImportError as fault:
        raise ConfigError("Zarr without zarr", do="pip install 'geofuse[serve]'") from fault
    with write_faults(out), tempfile.TemporaryDirectory(dir=out.parent, prefix=".clip-") as folder:
        root = zarr.create_group(zarr.storage.LocalStore(folder), zarr_format=2, attributes=_attributes(cut))
        for name, (values, said) in _axes(cut).items():
            _array(root, name, values, {"_ARRAY_DIMENSIONS": [name], **said})
        _array(root, "spatial_ref", np.zeros((), np.int32), {"_ARRAY_DIMENSIONS": [], **_mapping(cut)})
        kept = [_zarr_band(root, cut, at, Zstd(level=5)) for at in range(cut.spec.bands)]
        for (row, col), pixels in blocks(cut, tell, CHUNK_PX):
            for array, plane in zip(kept, pixels, strict=True):
                array[row : row + plane.shape[0], col : col + plane.shape[1]] = plane
        zarr.consolidate_metadata(zarr.storage.LocalStore(folder), zarr_format=2)
        with replacing(out) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
                archive.write(path, path.relative_to(folder).as_posix())


def _zarr_band(root: Any, cut: Cut, at: int, codec: Any) -> Any:
    spec = cut.spec
    return root.create_array(
        _variable(spec.descriptions[at]),
        shape=(spec.height, spec.width),
        dtype=spec.dtype,
        chunks=(CHUNK_PX, CHUNK_PX),
        compressors=codec,
        fill_value=None if spec.nodata is None else np.dtype(spec.dtype).type(spec.nodata),
        attributes={"_ARRAY_DIMENSIONS": ["y", "x"], **_band_attributes(cut, at)},
        config={"write_empty_chunks": True},
    )


def _array(root: Any, name: str, values: NDArray[Any], said: dict[str, object]) -> None:
    array = root.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=values.shape or (),
        compressors=None,
        attributes=said,
        config={"write_empty_chunks": True},
    )
    array[...] = values


_WRITERS: dict[str, Callable[[Cut, Path, TellPixels], None]] = {
    "cog": write_cog_clip,
    "gtiff": write_gtiff_clip,
    "jpeg": write_picture_clip,
    "png": write_picture_clip,
    "netcdf": write_netcdf_clip,
    "zarr": write_zarr_clip,
}
"""By format."""


def write_clip(cut: Cut, out: Path, tell: TellPixels) -> None:
    """Write a clip at `out`, whole or not at all; a picture's world file and notes lie beside it, or all in a zip.

    Raises WriteError, ChangedError where the product is replaced meanwhile, and whatever `tell` raises.
    """
    if not cut.pixels:
        raise AreaError("an empty area", wanted="at least one pixel")
    try:
        _WRITERS[cut.form.key](cut, out, tell)
    finally:
        close_handles()
