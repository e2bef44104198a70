"""Pairs out of any fine raster: the camera's shift, gains, weights and noise are found again in the files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from geofuse.cli import main
from geofuse.errors import AreaError, FormatError, PixelError, UsageError
from geofuse.quality.simulate_from_image import Viewing, simulate_from_fine
from geofuse.scenes.opening import open_pair
from geofuse.scenes.relating import relate
from tests.run.scenery import landscape, north_up, pixels, write


def raster(folder: Path, planes: NDArray, *, step: float = 2.5, **options) -> str:
    return str(write(folder / "fine.tif", planes, north_up(step), **options))


def blob(at: tuple[float, float], side: int = 240, sigma: float = 14.0) -> NDArray[np.float32]:
    y, x = np.mgrid[:side, :side]
    bump = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * sigma**2))
    return np.stack([1000.0 * bump] * 3).astype(np.float32)


def centre(image: NDArray) -> list[float]:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return [float((grid * image).sum() / image.sum()) for grid in (y, x)]


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.6, -1.2), (-2.0, 1.75)])
@pytest.mark.parametrize("ratio", [4.0, 2.0 / 0.498])
def test_what_is_at_a_fine_pixel_is_seen_where_the_grids_put_it_plus_the_shift(
    tmp_path: Path, shift: tuple[float, float], ratio: float
) -> None:
    source = raster(tmp_path, blob((118.3, 127.1)))
    simulate_from_fine(source, Viewing(ratio=ratio, shift_px=shift), tmp_path / "out")
    relation = relate(open_pair(str(tmp_path / "out/pan.tif"), [str(tmp_path / "out/ms.tif")]))
    assert relation.ratio == pytest.approx((ratio, ratio))
    assert centre(pixels(tmp_path / "out/pan.tif")[0]) == pytest.approx([118.3, 127.1], abs=0.01)
    row, col = centre(pixels(tmp_path / "out/ms.tif")[1])
    axes = relation.axis_y, relation.axis_x
    want = [
        axis.scale * (at + by) + axis.offset for axis, at, by in zip(axes, (118.3, 127.1), shift, strict=True)
    ]
    assert [row, col] == pytest.approx(want, abs=0.01)
    assert relation.target.grid.crs


def test_the_reference_is_the_raster_cut_to_what_is_covered(tmp_path: Path) -> None:
    planes = np.rint(landscape(np.random.default_rng(1), 4, 203) * 3000.0 + 50.0).astype(np.uint16)
    source = raster(tmp_path, planes, descriptions=("red", "green", "blue", "nir"))
    made = simulate_from_fine(source, Viewing(ratio=3.0), tmp_path / "out")
    kept = pixels(tmp_path / "out/reference.tif")
    assert kept.dtype == np.uint16
    np.testing.assert_array_equal(kept, planes[:, :201, :201])
    assert made["files"]["ms"]["size_px"] == [67, 67]
    with rasterio.open(tmp_path / "out/reference.tif") as file, rasterio.open(source) as before:
        assert file.transform == before.transform
        assert file.crs == before.crs
        assert file.descriptions == ("red", "green", "blue", "nir")
        assert file.nodata is None


def test_a_window_and_bands_are_taken_out(tmp_path: Path) -> None:
    planes = np.rint(landscape(np.random.default_rng(1), 4, 203) * 3000.0 + 50.0).astype(np.uint16)
    source = raster(tmp_path, planes, descriptions=("red", "green", "blue", "nir"))
    look = Viewing(ratio=2.0, bands=("nir", "2"), window=(11, 7, 100, 120))
    simulate_from_fine(source, look, tmp_path / "out")
    np.testing.assert_array_equal(pixels(tmp_path / "out/reference.tif"), planes[[3, 1], 11:111, 7:127])
    with rasterio.open(tmp_path / "out/pan.tif") as file, rasterio.open(source) as before:
        assert file.transform * (0, 0) == before.transform * (7, 11)


def test_gains_weights_and_rounding(tmp_path: Path) -> None:
    """A wave across each band: damped by its own gain; PAN is the weighted sum."""
    cycles = 0.04
    wave = np.cos(2.0 * math.pi * cycles * (np.arange(240) - 119.5))
    planes = np.stack([np.tile(1000.0 + level * wave, (240, 1)) for level in (100.0, 200.0, 300.0)])
    source = raster(tmp_path, planes.astype(np.float32))
    gains, weights = (0.2, 0.3, 0.45), (1.0, 2.0, 1.0)
    made = simulate_from_fine(source, Viewing(mtf_gains=gains, pan_weights=weights), tmp_path / "out")
    assert made["pan_weights"] == [0.25, 0.5, 0.25]
    np.testing.assert_allclose(
        pixels(tmp_path / "out/pan.tif")[0], np.tensordot([0.25, 0.5, 0.25], planes, 1), rtol=1e-6
    )
    seen = pixels(tmp_path / "out/ms.tif")
    at = 4.0 * np.arange(60) + 1.5 - 119.5
    for band, (level, gain) in enumerate(zip((100.0, 200.0, 300.0), gains, strict=True)):
        want = 1000.0 + level * gain ** ((cycles * 8.0) ** 2) * np.cos(2.0 * math.pi * cycles * at)
        np.testing.assert_allclose(seen[band, 30, 4:-4], want[4:-4], atol=5e-3 * level)


@pytest.mark.parametrize(
    ("look", "sigma"), [(Viewing(noise_sigma=12.0, seed=5), 12.0), (Viewing(snr=50.0, seed=5), 20.0)]
)
def test_noise_is_as_strong_as_said_and_repeats_with_its_seed(
    tmp_path: Path, look: Viewing, sigma: float
) -> None:
    source = raster(tmp_path, np.full((3, 240, 240), 1000.0, np.float32))
    made = simulate_from_fine(source, look, tmp_path / "a")
    assert made["noise_sigma"] == pytest.approx(sigma)
    assert pixels(tmp_path / "a/pan.tif").std() == pytest.approx(sigma, rel=0.02)
    assert pixels(tmp_path / "a/ms.tif").std() == pytest.approx(sigma, rel=0.03)
    assert np.abs(pixels(tmp_path / "a/reference.tif") - 1000.0).max() == 0.0
    again = simulate_from_fine(source, look, tmp_path / "b")
    assert again["files"] == made["files"]


def test_nodata_is_kept_and_nothing_is_made_of_it(tmp_path: Path) -> None:
    planes = np.full((3, 240, 240), 800, np.int16)
    planes[:, :, :100] = -9999
    source = raster(tmp_path, planes, nodata=-9999)
    simulate_from_fine(source, Viewing(), tmp_path / "out")
    np.testing.assert_array_equal(pixels(tmp_path / "out/reference.tif"), planes)
    np.testing.assert_array_equal(pixels(tmp_path / "out/pan.tif"), planes[:1])
    seen = pixels(tmp_path / "out/ms.tif")
    assert set(np.unique(seen)) == {-9999, 800}
    assert (seen[:, :, :26] == -9999).all(), "what sees nodata is invalid"
    assert (seen[:, :, 28:] == 800).all()


def test_a_raster_without_georeference_gets_a_nominal_one(tmp_path: Path) -> None:
    planes = np.rint(landscape(np.random.default_rng(1), 3, 120) * 200.0 + 20.0).astype(np.uint8)
    path = tmp_path / "bare.tif"
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        write(path, planes, None, crs=None)
    made = simulate_from_fine(str(path), Viewing(), tmp_path / "out")
    assert "nominal" in made["warnings"][0]
    relation = relate(open_pair(str(tmp_path / "out/pan.tif"), [str(tmp_path / "out/ms.tif")]))
    assert relation.ratio == pytest.approx((4.0, 4.0))
    np.testing.assert_array_equal(pixels(tmp_path / "out/reference.tif"), planes)


def test_radiometry_that_all_bands_share_is_pans_too(tmp_path: Path) -> None:
    planes = np.full((2, 120, 120), 9000, np.uint16)
    source = raster(tmp_path, planes, scales=((2e-5, 2e-5), (-0.1, -0.1)))
    simulate_from_fine(source, Viewing(), tmp_path / "out")
    for name in ("pan", "ms", "reference"):
        with rasterio.open(tmp_path / f"out/{name}.tif") as file:
            assert (set(file.scales), set(file.offsets)) == ({2e-5}, {-0.1})


@pytest.mark.parametrize(
    ("look", "fault", "text"),
    [
        (Viewing(ratio=9.0), UsageError, "--ratio 9"),
        (Viewing(mtf_gains=(0.3, 0.3)), UsageError, "2 values of --gain.*3"),
        (Viewing(mtf_gains=(1.0,)), UsageError, "between 0 and 1"),
        (Viewing(pan_weights=(0.5, -0.1, 0.6)), UsageError, "--weights"),
        (Viewing(noise_sigma=-1.0), UsageError, "noise"),
        (Viewing(window=(0, 0, 40, 120)), AreaError, "40 x 120 pixels, seen as 10 x 30"),
        (Viewing(nodata=-1.0), PixelError, "nodata -1 in uint16"),
        (Viewing(nodata=7.0), AreaError, "no valid pixel"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, look: Viewing, fault: type, text: str) -> None:
    source = raster(tmp_path, np.full((3, 120, 120), 7, np.uint16))
    with pytest.raises(fault, match=text):
        simulate_from_fine(source, look, tmp_path / "out")


def test_hostile_input_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fine.tif"
    path.write_text('<VRTDataset rasterXSize="9" rasterYSize="9"/>')
    with pytest.raises(FormatError):
        simulate_from_fine(str(path), Viewing(), tmp_path / "out")


def test_the_command_line_says_it_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = raster(tmp_path, blob((118.3, 127.1)))
    words = ["--ratio", "4", "--shift", "0.6", "-1.2", "--gain", "0.25,0.3,0.3", "--weights", "1,1,2"]
    words += ["--noise", "2", "--seed", "9", "--out", str(tmp_path / "a"), "--json"]
    assert main(["simulate", "--fine", source, *words]) == 0
    told = json.loads(capsys.readouterr().out)
    look = Viewing(4.0, (0.6, -1.2), (0.25, 0.3, 0.3), (1.0, 1.0, 2.0), noise_sigma=2.0, seed=9)
    assert told["files"] == simulate_from_fine(source, look, tmp_path / "b")["files"]
    assert told["observation"]["shift_px"] == [0.6, -1.2]
    assert main(["simulate", "SCENE", "--fine", source, "--out", str(tmp_path / "c")]) == 2
