from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofuse.errors import BandError, CorruptError, FormatError, GeofuseError, GeorefError, ProductError
from geofuse.geometry import AxisMap
from geofuse.nouns import from_json, to_json
from geofuse.rasters.pixels import read_window
from geofuse.scenes.bands import select_bands
from geofuse.scenes.opening import open_scene
from geofuse.scenes.readers import base, landsat_mtl
from geofuse.scenes.relating import relate
from geofuse.scenes.scene import Scene
from geofuse.scenes.sensors.table import sensor
from tests.scenes.rasters import landsat_folder, mtl_collection1, mtl_collection2, north_up, tar_of, write

C1 = "LC08_L1TP_020039_20170701_20170715_01_T1"
C2 = "LC09_L1TP_193027_20220618_20230411_02_T1"
OLD = "LC80200392015216LGN00"
NAMES = ["coastal", "blue", "green", "red", "nir", "swir1", "swir2", "cirrus", "thermal1", "thermal2"]


@pytest.fixture(scope="module")
def delivered(tmp_path_factory) -> Path:
    """A whole Collection 1 delivery; copy it before spoiling it."""
    return landsat_folder(tmp_path_factory.mktemp("c1") / C1, C1)


@pytest.fixture
def folder(delivered, tmp_path) -> Path:
    return Path(shutil.copytree(delivered, tmp_path / C1))


def test_the_real_scene(landsat):
    scene = open_scene(str(landsat))
    assert (scene.scene_id, scene.sensor) == (OLD, "landsat8")
    assert [band.name for band in scene.image("ms").bands] == NAMES
    assert [band.name for band in scene.image("ms").bands if band.thermal] == ["thermal1", "thermal2"]
    for band in (*scene.image("pan").bands, *scene.image("ms").bands):
        wanted = (None, None) if band.thermal else (2.0e-5, -0.1)
        assert (band.gain, band.offset) == wanted
        assert (band.nodata, band.saturation, band.dtype) == (0.0, 65535.0, "uint16")
    assert (scene.image("pan").grid.height, scene.image("pan").grid.width) == (1207, 1254)
    assert (scene.image("ms").grid.height, scene.image("ms").grid.width) == (603, 627)
    assert scene.acquired == "2015-08-04T16:19:21.791742Z"
    assert (scene.image("quality").bit_layout.name, scene.image("quality").grid) == (
        "landsat-pre",
        scene.image("ms").grid,
    )
    said = scene.metadata
    assert (said["sun_elevation_deg"], said["sun_azimuth_deg"]) == (64.74360932, 115.87210674)
    assert (said["wrs_path"], said["wrs_row"], said["cloud_cover_percent"]) == (20, 39, 11.08)
    assert said["attribution"] == "Image courtesy of the U.S. Geological Survey"
    assert "sun-angle correction not applied" in said["radiometry"]
    assert (said["collection"], said["access"]) == ("pre-collection", "open")
    assert scene.warnings == ()
    assert from_json(Scene, json.loads(json.dumps(to_json(scene)))) == scene


def test_the_real_scene_half_a_pixel_off(landsat):
    relation = relate(open_scene(str(landsat)))
    assert relation.axis_y == relation.axis_x == AxisMap(0.5, -0.5)
    assert (relation.rows, relation.cols, relation.ratio) == ((0, 1207), (0, 1254), (2.0, 2.0))
    assert relation.notes == ()
    assert not relation.target.warped


def test_collection_1(folder):
    scene = open_scene(str(folder))
    assert (scene.scene_id, scene.sensor, scene.image("quality").bit_layout.name) == (
        C1,
        "landsat8",
        "landsat-c1",
    )
    assert [band.name for band in scene.image("ms").bands] == NAMES
    assert {band.saturation for band in scene.image("ms").bands} == {65534.0}
    assert scene.acquired == "2017-07-01T16:20:12.500000Z"
    assert (scene.metadata["collection"], scene.metadata["level"]) == ("01", "L1TP")
    assert relate(scene).axis_x == AxisMap(0.5, -0.5)


def test_collection_2_and_lower_case_suffixes(tmp_path):
    folder = landsat_folder(tmp_path / "any", C2, quality="QA_PIXEL", mtl=mtl_collection2(C2), suffix=".tif")
    write(folder / f"{C2}_QA_RADSAT.tif")
    (folder / f"{C2}_ANG.txt").write_text("angles")
    scene = open_scene(str(folder))
    assert (scene.scene_id, scene.sensor, scene.image("quality").bit_layout.name) == (
        C2,
        "landsat9",
        "landsat-c2",
    )
    assert [band.name for band in scene.image("ms").bands] == NAMES
    assert (scene.image("pan").bands[0].gain, scene.image("pan").bands[0].offset) == (2.0e-5, -0.1)
    assert {band.saturation for band in scene.image("ms").bands} == {65535.0}
    assert scene.acquired == "2022-06-18T10:02:05.250000Z"
    assert (scene.metadata["collection"], scene.metadata["wrs_row"]) == ("02", 27)


def test_a_nodata_tag_comes_before_the_fill_value(folder):
    write(folder / f"{C1}_B3.TIF", shape=(6, 8), transform=north_up(600000.0, 5300000.0, 30.0), nodata=3)
    found = {band.name: band.nodata for band in open_scene(str(folder)).image("ms").bands}
    assert (found["green"], found["red"]) == (3.0, 0.0)


def test_the_default_and_named_bands(folder):
    scene = open_scene(str(folder))
    assert select_bands(scene, None) == (1, 2, 3, 4)
    assert select_bands(scene, ["4", "b3", "BLUE", "swir16"]) == (3, 2, 1, 5)
    for name in ("10", "B11", "thermal1"):
        with pytest.raises(BandError, match="emitted radiance"):
            select_bands(scene, [name])


def test_other_bands_and_quality_may_be_missing(folder):
    for part in ("B1", "B6", "B9", "B10", "B11", "BQA"):
        (folder / f"{C1}_{part}.TIF").unlink()
    scene = open_scene(str(folder))
    assert [band.name for band in scene.image("ms").bands] == ["blue", "green", "red", "nir", "swir2"]
    assert scene.find("quality") is None
    assert select_bands(scene, None) == (0, 1, 2, 3)


@pytest.mark.parametrize("part", ["B2", "B3", "B4", "B5", "B8"])
def test_a_missing_band_is_named(folder, part):
    (folder / f"{C1}_{part}.TIF").unlink()
    with pytest.raises(ProductError, match=f"no {C1}_{part}.TIF"):
        open_scene(str(folder))


def test_missing_metadata(folder):
    (folder / f"{C1}_MTL.txt").unlink()
    with pytest.raises(ProductError, match=f"no {C1}_MTL.txt"):
        open_scene(str(folder))


def spoiled(text: str) -> list[tuple[str, str]]:
    other = C1.replace("020039", "020040")
    return [
        ("", "empty"),
        ("<html>gone</html>", "line 1 is no metadata"),
        ("\x00" * 4000, "line 1 is no metadata"),
        (text[: len(text) // 2], "without its END|no metadata entry"),
        (text.replace("END\n", ""), "without its END"),
        ("GROUP = L1_METADATA_FILE\nEND_GROUP = L1_METADATA_FILE\nEND\n", "without its entries"),
        (text.replace("GROUP = IMAGE_ATTRIBUTES", "GROUP = OTHER", 1), "ends another group"),
        (text.replace("L1_METADATA_FILE", "IMD_FILE"), "metadata of kind IMD_FILE"),
        (text.replace(C1, other), f"another scene .{other}"),
        (text.replace(f"{C1}_B4.TIF", f"{other}_B4.TIF"), "another scene"),
        (text.replace('"L1TP"', '"L2SP"'), "Level-2"),
        (text.replace("2.0000E-05", "bright"), "REFLECTANCE_MULT_BAND_"),
        (text.replace("65.25", "1e9999"), "SUN_ELEVATION"),
        (text + " " * (1 << 20), "too big"),
    ]


@pytest.mark.parametrize("case", range(14))
def test_spoiled_metadata_is_refused_in_one_line(folder, case):
    path = folder / f"{C1}_MTL.txt"
    text, match = spoiled(path.read_text())[case]
    path.write_text(text)
    with pytest.raises(ProductError, match=match) as caught:
        open_scene(str(folder))
    assert len(str(caught.value).splitlines()) == 1


def test_metadata_without_file_names_is_known_by_its_id(folder):
    path = folder / f"{C1}_MTL.txt"
    lines = [line for line in path.read_text().splitlines() if "FILE_NAME" not in line]
    path.write_text("\n".join(lines))
    assert open_scene(str(folder)).scene_id == C1
    path.write_text("\n".join(lines).replace(C1, OLD))
    with pytest.raises(ProductError, match="another scene"):
        open_scene(str(folder))


def test_a_band_twice(folder):
    shutil.copy(folder / f"{C1}_B4.TIF", folder / f"{C1}_B4.tif")
    with pytest.raises(ProductError, match="B4 twice"):
        open_scene(str(folder))


def test_two_scenes_in_one_folder(folder):
    shutil.copy(folder / f"{C1}_B4.TIF", folder / f"{OLD}_B4.TIF")
    with pytest.raises(ProductError, match=f"2 scenes: .*{OLD}"):
        open_scene(str(folder))


@pytest.mark.parametrize(
    ("scene_id", "match"),
    [
        ("LC08_L2SP_020039_20170701_20170715_02_T1", "Level-2"),
        ("LE07_L1TP_020039_20170701_20170715_01_T1", "no Landsat 8 or 9"),
        ("LT08_L1TP_020039_20170701_20170715_01_T1", "no Landsat 8 or 9"),
        ("LC80200392015216", "no Landsat 8 or 9"),
    ],
)
def test_other_products_are_refused_by_name(tmp_path, scene_id, match):
    for part in ("B4.TIF", "SR_B4.TIF", "MTL.txt"):
        (tmp_path / f"{scene_id}_{part}").write_bytes(b"x")
    with pytest.raises(ProductError, match=match):
        open_scene(str(tmp_path))


def test_a_folder_without_landsat(tmp_path):
    (tmp_path / "B4.TIF").write_bytes(b"x")
    with pytest.raises(
        ProductError,
        match=r"no delivery that a reader knows \(B4\.TIF\); wanted landsat: one Landsat 8.*; or pair: ",
    ):
        open_scene(str(tmp_path))


def test_a_folder_of_too_many_files(tmp_path):
    for number in range(base.MOST_FILES + 1):
        (tmp_path / str(number)).touch()
    with pytest.raises(ProductError, match="more than 10000 files"):
        open_scene(str(tmp_path))


def test_a_band_of_another_grid_is_named(folder):
    write(folder / f"{C1}_B3.TIF", shape=(6, 8), transform=north_up(600030.0, 5300000.0, 30.0))
    with pytest.raises(GeorefError, match=r"B3\.TIF: a grid other than that of .*B1\.TIF"):
        open_scene(str(folder))


def test_a_band_file_of_two_bands(folder):
    write(folder / f"{C1}_B3.TIF", shape=(6, 8), bands=2, transform=north_up(600000.0, 5300000.0, 30.0))
    with pytest.raises(ProductError, match="2 bands"):
        open_scene(str(folder))


def test_a_quality_band_of_another_type_is_ignored_with_a_warning(folder):
    write(
        folder / f"{C1}_BQA.TIF", shape=(6, 8), dtype="uint8", transform=north_up(600000.0, 5300000.0, 30.0)
    )
    scene = open_scene(str(folder))
    assert scene.find("quality") is None
    assert "uint8" in scene.warnings[0]


def test_a_broken_band_is_named(folder):
    (folder / f"{C1}_B7.TIF").write_bytes(b"<html>")
    with pytest.raises(FormatError, match=f"{C1}_B7.TIF"):
        open_scene(str(folder))


def test_links_count_only_where_they_lead_to_files(folder, tmp_path):
    kept = tmp_path / "kept.TIF"
    shutil.move(folder / f"{C1}_B4.TIF", kept)
    os.symlink(kept, folder / f"{C1}_B4.TIF")
    assert open_scene(str(folder)).scene_id == C1
    kept.unlink()
    with pytest.raises(ProductError, match=f"no {C1}_B4.TIF"):
        open_scene(str(folder))


@pytest.mark.parametrize("prefix", ["", f"{C1}/", "./a/b/", "/abs/", "../up/"])
def test_a_tar_is_read_in_place(delivered, tmp_path, prefix):
    bundle = tar_of(delivered, tmp_path / "scene.tar", prefix=prefix)
    scene, folder = open_scene(bundle), open_scene(str(delivered))
    assert scene.image("pan").bands[0].path.startswith(f"tar:{bundle}!")
    assert (scene.image("ms").grid, scene.metadata) == (folder.image("ms").grid, folder.metadata)
    values, valid = read_window(scene.image("pan"), (0,), (0, 13, 0, 17))
    assert (values == 7).all()
    assert valid.all()


def test_only_regular_members_count(delivered, tmp_path):
    path = tmp_path / "scene.tar"
    with tarfile.open(path, "w") as archive:
        for file in sorted(delivered.iterdir()):
            if not file.name.endswith("_B4.TIF"):
                archive.add(file, arcname=file.name)
        link = tarfile.TarInfo(f"{C1}_B4.TIF")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(ProductError, match=f"no {C1}_B4.TIF"):
        open_scene(str(path))


@pytest.mark.parametrize("again", ["", "again/"])
def test_a_member_twice(delivered, tmp_path, again):
    bundle = tar_of(delivered, tmp_path / "scene.tar")
    with tarfile.open(bundle, "a") as archive:
        archive.add(delivered / f"{C1}_B4.TIF", arcname=f"{again}{C1}_B4.TIF")
    with pytest.raises(ProductError, match="B4 twice"):
        open_scene(bundle)


def test_a_cut_tar_is_no_whole_scene(delivered, tmp_path):
    bundle = Path(tar_of(delivered, tmp_path / "scene.tar"))
    bundle.write_bytes(bundle.read_bytes()[:4000])
    with pytest.raises((CorruptError, ProductError)):
        open_scene(str(bundle))


def test_huge_metadata_in_a_tar(delivered, tmp_path):
    bundle = str(tmp_path / "scene.tar")
    with tarfile.open(bundle, "w") as archive:
        for file in sorted(delivered.glob("*.TIF")):
            archive.add(file, arcname=file.name)
        member = tarfile.TarInfo(f"{C1}_MTL.txt")
        member.size = (1 << 20) + 1
        archive.addfile(member, io.BytesIO(b" " * member.size))
    with pytest.raises(ProductError, match="too big"):
        open_scene(bundle)


@pytest.mark.parametrize(
    ("suffix", "mode"), [("tar.gz", "w:gz"), ("tgz", "w:gz"), ("tar", "w:bz2"), ("tar.xz", "w:xz")]
)
def test_packed_archives_are_refused(tmp_path, suffix, mode):
    path = str(tmp_path / f"scene.{suffix}")
    with tarfile.open(path, mode) as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    with pytest.raises(FormatError, match="unpack it first"):
        open_scene(path)


def test_zip_and_other_files_are_refused(delivered, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "scene"), "zip", delivered)
    with pytest.raises(FormatError, match="unpack it first"):
        open_scene(archive)
    with pytest.raises(FormatError, match="neither a folder nor a tar"):
        open_scene(str(delivered / f"{C1}_B4.TIF"))
    with pytest.raises(FormatError):
        open_scene(str(tmp_path / "nothing"))


@pytest.mark.parametrize("path", ["/vsizip/a.zip", "http://127.0.0.1/a.tar", "a<b", "a\x00b", ""])
def test_hostile_paths_are_refused(path):
    with pytest.raises(FormatError):
        open_scene(path)


def test_no_file_of_the_scene_is_opened_for_a_hostile_folder(tmp_path):
    folder = landsat_folder(tmp_path / "a<b", C1)
    with pytest.raises(FormatError, match="<"):
        open_scene(str(folder))


def test_an_exclamation_mark_in_an_archives_path(delivered, tmp_path):
    bundle = tar_of(delivered, tmp_path / "a!b.tar")
    with pytest.raises(FormatError, match="rename it"):
        open_scene(bundle)


MTLS = [mtl_collection1(C1), mtl_collection2(C2)]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=400),
        st.text(alphabet='GROUPEND_ L1METAFI=".\n\r\x00', max_size=400),
        st.tuples(st.sampled_from(MTLS), st.integers(0, 4000), st.integers(0, 60), st.text(max_size=6)).map(
            lambda parts: parts[0][: parts[1]] + parts[3] + parts[0][parts[1] + parts[2] :]
        ),
    )
)
def test_the_mtl_parser_answers_or_refuses(text):
    try:
        found = landsat_mtl.parse_mtl(text, path="x_MTL.txt")
        for band in range(1, 12):
            landsat_mtl.radiometry(found, band, path="x")
        said = landsat_mtl.metadata(found, sensor("landsat8"), path="x")
        landsat_mtl.acquired(found)
    except ProductError:
        return
    assert found
    assert json.loads(json.dumps(said, allow_nan=False)) == said


def test_the_real_mtl_survives_any_single_cut(landsat):
    text = (landsat / f"{OLD}_MTL.txt").read_text()
    whole = landsat_mtl.parse_mtl(text, path="x")
    assert len(whole) > 150
    for stop in range(0, len(text) - 5, 97):
        with pytest.raises(GeofuseError):
            landsat_mtl.parse_mtl(text[:stop], path="x")
