"""Where the product lies and what lies in it: golden corners, and a linear ramp that must come out as itself.

`exp` interpolates; cubic convolution reproduces a linear ramp exactly, so that an error of place of a thousandth
of an MS pixel would show.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.transform import RPCTransformer
from rio_cogeo.cogeo import cog_validate
from scenery import CORNER, UTM, fuse, fuse_plain, landscape, north_up, pixels, record, status, write

from geofuse.cli import main
from tests.scenes.rasters import landsat_folder, mtl_collection1

X, Y = CORNER


@dataclass(frozen=True)
class Case:
    """Two grids and where their product must lie."""

    pan: Affine
    pan_shape: tuple[int, int]
    ms: Affine
    ms_shape: tuple[int, int]
    corner: tuple[float, float]
    """Upper left corner of the product's first pixel."""
    shape: tuple[int, int]
    crs: str = UTM
    ms_crs: str = UTM
    warped: bool = False
    notes: tuple[str, ...] = field(default=())
    """Words that the warnings must hold."""


def south_up(step: float, corner: tuple[float, float] = CORNER) -> Affine:
    return Affine(step, 0.0, corner[0], 0.0, step, corner[1])


DEGREES = (8.25, 46.75)
# centres of PAN pixels, in metres from its corner: 0.25 + 0.5 i; all golden numbers below are such sums by hand
CASES = {
    "landsat: PAN half a pixel outside": Case(
        north_up(15.0, corner=(599992.5, 5300007.5)), (81, 73), north_up(30.0, corner=(6e5, 5.3e6)), (40, 36),
        (599992.5, 5300007.5), (81, 73),
    ),
    "ratio 1": Case(north_up(2.0), (40, 48), north_up(2.0), (40, 48), (X, Y), (40, 48)),
    "ratio 1, half a pixel apart": Case(
        north_up(2.0), (40, 48), north_up(2.0, corner=(X + 1.0, Y - 1.0)), (40, 48), (X, Y), (40, 48),
        notes=(),
    ),
    "ratio 2": Case(north_up(0.5), (80, 66), north_up(1.0), (40, 33), (X, Y), (80, 66)),
    "ratio 3": Case(north_up(0.5), (97, 85), north_up(1.5), (33, 29), (X, Y), (97, 85)),
    "ratio 8": Case(north_up(0.5), (128, 133), north_up(4.0), (16, 16), (X, Y), (128, 128), notes=("intersection",)),
    "ratio 2.0 / 0.498": Case(
        north_up(0.498), (270, 245), north_up(2.0), (64, 60), (X, Y), (257, 241), notes=("intersection",)
    ),
    "pixels that are not square": Case(
        north_up(0.5, step_y=0.6), (90, 80), north_up(2.0, step_y=1.8), (30, 20), (X, Y), (90, 80)
    ),
    "PAN all around MS": Case(
        north_up(0.5, corner=(X - 9.75, Y + 7.1)), (120, 130), north_up(2.0), (20, 20),
        (X - 0.25, Y + 0.1), (80, 81), notes=("intersection: 41.54 %",),
    ),
    "MS all around PAN": Case(
        north_up(0.5), (101, 83), north_up(2.0, corner=(X - 31.0, Y + 22.2)), (60, 60), (X, Y), (101, 83)
    ),
    "partial overlap": Case(
        north_up(0.5), (160, 160), north_up(2.0, corner=(X + 13.1, Y - 9.3)), (50, 50),
        (X + 13.0, Y - 9.5), (141, 134), notes=("intersection",),
    ),
    "south up": Case(south_up(0.5), (96, 88), south_up(2.0), (24, 22), (X, Y), (96, 88)),
    "both turned alike": Case(
        north_up(0.5, turn_deg=20.0), (96, 88), north_up(2.0, turn_deg=20.0), (24, 22), (X, Y), (96, 88)
    ),
    "MS turned": Case(
        north_up(0.5), (120, 120), north_up(2.0, corner=(X - 20.0, Y + 20.0), turn_deg=-10.0), (60, 60),
        (X, Y), (120, 120), warped=True, notes=("turned", "warped (cubic)"),
    ),
    "MS south up, PAN north up": Case(
        north_up(0.5), (80, 80), south_up(2.0, (X - 8.0, Y - 48.0)), (28, 28),
        (X, Y), (80, 80), warped=True, notes=("warped",),
    ),
    "MS of the next zone": Case(
        north_up(0.5, corner=(280000.0, 5400000.0)), (120, 130),
        north_up(2.0, corner=(721310.0, 5400090.0)), (90, 80),
        (280000.0, 5400000.0), (120, 130), ms_crs="EPSG:32631", warped=True,
        notes=("MS is in EPSG:32631, PAN in EPSG:32632",),
    ),
    "degrees": Case(
        north_up(2e-5, corner=DEGREES), (100, 90), north_up(8e-5, corner=DEGREES), (25, 22), DEGREES, (100, 88),
        crs="EPSG:4326", ms_crs="EPSG:4326", notes=("intersection",),
    ),
    "PAN in degrees, MS in metres": Case(
        north_up(1e-5, corner=(9.0005, 48.7525)), (90, 80), north_up(3.0, corner=(X, Y)), (60, 60),
        (9.0005, 48.7525), (90, 80), crs="EPSG:4326", warped=True, notes=("MS is in EPSG:32632, PAN in EPSG:4326",),
    ),
}  # fmt: skip


def centres(transform: Affine, shape: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return x and y of the pixel centres (h, w)."""
    rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
    return transform * (cols, rows)


def ramp_of(case: Case, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Return 100 at PAN's corner, rising by 1 a PAN pixel to the right and by 0.5 downwards."""
    col, row = ~case.pan * (x, y)
    return np.asarray(100.0 + col + 0.5 * row)


def written(folder: Path, case: Case) -> tuple[Path, Path]:
    """Write the ramp on both grids, as float64."""
    x, y = centres(case.ms, case.ms_shape)
    if case.ms_crs != case.crs:
        x, y = pyproj.Transformer.from_crs(case.ms_crs, case.crs, always_xy=True).transform(x, y)
    ms = np.stack([ramp_of(case, x, y), 500.0 - ramp_of(case, x, y)])
    pan = ramp_of(case, *centres(case.pan, case.pan_shape))[None]
    return (
        write(folder / "pan.tif", pan, case.pan, crs=case.crs),
        write(folder / "ms.tif", ms, case.ms, crs=case.ms_crs),
    )


@pytest.mark.parametrize("name", CASES)
def test_corners_and_a_ramp(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    pan, ms = written(tmp_path, case)
    out = fuse_plain(tmp_path / "x.tif", pan, ms, "--method", "exp")
    with rasterio.open(out) as file:
        assert file.crs == rasterio.crs.CRS.from_string(case.crs)
        assert (file.transform.c, file.transform.f) == pytest.approx(case.corner, rel=1e-13, abs=1e-9)
        assert tuple(file.transform)[:2] == tuple(case.pan)[:2]
        assert tuple(file.transform)[3:5] == tuple(case.pan)[3:5]
        assert file.shape == case.shape
        made, valid, place = file.read(), file.dataset_mask() > 0, file.transform
    warnings = record(out)["warnings"]
    assert all(any(word in text for text in warnings) for word in case.notes), warnings
    assert bool(warnings) == bool(case.notes) or name.startswith("ratio 1,"), warnings
    assert any("warped" in text for text in warnings) == case.warped
    x, y = centres(place, case.shape)
    want = ramp_of(case, x, y)
    if case.ms_crs != case.crs:
        x, y = pyproj.Transformer.from_crs(case.crs, case.ms_crs, always_xy=True).transform(x, y)
    col, row = ~case.ms * (x, y)
    margin = 5.0 if case.warped else 2.5
    height, width = case.ms_shape
    inside = (row > margin) & (row < height - margin) & (col > margin) & (col < width - margin)
    assert inside.mean() > 0.3
    assert valid[inside].all()
    per_cpx = 1.0 / (case.pan.a / abs(case.ms.a)) if case.ms_crs == case.crs else 6.0
    apart = np.abs(made - np.stack([want, 500.0 - want]))[:, inside].max() / per_cpx
    assert apart < (2e-3 if case.warped else 1e-7), f"{apart} MS pixels off"


@pytest.mark.parametrize("name", ["landsat: PAN half a pixel outside", "ratio 2.0 / 0.498", "MS turned"])
def test_detail_lies_where_pan_has_it(tmp_path: Path, name: str) -> None:
    """A flat MS and one bright PAN pixel: the product's brightest pixel is that one."""
    case = CASES[name]
    pan = np.full((1, *case.pan_shape), 100.0, np.float32)
    pan[0, 60, 50] = 300.0
    ms = np.full((1, *case.ms_shape), 100.0, np.float32)
    files = (
        write(tmp_path / "pan.tif", pan, case.pan, crs=case.crs),
        write(tmp_path / "ms.tif", ms, case.ms, crs=case.ms_crs),
    )
    made = pixels(fuse_plain(tmp_path / "x.tif", *files, "--method", "brovey"))[0]
    assert np.unravel_index(np.nanargmax(made), made.shape) == (60, 50)


RPCS = {
    "ERR_BIAS": "1", "ERR_RAND": "0", "LINE_OFF": "60", "SAMP_OFF": "70", "LAT_OFF": "48.75",
    "LONG_OFF": "9.0005", "HEIGHT_OFF": "100", "LINE_SCALE": "60", "SAMP_SCALE": "70", "LAT_SCALE": "0.0003",
    "LONG_SCALE": "0.0005", "HEIGHT_SCALE": "500",
    "LINE_NUM_COEFF": "0 0.01 -1 0.002 " + "0 " * 15 + "0", "LINE_DEN_COEFF": "1 " + "0 " * 18 + "0",
    "SAMP_NUM_COEFF": "0 1 0.02 0.001 " + "0 " * 15 + "0", "SAMP_DEN_COEFF": "1 " + "0 " * 18 + "0",
}  # fmt: skip


@pytest.mark.parametrize("window", [None, (12, 20, 50, 61)])
def test_rpcs_of_pan_speak_of_the_products_pixels(tmp_path: Path, window: tuple[int, ...] | None) -> None:
    pan = write(tmp_path / "pan.tif", np.ones((1, 120, 140), np.uint16), north_up(0.5), rpcs=RPCS)
    ms = write(tmp_path / "ms.tif", np.ones((1, 30, 35), np.uint16), north_up(2.0))
    options = () if window is None else ("--window", *map(str, window))
    row, col = (0, 0) if window is None else window[:2]
    out = fuse_plain(tmp_path / "x.tif", pan, ms, "--method", "exp", *options)
    with rasterio.open(pan) as one, rasterio.open(out) as other:
        assert other.rpcs is not None
        with RPCTransformer(one.rpcs) as there, RPCTransformer(other.rpcs) as here:
            for down, right in ((0, 0), (7, 31), (49, 60)):
                wanted = there.xy(row + down, col + right)
                assert here.xy(down, right) == pytest.approx(wanted, abs=1e-10)


def test_no_rpcs_no_tag(tmp_path: Path) -> None:
    case = CASES["ratio 2"]
    with rasterio.open(fuse_plain(tmp_path / "x.tif", *written(tmp_path, case))) as made:
        assert made.rpcs is None


def test_a_quality_band_is_not_carried_through_a_warp(tmp_path: Path) -> None:
    """Its pixels lie on the MS's own grid, the product's on another."""
    scene_id = "LC80200392015216LGN00"
    folder = landsat_folder(tmp_path / scene_id, scene_id, mtl=mtl_collection1(scene_id))
    turned = north_up(15.0, corner=(600050.0, 5299950.0), turn_deg=5.0)
    for out, masks in ((tmp_path / "x.tif", True), (tmp_path / "y.tif", False)):
        assert main(["fuse", str(folder), "--out", str(out), "--no-progress"]) == 0
        assert out.with_suffix(".mask.tif").exists() == masks
        assert any("quality band" in text for text in record(out)["warnings"]) != masks
        write(folder / f"{scene_id}_B8.TIF", np.full((1, 6, 8), 7, "uint16"), turned)


REFUSED = {
    "ratio 9": (north_up(0.5), north_up(4.5), UTM, UTM, "9 x 9"),
    "ratio 0.5": (north_up(2.0), north_up(1.0), UTM, UTM, "the wrong way round"),
    "ratio 9 in one direction": (north_up(0.5), north_up(2.0, step_y=4.5), UTM, UTM, "9 x 4"),
    "no overlap": (north_up(0.5), north_up(2.0, corner=(X + 5000.0, Y)), UTM, UTM, "no overlap"),
    "another part of the world": (north_up(0.5), north_up(2.0), UTM, "EPSG:32756", "no overlap"),
    "touching": (north_up(0.5), north_up(2.0, corner=(X + 60.0, Y)), UTM, UTM, "no overlap"),
    "PAN without CRS": (north_up(0.5), north_up(2.0), None, UTM, "PAN without a coordinate system"),
    "MS without CRS": (north_up(0.5), north_up(2.0), UTM, None, "MS without a coordinate system"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_pairs_that_do_not_relate_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    pan_place, ms_place, pan_crs, ms_crs, says = REFUSED[name]
    pan = write(tmp_path / "pan.tif", np.ones((1, 120, 120), np.uint8), pan_place, crs=pan_crs)
    ms = write(tmp_path / "ms.tif", np.ones((1, 30, 30), np.uint8), ms_place, crs=ms_crs)
    commands = [
        ["inspect", "--pan", str(pan), "--ms", str(ms)],
        ["plan", "--pan", str(pan), "--ms", str(ms)],
        ["fuse", "--pan", str(pan), "--ms", str(ms), "--out", str(tmp_path / "x.tif")],
    ]
    for command in commands:
        assert main(command) == 2
        text = capsys.readouterr().err
        assert text.startswith("geofuse: error [georef]")
        assert says in text
        assert text.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ms.tif", "pan.tif"]


def test_gcps_are_no_georeferencing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = [GroundControlPoint(r, c, X + c, Y - r) for r, c in ((0, 0), (0, 100), (100, 0), (100, 100))]
    with rasterio.open(
        tmp_path / "pan.tif", "w", driver="GTiff", height=120, width=120, count=1, dtype="uint8",
        gcps=points, crs=UTM,
    ) as file:  # fmt: skip
        file.write(np.ones((1, 120, 120), np.uint8))
    ms = write(tmp_path / "ms.tif", np.ones((1, 30, 30), np.uint8), north_up(2.0))
    assert status(tmp_path / "x.tif", tmp_path / "pan.tif", ms) == 2
    assert "4 GCPs only" in capsys.readouterr().err


def textured(
    folder: Path, pan_shape: tuple[int, int], ms_shape: tuple[int, int], ratio: int
) -> tuple[Path, Path]:
    """Write a pair of correlated noise of any size."""
    side = ratio * max(2, *ms_shape, -(-max(pan_shape) // ratio))
    truth = 100.0 + 800.0 * landscape(np.random.default_rng(2), 3, side)
    pan = truth.mean(axis=0)[None, : pan_shape[0], : pan_shape[1]]
    means = truth.reshape(3, side // ratio, ratio, side // ratio, ratio).mean(axis=(2, 4))
    ms = means[:, : ms_shape[0], : ms_shape[1]]
    return (
        write(folder / "pan.tif", pan.astype("uint16"), north_up(0.5)),
        write(folder / "ms.tif", ms.astype("uint16"), north_up(0.5 * ratio)),
    )


SOME_METHODS = ("exp", "brovey", "pca", "gsa", "bt-h", "bdsd-pc", "pracs", "awlp", "mtf-glp-hpm-r")
"""One of each kind of statistics."""
COARSE_STATISTICS = ("gsa", "bt-h", "bdsd-pc", "pracs")
"""Methods that measure on MS pixels, of which a small area holds none."""


@pytest.mark.parametrize(
    ("window", "centres"),
    [
        ((40, 0, 1, 96), 0),
        ((0, 33, 90, 1), 0),
        ((89, 95, 1, 1), 0),
        ((42, 42, 1, 1), 1),
        ((42, 0, 1, 96), 24),
        ((3, 5, 7, 11), 4),
    ],
    ids=str,
)
def test_areas_as_small_as_a_pixel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], window: tuple[int, int, int, int], centres: int
) -> None:
    """Every method gives an answer, or says that the area holds nothing to measure."""
    pan, ms = textured(tmp_path, (90, 96), (23, 24), 4)
    row, col, height, width = window
    whole = pixels(fuse_plain(tmp_path / "whole.tif", pan, ms, "--method", "exp"))
    part = whole[:, row : row + height, col : col + width]
    for method in SOME_METHODS:
        out = tmp_path / f"{method}.tif"
        # calibrated by one method only: so few pixels tell nothing, whatever the method
        words = ["--method", method, *([] if method == "gsa" else ["--no-calibrate"])]
        ended = status(out, pan, ms, *words, "--window", *map(str, window))
        text = capsys.readouterr().err
        if method in COARSE_STATISTICS and not centres:
            assert ended == 2
            assert text.startswith("geofuse: error [pixels] no MS pixel to measure")
            assert not out.exists()
            continue
        assert (ended, text) == (0, "")
        made = pixels(out)
        assert made.shape == (3, height, width)
        # no statistics worth the name in there, but numbers of this place
        assert np.abs(made.astype(float) - part).max() < (1.0 if method == "exp" else 1000.0)
        with rasterio.open(out) as file:
            assert file.transform == Affine(0.5, 0.0, X + 0.5 * col, 0.0, -0.5, Y - 0.5 * row)
        record(out)


@pytest.mark.parametrize(
    ("pan_shape", "ms_shape", "ratio"),
    [
        ((12, 12), (3, 3), 4),
        ((3, 3), (3, 3), 1),
        ((8, 8), (1, 1), 8),
        ((1, 1), (1, 1), 1),
        ((2, 40), (1, 20), 2),
        ((97, 601), (25, 151), 4),
        ((515, 509), (258, 255), 2),
    ],
    ids=str,
)
def test_sizes_that_are_a_multiple_of_nothing(
    tmp_path: Path, pan_shape: tuple[int, int], ms_shape: tuple[int, int], ratio: int
) -> None:
    pan, ms = textured(tmp_path, pan_shape, ms_shape, ratio)
    methods = SOME_METHODS if max(pan_shape) < 100 else ("exp", "gsa", "mtf-glp-hpm-r")
    for method in ("auto", *methods):
        words = () if method == "auto" else ("--no-calibrate",)
        out = fuse(tmp_path / f"{method}.tif", pan, ms, "--method", method, *words)
        assert cog_validate(out, strict=True) == (True, [], [])
        made = pixels(out)
        assert made.shape == (3, *pan_shape)
        source = pixels(ms).astype(float)
        assert np.abs(made.mean(axis=(1, 2)) - source.mean(axis=(1, 2))).max() < 150.0
        record(out)
        assert main(["verify", str(out)]) == 0
