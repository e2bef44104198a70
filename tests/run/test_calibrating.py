"""Calibration, hold-out and back-projection in the product, on the real scene and on simulated ones."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from geofuse.cli import main
from geofuse.landscape.camera import Camera
from geofuse.methods.table import METHODS
from geofuse.quality.simulated_pair import SimulatedPair, write_pair
from tests.conftest import CAMERA
from tests.methods import test_fields as fields

CLEAR = ("--window", "960", "2", "244", "838")
SHIFTED = replace(CAMERA, shift_px=(1.3, -0.6))


def fuse(out: Path, *arguments: str) -> dict[str, Any]:
    """Fuse by the command line; returns the record."""
    assert main(["fuse", *arguments, "--out", str(out), "--no-progress", "--level", "1"]) == 0
    found: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    return found


def calibrate(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Calibrate by the command line; returns the report."""
    capsys.readouterr()
    assert main(["calibrate", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def pixels(path: Path) -> NDArray[np.float64]:
    """Read a raster (B, H, W)."""
    with rasterio.open(path) as source:
        return source.read().astype(np.float64)


def files(pair: SimulatedPair) -> list[str]:
    return ["--pan", str(pair.pan), "--ms", str(pair.ms)]


@pytest.fixture(scope="module")
def shifted(truth: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> SimulatedPair:
    """A pair whose MS is displaced against what its georeference says."""
    folder = tmp_path_factory.mktemp("shifted")
    return write_pair(folder, truth[:, :768, :768], SHIFTED, slant_deg=0.0, seed=5)


def test_report_of_a_shifted_pair(shifted: SimulatedPair, capsys: pytest.CaptureFixture[str]) -> None:
    found = calibrate(capsys, *files(shifted))
    assert found["shift_px"] == pytest.approx(SHIFTED.shift_px, abs=0.05)
    assert max(found["shift_sigma_px"]) < 0.05
    assert set(found["mtf_gain"]) == {"blue", "green", "red", "nir"}
    for name, gain in found["mtf_gain"].items():
        if found["mtf_gain_identifiable"][name]:
            assert gain == pytest.approx(0.3, abs=0.05)
    assert found["confidence"] > 0.9
    assert not found["uncertain"]
    keys = {"band_shift_px", "mtf_gain_sigma", "mtf_gain_r2", "pan_weights", "r2", "snr", "usable_fraction"}
    assert keys <= found.keys()


def test_the_shift_is_undone(shifted: SimulatedPair, truth: NDArray[np.float32], tmp_path: Path) -> None:
    """With calibration the error is within 3 % of that with the true shift, and far below that without."""
    expected = truth[:, :768, :768]
    errors = {}
    for name, words in {
        "measured": [],
        "given": ["--shift", "1.3", "-0.6"],
        "none": ["--no-calibrate", "--back-projections", "0"],
    }.items():
        out = tmp_path / f"{name}.tif"
        fuse(out, *files(shifted), "--method", "gsa", *words)
        errors[name] = float(np.sqrt(((pixels(out) - expected) ** 2).mean()))
    assert errors["measured"] < 1.03 * errors["given"]
    assert errors["measured"] < 0.8 * errors["none"]


def test_a_drift_over_the_scene_is_undone(data_dir: Path, tmp_path: Path) -> None:
    """With a field of shifts the error is far below that of the best constant; bytes do not depend on tiles."""
    pan, ms = fields.pair(data_dir, 1.0)
    for name, image, step in (("pan", pan, 10.0), ("ms", ms, 20.0)):
        profile = {
            "driver": "GTiff",
            "height": image.shape[1],
            "width": image.shape[2],
            "count": len(image),
            "dtype": "uint16",
            "crs": "EPSG:32632",
            "transform": rasterio.Affine(step, 0.0, 500000.0, 0.0, -step, 5400000.0),
        }
        with rasterio.open(tmp_path / f"{name}.tif", "w", **profile) as made:
            made.write(np.rint(image).astype("uint16"))
    words = ["--pan", str(tmp_path / "pan.tif"), "--ms", str(tmp_path / "ms.tif"), "--method", "gsa"]
    truth = fields.sentinel(data_dir)["im10"]
    errors = []
    for extra in ([], ["--shift", "0.4", "-0.2"]):
        out = tmp_path / f"{len(extra)}.tif"
        record = fuse(out, *words, *extra)
        assert (record["observation"]["field"] is None) == bool(extra)
        errors.append(float(np.sqrt(((pixels(out) - truth) ** 2)[:, 20:-20, 20:-20].mean())))
    assert errors[0] < 0.8 * errors[1]
    fuse(tmp_path / "tiles.tif", *words, "--tile", "512", "--scheduler", "serial")
    assert (tmp_path / "tiles.tif").read_bytes() == (tmp_path / "0.tif").read_bytes()


def test_record_tells_what_was_found_and_used(shifted: SimulatedPair, tmp_path: Path) -> None:
    record = fuse(tmp_path / "out.tif", *files(shifted))
    assert record["observation"]["origin"] == "calibration"
    assert record["observation"]["shift_px"] == pytest.approx(SHIFTED.shift_px, abs=0.05)
    assert record["parameters"]["back_projections"] == 3
    assert set(record["method"]["injection"]) == {"blue", "green", "red", "nir"}
    assert record["calibration"]["used"]["method"] == record["method"]["name"]
    tried = record["calibration"]["hold_out"]
    assert len(tried) >= 2
    assert record["method"]["name"] == min(tried, key=lambda name: tried[name]["ergas"])
    plain = fuse(tmp_path / "plain.tif", *files(shifted), "--no-calibrate")
    assert plain["calibration"] is None
    assert plain["parameters"]["back_projections"] == 0
    assert plain["observation"]["shift_px"] == [0.0, 0.0]


def test_a_second_run_does_not_calibrate_again(
    shifted: SimulatedPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.tif"
    first = fuse(out, *files(shifted))
    before = out.stat().st_mtime_ns

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the windows were read again")

    monkeypatch.setattr("geofuse.run.calibrating.sample_cores", refuse)
    assert fuse(out, *files(shifted)) == first
    assert out.stat().st_mtime_ns == before
    fuse(out, *files(shifted), "--mask", "--sparse", "--overwrite")  # the same, encoded otherwise
    assert out.stat().st_mtime_ns != before


@pytest.mark.parametrize("method", ["auto", "mtf-glp-hpm-r"])
def test_bytes_do_not_depend_on_tiles_workers_or_scheduler(
    shifted: SimulatedPair, tmp_path: Path, method: str, dask_address: str
) -> None:
    sums = set()
    for number, words in enumerate(
        (
            ["--tile", "512", "--workers", "1", "--scheduler", "serial"],
            ["--tile", "1024", "--workers", "2"],
            ["--tile", "512", "--scheduler", dask_address],
        )
    ):
        out = tmp_path / f"{number}.tif"
        record = fuse(out, *files(shifted), "--method", method, *words)
        assert record["parameters"]["back_projections"] == 3
        sums.add(hashlib.sha256(out.read_bytes()).hexdigest())
    assert len(sums) == 1


def test_landsat_clear_window_and_cloudy_whole(landsat: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The half-pixel georeference is right: found to .05 px where clear, to .2 px under clouds."""
    clear = calibrate(capsys, str(landsat), *CLEAR)
    whole = calibrate(capsys, str(landsat))
    assert max(map(abs, clear["shift_px"])) < 0.05
    assert whole["uncertain"] or max(map(abs, whole["shift_px"])) < 0.2
    for name, weight in clear["pan_weights"].items():
        assert whole["pan_weights"][name] == pytest.approx(weight, abs=0.1)
    assert whole["usable_fraction"] < 0.7 < clear["usable_fraction"]


def test_images_of_two_places_are_refused_with_the_figures(
    landsat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two clear crops of one scene, the second with the first one's georeference."""
    paths = []
    with rasterio.open(next(landsat.glob("*_B8.TIF"))) as pan:
        window = rasterio.windows.Window(2, 960, 240, 240)
        paths.append(_copy(pan, window, window, tmp_path / "pan.tif"))
    for name in ("B2", "B3", "B4"):
        with rasterio.open(next(landsat.glob(f"*_{name}.TIF"))) as band:
            there = rasterio.windows.Window(1, 480, 120, 120)
            elsewhere = rasterio.windows.Window(200, 481, 120, 120)
            paths.append(_copy(band, elsewhere, there, tmp_path / f"{name}.tif"))
    words = ["--pan", paths[0], *(word for path in paths[1:] for word in ("--ms", path))]
    out = tmp_path / "out.tif"
    capsys.readouterr()
    assert main(["fuse", *words, "--out", str(out), "--no-progress"]) == 2
    said = capsys.readouterr().err
    assert "[match]" in said
    assert "R^2" in said
    assert not out.exists()
    record = fuse(out, *words, "--force")
    assert any("hardly match" in warning for warning in record["warnings"])


def _copy(file: Any, source: Any, place: Any, path: Path) -> str:
    profile = {
        "driver": "GTiff",
        "width": source.width,
        "height": source.height,
        "count": 1,
        "dtype": file.dtypes[0],
        "crs": file.crs,
        "transform": file.window_transform(place),
    }
    with rasterio.open(path, "w", **profile) as made:
        made.write(file.read(window=source))
    return str(path)


@pytest.fixture(scope="module")
def raised(landsat: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two deliveries of one scene: as it is, and with 1000 added to all DN and the offset in the metadata."""
    made = tmp_path_factory.mktemp("made")
    camera = Camera((0.3,) * 3, (0.4, 0.3, 0.3), ratio=2.0)
    pair = write_pair(made, _truth(landsat), camera, slant_deg=0, seed=1)
    folders = made / "plain", made / "raised"
    for folder, pedestal in zip(folders, (0, 1000), strict=True):
        folder.mkdir()
        for path in (pair.pan, pair.ms):
            with rasterio.open(path) as file:
                data, crs, transform = file.read() + pedestal, file.crs, file.transform
            profile = {
                "driver": "GTiff",
                "count": len(data),
                "dtype": "uint16",
                "crs": crs,
                "transform": transform,
            }
            height, width = data.shape[1:]
            with rasterio.open(folder / path.name, "w", height=height, width=width, **profile) as copy:
                copy.write(data.astype("uint16"))
                copy.scales, copy.offsets = (0.0001,) * len(data), (-0.0001 * pedestal,) * len(data)
    return folders


QUICK = ("gsa", "mtf-glp-hpm-r", "brovey", "ridge")


@pytest.mark.parametrize(
    "method",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in METHODS],
)
def test_a_declared_offset_changes_no_reflectance(
    raised: tuple[Path, Path], tmp_path: Path, method: str
) -> None:
    """DN + 1000 with the offset in the metadata is the same scene: the product is the same within 1 DN."""
    made = []
    for folder in raised:
        words = ["--pan", str(folder / "pan.tif"), "--ms", str(folder / "ms.tif"), "--method", method]
        out = tmp_path / f"{folder.name}.tif"
        fuse(out, *words)
        made.append(pixels(out))
    assert np.abs(made[1] - 1000 - made[0]).max() <= 1.0


def _truth(landsat: Path) -> NDArray[np.float32]:
    """Three real bands, scaled to 11 bits, as a landscape."""
    planes = []
    for name in ("B2", "B3", "B4"):
        with rasterio.open(next(landsat.glob(f"*_{name}.TIF"))) as file:
            planes.append(file.read(1, window=((480, 600), (1, 401))).astype(np.float32))
    stack = np.stack(planes)
    return stack * (1500.0 / stack.max())


def test_clouds_without_a_quality_band_are_no_registration(
    landsat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cloudy scene as bare files: windows disagree, so the georeference is trusted, and that is said."""
    bands = [str(next(landsat.glob(f"*_B{number}.TIF"))) for number in (8, 2, 3, 4, 5)]
    words = ["--pan", bands[0], *(word for path in bands[1:] for word in ("--ms", path))]
    found = calibrate(capsys, *words)
    assert found["uncertain"] or max(map(abs, found["shift_px"])) < 0.2
    assert not found["uncertain"] or any("trusted" in warning for warning in found["warnings"])
    assert len({tuple(shift) for shift in found["band_shift_px"].values()}) == 1
