"""`geofuse assess`: the same numbers as on whole arrays, whatever the tiles; what it is told apart; planted faults."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy import ndimage

from geofuse.cli import main
from geofuse.errors import BandError, GeorefError
from geofuse.geometry import cubic_taps, gaussian_taps
from geofuse.landscape.camera import camera_axes
from geofuse.methods.resampling import resampled
from geofuse.metrics import reference as metrics
from geofuse.metrics.rows import BUILT_IN
from geofuse.quality.assess import assess, assess_subject, cell_px
from geofuse.quality.assessment.subject import comparable, open_subject
from geofuse.quality.assessment.values import Assessment
from geofuse.quality.simulated_pair import SimulatedPair, open_simulated, write_pair
from geofuse.run.executors import Serial, Threads
from tests.conftest import CAMERA
from tests.run.scenery import CORNER, UTM, fuse, north_up, pixels, write

SIZE = (576, 544)
GAIN = CAMERA.mtf_gains[0]


def made(
    folder: Path, truth: np.ndarray, size: tuple[int, int], *, slant_deg: float
) -> tuple[SimulatedPair, Path]:
    """A simulated pair and its product, made by the closed form with the sensor table's figures."""
    part = np.ascontiguousarray(truth[:, 400 : 400 + size[0], 300 : 300 + size[1]])
    pair = write_pair(folder, part, CAMERA, slant_deg=slant_deg, seed=5)
    options = ("--method", "mtf-glp-hpm-r", "--no-calibrate", "--overwrite")
    return pair, fuse(folder / "fused.tif", pair.pan, pair.ms, *options)


@pytest.fixture(scope="module")
def whole(truth: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulatedPair, Path]:
    """Every pixel is valid."""
    return made(tmp_path_factory.mktemp("whole"), truth, SIZE, slant_deg=0.0)


@pytest.fixture(scope="module")
def slanted(truth: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulatedPair, Path]:
    """With a slanted border of nodata."""
    return made(tmp_path_factory.mktemp("slanted"), truth, (384, 352), slant_deg=8.0)


@pytest.fixture(scope="module")
def values(whole: tuple[SimulatedPair, Path]) -> dict[str, Any]:
    """The assessment of the whole one against its truth."""
    pair, fused = whole
    return assess(fused, open_simulated(pair), reference=pair.truth).values


@pytest.fixture(scope="module")
def bordered(slanted: tuple[SimulatedPair, Path]) -> Assessment:
    """The assessment of the slanted one against its truth."""
    pair, fused = slanted
    return assess(fused, open_simulated(pair), reference=pair.truth)


@pytest.fixture(scope="module")
def arrays(whole: tuple[SimulatedPair, Path]) -> dict[str, np.ndarray]:
    """The images as plain arrays, and U and D(F) by another road than the product's."""
    pair, fused = whole
    axes = camera_axes(CAMERA)
    found = {
        "fused": pixels(fused),
        "truth": pixels(pair.truth),
        "pan": pixels(pair.pan),
        "ms": pixels(pair.ms),
    }
    found = {name: image.astype(np.float64) for name, image in found.items()}
    found["up"] = resampled(found["ms"], cubic_taps(axes[0], 0, SIZE[0]), cubic_taps(axes[1], 0, SIZE[1]))
    coarse = found["ms"].shape
    found["down"] = resampled(
        found["fused"], gaussian_taps(axes[0], GAIN, 0, coarse[1]), gaussian_taps(axes[1], GAIN, 0, coarse[2])
    )
    return found


# --- the numbers ----------------------------------------------------------------------------------------------


def test_with_a_reference_the_numbers_are_those_of_whole_arrays(
    values: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    truth, fused = arrays["truth"], arrays["fused"]
    wanted = {
        "sam": metrics.sam(truth, fused),
        "ergas": metrics.ergas(truth, fused, ratio=4.0),
        "q": metrics.q(truth, fused),
        "q2n": metrics.q2n(truth, fused),
        "scc": metrics.scc(truth, fused),
        "psnr": metrics.psnr(truth, fused),
        "ssim": metrics.ssim(truth, fused),
    }
    assert {key: values[key] for key in wanted} == pytest.approx(wanted, rel=1e-6)


def test_without_a_reference_the_numbers_are_those_of_whole_arrays(
    values: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    fused, up, pan = arrays["fused"], arrays["up"], arrays["pan"]
    axes, pad = camera_axes(CAMERA), 64
    wide = np.pad(pan, ((0, 0), (pad, pad), (pad, pad)), mode="symmetric")
    shape = (arrays["ms"].shape[1] + pad // 2, arrays["ms"].shape[2] + pad // 2)
    low = metrics.pan_low(wide, axis_y=axes[0], axis_x=axes[1], coarse_shape=shape)[:, pad:-pad, pad:-pad]
    sigma = 4.0 * math.sqrt(-2.0 * math.log(GAIN)) / math.pi
    blurred = np.stack([ndimage.gaussian_filter(band, sigma, mode="reflect") for band in fused])
    wanted = {
        "d_lambda": metrics.d_lambda(fused, up),
        "d_s": metrics.d_s(fused, pan, upsampled=up, pan_low=low),
        "d_rho": metrics.d_rho(fused, pan, ratio=4.0),
    }
    assert {key: values[key] for key in wanted} == pytest.approx(wanted, rel=1e-4)
    assert values["d_lambda_k"] == pytest.approx(metrics.d_lambda_k(blurred, up), abs=2e-4)
    assert values["qnr"] == pytest.approx((1.0 - values["d_lambda"]) * (1.0 - values["d_s"]))
    assert values["hqnr"] == pytest.approx((1.0 - values["d_lambda_k"]) * (1.0 - values["d_s"]))


def test_consistency_is_that_of_the_product_degraded_by_another_road(
    whole: tuple[SimulatedPair, Path], values: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    pair, fused = whole
    row0, row1, col0, col1 = comparable(open_subject(fused, open_simulated(pair)))
    assert (row0, row1, col0, col1) == (1, SIZE[0] // 4 - 1, 1, SIZE[1] // 4 - 1)
    part = (slice(None), slice(row0, row1), slice(col0, col1))
    ms, down = arrays["ms"][part], arrays["down"][part]
    assert values["r_sam"] == pytest.approx(metrics.sam(ms, down), rel=1e-3)
    assert values["r_ergas"] == pytest.approx(metrics.ergas(ms, down, ratio=4.0), rel=1e-3)
    assert values["r_q2n"] == pytest.approx(metrics.q2n(ms, down), rel=1e-4)
    rmse = np.sqrt(((down - ms) ** 2).mean(axis=(1, 2)))
    for at, band in enumerate(values["per_band"].values()):
        assert band["r_rmse"] == pytest.approx(rmse[at], rel=2e-3)
        assert band["r_bias"] == pytest.approx((down - ms)[at].mean(), abs=2e-2)
    nir, red = ms[3], ms[2]
    index, other = (nir - red) / (nir + red), (down[3] - down[2]) / (down[3] + down[2])
    ndvi = values["indices"]["ndvi"]
    assert ndvi["bias"] == pytest.approx((other - index).mean(), abs=1e-4)
    assert ndvi["rmse"] == pytest.approx(math.sqrt(((other - index) ** 2).mean()), rel=2e-3)


def same(one: Any, other: Any, where: str = "") -> None:
    """Assert that two JSON values agree but for rounding."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        for at, (first, second) in enumerate(zip(one, other, strict=True)):
            same(first, second, f"{where}[{at}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-7, abs=1e-9), where
    else:
        assert one == other, where


def test_tiles_and_threads_change_no_number(bordered: Assessment) -> None:
    one = bordered
    other = assess_subject(one.subject, Threads(2), side_px=128)
    same(one.values, other.values)
    same(one.histograms, other.histograms)
    assert one.maps.keys() == other.maps.keys()
    for name, local in one.maps.items():
        np.testing.assert_allclose(local.values, other.maps[name].values, rtol=1e-6, atol=1e-9)


def test_nodata_is_respected_everywhere(slanted: tuple[SimulatedPair, Path], bordered: Assessment) -> None:
    (pair, fused), found = slanted, bordered
    image, truth = pixels(fused).astype(np.float64), pixels(pair.truth).astype(np.float64)
    valid = (image != 0).all(axis=0) & (truth != 0).all(axis=0) & (pixels(pair.pan)[0] != 0)
    assert 0.5 < valid.mean() < 0.95
    assert found.values["sam"] == pytest.approx(metrics.sam(truth, image, valid=valid), rel=1e-6)
    assert found.values["q2n"] == pytest.approx(metrics.q2n(truth, image, valid=valid), rel=1e-6)
    assert found.values["r_ergas"] < 1.5  # nodata seen as dark pixels would make it many times that
    corner = found.maps["sam"].values[0, 0]
    assert math.isnan(corner)


def test_the_truth_itself_is_perfect(whole: tuple[SimulatedPair, Path]) -> None:
    pair, _ = whole
    found = assess(pair.truth, open_simulated(pair), reference=pair.truth).values
    assert (found["sam"], found["ergas"], found["psnr"]) == (pytest.approx(0.0, abs=1e-6), 0.0, None)
    assert [found[key] for key in ("q", "q2n", "scc", "ssim")] == pytest.approx([1.0] * 4)
    assert found["r_q2n"] > 0.995
    assert found["observation"]["bands"] == ["blue", "green", "red", "nir"]


def test_upsampling_gains_nothing_and_distorts_nothing(
    whole: tuple[SimulatedPair, Path], tmp_path: Path, values: dict[str, Any]
) -> None:
    pair, _ = whole
    plain = fuse(tmp_path / "exp.tif", pair.pan, pair.ms, "--method", "exp", "--no-calibrate")
    found = assess(plain, open_simulated(pair), reference=pair.truth)
    assert found.values["d_lambda"] < 2e-3  # whole DN
    assert found.values["sharpness"]["energy_gain"] == pytest.approx(1.0, abs=0.01)
    assert found.values["sharpness"]["edge_gain"] == pytest.approx(1.0, abs=0.01)
    assert found.baseline["ergas"] == pytest.approx(found.values["ergas"], rel=1e-3)
    assert values["sharpness"]["edge_gain"] > 2.0
    assert values["ergas"] < found.values["ergas"]


# --- faults ---------------------------------------------------------------------------------------------------


def copy_with(path: Path, out: Path, change: Any) -> Path:
    """Write a plain GeoTIFF with changed pixels; no record beside it."""
    with rasterio.open(path) as file:
        planes, transform = file.read(), file.transform
        texts = [text or "" for text in file.descriptions]
    return write(out, change(planes), transform, descriptions=texts, nodata=0)


def test_planted_seams_are_found_and_a_clean_product_has_none(
    whole: tuple[SimulatedPair, Path], tmp_path: Path, values: dict[str, Any]
) -> None:
    pair, fused = whole

    def brighter(planes: np.ndarray) -> np.ndarray:
        planes = planes.copy()
        planes[:, :512, 512:] = (planes[:, :512, 512:] * 1.15).astype(planes.dtype)
        planes[:, 512:, :512] = (planes[:, 512:, :512] * 1.15).astype(planes.dtype)
        return planes

    seamy = copy_with(fused, tmp_path / "seamy.tif", brighter)
    found = assess_subject(open_subject(seamy, open_simulated(pair)), Serial(), side_px=128).values
    assert found["seam"]["found"]
    assert found["seam"]["segments"] == values["seam"]["segments"]
    assert found["seam"]["spacing_px"] == 512
    assert found["seam"]["level_z"] > 5.0
    assert any("seams" in warning for warning in found["warnings"])
    assert not values["seam"]["found"]
    assert values["seam"]["segments"] == 18 + 17


def test_a_changed_index_shows_as_its_bias(whole: tuple[SimulatedPair, Path], tmp_path: Path) -> None:
    pair, fused = whole

    def greener(planes: np.ndarray) -> np.ndarray:
        planes = planes.astype(np.float32)
        planes[3] *= 1.2
        return planes.astype(np.uint16)

    found = assess(copy_with(fused, tmp_path / "greener.tif", greener), open_simulated(pair)).values
    assert found["indices"]["ndvi"]["bias"] > 0.04
    assert found["indices"]["ndvi"]["share_over"] > 0.9
    assert not any("as bright" in warning for warning in found["warnings"])


# --- what is told apart -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pair: PAN 96 x 96 at 1 m, MS 24 x 24, three bands."""
    folder = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(2)
    scene = 200.0 + 50.0 * ndimage.gaussian_filter(rng.standard_normal((3, 96, 96)), (0, 2, 2)) * 5.0
    write(folder / "pan.tif", scene.mean(axis=0, keepdims=True).astype(np.uint16), north_up(1.0))
    write(folder / "ms.tif", scene[:, ::4, ::4].astype(np.uint16), north_up(4.0))
    return folder


def test_another_scale_is_noticed(small: Path, tmp_path: Path) -> None:
    pair = SimulatedPair(small / "pan.tif", small / "ms.tif", small / "ms.tif")
    tenfold = write(tmp_path / "tenfold.tif", 10 * np.repeat(pixels(pair.pan), 3, axis=0), north_up(1.0))
    warnings = assess(tenfold, open_simulated(pair)).values["warnings"]
    assert any("1 is 9." in text or "1 is 10" in text for text in warnings if "as bright as" in text)


@pytest.mark.parametrize(
    ("transform", "crs", "shape", "text"),
    [
        (north_up(1.0, corner=(CORNER[0] + 0.5, CORNER[1])), UTM, (90, 90), "columns beside"),
        (north_up(2.0), UTM, (40, 40), "pixel size"),
        (north_up(1.0), "EPSG:32633", (90, 90), "coordinate reference system"),
        (north_up(1.0, corner=(CORNER[0] + 10.0, CORNER[1])), UTM, (90, 90), "a part of its 96 x 96"),
        (north_up(1.0, corner=(CORNER[0] - 1.0, CORNER[1])), UTM, (90, 90), "a part of its 96 x 96"),
        (north_up(1.0, turn_deg=1.0), UTM, (90, 90), "pixel size and axes"),
    ],
)
def test_a_product_on_another_grid_is_refused(
    small: Path, tmp_path: Path, transform: Affine, crs: str, shape: tuple[int, int], text: str
) -> None:
    out = write(tmp_path / "other.tif", np.full((3, *shape), 5, np.uint16), transform, crs=crs)
    pair = SimulatedPair(small / "pan.tif", small / "ms.tif", out)
    with pytest.raises(GeorefError, match=text):
        open_subject(out, open_simulated(pair))


def test_bands_must_be_told_and_fit(small: Path, tmp_path: Path) -> None:
    pair = SimulatedPair(small / "pan.tif", small / "ms.tif", small / "ms.tif")
    two = write(tmp_path / "two.tif", np.full((2, 96, 96), 200, np.uint16), north_up(1.0))
    with pytest.raises(BandError, match="2 bands; wanted 3"):
        open_subject(two, open_simulated(pair))
    assert open_subject(two, open_simulated(pair), bands=["3", "1"]).names == ("3", "1")
    three = write(tmp_path / "three.tif", np.full((3, 96, 96), 200, np.uint16), north_up(1.0))
    with pytest.raises(BandError, match="reference of 2 bands"):
        open_subject(three, open_simulated(pair), reference=two)


def test_the_record_says_which_bands(slanted: tuple[SimulatedPair, Path]) -> None:
    pair, fused = slanted
    with pytest.raises(BandError, match="leave --bands out"):
        open_subject(fused, open_simulated(pair), bands=["red", "green", "blue", "nir"])


def test_a_part_of_the_scene_is_assessed_where_it_lies(
    whole: tuple[SimulatedPair, Path], arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    pair, fused = whole
    top, left, height, width = 64, 96, 320, 352
    corner = (CORNER[0] + 0.5 * left, CORNER[1] - 0.5 * top)
    part = pixels(fused)[:, top : top + height, left : left + width]
    out = write(tmp_path / "part.tif", part, north_up(0.5, corner=corner))
    subject = open_subject(
        out, open_simulated(pair), bands=["blue", "green", "red", "nir"], reference=pair.truth
    )
    assert subject.plan.pair.origin == (top, left)
    assert subject.reference is not None
    assert subject.reference.origin == (top, left)
    found = assess_subject(subject, Serial()).values
    window = (slice(None), slice(top, top + height), slice(left, left + width))
    assert found["ergas"] == pytest.approx(
        metrics.ergas(arrays["truth"][window], arrays["fused"][window], ratio=4.0), rel=1e-6
    )
    assert found["d_rho"] == pytest.approx(
        metrics.d_rho(arrays["fused"][window], arrays["pan"][window], ratio=4.0), rel=1e-5
    )


def test_a_product_without_a_record_is_calibrated(whole: tuple[SimulatedPair, Path], tmp_path: Path) -> None:
    pair, fused = whole
    plain = copy_with(fused, tmp_path / "plain.tif", lambda planes: planes)
    subject = open_subject(plain, open_simulated(pair))
    assert subject.observation.origin == "calibration"
    assert np.abs(subject.observation.shifts_px).max() < 0.1
    assert subject.observation.mtf_gain == pytest.approx(CAMERA.mtf_gains, abs=0.08)
    assert subject.calibration["confidence"] > 0.5


def test_cells_stay_few() -> None:
    for side in (1, 32, 3000, 3073, 10_000, 49_152):
        cell = cell_px((side, side // 2 + 1))
        assert 512 % cell == 0
        assert cell == 512 or side / cell <= 48


# --- a real scene and the command line -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clear(landsat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clear part of the real scene, fused."""
    out = tmp_path_factory.mktemp("clear") / "sharp.tif"
    words = ["fuse", str(landsat), "--window", "960", "2", "244", "838", "--out", str(out)]
    assert main([*words, "--no-progress", "--method", "mtf-glp-hpm-r", "--no-calibrate"]) == 0
    return out


def test_a_real_scene_is_judged_in_reflectance(
    clear: Path, landsat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["assess", str(clear), str(landsat), "--json", "--no-progress"]) == 0
    text = capsys.readouterr().out
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    others = {
        "units",
        "seam",
        "indices",
        "sharpness",
        "per_band",
        "invented",
        "observation",
        "warnings",
        "metrics",
    }
    keys = {metric.key for metric in BUILT_IN if not metric.of_product}
    assert found.keys() == keys | others
    assert found["metrics"].keys() == keys
    assert all(each["value"] == found[key] for key, each in found["metrics"].items())
    assert found["units"] == "reflectance"
    assert all(found[key] is None for key in ("sam", "ergas", "q", "q2n", "scc", "psnr", "ssim"))
    assert found["indices"]["ndvi"]["mean_coarse"] == pytest.approx(0.63, abs=0.01)
    assert abs(found["indices"]["ndvi"]["bias"]) < 0.002
    assert 0.5 < found["r_ergas"] < 1.5
    assert found["sharpness"]["edge_gain"] > 1.3
    assert not found["invented"]["found"]
    assert 0.0 < found["invented"]["share"] < found["invented"]["bound"] < 1.0
    assert found["per_band"]["nir"]["d_rho"] > 3.0 * found["per_band"]["red"]["d_rho"]  # outside PAN
    assert found["seam"]["z"] is None  # its only line is too short to say
    assert found["observation"]["origin"] == "sensor table"


def test_the_terminal_says_units_and_best_values(
    clear: Path, landsat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["assess", str(clear), str(landsat), "--no-progress", "--workers", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "in reflectance"
    assert any(line.split() == ["hqnr", line.split()[1], "1"] for line in lines if line.startswith("hqnr"))
    assert any("seams: too few tile borders inside" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--window", "0", "0", "10", "10"], "its own area is assessed"),
        (["--workers", "0"], "1 or more"),
        (["--html", "report.txt"], "ends in .html"),
    ],
)
def test_wrong_words_are_refused(
    slanted: tuple[SimulatedPair, Path], capsys: pytest.CaptureFixture[str], words: list[str], text: str
) -> None:
    pair, fused = slanted
    assert main(["assess", str(fused), "--pan", str(pair.pan), "--ms", str(pair.ms), *words]) == 2
    assert text in capsys.readouterr().err


def test_an_unknown_pedestal_is_said(
    slanted: tuple[SimulatedPair, Path], whole: tuple[SimulatedPair, Path]
) -> None:
    pair, fused = slanted
    subject = open_subject(fused, open_simulated(pair))
    assert not subject.known
    scene = open_simulated(pair)
    bands = tuple(replace(band, gain=1e-4, offset=-0.01) for band in scene.image("ms").bands)
    told = replace(scene, images=(scene.image("pan"), replace(scene.image("ms"), bands=bands)))
    known = open_subject(fused, told)
    assert known.known
    assert any("PAN's scale is unknown" in note for note in known.notes)
