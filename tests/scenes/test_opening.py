from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import tifffile

from geofuse.errors import BandError, FormatError, GeorefError, PixelError, ProductError
from geofuse.nouns import from_json, to_json
from geofuse.rasters.image import Piece
from geofuse.scenes.bands import select_bands, with_nodata
from geofuse.scenes.opening import open_pair
from geofuse.scenes.relating import relate
from geofuse.scenes.scene import Scene
from tests.scenes.rasters import north_up, pair, tar_of, write
from tests.scenes.test_sidecars import IMD, rpb_text

MS = north_up(500000.0, 5400000.0, 2.0)
PAN = north_up(500000.0, 5400000.0, 0.5)


def names(scene):
    return [band.name for band in scene.image("ms").bands]


def test_a_plain_pair(tmp_path):
    fine, coarse = pair(tmp_path)
    scene = open_pair(fine, [coarse])
    assert (scene.scene_id, scene.sensor, scene.metadata, scene.warnings) == ("pan", "generic", {}, ())
    assert names(scene) == ["1", "2", "3", "4"]
    assert [band.pieces[0].index for band in scene.image("ms").bands] == [1, 2, 3, 4]
    band = scene.image("ms").bands[0]
    assert (band.gain, band.offset, band.nodata, band.saturation) == (None, None, None, 65535.0)
    assert (band.mtf_gain, scene.image("pan").bands[0].mtf_gain) == (0.3, 0.15)
    assert scene.image("ms").drivers == {coarse: "GTiff"}
    assert select_bands(scene, None) == (0, 1, 2, 3)
    assert select_bands(scene, ["4", "1"]) == (3, 0)
    assert from_json(Scene, json.loads(json.dumps(to_json(scene)))) == scene


def test_one_file_per_band_keeps_the_order_of_the_files(tmp_path):
    fine, _ = pair(tmp_path)
    files = [
        write(tmp_path / f"{name}.tif", shape=(10, 12), transform=MS, dtype=dtype, descriptions=[name])
        for name, dtype in (("nir", "uint16"), ("Red", "uint8"), ("anything", "float32"))
    ]
    scene = open_pair(fine, files)
    assert names(scene) == ["nir", "red", "3"]
    assert [(band.path, band.pieces[0].index, band.dtype) for band in scene.image("ms").bands] == [
        (files[0], 1, "uint16"),
        (files[1], 1, "uint8"),
        (files[2], 1, "float32"),
    ]
    assert [band.saturation for band in scene.image("ms").bands] == [65535.0, 255.0, None]
    assert select_bands(scene, ["2", "anything", "NIR"]) == (1, 2, 0)


def test_names_from_descriptions_fall_back_to_numbers(tmp_path):
    fine, coarse = pair(tmp_path, descriptions=("Blue", "Red Edge", "blue", "Thermal Infrared"))
    scene = open_pair(fine, [coarse])
    assert names(scene) == ["blue", "rededge", "3", "thermal1"]
    assert [band.aliases for band in scene.image("ms").bands] == [
        ("1", "Blue"),
        ("2", "Red Edge"),
        ("blue",),
        ("4", "Thermal Infrared"),
    ]
    assert select_bands(scene, None) == (0, 1, 2)
    assert select_bands(scene, ["red edge", "1", "3"]) == (1, 0, 2)
    with pytest.raises(BandError, match="emitted radiance"):
        select_bands(scene, ["4"])


def test_an_ambiguous_description(tmp_path):
    fine, coarse = pair(tmp_path, descriptions=("top", "green", "top", "2"))
    scene = open_pair(fine, [coarse])
    assert names(scene) == ["1", "green", "3", "4"]
    assert select_bands(scene, ["2"]) == (1,)  # a description that is a number never hides a band's number
    with pytest.raises(BandError, match="band top, which 2 bands are called"):
        select_bands(scene, ["top"])


def test_names_from_colours(tmp_path):
    fine, _ = pair(tmp_path)
    coarse = write(
        tmp_path / "rgb.tif", shape=(10, 12), bands=3, transform=MS, dtype="uint8", photometric="RGB"
    )
    scene = open_pair(fine, [coarse])
    assert names(scene) == ["red", "green", "blue"]
    assert [band.color for band in scene.image("ms").bands] == ["red", "green", "blue"]


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        (["gren"], "no band gren; wanted one of 1, blue .2., green .3., .*did you mean green"),
        (["blue", "BLUE"], "band BLUE twice"),
        (["blue", "2"], "band 2 twice"),
        (["5"], "no band 5"),
        ([""], "no band"),
        ([], "no band to sharpen"),
    ],
)
def test_band_names_that_mean_nothing(tmp_path, asked, match):
    fine, coarse = pair(tmp_path, descriptions=("", "blue", "green", "red"))
    with pytest.raises(BandError, match=match) as caught:
        select_bands(open_pair(fine, [coarse]), asked)
    assert len(str(caught.value).splitlines()) == 1


def test_alpha_masks_and_is_no_band(tmp_path):
    fine, _ = pair(tmp_path)
    coarse = write(
        tmp_path / "a.tif",
        shape=(10, 12),
        bands=4,
        dtype="uint8",
        transform=MS,
        photometric="RGB",
        alpha="YES",
    )
    scene = open_pair(fine, [coarse])
    assert names(scene) == ["red", "green", "blue"]
    assert scene.image("ms").alpha == (Piece(coarse, 4),)
    assert "alpha" in scene.warnings[0]
    with pytest.raises(PixelError, match="several alpha bands"):
        open_pair(fine, [coarse, write_alpha(tmp_path)])


def write_alpha(folder):
    return write(
        folder / "b.tif", shape=(10, 12), bands=4, dtype="uint8", transform=MS, photometric="RGB", alpha="YES"
    )


def test_pan_may_have_alpha_but_one_image_band(tmp_path):
    _, coarse = pair(tmp_path)
    fine = write(tmp_path / "p.tif", shape=(40, 48), bands=2, dtype="uint8", transform=PAN, alpha="YES")
    with rasterio.open(fine, "r+") as out:
        out.colorinterp = [rasterio.enums.ColorInterp.gray, rasterio.enums.ColorInterp.alpha]
    scene = open_pair(fine, [coarse])
    assert (len(scene.image("pan").bands), scene.image("pan").alpha) == (1, (Piece(fine, 2),))
    for bands in (2, 3):
        several = write(tmp_path / f"p{bands}.tif", shape=(40, 48), bands=bands, transform=PAN)
        with pytest.raises(BandError, match=f"PAN with {bands} bands; wanted exactly one"):
            open_pair(several, [coarse])


def test_an_internal_mask_is_noted(tmp_path):
    fine, coarse = pair(tmp_path)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(coarse, "r+") as out:
        out.write_mask(np.full((10, 12), 255, np.uint8))
    assert open_pair(fine, [coarse]).image("ms").masks == (coarse,)


def test_scale_and_offset_tags_are_the_radiometry(tmp_path):
    fine, coarse = pair(tmp_path)
    with rasterio.open(coarse, "r+") as out:
        out.scales, out.offsets = (1.0, 1e-4, 1.0, 2e-4), (0.0, 0.0, -5.0, -0.1)
    found = [
        (b.gain, b.offset, b.tag_scale, b.tag_offset) for b in open_pair(fine, [coarse]).image("ms").bands
    ]
    assert found == [
        (None, None, 1.0, 0.0),
        (1e-4, 0.0, 1e-4, 0.0),
        (1.0, -5.0, 1.0, -5.0),
        (2e-4, -0.1, 2e-4, -0.1),
    ]


def test_nodata_of_tags_and_overridden(tmp_path):
    fine, coarse = pair(tmp_path, nodata=0)
    scene = open_pair(fine, [coarse])
    assert [band.nodata for band in scene.image("ms").bands] == [0.0] * 4
    assert scene.image("pan").bands[0].nodata is None
    other = with_nodata(scene, 9)
    assert {band.nodata for band in (*other.image("pan").bands, *other.image("ms").bands)} == {9}
    assert open_pair(fine, [coarse], nodata=9) == other
    for value in (-1.0, 65536.0, 0.5, float("nan"), float("inf")):
        with pytest.raises(PixelError, match="uint16"):
            with_nodata(scene, value)


def test_nan_is_a_nodata_value_of_floats(tmp_path):
    fine = write(tmp_path / "p.tif", shape=(40, 48), transform=PAN, dtype="float32")
    coarse = write(tmp_path / "m.tif", shape=(10, 12), bands=2, transform=MS, dtype="float64")
    assert np.isnan(open_pair(fine, [coarse], nodata=float("nan")).image("ms").bands[1].nodata)


def test_a_nodata_tag_its_type_cannot_hold_is_ignored_with_a_warning(tmp_path):
    fine, _ = pair(tmp_path)
    path = str(tmp_path / "odd.tif")
    tifffile.imwrite(path, np.ones((10, 12), np.uint16), extratags=[(42113, "s", 0, "0.5", True)])
    scene = open_pair(fine, [path])
    assert scene.image("ms").bands[0].nodata is None
    assert "0.5 does not fit uint16" in scene.warnings[0]


def test_ms_files_of_different_grids_are_named(tmp_path):
    fine, coarse = pair(tmp_path)
    cases = {
        "moved": {"shape": (10, 12), "transform": north_up(500000.0 + 0.01, 5400000.0, 2.0)},
        "bigger": {"shape": (10, 13), "transform": MS},
        "elsewhere": {"shape": (10, 12), "transform": MS, "crs": "EPSG:32633"},
        "nowhere": {"shape": (10, 12), "transform": MS, "crs": None},
        "unplaced": {"shape": (10, 12)},
    }
    for name, case in cases.items():
        other = write(tmp_path / f"{name}.tif", **case)
        with pytest.raises(GeorefError, match=f"{name}.tif: a grid other than that of .*ms.tif"):
            open_pair(fine, [coarse, other])


def test_ms_files_a_hair_apart_are_one_grid(tmp_path):
    fine, coarse = pair(tmp_path)
    near = write(tmp_path / "near.tif", shape=(10, 12), transform=north_up(500000.0 + 0.0015, 5400000.0, 2.0))
    assert len(open_pair(fine, [coarse, near]).image("ms").bands) == 5


def test_files_given_twice_or_not_at_all(tmp_path):
    fine, coarse = pair(tmp_path)
    os.symlink(fine, tmp_path / "link.tif")
    for ms in ([coarse, coarse], [fine], [str(tmp_path / "link.tif")]):
        with pytest.raises(ProductError, match="the same file twice"):
            open_pair(fine, ms)
    with pytest.raises(ProductError, match="no MS file"):
        open_pair(fine, [])
    with pytest.raises(FormatError):
        open_pair(str(tmp_path / "nothing.tif"), [coarse])
    for hostile in ("/vsimem/a.tif", "a\x00b", "<VRTDataset/>", "http://127.0.0.1/a.tif"):
        with pytest.raises(FormatError):
            open_pair(hostile, [coarse])


def test_a_pair_inside_a_tar(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    pair(folder)
    bundle = tar_of(folder, tmp_path / "pair.tar", prefix="d/")
    scene = open_pair(f"tar:{bundle}!d/pan.tif", [f"tar:{bundle}!d/ms.tif"])
    assert (scene.scene_id, len(scene.image("ms").bands)) == ("pan", 4)
    assert relate(scene).ratio == (4.0, 4.0)


def test_a_scene_is_named_after_its_pan(tmp_path):
    _, coarse = pair(tmp_path)
    fine = write(tmp_path / "a!b.c.tif", shape=(40, 48), transform=PAN)
    assert open_pair(fine, [coarse]).scene_id == "a!b.c"


def test_rpcs_beside_a_grid_are_carried(tmp_path):
    fine, coarse = pair(tmp_path)
    (tmp_path / "pan.RPB").write_text(rpb_text())
    scene = open_pair(fine, [coarse])
    assert scene.image("pan").rpcs["LINE_OFF"] == "2199.5"
    assert scene.image("ms").rpcs is None
    relate(scene)


def test_rpcs_in_the_file_come_before_a_sidecar(tmp_path):
    fine, coarse = pair(tmp_path)
    own = rasterio.rpc.RPC(
        height_off=1.0,
        height_scale=2.0,
        lat_off=3.0,
        lat_scale=4.0,
        line_off=5.0,
        line_scale=6.0,
        long_off=7.0,
        long_scale=8.0,
        samp_off=9.0,
        samp_scale=10.0,
        line_den_coeff=[1.0] * 20,
        line_num_coeff=[2.0] * 20,
        samp_den_coeff=[3.0] * 20,
        samp_num_coeff=[4.0] * 20,
    )
    with rasterio.open(fine, "r+") as out:
        out.rpcs = own
    (tmp_path / "pan.RPB").write_text(rpb_text())
    assert float(open_pair(fine, [coarse]).image("pan").rpcs["LINE_OFF"]) == 5.0


def test_an_imd_names_sensor_bands_and_time(tmp_path):
    fine, coarse = pair(tmp_path)
    (tmp_path / "ms.IMD").write_text(IMD)
    scene = open_pair(fine, [coarse])
    assert scene.sensor == "worldview2"
    assert names(scene) == ["blue", "green", "red", "nir"]
    assert [band.mtf_gain for band in scene.image("ms").bands] == [0.35] * 4
    assert (scene.image("pan").bands[0].mtf_gain, scene.image("pan").bands[0].wavelength_nm) == (0.11, 625.0)
    assert scene.acquired == "2010-06-20T19:01:58.123456Z"
    assert scene.metadata["spacecraft"] == "WV02"
    assert scene.metadata["sun_elevation_deg"] == 28.5
    assert scene.metadata["cloud_cover_percent"] == pytest.approx(3.4)
    assert scene.metadata["access"] == "commercial"
    assert select_bands(scene, ["nir1", "2"]) == (3, 1)


def test_an_imd_that_lists_its_bands_is_believed(tmp_path):
    fine, _ = pair(tmp_path)
    coarse = write(tmp_path / "two.tif", shape=(10, 12), bands=2, transform=MS, descriptions=("red", "nir"))
    (tmp_path / "two.imd").write_text(IMD)
    assert names(open_pair(fine, [coarse])) == ["blue", "green"]


def test_images_of_different_satellites_are_of_no_known_sensor(tmp_path):
    fine, coarse = pair(tmp_path)
    (tmp_path / "ms.IMD").write_text(IMD)
    (tmp_path / "pan.IMD").write_text(IMD.replace("WV02", "GE01"))
    scene = open_pair(fine, [coarse])
    assert scene.sensor == "generic"
    assert "GE01, WV02" in scene.warnings[0]


def test_a_malformed_sidecar_is_a_warning_of_the_scene(tmp_path):
    fine, coarse = pair(tmp_path)
    (tmp_path / "ms.IMD").write_text("nothing")
    (tmp_path / "pan_RPC.TXT").write_text("nothing")
    scene = open_pair(fine, [coarse])
    assert [warning.rpartition(";")[2] for warning in scene.warnings] == [" ignored", " ignored"]
    assert scene.sensor == "generic"


def test_a_world_file_places_an_image_that_lacks_a_place(tmp_path):
    fine, coarse = pair(tmp_path)
    bare = write(tmp_path / "bare.tif", shape=(10, 12), bands=2)
    (tmp_path / "bare.tfw").write_text("2.0\n0.0\n0.0\n-2.0\n500001.0\n5399999.0\n")
    (tmp_path / "ms.tfw").write_text("9.0\n0.0\n0.0\n-9.0\n1.0\n1.0\n")  # ms.tif knows its own place
    assert open_pair(fine, [bare]).image("ms").grid.transform == tuple(MS)[:6]
    found, wanted = relate(open_pair(fine, [bare])), relate(open_pair(fine, [coarse]))
    assert replace(found, target=wanted.target) == wanted


def test_a_world_file_does_not_bring_a_coordinate_system(tmp_path):
    fine, _ = pair(tmp_path)
    bare = write(tmp_path / "bare.tif", shape=(10, 12), crs=None)
    (tmp_path / "bare.tfw").write_text("2.0\n0.0\n0.0\n-2.0\n500001.0\n5399999.0\n")
    with pytest.raises(GeorefError, match="MS without a coordinate system"):
        relate(open_pair(fine, [bare]))


def test_a_simulated_scene(pair):
    scene = open_pair(str(pair.pan), [str(pair.ms)])
    assert names(scene) == ["blue", "green", "red", "nir"]
    assert relate(scene).ratio == (4.0, 4.0)
    assert scene.image("pan").bands[0].nodata == 0.0
