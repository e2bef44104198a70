"""Which reader opens what: asked by names, the careful ones first; none, several and absent ones are named."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from rasters import landsat_folder, mtl_collection1, pair

from geofuse.errors import FormatError, PluginError, ProductError, UsageError
from geofuse.scenes import opening
from geofuse.scenes.opening import delivery_in, given_of, match_files, open_given, open_scene
from geofuse.scenes.readers.base import (
    ListedFile,
    Listing,
    Match,
    list_folder,
    list_tar,
    names_only,
    read_text,
)
from geofuse.scenes.readers.table import READERS
from geofuse.scenes.scene import Given, Scene
from geofuse.tables import Origin, Row, Table

C1 = "LC08_L1TP_020039_20170701_20170715_01_T1"


@pytest.fixture
def delivered(tmp_path: Path) -> Path:
    return Path(landsat_folder(tmp_path / "scene", C1, mtl=mtl_collection1(C1)))


@dataclass(frozen=True)
class Greedy:
    """A reader of another package, that takes every TIFF."""

    wanted: str = "any TIFF"
    last: bool = False

    def match(self, listing: Listing) -> Match | None:
        files = tuple(entry for entry in listing.entries if entry.name.endswith((".tif", ".TIF")))
        return Match("greedy", listing.where, files, (Given("", listing.where),)) if files else None

    def open(self, match: Match) -> Scene:
        return Scene("greedy", "generic", (), "greedy", match.given)


GREEDY = Greedy()


@pytest.fixture
def with_greedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put it into the table, as an entry point would."""
    row = Row("greedy", f"{__name__}:GREEDY", "every TIFF", package="greedy", version="1.2")
    table = Table("geofuse.readers", (*READERS.own, row), noun="reader", fault=ProductError)
    monkeypatch.setattr(opening, "READERS", table)


def test_a_delivery_is_known_by_its_names_and_opened_again_by_what_was_given(delivered: Path) -> None:
    match = match_files(list_folder(str(delivered)))
    assert (match.reader, match.given) == ("landsat", (Given("", str(delivered)),))
    scene = open_scene(str(delivered))
    assert (scene.reader, scene.source) == ("landsat", match.given)
    assert open_given(scene.source, reader=scene.reader) == scene


def test_a_folder_with_a_pan_and_its_ms_is_a_pair(tmp_path: Path) -> None:
    fine, coarse = pair(tmp_path)
    scene = open_scene(str(tmp_path))
    assert (scene.reader, scene.source) == ("pair", (Given("pan", fine), Given("ms", coarse)))
    assert open_given(scene.source, reader="pair") == scene == open_given(scene.source)


def test_a_pair_is_read_from_an_archive_in_place(tmp_path: Path) -> None:
    fine, coarse = pair(tmp_path)
    with tarfile.open(tmp_path / "both.tar", "w", format=tarfile.USTAR_FORMAT) as bundle:
        for path in (fine, coarse):
            bundle.add(path, Path(path).name)
    scene = open_scene(str(tmp_path / "both.tar"))
    assert scene.source[0] == Given("pan", f"tar:{tmp_path}/both.tar!pan.tif")
    assert open_given(scene.source, reader=scene.reader) == scene


def test_readers_that_go_by_little_are_asked_last(delivered: Path, tmp_path: Path) -> None:
    for path in pair(tmp_path):
        shutil.copy(path, delivered)
    assert open_scene(str(delivered)).reader == "landsat"


def test_where_nobody_knows_the_files_the_readers_are_listed(tmp_path: Path, with_greedy: None) -> None:
    for name in ("a.dat", "b.dat", "c.dat", "d.dat"):
        (tmp_path / name).touch()
    with pytest.raises(ProductError, match=r"a\.dat, b\.dat, c\.dat, \.\.\.") as caught:
        open_scene(str(tmp_path))
    for words in (
        "landsat: one Landsat 8",
        "greedy: any TIFF",
        "pair: one raster with pan",
        "geofuse plugins",
    ):
        assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match="no files"):
        open_scene(str(tmp_path))


def test_files_that_two_readers_know_are_refused_and_one_may_be_asked_alone(
    delivered: Path, with_greedy: None
) -> None:
    with pytest.raises(ProductError, match="files that 2 readers know: landsat, greedy"):
        open_scene(str(delivered))
    assert open_scene(str(delivered), reader="landsat").sensor == "landsat8"
    assert open_scene(str(delivered), reader="greedy").scene_id == "greedy"


def test_a_reader_that_is_named_but_does_not_know_the_files(tmp_path: Path) -> None:
    pair(tmp_path)
    with pytest.raises(ProductError, match="wanted landsat: one Landsat 8"):
        open_scene(str(tmp_path), reader="landsat")


def test_a_reader_that_is_gone_is_named_with_its_package(tmp_path: Path) -> None:
    pair(tmp_path)
    given = (Given("", str(tmp_path)),)
    with pytest.raises(PluginError, match=r"from greedy 1\.2, which is not installed"):
        open_given(given, reader="greedy", origin=Origin(package="greedy", version="1.2"))
    with pytest.raises(ProductError, match=r"no reader 'landsatt'.*did you mean landsat"):
        open_given(given, reader="landsatt")


def test_names_alone_tell_a_delivery() -> None:
    names = [(f"{C1}_B8.TIF", "b8"), (f"{C1}_MTL.txt", "mtl"), ("thumb.jpg", "thumb")]
    match = delivery_in(names_only(names))
    assert match is not None
    assert [entry.path for entry in match.files] == ["b8", "mtl"]
    assert delivery_in(names_only([("pan.tif", "a"), ("ms.tif", "b")])) is None


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ((None, None, ()), "no scene; wanted SCENE, or --pan with --ms"),
        (("x", "p.tif", ("m.tif",)), "SCENE together with --pan or --ms"),
        ((None, "p.tif", ()), "one of --pan and --ms"),
        ((None, None, ("m.tif",)), "one of --pan and --ms"),
    ],
)
def test_what_names_no_scene_or_two_is_refused(words: tuple[str, str, tuple[str, ...]], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        given_of(*words)


def test_listings_have_sizes_and_bounded_reading(delivered: Path, tmp_path: Path) -> None:
    folder = list_folder(str(delivered))
    with tarfile.open(tmp_path / "s.tar", "w", format=tarfile.USTAR_FORMAT) as bundle:
        bundle.add(delivered, C1)
    archive = list_tar(str(tmp_path / "s.tar"))
    assert [(entry.name, entry.size) for entry in folder.entries] == [
        (entry.name, entry.size) for entry in archive.entries
    ]
    one, other = (
        next(entry for entry in found.entries if "MTL" in entry.name) for found in (folder, archive)
    )
    assert read_text(one, 1 << 20) == read_text(other, 1 << 20)
    with pytest.raises(FormatError, match="too big"):
        read_text(one, 100)
    assert ListedFile("x", "y").size is None
