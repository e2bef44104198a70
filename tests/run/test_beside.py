"""What other tools leave in and beside rasters: masks, nodata, scales, names, bit depths, alpha that is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from geofuse.cli import main
from geofuse.methods import table
from geofuse.rasters.datasets import inspect
from geofuse.rasters.validity import good

SIDE = 64


def put(path: Path, values: NDArray, px: float, dtype: str = "uint16", **told: object) -> Path:
    """Write bands (B, h, w) as another tool would."""
    mask, names = told.pop("mask", None), told.pop("names", None)
    shape = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": dtype}
    place = {"crs": "EPSG:32633", "transform": Affine(px, 0, 400000, 0, -px, 5800000)}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
        rasterio.open(path, "w", driver="GTiff", **shape, **place, **told) as file,
    ):
        file.write(values.astype(dtype))
        for number, name in enumerate(names or (), 1):
            file.set_band_description(number, name)
        if mask is not None:
            file.write_mask(mask)
    return path


def landscape(top: float = 3000.0) -> tuple[NDArray, NDArray]:
    """PAN (1, 4 n, 4 n) and MS (4, n, n) of one place, edges and texture, up to `top` and over."""
    rng = np.random.default_rng(4)
    blocks = np.kron(rng.uniform(0.1, 1.1, (4, 16, 16)), np.ones((16, 16)))
    fine = np.clip((blocks + 0.05 * rng.normal(size=blocks.shape)) * top, 1.0, top)
    coarse = fine.reshape(4, SIDE, 4, SIDE, 4).mean((2, 4))
    return fine.mean(0, keepdims=True), coarse


@dataclass(frozen=True, slots=True)
class Told:
    """What a product says of itself."""

    descriptions: tuple[str | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    tags: dict[str, str]


def fuse(folder: Path, *more: str) -> tuple[NDArray, NDArray, Told]:
    words = [
        "fuse",
        "--pan",
        folder / "p.tif",
        "--ms",
        folder / "m.tif",
        "--out",
        folder / "o.tif",
        "--overwrite",
    ]
    assert main([*map(str, words), "--no-calibrate", "--no-progress", *more]) == 0
    with rasterio.open(folder / "o.tif") as file:
        told = Told(file.descriptions, file.scales, file.offsets, file.tags())
        return file.read(), file.dataset_mask() > 0, told


@pytest.mark.parametrize("which", ["p.tif", "m.tif"])
def test_a_mask_beside_a_raster_masks(which: str, tmp_path: Path) -> None:
    pan, ms = landscape()
    for name, values, px in (("p.tif", pan, 0.5), ("m.tif", ms, 2.0)):
        mask = np.full(values.shape[1:], 255, np.uint8)
        mask[: len(mask) // 8] = 0
        put(tmp_path / name, values, px, mask=mask if name == which else None)
    assert (tmp_path / f"{which}.msk").is_file()
    _, valid, _ = fuse(tmp_path, "--method", "gsa")
    assert not valid[: 4 * SIDE // 8].any()
    assert valid[4 * SIDE // 8 :].all()


def test_a_mask_of_another_raster_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pan, ms = landscape()
    put(tmp_path / "p.tif", pan, 0.5)
    put(tmp_path / "m.tif", ms, 2.0)
    put(tmp_path / "other.tif", ms[:1, :40], 2.0, "uint8").rename(tmp_path / "m.tif.msk")
    words = ["fuse", "--pan", tmp_path / "p.tif", "--ms", tmp_path / "m.tif", "--out", tmp_path / "o.tif"]
    assert main([*map(str, words), "--no-calibrate"]) == 2
    said = capsys.readouterr().err
    assert "a mask of 1 bands of 40 x 64 pixels; wanted one band of 64 x 64" in said
    assert said.count("\n") == 1


def test_nodata_scale_names_and_place_beside_a_raster(tmp_path: Path) -> None:
    pan, ms = landscape()
    ms[:, :8] = 0
    put(tmp_path / "p.tif", pan, 0.5)
    put(tmp_path / "m.tif", ms, 7.0)  # a place that the .aux.xml mends
    names = ("blue", "green", "red", "nir")
    bands = "".join(
        f'<PAMRasterBand band="{number}"><Description>{name}</Description><NoDataValue>0</NoDataValue>'
        "<Offset>-0.1</Offset><Scale>0.0001</Scale></PAMRasterBand>"
        for number, name in enumerate(names, 1)
    )
    wkt = escape(rasterio.CRS.from_epsg(32633).to_wkt())
    place = f"<SRS>{wkt}</SRS><GeoTransform>400000, 2, 0, 5800000, 0, -2</GeoTransform>"
    (tmp_path / "m.tif.aux.xml").write_text(f"<PAMDataset>{place}{bands}</PAMDataset>")
    _, valid, told = fuse(tmp_path, "--method", "gsa")
    assert not valid[:32].any()
    assert valid[32:].all()
    assert told.descriptions == names
    assert set(told.scales) == {0.0001}
    assert set(told.offsets) == {-0.1}


@pytest.mark.parametrize("bits", [10, 11, 12, 15])
def test_no_method_goes_beyond_the_detectors_bits(bits: int, tmp_path: Path) -> None:
    top = 2**bits - 1
    pan, ms = landscape(1.2 * top)
    put(tmp_path / "p.tif", np.clip(pan, 0, top), 0.5, NBITS=bits)
    put(tmp_path / "m.tif", np.clip(ms, 0, top), 2.0, NBITS=bits)
    closed = [row.name for row in table.rows() if not row.name.startswith("pan-gan")]
    methods = closed if bits == 11 else ("gsa", "sfim")
    for method in methods:
        pixels, _, told = fuse(tmp_path, "--method", method)
        assert pixels.max() <= top, method
        assert told.tags["NBITS"] == str(bits)
    (tmp_path / "o.tif").rename(tmp_path / "m2.tif")  # a product says it to who uses it next
    assert inspect(str(tmp_path / "m2.tif")).bits == bits


@pytest.mark.parametrize("kind", ["nir", "mask", "soft mask"])
def test_alpha_is_told_by_its_values(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pan, ms = landscape(255.0)
    if kind == "nir":
        ms[3, 30:40, 30:40] = 0  # a lake
    else:
        ms[3] = 255
        ms[3, :16] = 0
        if kind == "soft mask":
            ms[3, 16, ::2] = 128
    put(tmp_path / "p.tif", pan, 0.5, "uint8")
    put(tmp_path / "m.tif", ms, 2.0, "uint8")
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.colorinterp[3] == ColorInterp.alpha  # as GDAL writes it unless told otherwise
    pixels, valid, _ = fuse(tmp_path, "--method", "gsa")
    said = capsys.readouterr()
    if kind == "nir":
        assert len(pixels) == 4
        assert valid.all()
        assert "tagged alpha and holds many values" in said.err + said.out
    else:
        assert len(pixels) == 3
        assert not valid[:60].any()
        assert "gdal_edit.py -colorinterp_4 undefined" in said.err + said.out


@pytest.mark.parametrize(
    "names", [("B02", "B03", "B04", "B08"), ("Band 1", "x", "y", "z"), ("Blue", "Green", "Red", "NIR")]
)
def test_names_of_bands_are_kept(names: tuple[str, ...], tmp_path: Path) -> None:
    pan, ms = landscape()
    put(tmp_path / "p.tif", pan, 0.5)
    put(tmp_path / "m.tif", ms, 2.0, names=names)
    _, _, told = fuse(tmp_path, "--method", "gsa")
    known = ("blue", "green", "red", "nir")
    assert told.descriptions == (known if names[0] == "Blue" else names)


TAGS = st.sampled_from(
    [-9999.0, -9999.1, -32768.0, 1e-5, 0.0, 255.0, -3.4028234663852886e38, 1e20, 9.96921e36]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    fill=TAGS,
    dtype=st.sampled_from(["float32", "float64"]),
    habit=st.sampled_from(["float32", "six", "g", "exact"]),
)
def test_a_tag_is_the_fill_up_to_its_rounding(fill: float, dtype: str, habit: str) -> None:
    """GDAL rounds a fill to single precision, ArcGIS and tools of text write it shorter."""
    stored = np.dtype(dtype).type(np.float32(fill) if habit == "float32" else fill)
    tag = {"float32": fill, "six": float(f"{fill:.5e}"), "g": float(f"{fill:.8g}"), "exact": float(stored)}[
        habit
    ]
    if habit == "six" and abs(fill) < 1e30 and tag != fill:
        return  # a short text of a number that measurements may have is another number
    plane = np.array([stored, 1.5, -7.25], dtype)
    assert good(plane, tag).tolist() == [False, True, True]


@pytest.mark.parametrize("fill", [-3.4028234663852886e38, 1.7e38, 9.96921e36, np.inf, -np.inf, np.nan])
def test_an_enormous_fill_needs_no_tag(fill: float) -> None:
    assert good(np.array([fill, 0.25, 1e20], np.float32), None).tolist() == [False, True, True]
