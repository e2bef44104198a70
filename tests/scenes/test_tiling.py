"""A band in several files: read as one grid, checked, fingerprinted and named piece by piece."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from geofuse.errors import CorruptError, GeofuseError, GeorefError, PixelError, ProductError, ReadError
from geofuse.rasters.image import Image, Piece, files_of
from geofuse.rasters.opening.describing import bands_of, image_of
from geofuse.rasters.pixels import close_handles, inspect, read_raw, read_window
from geofuse.rasters.tiling import laid_out, native_grid
from geofuse.run.calibrating import calibrated_plan
from geofuse.run.executors import Serial
from geofuse.run.fuse import fuse_to_cog
from geofuse.run.plans.request import make_request
from geofuse.scenes.opening import open_pair
from geofuse.scenes.readers.rasterfile import RasterFile, band_in, bare_file, tiled_image
from geofuse.scenes.scene import Scene

ROWS, COLS = (0, 173, 401), (0, 127, 318, 500)
"""Where a PAN of 401 x 500 pixels is cut into 2 x 3 tiles: odd sizes, none a multiple of a block."""
STEP = 0.5
CORNER = (500_000.0, 5_400_000.0)


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_handles()


def raster(
    path: Path,
    planes: NDArray[np.generic],
    at: tuple[float, float] = CORNER,
    step: float = STEP,
    **more: object,
) -> str:
    transform = more.pop("transform", Affine(step, 0.0, at[0], 0.0, -step, at[1]))
    profile = {"driver": "GTiff", "count": len(planes), "dtype": planes.dtype, "crs": "EPSG:32632"} | more
    path.unlink(missing_ok=True)
    with rasterio.open(
        path, "w", height=planes.shape[1], width=planes.shape[2], transform=transform, **profile
    ) as out:
        out.write(planes)
    return str(path)


def ground(dtype: str = "uint16") -> NDArray[np.generic]:
    rng = np.random.default_rng(4)
    coarse = rng.uniform(200.0, 1800.0, (27, 33))
    fine = np.kron(coarse, np.ones((16, 16)))[:401, :500] + rng.uniform(0.0, 90.0, (401, 500))
    fine[300:, :40] = 0.0  # nodata across a border of tiles
    fine[:60, 100:160] = 0.0
    return fine.astype(dtype)[None]


def tiles_of(folder: Path, planes: NDArray[np.generic], *, overlap: int = 0, **more: object) -> list[str]:
    """Cut into 2 x 3 files; with an overlap each begins so many pixels earlier."""
    found = []
    for row, (top, bottom) in enumerate(pairwise(ROWS)):
        for col, (left, right) in enumerate(pairwise(COLS)):
            first, start = max(0, top - overlap), max(0, left - overlap)
            at = CORNER[0] + STEP * start, CORNER[1] - STEP * first
            path = folder / f"pan_R{row + 1}C{col + 1}.tif"
            found.append(raster(path, planes[:, first:bottom, start:right], at, **({"nodata": 0} | more)))
    return found


def coarse(folder: Path, **more: object) -> str:
    rng = np.random.default_rng(5)
    pan = ground()[0].astype(np.float64)[:400, :500].reshape(100, 4, 125, 4).mean(axis=(1, 3))
    planes = np.stack([pan * share + rng.uniform(0, 20, pan.shape) for share in (0.7, 0.9, 1.1, 1.2)])
    return raster(folder / "ms.tif", planes.astype(np.uint16), step=4 * STEP, nodata=0, **more)


def whole(folder: Path) -> str:
    return raster(folder / "pan.tif", ground(), nodata=0)


def product(scene: Scene, out: Path, **request: object) -> bytes:
    wanted = make_request(**({"method": "ridge", "tile_px": 512, "workers": 1, "force": True} | request))
    fuse_to_cog(calibrated_plan(replace(scene, scene_id="x"), wanted), out, runner=Serial())
    return out.read_bytes()


@pytest.mark.parametrize("overlap", [0, 9])
def test_a_product_of_tiles_is_that_of_the_single_file_byte_by_byte(tmp_path: Path, overlap: int) -> None:
    ms = coarse(tmp_path)
    one = product(open_pair(whole(tmp_path), [ms]), tmp_path / "one.tif")
    tiles = tiles_of(tmp_path, ground(), overlap=overlap)
    # in whatever order they are named
    scene = open_pair([tiles[at] for at in (4, 0, 5, 2, 1, 3)], [ms])
    assert [piece.path for piece in scene.image("pan").bands[0].pieces] == tiles
    assert product(scene, tmp_path / "many.tif") == one


def test_a_product_of_tiles_through_a_warp_is_that_of_the_single_file(tmp_path: Path) -> None:
    """The target in tiles, turned against the guide: tiles are put together before they are warped."""
    turn = Affine(STEP, 0.0, CORNER[0], 0.0, -STEP, CORNER[1]) * Affine.rotation(7.0)
    planes = ground()
    one = image_of(inspect(raster(tmp_path / "one.tif", planes, transform=turn, nodata=0)))
    files = []
    for number, (left, right) in enumerate(((0, 211), (211, 500))):
        there = turn * Affine.translation(left, 0)
        files.append(
            inspect(raster(tmp_path / f"{number}.tif", planes[:, :, left:right], transform=there, nodata=0))
        )
    many = image_from(files)
    assert native_grid(many.bands[0]) == one.grid
    target = replace(
        one.grid, transform=(1.0, 0.0, CORNER[0] - 20.0, 0.0, -1.0, CORNER[1] + 9.0), height=220, width=300
    )
    for window in ((0, 220, 0, 300), (100, 180, 90, 260)):
        wanted = read_window(replace(one, grid=target, warped=True), (0,), window)
        found = read_window(replace(many, grid=target, warped=True), (0,), window)
        assert wanted[1].any()
        for left_part, right_part in zip(wanted, found, strict=True):
            np.testing.assert_array_equal(left_part, right_part)


def image_from(files: list, *, gaps: bool = False) -> Image:
    layout = laid_out(files, gaps=gaps)
    first = layout.tiles[0]
    bands = tuple(
        replace(
            band,
            pieces=tuple(
                Piece(tile.path, band.pieces[0].index, window=window)
                for tile, window in zip(layout.tiles, layout.windows, strict=True)
            ),
        )
        for band in bands_of(first)
    )
    return Image("pan", bands, layout.grid, {tile.path: tile.driver for tile in layout.tiles})


@pytest.mark.parametrize("masking", ["alpha", "mask", "nodata"])
def test_several_bands_in_tiles_with_what_masks_them(tmp_path: Path, masking: str) -> None:
    """Bands chosen, also none of those of a tile's first: alpha, internal masks and nodata are those of every tile."""
    rng = np.random.default_rng(6)
    planes = rng.integers(1, 900, (4, 90, 70)).astype(np.uint16)
    hidden = rng.random((90, 70)) < 0.2
    if masking == "alpha":
        planes[3] = np.where(hidden, 0, 65535)
    elif masking == "nodata":
        planes[:, hidden] = 0

    def written(name: str, rows: slice) -> RasterFile:
        path = tmp_path / name
        at = CORNER[0], CORNER[1] - STEP * rows.start
        more = {"nodata": {"nodata": 0}, "alpha": {"alpha": "yes", "photometric": "rgb"}}.get(masking, {})
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            raster(path, planes[:, rows], at, **more)
            if masking == "mask":
                with rasterio.open(path, "r+") as file:
                    file.write_mask(~hidden[rows])
        return bare_file(str(path))

    def image(*files: RasterFile) -> Image:
        bands = tuple(band_in(files[0], at, []) for at in range(3 if masking == "alpha" else 4))
        return tiled_image("ms", files, bands)

    single = image(written("whole.tif", slice(0, 90)))
    many = image(written("low.tif", slice(41, 90)), written("top.tif", slice(0, 41)))
    assert (len(many.alpha), len(many.masks)) == (2 * (masking == "alpha"), 2 * (masking == "mask"))
    assert many.grid == single.grid
    for window in ((0, 90, 0, 70), (30, 60, 5, 66), (0, 10, 0, 10), (-4, 99, -9, 80)):
        for indices in ((0,), (1, 0)):
            wanted, found = (read_window(one, indices, window) for one in (single, many))
            np.testing.assert_array_equal(wanted[0], found[0])
            np.testing.assert_array_equal(wanted[1], found[1])
            assert window[0] < 0 or not wanted[1].all()


def test_windows_across_tiles_are_those_of_the_single_file(tmp_path: Path) -> None:
    single = image_of(inspect(whole(tmp_path)))
    many = image_from([inspect(path) for path in tiles_of(tmp_path, ground())])
    assert (many.grid, files_of(many)) == (single.grid, tuple(sorted(files_of(many))))
    for window in (
        (0, 401, 0, 500),
        (170, 180, 120, 320),
        (0, 5, 0, 5),
        (-30, 460, -9, 530),
        (173, 174, 127, 128),
    ):
        for one, other in zip(
            read_window(single, (0,), window), read_window(many, (0,), window), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        read_raw(single, 0, (150, 250, 100, 400)), read_raw(many, 0, (150, 250, 100, 400))
    )


def test_a_gap_is_nodata_where_that_was_said(tmp_path: Path) -> None:
    files = [inspect(path) for path in tiles_of(tmp_path, ground() + 1)]
    with pytest.raises(ProductError, match=r"rows 0\.\.172, columns 127\.\.317.*is one missing"):
        laid_out([*files[:1], *files[2:]])
    many = image_from([*files[:1], *files[2:]], gaps=True)
    values, valid = read_window(many, (0,), (0, 401, 0, 500))
    assert not valid[:173, 127:318].any()
    assert valid[173:].all()
    assert (values[0][:173, 127:318] == 0).all()
    assert (read_raw(many, 0, (0, 9, 130, 140)) == 0).all()


def test_every_piece_is_fingerprinted(tmp_path: Path) -> None:
    ms, tiles = coarse(tmp_path), tiles_of(tmp_path, ground())
    plan = calibrated_plan(open_pair(tiles, [ms]), make_request(method="brovey", workers=1, calibrate=False))
    assert [item["path"] for item in plan.inputs] == [*tiles, ms]


def missing(path: Path) -> None:
    path.unlink()


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def of_another_type(path: Path) -> None:
    raster(path, ground("uint8")[:, :173, 127:318], (CORNER[0] + 127 * STEP, CORNER[1]), nodata=0)


def shifted(path: Path) -> None:
    raster(path, ground()[:, :173, 127:318], (CORNER[0] + 127.3 * STEP, CORNER[1]), nodata=0)


def elsewhere(path: Path) -> None:
    raster(path, ground()[:, :173, 127:318], (CORNER[0] + 127 * STEP, CORNER[1]), nodata=0, crs="EPSG:32633")


def coarser(path: Path) -> None:
    raster(path, ground()[:, :173, 127:318], (CORNER[0] + 127 * STEP, CORNER[1]), 1.001 * STEP, nodata=0)


def without_nodata(path: Path) -> None:
    raster(path, ground()[:, :173, 127:318], (CORNER[0] + 127 * STEP, CORNER[1]))


def of_two_bands(path: Path) -> None:
    raster(path, np.repeat(ground()[:, :173, 127:318], 2, 0), (CORNER[0] + 127 * STEP, CORNER[1]), nodata=0)


@pytest.mark.parametrize(
    ("damage", "kind", "match"),
    [
        (missing, GeofuseError, "no such file"),
        (truncated, CorruptError, "strip|block|truncat|short|not enough|beyond|end"),
        (of_another_type, PixelError, "a tile of types uint8; wanted uint16"),
        (shifted, GeorefError, r"a tile that lies 0\.3 pixels off"),
        (elsewhere, GeorefError, "another coordinate system"),
        (coarser, GeorefError, "pixels off"),
        (without_nodata, PixelError, "a tile of nodata None"),
        (of_two_bands, GeofuseError, "PAN with 2 bands"),
    ],
)
def test_a_piece_that_does_not_fit_is_refused_by_its_name(
    tmp_path: Path, damage: Callable[[Path], None], kind: type[GeofuseError], match: str
) -> None:
    ms, tiles = coarse(tmp_path), tiles_of(tmp_path, ground())
    damage(Path(tiles[1]))
    with pytest.raises(kind, match=match) as caught:
        read_window(open_pair(tiles, [ms]).image("pan"), (0,), (0, 401, 0, 500))
    assert "pan_R1C2.tif" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_tiles_that_overlap_must_be_equal_there(tmp_path: Path) -> None:
    tiles = tiles_of(tmp_path, ground(), overlap=6)
    other = ground()[:, :173, 121:318].copy()
    other[0, 70, 2] += 1
    raster(Path(tiles[1]), other, (CORNER[0] + 121 * STEP, CORNER[1]), nodata=0)
    many = image_from([inspect(path) for path in tiles])
    read_window(many, (0,), (0, 60, 0, 500))  # equal there
    with pytest.raises(CorruptError, match=r"pan_R1C2\.tif: 1 pixels are not those of .*pan_R1C1\.tif"):
        read_window(many, (0,), (0, 401, 0, 500))


def test_a_piece_that_changes_is_named(tmp_path: Path) -> None:
    tiles = tiles_of(tmp_path, ground())
    many = image_from([inspect(path) for path in tiles])
    raster(Path(tiles[3]), ground()[:, 173:400, :127], (CORNER[0], CORNER[1] - 173 * STEP), nodata=0)
    with pytest.raises(
        (GeofuseError, ReadError), match=r"pan_R2C1\.tif: the file is 227 x 127 pixels now; wanted 228"
    ):
        read_window(many, (0,), (0, 401, 0, 500))


def test_a_subdataset_of_a_format_without_is_refused(tmp_path: Path) -> None:
    single = image_of(inspect(whole(tmp_path)))
    band = replace(single.bands[0], pieces=(Piece(single.bands[0].path, 1, "/HDF/pan"),))
    with pytest.raises(GeofuseError, match="the subdataset '/HDF/pan'; wanted a file of one raster"):
        read_window(replace(single, bands=(band,)), (0,), (0, 4, 0, 4))
