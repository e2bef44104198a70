"""CogSpec: what is refused, what follows from it, and what GDAL reads back of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.io import MemoryFile
from rasterio.rpc import RPC

from geofuse.errors import UsageError
from geofuse.rasters.cog import (
    CogSpec,
    checked_spec,
    encode_tile,
    expected_bytes,
    levels,
    make_spec,
    spec_from_json,
    spec_to_json,
    write_cog,
)
from geofuse.rasters.cog.spec import block_key

SMALL = {"height": 30, "width": 20, "bands": 3, "dtype": "uint16"}
RPCS = {
    "LINE_OFF": "15391",
    "SAMP_OFF": "13793",
    "LAT_OFF": "35.5",
    "LONG_OFF": "-98.25",
    "HEIGHT_OFF": "300",
    "LINE_SCALE": "15391",
    "SAMP_SCALE": "13793",
    "LAT_SCALE": "0.25",
    "LONG_SCALE": "0.5",
    "HEIGHT_SCALE": "500",
    **{
        name: " ".join(str((at + shift) / 64) for at in range(20))
        for shift, name in enumerate(["LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF"])
    },
}


def rational(items: dict[str, str]) -> dict[str, Any]:
    """Return the coefficients as numbers, without what is not said."""
    return {name: value for name, value in RPC.from_gdal(items).to_dict().items() if value is not None}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"dtype": "complex64"}, "complex64"),
        ({"dtype": "int8"}, "int8"),
        ({"height": 0}, "0 x 20"),
        ({"bands": 70000}, "70000 bands"),
        ({"compress": "jpeg"}, "jpeg"),
        ({"level": 23}, "level 23"),
        ({"compress": "deflate", "level": 13}, "level 13"),
        ({"level": 0}, "level 0"),
        ({"max_error": 1.0}, "max_error"),
        ({"max_error": -1.0, "compress": "lerc"}, "max_error"),
        ({"max_error": 1.0, "compress": "lerc", "nodata": 0}, "lossy"),
        ({"dtype": "float32", "compress": "lerc", "interleave": "pixel"}, "pixel interleave"),
        ({"nodata": -1}, "-1"),
        ({"nodata": 1.5}, "1.5"),
        ({"nodata": math.nan}, "nan"),
        ({"dtype": "float32", "nodata": 1e39}, "1e+39"),
        ({"overview": "cubic"}, "cubic"),
        ({"overview": "or", "dtype": "float32"}, "or"),
        ({"interleave": "line"}, "line"),
        ({"bigtiff": "no"}, "no"),
        ({"sparse": True}, "sparse"),
        ({"validity": "alpha", "dtype": "int16"}, "alpha of int16"),
        ({"validity": "mask", "nodata": 0}, "nodata 0 with mask"),
        ({"validity": "both"}, "both"),
        ({"predictor": "3"}, "predictor 3"),
        ({"predictor": "2", "compress": "none"}, "predictor 2"),
        ({"descriptions": ("one",)}, "1 descriptions"),
        ({"scales": (1.0, math.inf, 1.0)}, "scales"),
        ({"transform": (1.0, 0.0, math.nan, 0.0, 1.0, 0.0)}, "transform"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_impossible_specs_are_refused_by_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_spec(**{**SMALL, **fields})
    assert named in caught.value.found
    assert caught.value.wanted


def test_refused_tags_and_pixels_are_named(tmp_path: Path) -> None:
    pixels = np.zeros((30, 20, 3), np.uint16)
    with pytest.raises(UsageError, match="GDAL refuses"):
        write_cog(tmp_path / "out.tif", pixels, make_spec(**SMALL, crs="no such thing"))
    assert not list(tmp_path.iterdir())
    spec = make_spec(**SMALL)
    for wrong in (pixels[:29], pixels.astype(np.int16)):
        with pytest.raises(UsageError, match="for tile"):
            encode_tile(wrong, spec, tile_row=0, tile_col=0, tile_px=512)
    with pytest.raises(UsageError, match="for tile"):
        encode_tile(pixels, spec, tile_row=1, tile_col=0, tile_px=512)
    for tile_px in (0, 256, 768, 1000):
        with pytest.raises(UsageError, match="tile of"):
            encode_tile(pixels, spec, tile_row=0, tile_col=0, tile_px=tile_px)


def test_defaults_are_written_out() -> None:
    spec = make_spec(**SMALL)
    assert (spec.compress, spec.level) == ("zstd", 4)
    assert make_spec(**SMALL, compress="deflate").level == 6
    assert make_spec(**SMALL, compress="lzw").level is None
    with pytest.raises(UsageError, match="level 7 with lzw"):
        make_spec(**SMALL, compress="lzw", level=7)
    assert spec.scales == (1.0, 1.0, 1.0)
    assert checked_spec(spec) == spec
    assert make_spec(**{**SMALL, "dtype": "float32"}, nodata=0.1).nodata == np.float32(0.1)


@pytest.mark.parametrize("nodata", [None, 0.0, -9999.5, math.nan, -math.inf])
def test_json_both_ways(nodata: float | None) -> None:
    spec = make_spec(
        **{**SMALL, "dtype": "float64"}, nodata=nodata, crs="EPSG:4326", tags={"A": "b"}, rpcs=RPCS, level=3
    )
    back = spec_from_json(json.loads(json.dumps(spec_to_json(spec), allow_nan=False)))
    if nodata is not None and math.isnan(nodata):
        assert math.isnan(back.nodata or 0)
        assert spec_to_json(back) == spec_to_json(spec)
    else:
        assert back == spec
    assert block_key(back) == block_key(spec)


def test_only_what_shapes_blocks_is_in_their_key() -> None:
    key = block_key(make_spec(**SMALL))
    assert block_key(make_spec(**SMALL, tags={"A": "b"}, crs="EPSG:4326", level=4)) == key
    others = [{"nodata": 0}, {"level": 3}, {"width": 21}, {"overview": "or"}, {"interleave": "band"}]
    for other in (*others, {"validity": "mask"}, {"predictor": "none"}):
        assert block_key(make_spec(**{**SMALL, **other})) != key


def test_levels_halve_until_both_sides_fit_a_block() -> None:
    def of(height: int, width: int) -> tuple[tuple[int, int], ...]:
        return levels(CogSpec(height=height, width=width, bands=1, dtype="uint8"))

    assert of(512, 512) == ((512, 512),)
    assert of(1, 2049) == ((1, 2049), (1, 1025), (1, 513), (1, 257))
    assert of(10**6, 3)[-1] == (489, 1)


def test_expected_bytes_is_what_an_uncompressed_product_takes(tmp_path: Path) -> None:
    spec = make_spec(height=1100, width=700, bands=3, dtype="uint16", compress="none")
    size = write_cog(tmp_path / "out.tif", np.ones((1100, 700, 3), np.uint16), spec).size_bytes
    assert 0 <= size - expected_bytes(spec) < 4096


def test_gdal_reads_back_everything_the_spec_says(tmp_path: Path) -> None:
    spec = make_spec(
        height=600,
        width=700,
        bands=5,
        dtype="uint16",
        nodata=7,
        crs="EPSG:32616",
        transform=(15.0, 0.0, 499792.5, 0.0, -15.0, 3300007.5),
        descriptions=("blue", "", "rot & grün", "nir", "x"),
        colors=("blue", "green", "red", "nir", "octarine"),
        scales=(2e-05, 1.0, 0.1, 1.0, 1.0),
        offsets=(-0.1, 0.0, 0.0, 0.0, 0.0),
        tags={"TIFFTAG_SOFTWARE": "geofuse 1", "TIFFTAG_COPYRIGHT": "© USGS", "LEVEL": "L1T"},
        rpcs=RPCS,
    )
    path = tmp_path / "out.tif"
    write_cog(path, np.full((600, 700, 5), 9, np.uint16), spec)
    with rasterio.open(path) as image:
        assert image.crs.to_epsg() == 32616
        assert tuple(image.transform)[:6] == spec.transform
        assert image.nodatavals == (7.0,) * 5
        assert image.descriptions == ("blue", None, "rot & grün", "nir", "x")
        assert [color.name for color in image.colorinterp] == ["blue", "green", "red", "nir", "undefined"]
        assert (image.scales, image.offsets) == (spec.scales, spec.offsets)
        assert image.tags().items() >= spec.tags.items()
        assert image.rpcs.to_dict().items() >= rational(RPCS).items()
        assert image.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    with rasterio.open(path, overview_level=0) as image:
        assert image.nodata == 7.0


@pytest.mark.parametrize(
    "colors", [("red", "green", "blue"), ("red", "green", "blue", "alpha"), ("gray",), ()]
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_colours_come_back(tmp_path: Path, colors: tuple[str, ...], dtype: str) -> None:
    bands = len(colors) or 3
    grid = {"crs": "EPSG:4326", "transform": (1.0, 0.0, 5.0, 0.0, -1.0, 50.0)}
    spec = make_spec(height=9, width=9, bands=bands, dtype=dtype, colors=colors, **grid)
    write_cog(tmp_path / "out.tif", np.zeros((9, 9, bands), dtype), spec)
    with rasterio.open(tmp_path / "out.tif") as image:
        got = [color.name for color in image.colorinterp]
    assert got == list(colors or ("gray", "undefined", "undefined"))


def test_rotated_and_south_up_grids_come_back(tmp_path: Path) -> None:
    for transform in ((10.0, 2.0, 5e5, 2.0, -10.0, 4e6), (0.1, 0.0, 5.0, 0.0, 0.1, 40.0)):
        spec = make_spec(**SMALL, crs="EPSG:4326", transform=transform)
        write_cog(tmp_path / "out.tif", np.zeros((30, 20, 3), np.uint16), spec)
        with rasterio.open(tmp_path / "out.tif") as image:
            assert tuple(image.transform)[:6] == pytest.approx(transform)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_tags_are_those_gdal_writes_for_the_full_size(tmp_path: Path, interleave: str) -> None:
    size = {"width": 700, "height": 1100}
    spec = make_spec(
        **size,
        bands=4,
        dtype="int16",
        nodata=-1,
        crs="EPSG:32633",
        transform=(10.0, 0.0, 6e5, 0.0, -10.0, 5e6),
        colors=("red", "green", "blue", "nir"),
        interleave=interleave,
        tags={"TIFFTAG_SOFTWARE": "x"},
    )
    with MemoryFile() as memory:
        with memory.open(
            **size,
            driver="GTiff",
            count=4,
            dtype="int16",
            nodata=-1,
            crs="EPSG:32633",
            transform=rasterio.Affine(*spec.transform),
            interleave=interleave,
            tiled=True,
            sparse_ok=True,
            photometric="MINISBLACK",
        ) as image:
            image.colorinterp = [rasterio.enums.ColorInterp[name] for name in spec.colors]
            image.update_tags(**spec.tags)
        (tmp_path / "gdal.tif").write_bytes(memory.read())
    write_cog(tmp_path / "ours.tif", np.zeros((1100, 700, 4), np.int16), spec)
    own = {254, 256, 257, 259, 317, 322, 323, 324, 325}
    tags = []
    for name in ("gdal.tif", "ours.tif"):
        with tifffile.TiffFile(tmp_path / name) as file:
            tags.append(
                {
                    tag.code: (tag.dtype, tag.count, tag.value)
                    for tag in file.pages.first.tags
                    if tag.code not in own
                }
            )
    assert tags[0] == tags[1]
    assert len(tags[0]) >= 12
