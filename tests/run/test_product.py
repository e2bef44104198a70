"""The product as an analyst meets it: values, nodata, georeferencing, companions; on a real and a simulated scene."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_validate
from scipy.ndimage import gaussian_filter, uniform_filter

from geofuse.cli import main
from geofuse.methods.table import METHODS
from geofuse.metrics.reference import ergas
from geofuse.quality.simulated_pair import SimulatedPair
from tests.conftest import CAMERA


def fuse(out: Path, *arguments: str) -> Path:
    """Fuse by the command line."""
    assert main(["fuse", *arguments, "--out", str(out), "--no-progress"]) == 0
    return out


def pixels(path: Path) -> NDArray[np.float64]:
    """Read a raster (B, H, W)."""
    with rasterio.open(path) as source:
        return source.read().astype(np.float64)


def files(pair: SimulatedPair) -> tuple[str, ...]:
    return "--pan", str(pair.pan), "--ms", str(pair.ms)


@pytest.fixture(scope="module")
def product(landsat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real scene fused with the defaults."""
    return fuse(tmp_path_factory.mktemp("landsat") / "sharp.tif", str(landsat))


def test_landsat_grid_bands_and_tags(product: Path, landsat: Path) -> None:
    with rasterio.open(product) as made, rasterio.open(next(landsat.glob("*_B8.TIF"))) as pan:
        assert made.crs.to_epsg() == 32616
        assert made.transform == pan.transform
        assert made.shape == pan.shape == (1207, 1254)
        assert made.res == (15.0, 15.0)
        assert made.dtypes == ("uint16",) * 4
        assert made.nodata == 0
        assert made.descriptions == ("blue", "green", "red", "nir")
        assert [color.name for color in made.colorinterp[:3]] == ["blue", "green", "red"]
        assert made.scales == (2e-5,) * 4
        assert made.offsets == (-0.1,) * 4
        assert made.block_shapes == [(512, 512)] * 4
        assert made.overviews(1) == [2, 4]
        assert "U.S. Geological Survey" in made.tags()["TIFFTAG_COPYRIGHT"]
    valid, errors, warnings = cog_validate(product, strict=True)
    assert (valid, errors, warnings) == (True, [], [])


def test_landsat_record_names_every_input_and_the_radiometry(product: Path) -> None:
    record = json.loads(product.with_suffix(".json").read_text())
    names = sorted(Path(item["path"]).name[-8:] for item in record["inputs"])
    assert names == ["_B2.TIF", "_B3.TIF", "_B4.TIF", "_B5.TIF", "_B8.TIF", "_BQA.TIF"] or len(names) == 6
    assert all(len(item["sha256"]) == 64 for item in record["inputs"])
    assert record["radiometry"]["bands"][0]["gain"] == 2e-5
    assert record["radiometry"]["bands"][0]["pedestal_dn"] == pytest.approx(5000.0)
    tried = record["calibration"]["hold_out"]
    assert record["method"]["name"] == min(tried, key=lambda name: tried[name]["ergas"])
    assert product.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_landsat_mask_holds_cloud_and_nodata_on_the_pan_grid(product: Path, landsat: Path) -> None:
    mask_file = product.with_suffix(".mask.tif")
    assert cog_validate(mask_file, strict=True)[0]
    mask = pixels(mask_file)[0].astype(np.uint8)
    with rasterio.open(next(landsat.glob("*_BQA.TIF"))) as source:
        quality = source.read(1)
    rows = np.minimum(np.floor(0.5 * np.arange(1207)).astype(int), 602)
    cols = np.minimum(np.floor(0.5 * np.arange(1254)).astype(int), 626)
    cloud = ((quality >> 14) & 3) == 3
    assert ((mask & 4) > 0).any()
    np.testing.assert_array_equal((mask & 4) > 0, cloud[np.ix_(rows, cols)])
    np.testing.assert_array_equal((mask & 1) > 0, (pixels(product) == 0).all(axis=0))


@pytest.mark.parametrize("method", ["gsa", "mtf-glp-hpm-r"])
def test_landsat_agrees_with_its_input_and_has_pans_detail(
    landsat: Path, tmp_path: Path, method: str
) -> None:
    """Without back-projection, which brings in what the bands alone hold: NIR's own detail most of all."""
    words = ("--method", method, "--back-projections", "0")
    made = pixels(fuse(tmp_path / "x.tif", str(landsat), *words))
    bands = np.stack([pixels(next(landsat.glob(f"*_B{number}.TIF")))[0] for number in (2, 3, 4, 5)])
    pan = pixels(next(landsat.glob("*_B8.TIF")))[0]
    # MS pixel (r, c) covers PAN rows 2r-1/2 .. 2r+5/2 by area: half, whole, half of three PAN pixels
    weights = np.array([0.25, 0.5, 0.25])
    inner = made[:, : 2 * 602 + 1, : 2 * 626 + 1]
    down = sum(w * inner[:, k : k + 2 * 601 + 1 : 2] for k, w in enumerate(weights))
    down = sum(w * down[:, :, k : k + 2 * 625 + 1 : 2] for k, w in enumerate(weights))
    want = bands[:, : down.shape[1], : down.shape[2]]
    bias = down.mean(axis=(1, 2)) / want.mean(axis=(1, 2)) - 1.0
    assert np.abs(bias).max() < 0.005
    assert ergas(want, down, ratio=2.0) < 1.5
    mean = made.mean(axis=0)
    high, high_pan = (
        image - gaussian_filter(image, 2.0) for image in (mean, pan[: mean.shape[0], : mean.shape[1]])
    )
    assert np.corrcoef(high.ravel(), high_pan.ravel())[0, 1] > 0.8


def test_bands_come_in_the_order_asked(landsat: Path, tmp_path: Path) -> None:
    words = ("--method", "brovey", "--level", "1", "--no-calibrate")
    whole = pixels(fuse(tmp_path / "a.tif", str(landsat), *words, "--bands", "red,green,blue"))
    other = pixels(fuse(tmp_path / "b.tif", str(landsat), *words, "--bands", "B2,B4,3"))
    assert np.abs(whole[[2, 0, 1]] - other).max() <= 1.0, "the intensity is summed in another order"


def test_a_window_lies_on_the_scenes_own_grid(landsat: Path, tmp_path: Path) -> None:
    """exp needs no statistics: the window's pixels are those of the whole."""
    words = ("--method", "exp", "--no-calibrate")
    whole = pixels(fuse(tmp_path / "a.tif", str(landsat), *words))
    out = fuse(tmp_path / "b.tif", str(landsat), *words, "--window", "960", "2", "244", "838")
    np.testing.assert_array_equal(pixels(out), whole[:, 960:1204, 2:840])
    with rasterio.open(tmp_path / "a.tif") as large, rasterio.open(out) as small:
        assert small.transform == large.window_transform(((960, 1204), (2, 840)))


def test_an_area_and_a_box_give_the_same_product(landsat: Path, tmp_path: Path) -> None:
    import geopandas
    from shapely.geometry import box

    with rasterio.open(next(landsat.glob("*_B8.TIF"))) as pan:
        left, top = pan.transform * (300, 400)
        right, bottom = pan.transform * (700, 900)
        crs = pan.crs
    area = tmp_path / "area.gpkg"
    geopandas.GeoDataFrame(geometry=[box(left, bottom, right, top)], crs=crs).to_file(area)
    made = fuse(tmp_path / "a.tif", str(landsat), "--aoi", str(area), "--method", "gsa")
    asked = fuse(tmp_path / "b.tif", str(landsat), "--window", "400", "300", "500", "400", "--method", "gsa")
    np.testing.assert_array_equal(pixels(made), pixels(asked))


@pytest.mark.parametrize(
    ("method", "words"),
    [
        *((method, ("--no-calibrate",)) for method in METHODS),
        *((method, ()) for method in ("exp", "gsa", "ridge")),
        ("mtf-glp-hpm-r", ("--shift", "0.3", "-0.2", "--back-projections", "5")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value) or "calibrated",
)
def test_no_rim_and_no_leak_at_a_slanted_border(
    pair: SimulatedPair, truth: NDArray[np.float32], tmp_path: Path, method: str, words: tuple[str, ...]
) -> None:
    made = pixels(fuse(tmp_path / "x.tif", *files(pair), "--method", method, "--level", "1", *words))
    pan_valid, ms_valid = pixels(pair.pan)[0] > 0, (pixels(pair.ms) > 0).all(axis=0)
    want = pan_valid & np.kron(ms_valid, np.ones((4, 4), bool))
    np.testing.assert_array_equal((made > 0).all(axis=0), want)
    np.testing.assert_array_equal((made > 0).any(axis=0), want)
    inside = uniform_filter(want.astype(np.float64), 17, mode="constant") > 0.999
    rim = want & ~inside
    # the image's own edge is no border: look at the slanted one
    rim[:8], rim[-8:], rim[:, :8], rim[:, -8:] = False, False, False, False
    at_rim = ergas(truth, made, ratio=CAMERA.ratio, valid=rim)
    at_core = ergas(truth, made, ratio=CAMERA.ratio, valid=inside)
    assert at_rim <= 1.2 * at_core


@pytest.fixture(scope="module")
def upsampled(pair: SimulatedPair, tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float64]:
    """The simulated pair's MS, upsampled without a look at PAN."""
    out = tmp_path_factory.mktemp("exp") / "x.tif"
    return pixels(fuse(out, *files(pair), "--method", "exp", "--level", "1", "--no-calibrate"))


@pytest.mark.parametrize("words", [("--no-calibrate",), ()], ids=["plain", "calibrated"])
@pytest.mark.parametrize("method", ["gsa", "mtf-glp-hpm-r"])
def test_fusion_beats_upsampling(
    pair: SimulatedPair,
    truth: NDArray[np.float32],
    upsampled: NDArray[np.float64],
    tmp_path: Path,
    method: str,
    words: tuple[str, ...],
) -> None:
    exp = upsampled
    made = pixels(fuse(tmp_path / "x.tif", *files(pair), "--method", method, "--level", "1", *words))
    valid = (made > 0).all(axis=0)
    assert ergas(truth, made, ratio=4.0, valid=valid) < 0.75 * ergas(truth, exp, ratio=4.0, valid=valid)
