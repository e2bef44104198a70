"""What a fusion takes decides what is related: roles and how many, ratios, a coordinate system or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from geofuse.errors import GeorefError, ProductError, UsageError
from geofuse.fusions import FUSIONS, SHARPEN, Fusion, Taken
from geofuse.scenes.opening import open_pair
from geofuse.scenes.relating import relate
from geofuse.scenes.scene import Scene
from tests.scenes.rasters import north_up, pair

X, Y = 500000.0, 5400000.0
LOOSE = Fusion(
    "loose", "any two grids", Taken("pan"), Taken("ms", most=None), ratios=(0.5, 20.0), needs_crs=False
)


def opened(folder: Path, **more: object) -> Scene:
    fine, coarse = pair(folder, **more)
    return open_pair(fine, [coarse])


def test_a_fusion_is_a_row() -> None:
    assert FUSIONS.load("sharpen") is SHARPEN
    assert FUSIONS.names() == ("sharpen",)
    with pytest.raises(UsageError, match=r"no fusion 'sharpe'.*did you mean sharpen\?"):
        FUSIONS.load("sharpe")


def test_ratios_are_the_fusions_own(tmp_path: Path) -> None:
    scene = opened(tmp_path, ms=north_up(X, Y, 5.0))
    with pytest.raises(GeorefError, match="wanted 1 to 8 times"):
        relate(scene)
    assert relate(scene, LOOSE).ratio == pytest.approx((10.0, 10.0))
    with pytest.raises(GeorefError, match="wanted 2 to 9 times"):
        relate(scene, replace(SHARPEN, ratios=(2.0, 9.0)))


def test_a_coordinate_system_is_wanted_where_the_fusion_wants_one(tmp_path: Path) -> None:
    scene = opened(tmp_path, crs=None, ms_crs=None)
    with pytest.raises(GeorefError, match="PAN without a coordinate system"):
        relate(scene)
    assert relate(scene, LOOSE).ratio == pytest.approx((4.0, 4.0))


def test_roles_and_how_many_are_the_fusions_own(tmp_path: Path) -> None:
    scene = opened(tmp_path)
    with pytest.raises(ProductError, match="no swir image"):
        relate(scene, replace(SHARPEN, targets=Taken("swir")))
    with pytest.raises(ProductError, match="1 pan images in pan; wanted at most 0"):
        relate(scene, replace(SHARPEN, guides=Taken("pan", least=0, most=0)))
    with pytest.raises(ProductError, match="1 ms images in pan; wanted at least 2"):
        relate(scene, replace(SHARPEN, targets=Taken("ms", least=2, most=None)))
