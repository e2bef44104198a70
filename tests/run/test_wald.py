"""Wald's protocol against closed forms and an independent float64 computation; georeference, nodata, radiometry."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_validate

from geofuse.cli import main
from geofuse.errors import AreaError, ExistsError, UsageError
from geofuse.quality import simulate_wald as wald
from geofuse.quality.simulate_wald import simulate_wald
from geofuse.run.plans.request import make_request
from geofuse.scenes.opening import open_pair, open_scene
from geofuse.scenes.relating import relate
from tests.methods import reference
from tests.run.scenery import CORNER, landscape, north_up, write

PLAIN = make_request(calibrate=False)
LAYOUTS = {
    "aligned": (4.0, (0.0, 0.0)),
    "half a PAN pixel outside": (2.0, (-0.5, -0.5)),
    "no whole ratio": (2.0 / 0.498, (0.0, 0.0)),
    "inside": (3.0, (4.2, 7.7)),
}
"""Ratio, and where PAN's corner lies from MS's in PAN pixels (rows, columns)."""


def places(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the map coordinates of the pixel centres, down and across, from the file itself."""
    with rasterio.open(path) as file:
        a, e, c, f = file.transform.a, file.transform.e, file.transform.c, file.transform.f
        return f + e * (np.arange(file.height) + 0.5), c + a * (np.arange(file.width) + 0.5)


def pixels(path: Path) -> NDArray[np.float64]:
    with rasterio.open(path) as file:
        return file.read().astype(np.float64)


def pair_of(
    folder: Path, layout: str, draw: Any, *, dtype: str = "float32", side: int = 480, **options: Any
) -> tuple[str, list[str]]:
    """Write PAN (1 m) and MS of functions of map coordinates: draw(y, x) -> (3, rows, cols); PAN is their mean."""
    ratio, (down, across) = LAYOUTS[layout]
    fine = north_up(1.0, corner=(CORNER[0] + across, CORNER[1] - down))
    coarse = north_up(ratio)
    count = math.floor((side + 2 * max(down, across, 0.0)) / ratio) + 1
    images = []
    for transform, size in ((fine, side), (coarse, count)):
        y = transform.f + transform.e * (np.arange(size) + 0.5)
        x = transform.c + transform.a * (np.arange(size) + 0.5)
        images.append(draw(y[:, None], x[None, :]))
    pan = write(folder / "P.tif", images[0].mean(axis=0, keepdims=True).astype(dtype), fine, **options)
    ms = write(folder / "M.tif", images[1].astype(dtype), coarse, **options)
    return str(pan), [str(ms)]


def wave(cycles_per_m: tuple[float, float], at: tuple[Any, Any], part: str) -> NDArray[np.float64]:
    angle = 2.0 * math.pi * (cycles_per_m[0] * (at[0] - CORNER[1]) + cycles_per_m[1] * (at[1] - CORNER[0]))
    return np.cos(angle) if part == "cos" else np.sin(angle)


def swing(image: NDArray[np.float64], cycles_per_m: tuple[float, float], at: Any) -> tuple[float, float]:
    """Return the amplitude and the phase (radians) of a wave in an image, by least squares away from the edges."""
    columns = [wave(cycles_per_m, at, part)[4:-4, 4:-4].ravel() for part in ("cos", "sin")]
    basis = np.stack([*columns, np.ones_like(columns[0])], axis=1)
    cos, sin, _ = np.linalg.lstsq(basis, image[4:-4, 4:-4].ravel(), rcond=None)[0]
    return math.hypot(cos, sin), math.atan2(sin, cos)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_wave_is_damped_by_the_mtf_and_stays_in_its_place(tmp_path: Path, layout: str) -> None:
    ratio, _ = LAYOUTS[layout]
    waves = [(0.02 / ratio, 0.05 / ratio), (-0.06 / ratio, 0.03 / ratio), (0.07 / ratio, 0.0)]
    pan, ms = pair_of(
        tmp_path,
        layout,
        lambda y, x: np.stack([1000.0 + 100.0 * wave(cycles, (y, x), "cos") for cycles in waves]),
    )
    made = simulate_wald(open_pair(pan, ms), PLAIN, tmp_path / "out")
    gains, (dy, dx) = made["observation"]["mtf_gain"], made["observation"]["shift_px"]
    seen, kept = pixels(tmp_path / "out/ms.tif"), pixels(tmp_path / "out/reference.tif")
    for name, image in (("ms", seen), ("reference", kept)):
        y, x = places(tmp_path / f"out/{name}.tif")
        for band, cycles in enumerate(waves):
            amplitude, phase = swing(image[band], cycles, (y[:, None], x[None, :]))
            if name == "reference":
                assert amplitude == pytest.approx(100.0, rel=1e-4)
                assert phase == pytest.approx(0.0, abs=1e-3)
                continue
            nyquist = 1.0 / (2.0 * ratio * ratio)  # of the reduced MS, cycles per metre
            mtf = gains[band] ** ((math.hypot(*cycles) / nyquist) ** 2)
            moved = 2.0 * math.pi * ratio * (cycles[1] * dx - cycles[0] * dy)
            assert amplitude == pytest.approx(100.0 * mtf, rel=5e-3)  # the filter ends at 3 sigma
            assert phase == pytest.approx(moved, abs=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pan_and_ms_equal_an_independent_computation(tmp_path: Path, layout: str) -> None:
    truth = landscape(np.random.default_rng(1), 3, 480)

    def draw(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = np.clip(CORNER[1] + 20 - y.ravel(), 0, 479).astype(int)
        cols = np.clip(x.ravel() - CORNER[0] + 20, 0, 479).astype(int)
        return np.rint(200.0 + 3000.0 * truth[:, rows][:, :, cols])

    pan, ms = pair_of(tmp_path, layout, draw, dtype="uint16")
    scene = open_pair(pan, ms)
    relation = relate(scene)
    made = simulate_wald(scene, PLAIN, tmp_path / "out")
    gain = made["observation"]["mtf_gain"]
    row0, row1, col0, col1 = made["reference_window_cpx"]
    whole = pixels(Path(ms[0]))
    np.testing.assert_array_equal(pixels(tmp_path / "out/reference.tif"), whole[:, row0:row1, col0:col1])
    fine = pixels(Path(pan))[0]
    spans = (row0, row1), (col0, col1)
    for axis, window in zip((relation.axis_y, relation.axis_x), spans, strict=True):
        assert (window[0] - axis.offset) / axis.scale - 0.5 / axis.scale >= -0.5  # whole pixels, seen by PAN
    want = _seen(fine, [(relation.axis_y, spans[0]), (relation.axis_x, spans[1])], made["pan_mtf_gain"])
    np.testing.assert_allclose(pixels(tmp_path / "out/pan.tif")[0], want, atol=0.51)
    axes = [_axis(made[name]) for name in ("axis_y", "axis_x")]
    height, width = made["files"]["ms"]["size_px"]
    for band in range(3):
        # what lies beyond the window is the MS itself, and beyond the MS its mirror image
        shifted = [
            (_Moved(axes[0], row0), (0, height)),
            (_Moved(axes[1], col0), (0, width)),
        ]
        want = _seen(whole[band], shifted, gain[band])
        np.testing.assert_allclose(pixels(tmp_path / "out/ms.tif")[band], want, atol=0.51)


class _Moved:
    """An axis map of a window, in pixels of the whole image."""

    def __init__(self, axis: tuple[float, float], start: int) -> None:
        self.scale, self.offset = axis[0], axis[1] - axis[0] * start


def _axis(value: dict[str, float]) -> tuple[float, float]:
    return value["scale"], value["offset"]


def _seen(image: NDArray[np.float64], axes: Any, gain: float) -> NDArray[np.float64]:
    pad = 60
    padded = np.pad(image, pad, mode="symmetric")
    rows, cols = (
        reference.gaussian_matrix((axis.scale, axis.offset), gain, window, -pad, size)
        for (axis, window), size in zip(axes, padded.shape, strict=True)
    )
    return np.asarray(rows @ padded @ cols.T)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("window", [None, (37, 51, 402, 390)])
def test_a_feature_keeps_its_map_coordinates(
    tmp_path: Path, layout: str, window: tuple[int, ...] | None
) -> None:
    y0, x0 = CORNER[1] - 231.7, CORNER[0] + 263.3
    pan, ms = pair_of(
        tmp_path,
        layout,
        lambda y, x: np.stack([1000.0 * np.exp(-((y - y0) ** 2 + (x - x0) ** 2) / (2 * 26.0**2))] * 3),
    )
    made = simulate_wald(open_pair(pan, ms), make_request(calibrate=False, window=window), tmp_path / "out")
    assert made["observation"]["shift_px"] == [0.0, 0.0]
    for name in wald.NAMES:
        image = pixels(tmp_path / f"out/{name}.tif")[0]
        y, x = places(tmp_path / f"out/{name}.tif")
        centre = [float((image * grid).sum() / image.sum()) for grid in (y[:, None], x[None, :])]
        assert centre == pytest.approx([y0, x0], abs=0.02)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pan_is_laid_on_the_ms_by_the_scenes_shift(tmp_path: Path, layout: str) -> None:
    """What is at PAN's (row, col) is seen where the grids put (row + dy, col + dx): PAN is brought there."""
    y0, x0 = CORNER[1] - 231.7, CORNER[0] + 263.3
    dy, dx = 0.8, -1.3

    def blob(at: tuple[float, float], y: Any, x: Any) -> NDArray[np.float64]:
        bump = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * 26.0**2))
        return np.stack([1000.0 * bump] * 3)

    pan, _ = pair_of(tmp_path, layout, lambda y, x: blob((y0, x0), y, x))
    (tmp_path / "moved").mkdir()
    _, ms = pair_of(tmp_path / "moved", layout, lambda y, x: blob((y0 - dy, x0 + dx), y, x))
    request = make_request(calibrate=False, shift_px=(dy, dx))
    simulate_wald(open_pair(pan, ms), request, tmp_path / "out")
    for name in wald.NAMES:
        image = pixels(tmp_path / f"out/{name}.tif")[0]
        y, x = places(tmp_path / f"out/{name}.tif")
        centre = [float((image * grid).sum() / image.sum()) for grid in (y[:, None], x[None, :])]
        assert centre == pytest.approx([y0 - dy, x0 + dx], abs=0.02)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_reduced_pair_is_related_as_it_was_made(tmp_path: Path, layout: str) -> None:
    pan, ms = pair_of(tmp_path, layout, lambda y, x: np.stack([y - CORNER[1] + x - CORNER[0]] * 3))
    made = simulate_wald(open_pair(pan, ms), PLAIN, tmp_path / "out")
    found = relate(open_pair(str(tmp_path / "out/pan.tif"), [str(tmp_path / "out/ms.tif")]))
    for axis, name in ((found.axis_y, "axis_y"), (found.axis_x, "axis_x")):
        assert axis.scale == pytest.approx(made[name]["scale"], rel=1e-12)
        assert axis.offset == pytest.approx(made[name]["offset"], abs=1e-6)
    height, width = made["files"]["pan"]["size_px"]
    assert (found.rows, found.cols) == ((0, height), (0, width))
    assert not found.notes
    assert made["files"]["reference"]["size_px"] == [height, width]


def test_the_phase_of_the_grids_is_that_of_the_scene(landsat: Path, tmp_path: Path) -> None:
    """Landsat's PAN begins half a PAN pixel outside its MS, so does the reduced one, whatever the window."""
    for at, window in enumerate([(960, 2, 244, 838), (961, 3, 243, 800)]):
        out = tmp_path / str(at)
        simulate_wald(open_scene(str(landsat)), make_request(calibrate=False, window=window), out)
        (fine_y, fine_x), (y, x) = places(out / "pan.tif"), places(out / "ms.tif")
        for fine, coarse in ((fine_y, y), (fine_x, x)):
            assert abs(coarse[1] - coarse[0]) == pytest.approx(60.0)
            inside = (coarse[0] - fine[0]) / (fine[1] - fine[0])
            assert inside % 2.0 == pytest.approx(1.0), "a coarse centre on a fine one, as 30 m on 15 m"


def test_landsat_keeps_type_radiometry_and_names(landsat: Path, tmp_path: Path) -> None:
    made = simulate_wald(open_scene(str(landsat)), make_request(window=(960, 2, 244, 838)), tmp_path / "out")
    for name in wald.NAMES:
        path = tmp_path / f"out/{name}.tif"
        assert cog_validate(path, strict=True)[0]
        with rasterio.open(path) as file:
            assert set(file.dtypes) == {"uint16"}
            assert file.nodata == 0
            assert file.crs.to_epsg() == 32616
            assert set(file.scales) == {2e-5}
            assert set(file.offsets) == {-0.1}
            assert file.descriptions == (("pan",) if name == "pan" else ("blue", "green", "red", "nir"))
            assert "U.S. Geological Survey" in file.tags()["TIFFTAG_COPYRIGHT"]
    again = open_pair(str(tmp_path / "out/pan.tif"), [str(tmp_path / "out/ms.tif")])
    assert [band.name for band in again.image("ms").bands] == ["blue", "green", "red", "nir"]
    assert again.image("ms").bands[0].gain == 2e-5
    assert len(made["inputs"]) >= 5
    assert all(len(item["sha256"]) == 64 for item in made["inputs"])
    with rasterio.open(next(landsat.glob("*_B3.TIF"))) as file:
        row0, row1, col0, col1 = made["reference_window_cpx"]
        np.testing.assert_array_equal(
            pixels(tmp_path / "out/reference.tif")[1], file.read(1)[row0:row1, col0:col1]
        )


def test_nodata_stays_and_does_not_leak(tmp_path: Path) -> None:
    def draw(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        hole = (CORNER[1] - y) + 0.3 * (x - CORNER[0]) < 150.0
        return np.stack([np.where(hole, 0.0, level) for level in (500.0, 700.0, 900.0)])

    pan, ms = pair_of(tmp_path, "aligned", draw, dtype="uint16", nodata=0)
    simulate_wald(open_pair(pan, ms), PLAIN, tmp_path / "out")
    reduced = pixels(tmp_path / "out/ms.tif")
    y, x = places(tmp_path / "out/ms.tif")
    away = (CORNER[1] - y[:, None]) + 0.3 * (x[None, :] - CORNER[0]) - 150.0
    for band, level in enumerate((500.0, 700.0, 900.0)):
        assert set(np.unique(reduced[band])) == {0.0, level}, "nothing of nodata is mixed in"
        assert (reduced[band][away > 12.0] == level).all()
        assert (reduced[band][away < -12.0] == 0.0).all()
    assert set(np.unique(pixels(tmp_path / "out/pan.tif"))) == {0.0, 700.0}
    with rasterio.open(tmp_path / "out/pan.tif") as file:
        assert file.nodata == 0


def test_strips_are_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = landscape(np.random.default_rng(2), 3, 480) * 4000.0
    pan, ms = pair_of(tmp_path, "no whole ratio", lambda y, x: truth[:, : y.size, : x.size], dtype="float32")
    one = simulate_wald(open_pair(pan, ms), PLAIN, tmp_path / "a")
    monkeypatch.setattr(wald, "STRIP_CPX", 7)
    two = simulate_wald(open_pair(pan, ms), PLAIN, tmp_path / "b")
    for name in wald.NAMES:
        assert one["files"][name]["sha256"] == two["files"][name]["sha256"]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    pan, ms = pair_of(tmp_path, "aligned", lambda y, x: np.stack([y * x * 0 + 5.0] * 3), side=200)
    with pytest.raises(AreaError, match=r"200 x 200 PAN pixels over 50 x 50 of MS.*12 x 12.*16 x 16"):
        simulate_wald(open_pair(pan, ms), PLAIN, tmp_path / "small")
    (tmp_path / "in").mkdir()
    large_pan, large_ms = pair_of(
        tmp_path / "in", "aligned", lambda y, x: np.stack([y * 0 + x * 0 + 9.0] * 3)
    )
    inside = Path(large_pan).rename(tmp_path / "in/pan.tif")
    with pytest.raises(UsageError, match="replace an input"):
        simulate_wald(open_pair(str(inside), large_ms), PLAIN, tmp_path / "in", overwrite=True)
    simulate_wald(open_pair(str(inside), large_ms), PLAIN, tmp_path / "out")
    with pytest.raises(ExistsError, match="overwrite"):
        simulate_wald(open_pair(str(inside), large_ms), PLAIN, tmp_path / "out")


def test_the_command_line_writes_the_same_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = landscape(np.random.default_rng(4), 3, 480) * 4000.0
    pan, ms = pair_of(tmp_path, "aligned", lambda y, x: truth[:, : y.size, : x.size], dtype="uint16")
    made = simulate_wald(open_pair(pan, ms), PLAIN, tmp_path / "a")
    words = [
        "simulate",
        "--pan",
        pan,
        "--ms",
        ms[0],
        "--no-calibrate",
        "--out",
        str(tmp_path / "b"),
        "--json",
    ]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == made["files"]
    assert json.loads((tmp_path / "b/simulation.json").read_text()) == told
    assert main(words) == 2
    assert "[exists]" in capsys.readouterr().err
    assert main([*words[:-1], "--overwrite"]) == 0
    assert main([*words, "--ratio", "4"]) == 2
    assert "--fine" in capsys.readouterr().err
