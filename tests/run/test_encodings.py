"""How a product is encoded, asked for on the command line: all readers see the same pixels, valid where they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rio_cogeo.cogeo import cog_validate
from scenery import north_up, pixels, record, status, write

from geofuse.cli import main
from geofuse.quality.simulated_pair import SimulatedPair

WINDOW = ("--window", "0", "0", "1101", "677")
"""Of a size that is a multiple of nothing, with two overviews."""


def made(pair: SimulatedPair, out: Path, *options: str) -> Path:
    assert status(out, pair.pan, pair.ms, *WINDOW, "--no-calibrate", "--method", "exp", *options) == 0
    return out


@pytest.fixture(scope="module")
def pair(pair: SimulatedPair, tmp_path_factory: pytest.TempPathFactory) -> SimulatedPair:
    """The pair with its slanted borders, and nothing at all in the first block."""
    with rasterio.open(pair.ms) as file:
        ms, place, crs = file.read(), file.transform, file.crs
    ms[:, :130, :129] = 0
    path = write(tmp_path_factory.mktemp("holed") / "ms.tif", ms, place, crs=crs, nodata=0)
    return replace(pair, ms=path)


@pytest.fixture(scope="module")
def plain(
    pair: SimulatedPair, tmp_path_factory: pytest.TempPathFactory
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The pixels (B, H, W) with nothing asked for, and which of them are valid (H, W)."""
    out = made(pair, tmp_path_factory.mktemp("plain") / "x.tif", "--compress", "none")
    with rasterio.open(out) as file:
        valid = file.dataset_mask() > 0
    assert 0.05 < valid.mean() < 0.95
    return pixels(out), valid


def as_tifffile_reads(path: Path) -> NDArray[Any]:
    """Read the full image's samples (n, H, W) without GDAL."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        image = page.asarray()
        return image if page.planarconfig == 2 else np.moveaxis(image, -1, 0)


def halved(values: NDArray[Any], valid: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Average the valid ones of 2 x 2 pixels, rounding half up: 0 where there are none."""
    more = [(0, size % 2) for size in valid.shape]
    values, valid = np.pad(np.where(valid, values, 0).astype(np.int64), [(0, 0), *more]), np.pad(valid, more)
    corners = [(slice(down, None, 2), slice(right, None, 2)) for down in (0, 1) for right in (0, 1)]
    count = sum(valid[corner].astype(np.int64) for corner in corners)
    total = sum(values[:, *corner] for corner in corners)
    return (2 * total + count) // np.maximum(2 * count, 1), count > 0


@pytest.mark.parametrize(
    "options",
    [
        ("--alpha", "--bands", "1,2,3"),
        ("--alpha", "--bands", "1,2,3", "--interleave", "band", "--compress", "lzw"),
        ("--mask",),
        ("--mask", "--interleave", "band", "--compress", "deflate"),
        ("--mask", "--sparse", "--bigtiff"),
        ("--mask", "--compress", "lerc", "--max-error", "3"),
        ("--sparse", "--compress", "deflate", "--predictor", "none"),
        ("--compress", "lerc", "--interleave", "band"),
        ("--bigtiff", "--predictor", "2", "--compress", "lzw"),
    ],
    ids=" ".join,
)
def test_every_reader_sees_the_same_pixels_valid_in_the_same_places(
    pair: SimulatedPair,
    tmp_path: Path,
    plain: tuple[NDArray[Any], NDArray[np.bool_]],
    options: tuple[str, ...],
) -> None:
    values, valid = plain
    out = made(pair, tmp_path / "a.tif", *options, "--tile", "512")
    assert out.read_bytes() == made(pair, tmp_path / "b.tif", *options, "--workers", "3").read_bytes()
    assert main(["verify", str(out)]) == 0
    assert cog_validate(out, strict=True) == (True, [], [])
    kind = "alpha" if "--alpha" in options else "mask" if "--mask" in options else "nodata"
    flag = {"alpha": MaskFlags.alpha, "mask": MaskFlags.per_dataset, "nodata": MaskFlags.nodata}[kind]
    bands = 3 if "--bands" in options else 4
    values = values[:bands]
    error = 3 if "--max-error" in options else 0
    with rasterio.open(out) as file:
        assert flag in file.mask_flag_enums[0]
        assert (file.nodata is None) == (kind != "nodata")
        assert file.count == bands + (kind == "alpha")
        np.testing.assert_array_equal(file.dataset_mask() > 0, valid)
        found = file.read()
        assert np.abs(found[:bands].astype(int) - values)[:, valid].max() <= error
        assert file.interleaving.name == ("band" if "band" in options else "pixel")
    if kind == "alpha":
        np.testing.assert_array_equal(found[-1], np.where(valid, 65535, 0))
    if kind != "nodata":
        assert error or not found[:bands, ~valid].any()
    np.testing.assert_array_equal(as_tifffile_reads(out), found)
    if not error:
        above, seen = values, valid
        for level in (0, 1):
            above, seen = halved(above, seen)
            with rasterio.open(out, overview_level=level) as file:
                np.testing.assert_array_equal(file.dataset_mask() > 0, seen)
                np.testing.assert_array_equal(file.read()[:bands, seen], above[:, seen])
    with tifffile.TiffFile(out) as file:
        assert file.is_bigtiff == ("--bigtiff" in options)
        page = file.pages.first
        assert (0 in page.databytecounts) == ("--sparse" in options)
        if kind == "mask":
            np.testing.assert_array_equal(file.pages[1].asarray() > 0, valid)
            assert [int(each.tags[254].value) for each in file.pages if 254 in each.tags] == [4, 1, 1, 5, 5]
    said = record(out)["parameters"]
    assert (said["validity"], said["sparse"]) == (kind, "--sparse" in options)


@pytest.mark.parametrize("option", ["--sparse", "--mask"])
@pytest.mark.parametrize("size", [("1025", "513"), ("513", "1")], ids=" x ".join)
def test_tiles_and_blocks_of_one_pixel(
    pair: SimulatedPair, tmp_path: Path, size: tuple[str, str], option: str
) -> None:
    """The last row and column of tiles, of blocks and of overview blocks are one pixel wide."""
    words = ["--window", "150", "500", *size, "--no-calibrate", "--method", "exp", option]
    made = []
    for number, tile in enumerate(("512", "1024")):
        made.append(tmp_path / f"{number}.tif")
        assert status(made[-1], pair.pan, pair.ms, *words, "--tile", tile) == 0
    assert made[0].read_bytes() == made[1].read_bytes()
    wanted = (True, [], [])
    if "1" in size:  # rio-cogeo asks for half of a width of 1; GDAL's own COG of this size fares no better
        wanted = (False, ["Invalid Decimation 1 for overview level 0"], [])
    assert cog_validate(made[0], strict=True) == wanted
    assert main(["verify", str(made[0])]) == 0
    with rasterio.open(made[0]) as file:
        assert file.shape == tuple(int(side) for side in size)
        found, valid = file.read(), file.dataset_mask() > 0
    assert valid[-1].any()
    np.testing.assert_array_equal(as_tifffile_reads(made[0]).reshape(found.shape), found)


def test_alpha_and_masks_let_every_value_stand(tmp_path: Path) -> None:
    """With nodata a result that comes out as 0 moves to 1; where something else marks, it need not."""
    ms = np.zeros((1, 32, 32), "uint8")
    ms[0, 8:, 8:] = 9
    ms[0, 20:24, 20:24] = 0
    shown = np.ones((32, 32), bool)
    shown[:4] = False
    files = (
        write(tmp_path / "pan.tif", np.ones((1, 128, 128), "uint8"), north_up(0.5)),
        write(tmp_path / "ms.tif", ms, north_up(2.0), mask=shown),
    )
    for number, (options, moved) in enumerate(((("--mask",), 0), (("--alpha",), 0), ((), 1))):
        out = tmp_path / f"{number}.tif"
        assert status(out, *files, "--no-calibrate", "--method", "exp", *options) == 0
        with rasterio.open(out) as file:
            valid = file.dataset_mask() > 0
            np.testing.assert_array_equal(valid, np.repeat(np.repeat(shown, 4, axis=0), 4, axis=1))
            lowest = file.read(1)[valid].min()
        assert (record(out)["counts"]["moved"] > 0, lowest) == (bool(moved), moved)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--alpha", "--mask"), "not allowed with"),
        (("--max-error", "1"), "lerc"),
        (("--compress", "lerc", "--max-error", "1"), "lossy"),
        (("--predictor", "3"), "floats"),
        (("--predictor", "2", "--compress", "none"), "zstd"),
        (("--interleave", "line"), "pixel"),
        (("--compress", "webp"), "lerc"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_no_file_holds_is_refused_by_name(
    pair: SimulatedPair,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    says: str,
) -> None:
    level = () if "--compress" in options else ("--compress", "zstd")
    assert status(tmp_path / "x.tif", pair.pan, pair.ms, "--no-calibrate", *options, *level) == 2
    text = capsys.readouterr().err
    assert text.startswith("geofuse: error [usage]")
    assert says in text
    assert not list(tmp_path.iterdir())


def test_the_encoding_is_part_of_the_plan_and_of_what_a_product_is(
    pair: SimulatedPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = ["--pan", str(pair.pan), "--ms", str(pair.ms)]
    assert main(["plan", *inputs, "--mask", "--sparse", "--bigtiff"]) == 0
    assert "uint16, with mask" in capsys.readouterr().out
    out = made(pair, tmp_path / "x.tif", "--mask")
    for other in (
        ("--alpha",),
        (),
        ("--mask", "--sparse"),
        ("--mask", "--bigtiff"),
        ("--mask", "--predictor", "none"),
    ):
        assert status(out, pair.pan, pair.ms, *WINDOW, "--no-calibrate", "--method", "exp", *other) == 2
        assert "[exists]" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--alpha", "--mask"])
def test_products_with_alpha_or_mask_are_assessed_as_others_are(
    pair: SimulatedPair, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    found = []
    for name, options in (("a", (option,)), ("b", ())):
        out = made(pair, tmp_path / f"{name}.tif", *options)
        capsys.readouterr()
        assert main(["assess", str(out), "--pan", str(pair.pan), "--ms", str(pair.ms), "--json"]) == 0
        found.append(capsys.readouterr().out.replace(f"{name}.tif", "x.tif"))
    one, other = (json.loads(text) for text in found)
    assert {**one, "warnings": []} == {**other, "warnings": []}
