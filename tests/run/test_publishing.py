"""A product becomes an item that other programs read; told twice it is there once; killed, it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import pyogrio
import pystac
import pystac.errors
import pystac.validation
import pytest
import rasterio
import scenery
import shapely
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from geofuse.archive import catalog
from geofuse.archive.catalog_check import catalog_problems
from geofuse.archive.publishing import Wishes, publish
from geofuse.archive.stac_schemas import schema_cache
from geofuse.cli import main
from geofuse.errors import ExistsError, GeofuseError, LockedError, UsageError, VerifyError
from geofuse.files import write_json
from geofuse.locks import locked
from geofuse.rasters.ledger import json_path, mask_path, png_path

HERE = Path(__file__).resolve().parent
ITEM = "pan-fused"
DAY = "2024-05-12T10:05:00Z"

WITHOUT_A_NETWORK = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_publishing import by_pystac
from pathlib import Path
sys.addaudithook(lambda event, _: os._exit(99) if event.startswith(("socket.", "urllib.")) else None)
print(sum(len(item["assets"]) for item in by_pystac(Path(sys.argv[2]))["items"]))
"""


def by_pystac(folder: Path) -> dict[str, Any]:
    """Open, walk and validate a catalogue as any user of pystac does, schemas being at hand."""
    validator = JsonSchemaSTACValidator()
    validator.schema_cache.update(schema_cache())
    pystac.validation.set_validator(validator)
    root = pystac.Catalog.from_file(str(folder / "catalog.json"))
    count = root.validate_all()
    items = []
    for item in root.get_items(recursive=True):
        assets = {key: str(asset.get_absolute_href()) for key, asset in item.assets.items()}
        items.append({"id": item.id, "self": str(item.get_self_href()), "assets": assets})
        collection = item.get_collection()
        assert collection is not None
        assert collection.id == item.collection_id
        assert item.get_root() is root
    return {"validated": count, "items": items, "children": [child.id for child in root.get_children()]}


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same scene by two methods, another delivery of it, and another scene of that name elsewhere."""
    import numpy as np

    folder = tmp_path_factory.mktemp("products")
    rng = np.random.default_rng(11)
    image = 200.0 + 3000.0 * scenery.landscape(rng, 4, 96)
    made = {}
    for name, method, shift in (
        ("exp", "exp", 0.0),
        ("gsa", "gsa", 0.0),
        ("again", "exp", 0.0),
        ("far", "exp", 90_000.0),
    ):
        place = folder / name
        place.mkdir()
        corner = (500_000.0 + shift, 5_400_000.0)
        fine = (image + (name == "again")).astype("uint16")
        coarse = scenery.averaged(fine.astype("float64"), 4).astype("uint16")
        coarse[:, :6, :6] = 0
        pan = scenery.write(place / "pan.tif", fine[:1], scenery.north_up(10.0, corner=corner), nodata=0)
        ms = scenery.write(place / "ms.tif", coarse, scenery.north_up(40.0, corner=corner), nodata=0)
        made[name] = scenery.fuse(place / "x.tif", pan, ms, "--method", method, "--no-calibrate")
    return made


@pytest.fixture
def product(products: dict[str, Path], tmp_path: Path) -> Path:
    """A product to harm."""
    folder = tmp_path / "product"
    shutil.copytree(products["exp"].parent, folder)
    return folder / "x.tif"


def published(out: Path, folder: Path, **wishes: Any) -> dict[str, Any]:
    return publish(out, folder, Wishes(**{"acquired": DAY, **wishes}))


def item_of(folder: Path, item_id: str = ITEM) -> dict[str, Any]:
    return dict(json.loads((folder / "generic" / item_id / f"{item_id}.json").read_text()))


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Return every file with its time and checksum."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_pystac_opens_and_validates_it_without_a_network(products: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    published(products["exp"], folder)
    published(products["far"], folder, item_id="elsewhere")
    found = by_pystac(folder)
    assert found["children"] == ["generic"]
    assert sorted(item["id"] for item in found["items"]) == ["elsewhere", ITEM]
    assert found["validated"] == 2
    for item in found["items"]:
        assert set(item["assets"]) == {"data", "input", "quicklook", "provenance"}
        assert all(Path(path).is_file() for path in item["assets"].values())
    command = [sys.executable, "-W", "error", "-c", WITHOUT_A_NETWORK, str(HERE), str(folder)]
    path = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=path)
    assert (done.returncode, done.stdout.strip()) == (0, "8"), done.stderr


def test_the_item_says_what_the_product_is(landsat: Path, tmp_path: Path) -> None:
    out = tmp_path / "l.tif"
    window = ["--window", "960", "2", "244", "838"]
    arguments = ["fuse", str(landsat), *window, "--out", str(out), "--method", "exp", "--level", "1"]
    assert main([*arguments, "--no-progress", "--no-calibrate"]) == 0
    done = publish(out, tmp_path / "c")
    assert (done["action"], done["collection"], done["access"]) == ("published", "landsat8", "open")
    item = pystac.Item.from_file(str(tmp_path / "c" / done["href"]))
    record = json.loads(json_path(out).read_text())
    said = item.properties
    assert said["datetime"] == record["scene"]["acquired"]
    for name, key in (
        ("eo:cloud_cover", "cloud_cover_percent"),
        ("view:sun_azimuth", "sun_azimuth_deg"),
        ("view:sun_elevation", "sun_elevation_deg"),
    ):
        assert said[name] == pytest.approx(record["scene"]["metadata"][key])
    with rasterio.open(out) as file:
        assert said["proj:shape"] == list(file.shape)
        assert said["proj:transform"] == list(file.transform)[:6]
        assert said["proj:bbox"] == list(file.bounds)
        assert said["proj:code"] == f"EPSG:{file.crs.to_epsg()}"
    assert said["gsd"] == 15.0
    data = item.assets["data"]
    assert data.roles == ["data"]
    assert [band["common_name"] for band in data.extra_fields["eo:bands"]] == [
        "blue",
        "green",
        "red",
        "nir08",
    ]
    assert data.extra_fields["eo:bands"][0]["center_wavelength"] == 0.48204
    stored = data.extra_fields["raster:bands"]
    assert [(band["scale"], band["offset"]) for band in stored] == [
        (band["gain"], band["offset"]) for band in record["radiometry"]["bands"]
    ]
    assert data.extra_fields["file:checksum"] == "1220" + hashlib.sha256(out.read_bytes()).hexdigest()
    assert data.extra_fields["file:size"] == out.stat().st_size
    assert {key: asset.roles[0] for key, asset in item.assets.items()} == {
        role: role for role in ("data", "mask", "quicklook", "provenance", "input")
    }
    assert (said["license"], said["attribution"]) == ("other", "Image courtesy of the U.S. Geological Survey")
    sources = [link for link in item.links if link.rel == "derived_from"]
    assert len(sources) == len(record["inputs"]) > 4
    assert [link.extra_fields["file:checksum"] for link in sources] == [
        "1220" + source["sha256"] for source in record["inputs"]
    ]
    assert any(link.rel == "license" for link in item.links)
    assert said["processing:software"]["geofuse"] == record["geofuse"]
    footprint = shapely.geometry.shape(item.geometry)
    with rasterio.open(out) as file:
        there = geopandas.GeoSeries([footprint], crs="OGC:CRS84").to_crs(file.crs.to_wkt())
        assert there.area[0] == pytest.approx(record["counts"]["valid"] * 225.0, rel=0.01)


def test_told_twice_it_is_there_once(products: dict[str, Path], tmp_path: Path) -> None:
    first = published(products["exp"], tmp_path / "c")
    before = snapshot(tmp_path / "c")
    again = publish(products["exp"], tmp_path / "c")  # the item knows its time by now
    assert again == {**first, "action": "unchanged"}
    assert snapshot(tmp_path / "c") == before
    assert main(["publish", str(products["exp"]), "--catalog", str(tmp_path / "c")]) == 0
    assert snapshot(tmp_path / "c") == before


@pytest.mark.parametrize(("name", "because"), [("gsa", "reprocessed"), ("again", "re-delivered")])
def test_a_newer_product_of_the_scene_supersedes(
    products: dict[str, Path], tmp_path: Path, name: str, because: str
) -> None:
    folder = tmp_path / "c"
    published(products["exp"], folder)
    created = item_of(folder)["properties"]["created"]
    done = publish(products[name], folder)
    assert (done["action"], done["because"], done["version"]) == ("superseded", because, "2")
    found = by_pystac(folder)
    assert [item["id"] for item in found["items"]] == [ITEM]
    assert Path(found["items"][0]["assets"]["data"]).read_bytes() == products[name].read_bytes()
    new = pystac.Item.from_file(found["items"][0]["self"])
    (link,) = [link for link in new.links if link.rel == "predecessor-version"]
    with pytest.warns(pystac.errors.DeprecatedWarning, match="v1"):
        old = pystac.Item.from_file(str(link.get_absolute_href()))
    assert (old.id, old.properties["version"], old.properties["deprecated"]) == (f"{ITEM}-v1", "1", True)
    assert old.properties["created"] == created
    assert Path(old.assets["data"].get_absolute_href() or "").read_bytes() == products["exp"].read_bytes()
    (latest,) = [link for link in old.links if link.rel == "latest-version"]
    assert Path(str(latest.get_absolute_href())).resolve() == Path(found["items"][0]["self"]).resolve()
    assert len(catalog.find(folder)) == 1
    assert catalog_problems(folder) == (1, [])
    publish(products["exp"], folder)
    assert catalog_problems(folder) == (1, [])
    assert catalog.remove_superseded(folder) == 2
    assert catalog_problems(folder) == (1, [])
    assert sorted(path.name for path in (folder / "generic" / ITEM).iterdir()) == [f"{ITEM}.json", "v3"]
    assert item_of(folder)["assets"]["data"]["href"] == f"./v3/{ITEM}.tif"


def test_the_lists_follow(products: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "c"
    published(products["exp"], folder)
    published(products["far"], folder, item_id="elsewhere", acquired="2020-01-01")
    for name in ("footprints.gpkg", "footprints.parquet"):
        read = pyogrio.read_dataframe if name.endswith("gpkg") else geopandas.read_parquet
        frame = read(folder / name)
        assert sorted(frame["id"]) == ["elsewhere", ITEM]
        assert frame["href"].map(lambda href: (folder / href).is_file()).all()
    collection = pystac.Collection.from_file(str(folder / "generic" / "collection.json"))
    (span,) = collection.extent.temporal.intervals
    assert [moment.isoformat() for moment in span if moment] == [
        "2020-01-01T00:00:00+00:00",
        "2024-05-12T10:05:00+00:00",
    ]
    catalog.remove(folder, "elsewhere")
    assert len(pyogrio.read_dataframe(folder / "footprints.gpkg")) == 1
    assert not (folder / "generic" / "elsewhere").exists()
    assert [item["id"] for item in by_pystac(folder)["items"]] == [ITEM]
    catalog.remove(folder, ITEM)
    assert len(geopandas.read_parquet(folder / "footprints.parquet")) == 0
    assert by_pystac(folder)["children"] == []
    assert not (folder / "generic").exists()


def test_it_can_be_moved(products: dict[str, Path], tmp_path: Path) -> None:
    published(products["exp"], tmp_path / "c")
    publish(products["gsa"], tmp_path / "c")
    moved = tmp_path / "elsewhere" / "d"
    shutil.copytree(tmp_path / "c", moved)
    shutil.rmtree(tmp_path / "c")
    assert catalog_problems(moved) == (1, [])
    assert [item["id"] for item in by_pystac(moved)["items"]] == [ITEM]
    assert len(catalog.find(moved)) == 1
    assert publish(products["gsa"], moved)["action"] == "unchanged"


def harm_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".json"])
@pytest.mark.parametrize("harm", [harm_byte, Path.unlink], ids=["flipped", "lost"])
def test_verify_finds_damage_and_publishing_again_mends_it(
    products: dict[str, Path], tmp_path: Path, suffix: str, harm: Callable[[Path], None]
) -> None:
    folder = tmp_path / "c"
    published(products["exp"], folder)
    harm(folder / "generic" / ITEM / "v1" / f"{ITEM}{suffix}")
    count, problems = catalog_problems(folder)
    assert (count, len(problems)) == (1, 1)
    assert f"generic/{ITEM}/v1/{ITEM}{suffix}" in problems[0]
    assert main(["catalog", "verify", str(folder)]) == 2
    assert publish(products["exp"], folder)["action"] == "updated"
    assert main(["catalog", "verify", str(folder)]) == 0


def test_verify_finds_what_else_can_be_wrong(products: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "c"
    published(products["exp"], folder)
    publish(products["gsa"], folder)
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)

    def said_after(change: Callable[[Path], object]) -> str:
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        change(folder)
        return "\n".join(catalog_problems(folder)[1])

    place = Path("generic") / ITEM / f"{ITEM}.json"

    def edit(name: Path, **changes: Any) -> Callable[[Path], object]:
        return lambda to: write_json(to / name, {**json.loads((to / name).read_text()), **changes})

    assert said_after(lambda to: None) == ""
    assert "damaged" in said_after(lambda to: harm_byte(to / "generic" / ITEM / "v1" / f"{ITEM}.tif"))
    assert "bbox" in said_after(edit(place, bbox=[1, 2, 3]))
    assert "extension that is not known" in said_after(edit(place, stac_extensions=["https://x.org/s.json"]))
    assert "no JSON object" in said_after(lambda to: (to / place).write_text("{"))
    assert "item link leads to no file" in said_after(lambda to: (to / place).unlink())
    assert "no collection links" in said_after(edit(Path("generic/collection.json"), links=[]))
    assert "leads to no file" in said_after(
        lambda to: (to / "generic" / ITEM / "v1" / f"{ITEM}-v1.json").unlink()
    )
    assert "says it is of collection" in said_after(edit(place, collection="landsat8"))
    assert "footprints.gpkg: is missing" in said_after(lambda to: (to / "footprints.gpkg").unlink())
    catalog.rebuild(folder)
    assert catalog_problems(folder) == (1, [])


def refused(kind: type[GeofuseError], match: str, folder: Path, act: Callable[[], object]) -> None:
    before = snapshot(folder) if folder.exists() else None
    with pytest.raises(kind, match=match):
        act()
    assert (snapshot(folder) if before is not None else None) == before


def test_what_is_no_product_is_refused(product: Path, tmp_path: Path) -> None:
    folder = tmp_path / "c"
    published(product, folder)
    json_path(product).rename(tmp_path / "kept.json")
    refused(VerifyError, "provenance is missing", folder, lambda: published(product, folder))
    (tmp_path / "kept.json").rename(json_path(product))
    harm_byte(png_path(product))
    refused(VerifyError, "checksum", folder, lambda: published(product, folder))
    refused(VerifyError, "no such product", folder, lambda: published(tmp_path / "none.tif", folder))
    assert main(["publish", str(product), "--catalog", str(folder)]) == 2


@pytest.mark.parametrize(
    ("wishes", "match"),
    [
        ({"acquired": None}, "nobody knows when"),
        ({"acquired": "yesterday"}, "ISO 8601"),
        ({"access": "everyone"}, "open or view-only or internal"),
        ({"license_id": "all rights"}, "SPDX"),
        ({"item_id": "../x"}, "item id"),
        ({"item_id": ".x"}, "item id"),
        ({"reports": (Path("none.html"),)}, "no report"),
    ],
)
def test_wishes_that_cannot_be_are_refused(
    products: dict[str, Path], tmp_path: Path, wishes: dict[str, Any], match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        published(products["exp"], tmp_path / "c", **wishes)
    assert not (tmp_path / "c" / "generic").exists()


def test_another_scene_of_that_name_supersedes_nothing(products: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "c"
    published(products["exp"], folder)
    refused(ExistsError, "of its area", folder, lambda: published(products["far"], folder))
    refused(
        ExistsError,
        "another time",
        folder,
        lambda: published(products["gsa"], folder, acquired="2024-05-14T10:05:00Z"),
    )
    (folder / "landsat8" / ITEM).mkdir(parents=True)
    item = {**item_of(folder), "collection": "landsat8"}
    write_json(folder / "landsat8" / ITEM / f"{ITEM}.json", item)
    with pytest.raises(ExistsError, match="of landsat8"):
        published(products["gsa"], folder)


def test_other_folders_are_left_alone(products: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "letter.txt").write_text("dear")
    refused(ExistsError, "letter.txt", tmp_path / "c", lambda: published(products["exp"], tmp_path / "c"))
    (tmp_path / "c" / "catalog.json").write_text("{}")
    refused(UsageError, "no catalogue", tmp_path / "c", lambda: published(products["exp"], tmp_path / "c"))
    for words in (["list"], ["search"], ["verify"], ["rebuild"], ["remove", "--superseded"]):
        assert main(["catalog", *words, str(tmp_path / "c")]) == 2


def test_a_damaged_item_is_not_taken_for_none(products: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "c"
    published(products["exp"], folder)
    place = folder / "generic" / ITEM
    (place / f"{ITEM}.json").write_text("{")
    with pytest.raises(VerifyError, match="damaged item"):
        published(products["exp"], folder)
    catalog.rebuild(folder)
    assert (place / "v1" / f"{ITEM}.tif").read_bytes() == products["exp"].read_bytes()


def test_rights_are_the_sensors_until_somebody_says_else(products: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "c"
    assert published(products["exp"], folder)["access"] == "internal"
    said = {"access": "view-only", "license_id": "CC-BY-4.0", "attribution": "© Us"}
    assert publish(products["exp"], folder, Wishes(**said))["action"] == "updated"
    assert publish(products["exp"], folder)["action"] == "unchanged"
    assert publish(products["gsa"], folder)["access"] == "view-only"
    item = item_of(folder)
    assert (item["properties"]["license"], item["properties"]["attribution"]) == ("CC-BY-4.0", "© Us")
    assert "https://spdx.org/licenses/CC-BY-4.0.html" in [
        link["href"] for link in item["links"] if link["rel"] == "license"
    ]
    (entry,) = catalog.find(folder)
    assert (entry.access, entry.license, entry.attribution) == ("view-only", "CC-BY-4.0", "© Us")
    assert catalog_problems(folder) == (1, [])


def test_a_day_is_a_span(products: dict[str, Path], tmp_path: Path) -> None:
    published(products["exp"], tmp_path / "c", acquired="2024-05-12")
    said = item_of(tmp_path / "c")["properties"]
    assert said["datetime"] is None
    assert (said["start_datetime"], said["end_datetime"]) == (
        "2024-05-12T00:00:00Z",
        "2024-05-12T23:59:59.999999Z",
    )
    assert catalog_problems(tmp_path / "c") == (1, [])
    assert publish(products["exp"], tmp_path / "c")["action"] == "unchanged"


def test_reports_go_along(product: Path, tmp_path: Path) -> None:
    folder = tmp_path / "c"
    published(product, folder)
    report = product.with_suffix(".html")
    report.write_text("<p>first</p>")
    assert publish(product, folder)["action"] == "updated"
    assert publish(product, folder)["action"] == "unchanged"
    place = folder / "generic" / ITEM
    assert (place / item_of(folder)["assets"]["report"]["href"]).read_text() == "<p>first</p>"
    report.write_text("<p>second</p>")
    assert publish(product, folder)["action"] == "updated"
    assert (place / item_of(folder)["assets"]["report"]["href"]).read_text() == "<p>second</p>"
    assert len(list((place / "v1").glob("*.html"))) == 1
    report.unlink()
    assert publish(product, folder)["action"] == "unchanged"
    assert item_of(folder)["assets"]["report"]["roles"] == ["report", "metadata"]
    assert catalog_problems(folder) == (1, [])


def test_a_catalogue_that_stays_held_is_named(products: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with locked(tmp_path / "c" / "catalog.json"), pytest.raises(LockedError, match="another process"):
        published(products["exp"], tmp_path / "c", wait_s=0.2)


def geofuse(*words: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "geofuse.cli", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=HERE.parents[1])


def test_two_publishers_at_once_both_succeed(products: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "c"
    common = ["--catalog", folder, "--acquired", DAY, "--json"]
    running = [
        geofuse("publish", products["exp"], *common),
        geofuse("publish", products["far"], *common, "--id", "elsewhere"),
        geofuse("publish", products["exp"], *common),
    ]
    done = [json.loads(process.communicate()[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sorted(told["action"] for told in done) == ["published", "published", "unchanged"]
    assert catalog_problems(folder) == (2, [])
    assert len(by_pystac(folder)["items"]) == 2


PUBLISH_FOR_EVER = """
import sys
from pathlib import Path
import geopandas, pyarrow.parquet
from geofuse.archive.publishing import publish
print("ready", flush=True)
sys.stdin.readline()
while True:
    for out in sys.argv[2:]:
        publish(Path(out), Path(sys.argv[1]))
"""


def test_killed_from_outside_it_is_whole(products: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "c"
    published(products["exp"], folder)
    words = [sys.executable, "-c", PUBLISH_FOR_EVER, folder, products["gsa"], products["exp"]]
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(list(map(str, words)), stdin=pipe, stdout=pipe, text=True, cwd=HERE.parents[1])
        for _ in range(2)
    ]
    rng = random.Random(7)
    for process in running:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        process.stdin.write("go\n")
        process.stdin.flush()
        time.sleep(rng.uniform(0.05, 0.6))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert catalog_problems(folder) == (1, [])
    publish(products["gsa"], folder)
    assert catalog_problems(folder) == (1, [])
    assert [item["id"] for item in by_pystac(folder)["items"]] == [ITEM]


def killed(products: dict[str, Path], tmp_path: Path, stride: int) -> dict[str, int]:
    for name in ("none", "work"):
        (tmp_path / name).mkdir()
    for name in ("exp", "gsa"):  # the child knows no --acquired
        shutil.copytree(products[name].parent, tmp_path / name)
        path = json_path(tmp_path / name / "x.tif")
        record = json.loads(path.read_text())
        record["scene"]["acquired"] = DAY
        write_json(path, record)
    script = [sys.executable, str(HERE / "killed.py")]
    outs = [str(tmp_path / name / "x.tif") for name in ("exp", "gsa")]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(
        [*script, *outs, str(tmp_path / "work"), str(stride)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_killed_at_any_change_the_same_command_finishes(products: dict[str, Path], tmp_path: Path) -> None:
    assert min(killed(products, tmp_path, 23).values()) >= 1


@pytest.mark.slow
def test_killed_at_every_change_the_same_command_finishes(products: dict[str, Path], tmp_path: Path) -> None:
    assert min(killed(products, tmp_path, 1).values()) > 15


def test_the_command_line(
    products: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "c")
    assert main(["publish", str(products["exp"]), "--catalog", folder, "--acquired", DAY]) == 0
    assert (
        main(["publish", str(products["far"]), "--catalog", folder, "--acquired", "2020", "--id", "b"]) == 2
    )
    assert (
        main(["publish", str(products["far"]), "--catalog", folder, "--acquired", "2020-02-02", "--id", "b"])
        == 0
    )
    capsys.readouterr()

    def run(*words: str) -> Any:
        assert main(["catalog", *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert [item["id"] for item in run("list", folder)["items"]] == ["b", ITEM]
    assert run("show", folder, ITEM) == item_of(Path(folder))
    west, south, east, north = item_of(Path(folder))["bbox"]
    near = ["--bbox", str(west), str(south), str(east), str(north)]
    found = run("search", folder, *near)
    assert [item["id"] for item in found["features"]] == [ITEM]
    assert pystac.ItemCollection.from_dict(found)[0].id == ITEM
    area = tmp_path / "area.geojson"
    area.write_text(json.dumps(item_of(Path(folder), "b")["geometry"]))
    assert [item["id"] for item in run("search", folder, "--intersects", str(area))["features"]] == ["b"]
    for words, count in (
        (["--datetime", "2020-02-02"], 1),
        (["--datetime", "2020-02-03/.."], 1),
        (["--datetime", "../2024-05-12"], 2),
        (["--datetime", "2020-02-03/2024-05-11"], 0),
        (["--sensor", "landsat8"], 0),
        (["--cloud-cover-max", "100"], 0),
        (["--limit", "1"], 2),
    ):
        assert run("search", folder, *words)["numberMatched"] == count, words
    for words in (["--datetime", "2024/2020"], ["--limit", "0"], ["--bbox", "0", "0", "0", "0"]):
        assert main(["catalog", "search", folder, *words]) == 2
    assert run("verify", folder) == {"items": 2, "valid": True, "problems": []}
    assert run("rebuild", folder) == {"items": 2}
    for words in (
        ["list", folder],
        ["show", folder, ITEM],
        ["search", folder, "--limit", "1"],
        ["verify", folder],
    ):
        assert main(["catalog", *words]) == 0
        assert ITEM in (told := capsys.readouterr().out) or "b " in told or "2 items" in told
    assert main(["catalog", "show", folder, "pan-fusd"]) == 2
    assert f"did you mean {ITEM}?" in capsys.readouterr().err
    assert main(["catalog", "remove", folder]) == 2
    assert run("remove", folder, "b") == {"removed": 1}
    assert run("remove", folder, "--superseded") == {"removed": 0}


def test_what_the_catalogue_holds_is_a_product_still(products: dict[str, Path], tmp_path: Path) -> None:
    published(products["exp"], tmp_path / "c")
    copy = tmp_path / "c" / "generic" / ITEM / "v1" / f"{ITEM}.tif"
    assert main(["verify", str(copy)]) == 0
    assert os.stat(copy).st_ino != os.stat(products["exp"]).st_ino
    assert not mask_path(copy).exists()
