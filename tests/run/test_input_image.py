"""The unsharpened input of a published product: its own pixels on its own grid, or honestly absent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.windows import from_bounds

from geofuse.archive.publishing import Wishes, publish
from geofuse.cli import main
from geofuse.quality.simulated_pair import SimulatedPair
from geofuse.rasters.cog import validate_cog
from tests.run.scenery import fuse

QUICK = ("--method", "exp", "--no-calibrate", "--back-projections", "0")
DAY = Wishes(acquired="2026-06-01")


def published(catalog: Path, product: Path, wishes: Wishes = DAY) -> tuple[dict[str, Any], Path]:
    """Publish a product; returns its item, and the item's folder."""
    path = catalog / publish(product, catalog, wishes)["href"]
    return json.loads(path.read_text()), path.parent


def test_it_is_the_ms_of_the_products_area_bit_for_bit(pair: SimulatedPair, tmp_path: Path) -> None:
    ms = shutil.copy(pair.ms, tmp_path / "ms.tif")
    pan = shutil.copy(pair.pan, tmp_path / "pan.tif")
    out = fuse(
        tmp_path / "part.tif", pan, ms, *QUICK, "--window", "400", "320", "256", "512", "--bands", "3,1"
    )
    item, folder = published(tmp_path / "archive", out)
    asset = item["assets"]["input"]
    assert asset["roles"] == ["input", "source"]
    path = folder / asset["href"]
    validate_cog(path)
    with rasterio.open(path) as own, rasterio.open(ms) as whole, rasterio.open(out) as product:
        window = from_bounds(*own.bounds, whole.transform).round_offsets().round_lengths()
        np.testing.assert_array_equal(own.read(), whole.read((3, 1), window=window))
        assert own.descriptions == product.descriptions
        assert own.nodata == product.nodata
        assert own.shape < whole.shape
        for edge, mine, theirs in zip("lbrt", own.bounds, product.bounds, strict=True):
            assert mine <= theirs if edge in "lb" else mine >= theirs, "it covers the product"


def test_landsats_is_cut_from_its_own_bands(landsat: Path, tmp_path: Path) -> None:
    out = tmp_path / "clear.tif"
    where = ("--window", "960", "2", "244", "838", "--bands", "nir,red")
    assert main(["fuse", str(landsat), "--out", str(out), "--no-progress", *QUICK, *where]) == 0
    item, folder = published(tmp_path / "archive", out, Wishes())
    with rasterio.open(folder / item["assets"]["input"]["href"]) as own:
        for band, name in ((1, "B5"), (2, "B4")):
            (path,) = landsat.glob(f"*_{name}.TIF")
            with rasterio.open(path) as whole:
                window = from_bounds(*own.bounds, whole.transform).round_offsets().round_lengths()
                np.testing.assert_array_equal(own.read(band), whole.read(1, window=window))
        assert own.scales == (2e-05, 2e-05)


@pytest.mark.parametrize("what", ["gone", "changed"])
def test_without_its_files_the_product_is_published_all_the_same(
    pair: SimulatedPair, tmp_path: Path, what: str
) -> None:
    ms = shutil.copy(pair.ms, tmp_path / "ms.tif")
    pan = shutil.copy(pair.pan, tmp_path / "pan.tif")
    out = fuse(tmp_path / "part.tif", pan, ms, *QUICK, "--window", "400", "320", "256", "256")
    if what == "gone":
        Path(ms).unlink()
    else:
        with rasterio.open(ms, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
            file.write(file.read() // 2)
    item, _ = published(tmp_path / "archive", out)
    assert "input" not in item["assets"]
    shutil.copy(pair.ms, ms)
    assert publish(out, tmp_path / "archive", DAY)["action"] == "updated", "it comes when it can be had"
    item, folder = published(tmp_path / "archive", out)
    assert (folder / item["assets"]["input"]["href"]).is_file()
    assert publish(out, tmp_path / "archive", DAY)["action"] == "unchanged"
    Path(ms).unlink()
    assert publish(out, tmp_path / "archive", DAY)["action"] == "unchanged", "what was taken stays"
