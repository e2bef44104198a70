"""Products: the same bytes whatever the tiles, the right pixels in every reader, sound overviews."""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rio_cogeo import cog_validate

from geofuse.rasters.cog import (
    CogSpec,
    assemble,
    encode_tile,
    levels,
    make_spec,
    validate_cog,
    write_cog,
    write_part,
)

NAN = float("nan")
GRID = {"crs": "EPSG:32616", "transform": (15.0, 0.0, 1e5, 0.0, -15.0, 3e6)}
TILES_PX = (512, 1024, 2048, 4096)


def spec_for(array: NDArray[Any], **fields: Any) -> CogSpec:
    height, width, bands = array.shape
    shape = {"height": height, "width": width, "bands": bands, "dtype": array.dtype.name}
    level = {"level": 1} if fields.get("compress", "zstd") in ("zstd", "deflate") else {}
    return make_spec(**{**shape, **GRID, **level, **fields})


def picture(shape: tuple[int, int, int], dtype: str, nodata: float | None, seed: int = 0) -> NDArray[Any]:
    """A picture, noisy in its upper left, smooth elsewhere; with nodata: a wide hole and scattered ones."""
    rng = np.random.default_rng(seed)
    height, width, bands = shape
    row, col = np.mgrid[:height, :width]
    image = (20 + (row[..., None] // 7 + col[..., None] // 5 + 3 * np.arange(bands)) % 90).astype(dtype)
    noisy = image[:300, :300]
    noisy += rng.integers(0, 9, noisy.shape).astype(dtype)
    if nodata is not None:
        image[height // 3 :, : 2 * width // 3] = nodata
        image[rng.random((height, width)) < 0.02] = nodata
    return image


def from_tiles(
    folder: Path, array: NDArray[Any], spec: CogSpec, tile_px: int, *, threads: int = 1
) -> tuple[Path, str]:
    """Encode every tile, the last one first, store it, and lay the product down; return its digest too."""
    rows, cols = -(-spec.height // tile_px), -(-spec.width // tile_px)
    parts = [folder / f"{index}.part" for index in range(rows * cols)]

    def make(index: int) -> None:
        row, col = divmod(index, cols)
        pixels = array[row * tile_px :, col * tile_px :][:tile_px, :tile_px]
        tile = encode_tile(pixels, spec, tile_row=row, tile_col=col, tile_px=tile_px)
        write_part(parts[index], [tile], fingerprint="f", extra={})

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(make, reversed(range(rows * cols))))
    out = folder / f"{tile_px}.tif"
    return out, assemble(out, spec, parts, tile_px=tile_px).sha256


def read_level(path: Path, level: int) -> NDArray[Any]:
    """Read a level (h, w, bands) through GDAL."""
    options = {} if level == 0 else {"overview_level": level - 1}
    with rasterio.open(path, **options) as image:
        return np.moveaxis(image.read(), 0, -1)


def halved(image: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    """Halve by masked sums over the whole array at once: another way than the kernel's."""
    height, width, _ = image.shape
    ceiling = ((0, height % 2), (0, width % 2), (0, 0))
    kind = np.float64 if image.dtype.kind == "f" else np.int64
    value = np.pad(image.astype(kind), ceiling)
    valid = ~np.isnan(image) if nodata is None else (image != nodata) & ~np.isnan(image)
    valid = np.pad(valid, ceiling)
    value[~valid] = 0
    corners = [(slice(down, None, 2), slice(right, None, 2)) for down in (0, 1) for right in (0, 1)]
    count = sum(valid[corner].astype(np.int64) for corner in corners)
    total = sum(value[corner] for corner in corners)
    if image.dtype.kind == "f":
        mean = total / np.maximum(count, 1)
    else:
        mean = (2 * total + count) // np.maximum(2 * count, 1)
        mean = np.where((count > 0) & (mean == nodata), mean + 1, mean)
    fill = NAN if nodata is None and image.dtype.kind == "f" else nodata or 0
    return np.where(count > 0, mean, fill).astype(image.dtype)


@pytest.mark.parametrize(
    ("shape", "dtype", "nodata", "fields"),
    [
        ((1, 1, 1), "uint8", None, {}),
        ((1, 700, 3), "uint8", 0, {"compress": "deflate"}),
        ((513, 1025, 4), "uint16", 0, {}),
        ((1300, 2100, 4), "uint16", 0, {"bigtiff": "yes"}),
        ((1300, 1100, 1), "float32", NAN, {}),
        ((520, 530, 2), "float64", -9999.5, {"compress": "lzw"}),
        ((530, 520, 2), "float32", NAN, {"predictor": "2"}),
        ((530, 520, 2), "float32", NAN, {"compress": "lerc"}),
        ((530, 520, 3), "int16", -32768, {"compress": "lerc"}),
        ((530, 600, 2), "int32", None, {"compress": "deflate"}),
        ((520, 1030, 1), "uint32", 4294967295, {"compress": "none"}),
        ((1300, 600, 3), "uint16", 65535, {"sparse": True}),
        ((40, 600, 8), "int16", None, {}),
        ((30, 520, 33), "uint8", 0, {}),
        ((40, 30, 224), "uint16", 0, {}),
        ((520, 600, 3), "uint8", None, {"interleave": "band", "bigtiff": "yes"}),
        ((1030, 530, 1), "uint8", None, {"overview": "or"}),
        ((1030, 530, 1), "uint8", None, {"overview": "nearest"}),
    ],
    ids=str,
)
def test_any_tiles_give_the_same_sound_product(
    tmp_path: Path, shape: Any, dtype: str, nodata: float | None, fields: dict[str, Any]
) -> None:
    array = picture(shape, dtype, nodata)
    spec = spec_for(array, nodata=nodata, **fields)
    sizes_px = [px for px in TILES_PX if px < 2 * max(shape)] or [512]
    made = [from_tiles(tmp_path, array, spec, px) for px in sizes_px]
    path = tmp_path / "whole.tif"
    digests = {digest for _, digest in made} | {write_cog(path, array, spec).sha256}
    assert len(digests) == 1

    assert validate_cog(path) == []
    assert cog_validate(path, strict=True) == (True, [], [])
    above = array
    for level, size in enumerate(levels(spec)):
        got = read_level(path, level)
        if level and spec.overview == "average":
            above = halved(above, spec.nodata)
        elif level:
            above = got
        assert got.shape[:2] == size
        np.testing.assert_array_equal(got, above)
    other = as_tifffile_reads(path, shape)
    if spec.compress == "lerc":  # tifffile takes no notice of LERC's validity mask
        other = np.where(np.isnan(array), array, other)
    np.testing.assert_array_equal(other, array)


def as_tifffile_reads(path: Path, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Read the full image with tifffile, which knows nothing of GDAL."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        image = page.asarray()
        if page.planarconfig == 2 and shape[2] > 1:
            image = np.moveaxis(image, 0, -1)
    return image.reshape(shape)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 40) | st.integers(500, 530) | st.integers(1010, 1040),
    width=st.integers(1, 40) | st.integers(500, 530) | st.integers(1010, 1040),
    bands=st.integers(1, 3),
    nodata=st.sampled_from([None, 0.0]),
)
def test_any_size_gives_the_same_bytes(
    tmp_path: Path, height: int, width: int, bands: int, nodata: float | None
) -> None:
    array = picture((height, width, bands), "uint8", nodata, seed=height * width)
    spec = spec_for(array, nodata=nodata)
    wanted = write_cog(tmp_path / "whole.tif", array, spec).sha256
    assert {from_tiles(tmp_path, array, spec, px)[1] for px in (512, 1024)} == {wanted}
    assert validate_cog(tmp_path / "whole.tif") == []


def test_threads_give_the_same_bytes(tmp_path: Path) -> None:
    array = picture((1100, 1600, 3), "uint16", 0)
    spec = spec_for(array, nodata=0)
    assert from_tiles(tmp_path, array, spec, 512, threads=4)[1] == from_tiles(tmp_path, array, spec, 512)[1]


def test_empty_blocks_are_one_block_again_and_absent_where_sparse(tmp_path: Path) -> None:
    array = np.zeros((1536, 1024, 2), np.uint16)
    array[:512, :512] = 5
    dense, thin = spec_for(array, nodata=0), spec_for(array, nodata=0, sparse=True)
    write_cog(tmp_path / "dense.tif", array, dense)
    write_cog(tmp_path / "thin.tif", array, thin)
    with tifffile.TiffFile(tmp_path / "dense.tif") as file:
        page = file.pages.first
        bodies = [
            file.filehandle.read_array("u1", count, offset).tobytes()
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
        assert len(set(bodies[1:])) == 1
        assert bodies[0] != bodies[1]
    with tifffile.TiffFile(tmp_path / "thin.tif") as file:
        assert [count > 0 for count in file.pages.first.databytecounts] == [True] + [False] * 5
    for name in ("dense.tif", "thin.tif"):
        np.testing.assert_array_equal(read_level(tmp_path / name, 0), array)
    nothing = np.zeros_like(array)
    write_cog(tmp_path / "nothing.tif", nothing, thin)
    assert validate_cog(tmp_path / "nothing.tif") == []
    np.testing.assert_array_equal(read_level(tmp_path / "nothing.tif", 1), nothing[::2, ::2])


def test_a_mask_beside_the_product_in_the_same_parts(tmp_path: Path) -> None:
    array, flags = picture((700, 900, 3), "uint16", 0), picture((700, 900, 1), "uint8", None)
    spec, mask = spec_for(array, nodata=0), spec_for(flags, overview="or")
    parts = []
    for row, col in np.ndindex(2, 2):
        here = (slice(512 * row, 512 * row + 512), slice(512 * col, 512 * col + 512))
        tiles = [
            encode_tile(image[here], each, tile_row=row, tile_col=col, tile_px=512)
            for image, each in ((array, spec), (flags, mask))
        ]
        parts.append(tmp_path / f"{row}{col}")
        write_part(parts[-1], tiles, fingerprint="f", extra={})
    for image, (each, pixels) in enumerate(((spec, array), (mask, flags))):
        made = assemble(tmp_path / "out.tif", each, parts, tile_px=512, image=image)
        assert made == write_cog(tmp_path / "whole.tif", pixels, each)


def test_progress_ends_at_the_size(tmp_path: Path) -> None:
    array = picture((600, 600, 1), "uint8", None)
    spec = spec_for(array)
    tile = encode_tile(array, spec, tile_row=0, tile_col=0, tile_px=1024)
    write_part(tmp_path / "part", [tile], fingerprint="f", extra={})
    calls: list[tuple[int, int]] = []
    made = assemble(
        tmp_path / "out.tif",
        spec,
        [tmp_path / "part"],
        tile_px=1024,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == sorted(calls)
    assert calls[-1] == (made.size_bytes, made.size_bytes)
    assert (tmp_path / "out.tif").stat().st_size == made.size_bytes


def test_lossy_lerc_keeps_its_promise_and_nan(tmp_path: Path) -> None:
    array = picture((600, 520, 2), "float32", NAN)
    array += np.random.default_rng(3).random(array.shape, np.float32)
    spec = spec_for(array, nodata=NAN, compress="lerc", max_error=0.25)
    write_cog(tmp_path / "lossy.tif", array, spec)
    got = read_level(tmp_path / "lossy.tif", 0)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(array))
    error = np.nanmax(np.abs(got - array))
    assert 0.0 < error <= 0.25 + 1e-5


def test_gdal_s_own_validator_agrees(tmp_path: Path) -> None:
    script = (
        "import json, sys\n"
        "from osgeo_utils.samples.validate_cloud_optimized_geotiff import validate\n"
        "print(json.dumps([validate(path, full_check=True)[:2] for path in sys.argv[1:]]))"
    )
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    probe = [
        python or "python3",
        "-W",
        "ignore",
        "-c",
        "from osgeo_utils.samples import validate_cloud_optimized_geotiff",
    ]
    if python is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no GDAL Python bindings in the system's python3")
    paths = []
    for bands, fields in (
        (4, {}),
        (4, {"bigtiff": "yes"}),
        (9, {"interleave": "band"}),
        (1, {"sparse": True}),
        (3, {"validity": "mask"}),
        (3, {"validity": "mask", "interleave": "band", "bigtiff": "yes"}),
        (3, {"validity": "alpha", "sparse": True}),
    ):
        array = picture((1100, 600, bands), "uint8", 0)
        paths.append(tmp_path / f"{len(paths)}.tif")
        nodata = None if "validity" in fields else 0
        valid = array[:, :, 0] > 0 if "validity" in fields else None
        write_cog(paths[-1], array, spec_for(array, nodata=nodata, compress="deflate", **fields), valid=valid)
    run = subprocess.run([*probe[:4], script, *paths], capture_output=True, check=True, text=True)
    assert json.loads(run.stdout) == [[[], []]] * len(paths)


def test_spec_without_grid_is_written_without(tmp_path: Path) -> None:
    array = picture((20, 30, 1), "uint8", None)
    spec = replace(spec_for(array), crs="", transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    write_cog(tmp_path / "bare.tif", array, spec)
    with tifffile.TiffFile(tmp_path / "bare.tif") as file:
        assert not file.is_geotiff
