"""A piece cut out is the product's own pixels, in every form; reprojected only where asked; rights are heeded."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import geopandas
import h5py
import numpy as np
import pytest
import rasterio
import scenery
import shapely
from rasterio.vrt import WarpedVRT

from geofuse.cli import main
from geofuse.clips.clip import Credit, Wish, blocks, parsed_ranges, plan_clip
from geofuse.clips.clip_files import write_clip
from geofuse.clips.clip_items import product_of
from geofuse.errors import AccessError, AreaError, BandError, UsageError, VerifyError
from geofuse.rasters.cog import make_spec, validate_cog, write_cog

NAMES = ("blue", "green", "red", "nir")
WINDOW = (30, 41, 600, 555)
CREDIT = Credit("scene", "a scene", "(c) somebody", "other", "https://terms.example", "2024-05-12T10:05:00Z")


def silent(done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture(scope="module", params=["uint16", "int32", "float32"])
def product(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COG of 700 x 650 pixels with scale, offset and a corner of nodata."""
    rng = np.random.default_rng(5)
    floating = request.param == "float32"
    pixels = (200.0 + 3000.0 * scenery.landscape(rng, 4, 704)[:, :700, :650]).astype(request.param)
    pixels[:, :90, :120] = -9999 if floating else 0
    spec = make_spec(
        height=700,
        width=650,
        bands=4,
        dtype=request.param,
        nodata=-9999.0 if floating else 0.0,
        crs=rasterio.CRS.from_epsg(32632).to_wkt(),
        transform=(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_400_000.0),
        descriptions=NAMES,
        colors=("blue", "green", "red", "nir"),
        scales=(2e-5,) * 4,
        offsets=(-0.1,) * 4,
    )
    out = tmp_path_factory.mktemp(request.param) / "product.tif"
    write_cog(out, np.ascontiguousarray(np.moveaxis(pixels, 0, 2)), spec)
    return out


def wanted(product: Path, bands: list[int]) -> np.ndarray:
    row, col, height, width = WINDOW
    with rasterio.open(product) as file:
        return file.read(bands, window=((row, row + height), (col, col + width)))


def cut(product: Path, out: Path, **wish: Any) -> Path:
    decided = plan_clip(product, NAMES, Wish(**{"window": WINDOW, **wish}), CREDIT)
    write_clip(decided, out, silent)
    return out


@pytest.mark.parametrize("form", ["cog", "gtiff"])
def test_geotiffs_hold_the_products_own_pixels(product: Path, tmp_path: Path, form: str) -> None:
    out = cut(product, tmp_path / "clip.tif", form=form, bands=("red", "nir", "blue"))
    with rasterio.open(out) as file, rasterio.open(product) as whole:
        assert (file.read() == wanted(product, [3, 4, 1])).all()
        row, col, height, width = WINDOW
        assert file.transform == whole.window_transform(((row, row + height), (col, col + width)))
        assert (file.crs, file.nodata, file.dtypes[0]) == (whole.crs, whole.nodata, whole.dtypes[0])
        assert file.descriptions == ("red", "nir", "blue")
        assert (file.scales, file.offsets) == ((2e-5,) * 3, (-0.1,) * 3)
        assert file.tags()["TIFFTAG_COPYRIGHT"] == "(c) somebody"
        assert bool(file.overviews(1)) == (form == "cog")
    if form == "cog":
        assert validate_cog(str(out)) == []


def test_netcdf_and_zarr_hold_them_too(product: Path, tmp_path: Path) -> None:
    import rioxarray
    import xarray
    import zarr

    assert rioxarray
    files = cut(product, tmp_path / "c.nc", form="netcdf"), cut(product, tmp_path / "c.zip", form="zarr")
    with h5py.File(files[0]) as file:
        assert (file["red"][:] == wanted(product, [3])[0]).all()
        assert file["red"].attrs["_FillValue"][0] == (-9999 if "float" in str(file["red"].dtype) else 0)
    store = zarr.storage.ZipStore(files[1], mode="r")
    opened = (
        xarray.open_dataset(files[0], decode_coords="all", mask_and_scale=False),
        xarray.open_zarr(store, decode_coords="all", mask_and_scale=False),
    )
    row, col, _, _ = WINDOW
    for found in opened:
        assert found.rio.crs.to_epsg() == 32632
        assert list(found.rio.transform())[:6] == [10, 0, 500_000 + 10 * col, 0, -10, 5_400_000 - 10 * row]
        assert found.attrs["attribution"] == "(c) somebody"
        for at, name in enumerate(NAMES, 1):
            assert (found[name].to_numpy() == wanted(product, [at])[0]).all()
            assert (found[name].attrs["scale_factor"], found[name].attrs["add_offset"]) == (2e-5, -0.1)
        found.close()
    physical = xarray.open_dataset(files[0])["red"].to_numpy()
    stored = wanted(product, [3])[0]
    hole = stored == (-9999 if stored.dtype.kind == "f" else 0)
    assert np.isnan(physical[hole]).all()
    assert physical[~hole] == pytest.approx(stored[~hole] * 2e-5 - 0.1)


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_pictures_lie_where_they_should_and_say_their_stretch(
    product: Path, tmp_path: Path, form: str
) -> None:
    suffix = {"jpeg": ".jpg", "png": ".png"}[form]
    ranges = ((500.0, 2500.0),)
    out = cut(product, tmp_path / f"clip{suffix}", form=form, ranges=ranges, gamma=2.0)
    stored = wanted(product, [3, 2, 1]).astype(float)
    shown = np.round(255 * np.clip((stored - 500) / 2000, 0, 1) ** 0.5)
    with rasterio.open(out) as file:  # the world file gives the place, the .aux.xml the coordinate system
        row, col, _, _ = WINDOW
        assert list(file.transform)[:6] == [10, 0, 500_000 + 10 * col, 0, -10, 5_400_000 - 10 * row]
        assert file.crs.to_epsg() == 32632
        got = file.read()
    hole = (stored == stored.min()).all(axis=0) & ((stored <= 0).all(axis=0))
    assert hole.any()
    off = np.abs(got[:3].astype(float) - shown)[:, ~hole]
    assert off.mean() < (0.6 if form == "png" else 3.0)
    if form == "png":
        assert (got[3] == np.where(hole, 0, 255)).all()
    note = (tmp_path / "clip.txt").read_text()
    assert "stretch to 0..255: red 500 to 2500, green 500 to 2500, blue 500 to 2500, gamma 2" in note
    assert "credit: (c) somebody" in note
    together = cut(product, tmp_path / "all.zip", form=form)
    names = zipfile.ZipFile(together).namelist()
    assert {Path(name).suffix for name in names} == {
        suffix,
        ".xml",
        ".txt",
        ".jgw" if form == "jpeg" else ".pgw",
    }


def test_reprojected_where_asked(product: Path, tmp_path: Path) -> None:
    out = cut(product, tmp_path / "clip.tif", crs="EPSG:3035")
    with rasterio.open(out) as file, rasterio.open(product) as whole:
        assert file.crs.to_epsg() == 3035
        got, inside = file.read(), file.dataset_mask() > 0
        with WarpedVRT(
            whole,
            crs=file.crs,
            transform=file.transform,
            width=file.width,
            height=file.height,
            resampling=rasterio.enums.Resampling.cubic,
        ) as peer:
            there, seen = peer.read(), peer.dataset_mask() > 0
    both = inside & seen
    deep = np.zeros_like(both)
    deep[3:-3, 3:-3] = np.lib.stride_tricks.sliding_window_view(both, (7, 7)).all(axis=(2, 3))
    assert deep.mean() > 0.4
    spread = there[:, deep].astype(float).std()
    assert np.abs(got[:, deep].astype(float) - there[:, deep]).mean() < 0.01 * spread
    assert (inside == seen).mean() > 0.99


def test_areas_of_every_kind_give_whole_pixels(product: Path, tmp_path: Path) -> None:
    inner = shapely.box(501_005.0, 5_396_005.0, 503_004.0, 5_398_003.0)
    lonlat = geopandas.GeoSeries([inner], crs=32632).to_crs(4326)
    path = tmp_path / "field.geojson"
    geopandas.GeoDataFrame(geometry=[inner], crs=32632).to_crs(4326).to_file(path)
    geometry = json.loads(shapely.to_geojson(lonlat[0]))
    by_file = plan_clip(product, NAMES, Wish(aoi=str(path)), CREDIT)
    by_value = plan_clip(product, NAMES, Wish(geometry=geometry), CREDIT)
    assert by_file.native == by_value.native
    row0, row1, col0, col1 = by_file.native
    assert abs(row0 - 200) <= 1
    assert abs(row1 - 400) <= 1
    assert abs(col0 - 100) <= 1
    assert abs(col1 - 300) <= 1
    whole = plan_clip(product, NAMES, Wish(), CREDIT)
    assert whole.native == (0, 700, 0, 650)
    sizes = [pixels.shape for _, pixels in blocks(whole, silent)]
    assert sum(height * width for _, height, width in sizes) == 700 * 650


@pytest.mark.parametrize(
    ("wish", "fault"),
    [
        ({"form": "bmp"}, UsageError),
        ({"bands": ("pan",)}, BandError),
        ({"bands": ("red", "red")}, BandError),
        ({"form": "png", "bands": ("red", "blue")}, BandError),
        ({"crs": "EPSG:99999"}, UsageError),
        ({"crs": "+proj=utm"}, UsageError),
        ({"crs": "EPSG:4978"}, UsageError),
        ({"form": "png", "ranges": ((5.0, 1.0),)}, UsageError),
        ({"window": (0, 0, 0, 5)}, AreaError),
        ({"window": (900, 0, 5, 5)}, AreaError),
    ],
)
def test_what_cannot_be_cut(product: Path, wish: dict[str, Any], fault: type[Exception]) -> None:
    if product.parent.name.startswith("uint16"):
        with pytest.raises(fault):
            plan_clip(product, NAMES, Wish(**{"window": WINDOW, **wish}), CREDIT)


def test_stopped_it_leaves_nothing(product: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done:
            raise Stop

    for form, name in (("cog", "a.tif"), ("gtiff", "b.tif"), ("netcdf", "c.nc"), ("zarr", "d.zip")):
        decided = plan_clip(product, NAMES, Wish(form=form), CREDIT)
        with pytest.raises(Stop):
            write_clip(decided, tmp_path / name, stop)
    assert list(tmp_path.iterdir()) == []


def test_ranges_are_read() -> None:
    assert parsed_ranges("0,1;2,3") == ((0.0, 1.0), (2.0, 3.0))
    with pytest.raises(UsageError):
        parsed_ranges("1,0")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue with an open and a view-only item."""
    folder = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(11)
    fine = (200.0 + 3000.0 * scenery.landscape(rng, 4, 96)).astype("uint16")
    coarse = scenery.averaged(fine.astype("float64"), 4).astype("uint16")
    pan = scenery.write(folder / "pan.tif", fine[:1], scenery.north_up(10.0), nodata=0)
    ms = scenery.write(folder / "ms.tif", coarse, scenery.north_up(40.0), nodata=0)
    out = scenery.fuse(folder / "x.tif", pan, ms, "--method", "exp", "--no-calibrate")
    for name, access in (("free", "open"), ("shown", "view-only")):
        arguments = ["publish", out, "--catalog", folder / "c", "--id", name, "--access", access]
        more = ["--acquired", "2024-05-12", "--attribution", "(c) example"]
        assert main([*map(str, arguments), *more]) == 0
    return folder


def test_the_command(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "part.tif"
    command = [sys.executable, "-m", "geofuse.cli", "clip", "free", "--catalog", str(archive / "c"), "--json"]
    arguments = ["--window", "8", "9", "40", "30", "--out", str(out), "--bands", "3,1"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert (said["window"], said["resampled"], said["attribution"]) == ([8, 9, 40, 30], False, "(c) example")
    with rasterio.open(archive / "x.tif") as whole, rasterio.open(out) as part:
        assert (part.read() == whole.read([3, 1], window=((8, 48), (9, 39)))).all()
        assert part.tags()["TIFFTAG_COPYRIGHT"] == "(c) example"
    assert main(["clip", str(archive / "x.tif"), "--out", str(out)]) == 2  # there already
    assert main(["clip", str(archive / "x.tif"), "--out", str(tmp_path / "x.xyz")]) == 2
    item = archive / "c" / "generic" / "free" / "free.json"
    assert main(["clip", str(item), "--out", str(tmp_path / "whole.tif"), "--no-progress"]) == 0
    with rasterio.open(archive / "x.tif") as whole, rasterio.open(tmp_path / "whole.tif") as part:
        assert (part.read() == whole.read()).all()


def test_the_command_heeds_rights_and_damage(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(AccessError):
        product_of("shown", archive / "c", licensed=False)
    path, names, credit = product_of("shown", archive / "c", licensed=True)
    assert (credit.attribution, len(names)) == ("(c) example", 4)
    assert main(["clip", "shown", "--catalog", str(archive / "c"), "--out", str(tmp_path / "a.tif")]) == 2
    data = path.read_bytes()
    try:
        path.write_bytes(data[:-9] + b"x" + data[-8:])
        with pytest.raises(VerifyError):
            product_of("shown", archive / "c", licensed=True)
    finally:
        path.write_bytes(data)
    with pytest.raises(UsageError):
        product_of("nothing", None, licensed=False)
    with pytest.raises(UsageError):
        product_of(str(archive / "c" / "catalog.json"), None, licensed=False)
