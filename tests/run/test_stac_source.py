"""Scenes from a STAC API and a static catalogue: searched, resumed where broken off, checked, run like any other."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import arrivals
import numpy as np
import pystac
import pytest
from stac_server import Api, add_scene, serving

from geofuse.archive import catalog
from geofuse.config import RunConfig, StacConfig, config_from, surroundings
from geofuse.errors import CorruptError, ReadError, UsageError
from geofuse.line.cleaning import clean
from geofuse.line.inbox_run import look_and_run
from geofuse.line.scene_ledger import rows
from geofuse.line.sources import downloads
from geofuse.line.sources.downloads import download
from geofuse.line.sources.stac import fetch
from geofuse.line.sources.stac_search import search as search_with
from geofuse.line.sources.web import Web


@pytest.fixture(scope="module")
def scenes(truth: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remote")
    for number in range(2):
        arrivals.deliver(folder / f"scene{number}", truth, number, side=256)
    return folder


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setattr(downloads, "BACKOFF_S", 0.01)
    with serving() as found:
        yield found


def search(told: StacConfig) -> list[pystac.Item]:
    found = search_with(told, Web(told.url, surroundings().stac_token))
    assert found.faults == []
    return found.items


def source(api: Api, folder: Path, **told: Any) -> StacConfig:
    found = config_from({"stac": {"url": api.url, "folder": str(folder), **told}}).stac
    assert found is not None
    return found


def test_search_by_area_time_clouds_and_collection(api: Api, scenes: Path, tmp_path: Path) -> None:
    scene = scenes / "scene0"
    add_scene(api, scene, "near")
    add_scene(api, scene, "far", corner=(100.0, -20.0))
    add_scene(api, scene, "late", datetime="2024-07-01T10:00:00Z")
    add_scene(api, scene, "cloudy", **{"eo:cloud_cover": 80.0})
    add_scene(api, scene, "unknown", **{"eo:cloud_cover": None})
    add_scene(api, scene, "other", collection="sentinel")

    def found(**told: Any) -> list[str]:
        return [item.id for item in search(source(api, tmp_path, **told))]

    assert found() == ["near", "far", "late", "cloudy", "unknown", "other"]  # over three pages
    assert found(limit=3) == ["near", "far", "late"]
    assert found(bbox=[7.2, 50.2, 7.4, 50.4]) == ["near", "late", "cloudy", "unknown", "other"]
    assert found(datetime="2024-06-01/2024-08-01") == ["late"]
    assert found(cloud_cover_max=10, collections=["landsat-c2l1"]) == ["near", "far", "late"]
    assert api.searches[-1]["collections"] == ["landsat-c2l1"]
    area = tmp_path / "area.geojson"
    area.write_text(
        json.dumps(
            {"type": "Polygon", "coordinates": [[[100, -20], [101, -20], [101, -19], [100, -20]]]},
        )
    )
    assert found(aoi=str(area)) == ["far"]


def config_of(api: Api, folder: Path, **sections: Any) -> RunConfig:
    profile = folder / "all.yaml"
    profile.write_text("profile: all\nversion: 1\nchecks: {}\n")
    return config_from(
        {
            "fuse": {"method": "gsa", "calibrate": False},
            "encode": {"level": 1},
            "work": {"scheduler": "serial", "workers": 1},
            "assess": {"enabled": False},
            "accept": {"profile": str(profile)},
            "catalog": {"folder": str(folder / "archive")},
            "stac": {"url": api.url, "folder": str(folder / "downloads")},
            **sections,
        }
    )


def test_items_become_products_once(api: Api, scenes: Path, tmp_path: Path) -> None:
    for number in range(2):
        add_scene(api, scenes / f"scene{number}", f"item-{number}", updated="2024-05-13T00:00:00Z")
    config = config_of(api, tmp_path)
    assert [each.state for each in look_and_run(config).outcomes] == ["published"] * 2
    assert not any(name.endswith("thumb.jpg") for name, _ in api.downloads)  # what makes a scene, no more
    count = len(api.downloads)
    assert look_and_run(config).outcomes == ()
    assert len(api.downloads) == count
    folder = tmp_path / "downloads"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["item-0", "item-1"]
    gone = clean(config, clock=lambda: rows(config)[0].updated + 30 * 86400)
    assert len(gone["downloads"]) == 2
    assert look_and_run(config).outcomes == ()  # what is done and cleaned up is not downloaded again
    assert len(api.downloads) == count
    assert not (folder / "item-0").exists()


def test_a_pair_gets_its_time_from_its_item(api: Api, scenes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pair"
    folder.mkdir()
    for band, name in (("B8", "fine"), ("B2", "blue"), ("B3", "green")):
        shutil.copy(next((scenes / "scene0").glob(f"*_{band}.TIF")), folder / f"x_{name}.tif")
    item = add_scene(api, folder, "some-pair", datetime="2023-02-01T03:04:05Z")
    item["assets"] = {{"fine": "pan"}.get(key, key): asset for key, asset in item["assets"].items()}
    config = config_of(api, tmp_path)
    assert [each.state for each in look_and_run(config).outcomes] == ["published"]
    (entry,) = catalog.find(tmp_path / "archive")
    said = catalog.load(tmp_path / "archive", entry)["properties"]
    assert said["datetime"] == "2023-02-01T03:04:05Z"


def test_a_download_goes_on_where_it_broke_off(api: Api, scenes: Path, tmp_path: Path) -> None:
    item = add_scene(api, scenes / "scene0", "one")
    name = next(name for name in api.files if name.endswith("_B8.TIF"))
    size = api.files[name].stat().st_size
    api.cut[name] = 1000
    (done,) = fetch(source(api, tmp_path / "d"))
    assert done.new
    assert not done.fault
    asked = [asked for each, asked in api.downloads if each == name]
    assert asked == [None, "bytes=1000-"]
    got = tmp_path / "d" / "one" / Path(name).name
    assert got.read_bytes() == api.files[name].read_bytes()
    assert got.stat().st_size == size
    left = [path.name for path in (tmp_path / "d").rglob("*") if ".part" in path.name]
    assert left == []
    assert item["id"] == "one"


def test_a_download_of_an_earlier_process_goes_on_unless_the_file_is_another(
    api: Api, scenes: Path, tmp_path: Path
) -> None:
    path = tmp_path / "remote.bin"
    path.write_bytes(bytes(range(256)) * 400)
    api.files["f"] = path
    target = tmp_path / "f"
    web = Web(api.url)
    with pytest.raises(ReadError, match="broke off"):  # every attempt breaks off: the process gives up
        _always_cut(
            api,
            "f",
            500,
            lambda sleep: download(f"{api.url}/files/f", target, {}, web=web, sleep=sleep),
        )
    part = tmp_path / ".f.part"
    assert part.stat().st_size == 4 * 500
    download(f"{api.url}/files/f", target, {"size": 102400}, web=Web(api.url))
    assert api.downloads[-1] == ("f", "bytes=2000-")
    assert target.read_bytes() == path.read_bytes()
    target.unlink()
    with pytest.raises(ReadError):
        _always_cut(
            api,
            "f",
            500,
            lambda sleep: download(f"{api.url}/files/f", target, {}, web=web, sleep=sleep),
        )
    path.write_bytes(b"other" * 30000)
    download(f"{api.url}/files/f", target, {}, web=Web(api.url))
    assert target.read_bytes() == path.read_bytes()


def _always_cut(api: Api, name: str, after: int, work: Any) -> None:
    def sleep(seconds: float) -> None:
        api.cut[name] = after

    api.cut[name] = after
    work(sleep)


def test_what_is_not_what_the_item_says_is_refused(api: Api, scenes: Path, tmp_path: Path) -> None:
    item = add_scene(api, scenes / "scene0", "one")
    asset = item["assets"]["B8"]
    right = asset["file:checksum"]
    asset["file:checksum"] = "1220" + "0" * 64
    (bad,) = fetch(source(api, tmp_path / "d"))
    assert "sha256" in bad.fault
    assert not (tmp_path / "d" / "one").exists()
    asset["file:checksum"] = right
    (good,) = fetch(source(api, tmp_path / "d"))
    assert good.new
    with pytest.raises(CorruptError, match=r"wanted 5 bytes"):
        download(asset["href"], tmp_path / "f", {"size": 5}, web=Web(api.url), sleep=lambda _: None)
    with pytest.raises(ReadError, match="HTTP 404"):
        download(f"{api.url}/files/none", tmp_path / "g", {}, web=Web(api.url))
    api.busy = 2
    download(asset["href"], tmp_path / "h", {}, web=Web(api.url), sleep=lambda _: None)
    assert (tmp_path / "h").is_file()


def test_items_of_one_name_get_folders_of_their_own(api: Api, scenes: Path, tmp_path: Path) -> None:
    add_scene(api, scenes / "scene0", "one")
    add_scene(api, scenes / "scene1", "one", collection="other")
    add_scene(api, scenes / "scene0", "three")["id"] = "../../etc"
    found = fetch(source(api, tmp_path / "d"))
    assert [each.fault for each in found] == [""] * 3
    folders = {Path(each.folder) for each in found}
    assert len(folders) == 3
    assert {folder.parent for folder in folders} == {tmp_path / "d"}
    assert [each.new for each in fetch(source(api, tmp_path / "d"))] == [False] * 3


def test_an_item_that_is_updated_is_another_delivery(api: Api, scenes: Path, tmp_path: Path) -> None:
    item = add_scene(api, scenes / "scene0", "one", updated="2024-05-13T00:00:00Z")
    config = config_of(api, tmp_path)
    look_and_run(config)
    api.items[0] = add_scene(api, scenes / "scene1", "one", updated="2024-06-01T00:00:00Z")
    api.items.pop()
    assert api.items[0]["assets"] != item["assets"]
    assert [each.state for each in look_and_run(config).outcomes] == ["published"]


def test_a_static_catalogue_over_http_and_on_disk(api: Api, scenes: Path, tmp_path: Path) -> None:
    items = [
        add_scene(api, scenes / "scene0", "a"),
        add_scene(api, scenes / "scene1", "b", **{"eo:cloud_cover": 60.0}),
    ]
    local = pystac.Catalog("local", "here")
    for told in items:
        told = copy.deepcopy(told)
        told["collection"] = None
        for asset in told["assets"].values():
            name = asset["href"].partition("/files/")[2]
            asset["href"] = api.files.get(name, tmp_path / "none").as_uri()
        local.add_item(pystac.Item.from_dict(told))
    local.normalize_and_save(str(tmp_path / "cat"), pystac.CatalogType.SELF_CONTAINED)
    root = str(tmp_path / "cat" / "catalog.json")
    found = config_from({"stac": {"url": root, "folder": str(tmp_path / "d"), "cloud_cover_max": 10}}).stac
    assert found is not None
    (done,) = fetch(found)
    assert (done.item, done.fault) == ("a", "")
    assert len(list((tmp_path / "d" / "a").glob("*.TIF"))) == 6
    for path in (tmp_path / "cat").rglob("*.json"):
        api.files[str(path.relative_to(tmp_path))] = path
    far = config_from(
        {"stac": {"url": f"{api.url}/files/cat/catalog.json", "folder": str(tmp_path / "e")}}
    ).stac
    assert far is not None
    assert [item.id for item in search(far)] == ["a", "b"]
    assert "on this machine" in fetch(far)[0].fault  # a catalogue elsewhere must not read files here


def test_a_source_that_is_down_does_not_stop_what_has_arrived(api: Api, scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes / "scene0", tmp_path / "inbox" / "here")
    config = config_of(
        Api("http://127.0.0.1:9"), tmp_path, inbox={"folder": str(tmp_path / "inbox"), "settle": 0}
    )
    shift = look_and_run(config)
    assert [each.state for each in shift.outcomes] == ["published"]
    assert "no answer that is STAC" in shift.faults[0]


def test_sources_that_are_none_and_tokens(
    api: Api, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_scene(api, scenes / "scene0", "one")
    with pytest.raises(ReadError, match="no answer that is STAC"):
        search(source(Api("http://127.0.0.1:9"), tmp_path))
    (tmp_path / "item.json").write_text(json.dumps(api.items[0]))
    with pytest.raises(UsageError, match="Feature; wanted a STAC API"):
        search(source(Api(str(tmp_path / "item.json")), tmp_path))
    api.token = "secret"
    with pytest.raises(ReadError):
        search(source(api, tmp_path))
    monkeypatch.setenv("GEOFUSE_STAC_TOKEN", "secret")
    (done,) = fetch(source(api, tmp_path / "d", assets=["B8", "B2", "B3", "B4", "B5", "MTL"]))
    assert done.new
    assert not done.fault
    assert "no asset B99" in fetch(source(api, tmp_path / "e", assets=["B99"]))[0].fault
