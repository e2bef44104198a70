"""The lazy array: the same pixels as the file, and it reads only what it needs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401

import geofuse
from geofuse.cli import main
from geofuse.errors import ConfigError, UsageError
from geofuse.quality.simulated_pair import SimulatedPair


@pytest.fixture(scope="module")
def product(landsat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real scene by the command line."""
    out = tmp_path_factory.mktemp("file") / "x.tif"
    assert main(["fuse", str(landsat), "--method", "gsa", "--out", str(out), "--no-progress"]) == 0
    return out


def test_the_array_is_the_file(landsat: Path, product: Path) -> None:
    array = geofuse.fuse(geofuse.open_scene(str(landsat)), method="gsa", tile_px=512)
    assert array.chunks is not None
    with rasterio.open(product) as made:
        assert array.rio.crs == made.crs
        assert array.rio.transform() == made.transform
        assert array.rio.nodata == made.nodata
        assert array.dtype == made.dtypes[0]
        assert array.attrs["long_name"] == made.descriptions
        assert list(array.band.values) == ["blue", "green", "red", "nir"]
        np.testing.assert_array_equal(array.values, made.read())
        assert (array.attrs["scale_factor"], array.attrs["add_offset"]) == (made.scales[0], made.offsets[0])
        assert float(array.x[0]) == made.xy(0, 0)[0]
        assert float(array.y[-1]) == made.xy(made.height - 1, 0)[1]


def test_a_window_reads_only_what_it_needs(
    landsat: Path, product: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import geofuse.run.patch_reading as patches

    windows: list[tuple[int, int, int, int]] = []
    original = patches.read_window

    def watched(source, indices, window):  # type: ignore[no-untyped-def]
        windows.append(window)
        return original(source, indices, window)

    monkeypatch.setattr(patches, "read_window", watched)
    array = geofuse.fuse(str(landsat), method="gsa", tile_px=512, params=product.with_suffix(".json"))
    part = array.sel(band="red")[600:640, 700:760].compute()
    with rasterio.open(product) as made:
        np.testing.assert_array_equal(part, made.read(3)[600:640, 700:760])
    assert len(windows) == 2, "one tile, one window of each image"
    assert sum((r1 - r0) * (c1 - c0) for r0, r1, c0, c1 in windows) < 700 * 700 * 1.5


def test_the_scene_is_measured_once(pair: SimulatedPair, monkeypatch: pytest.MonkeyPatch) -> None:
    import geofuse.run.arrays as arrays

    fits = []
    original = arrays.fit_plan
    monkeypatch.setattr(arrays, "fit_plan", lambda *args: fits.append(1) or original(*args))
    array = geofuse.fuse(str(pair.pan), str(pair.ms), method="pracs", tile_px=512)
    assert not fits, "nothing is read before it is asked for"
    array[:, 600:700, 600:700].compute()
    array[:, 100:200, 600:700].compute()
    assert len(fits) == 1


def test_parameters_of_another_product_are_refused(landsat: Path, product: Path) -> None:
    record = json.loads(product.with_suffix(".json").read_text())
    with pytest.raises(ConfigError, match="gsa"):
        geofuse.fuse(str(landsat), method="brovey", params=record)
    with pytest.raises(ConfigError, match=r"OUT\.json"):
        geofuse.fuse(str(landsat), params={"nothing": 1})
    with pytest.raises(UsageError, match="tiel"):
        geofuse.fuse(str(landsat), tiel=3)


def test_it_computes_on_a_cluster(landsat: Path, product: Path, dask_address: str) -> None:
    from distributed import Client

    array = geofuse.fuse(str(landsat), method="gsa", tile_px=512, params=product.with_suffix(".json"))
    with Client(dask_address), rasterio.open(product) as made:
        np.testing.assert_array_equal(array.compute().values, made.read())
