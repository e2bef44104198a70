"""The GIS door with real clients: PyQGIS, GDAL, pystac-client; and against its own standards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pystac
import pytest
import rasterio
from PIL import Image
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from pystac_client import Client
from rasterio.enums import Resampling
from rasterio.transform import from_bounds
from rasterio.vrt import WarpedVRT
from serving import served

from geofuse.archive.stac_schemas import schema_cache
from geofuse.cli import main
from geofuse.quality.simulated_pair import SimulatedPair

WMTS = {"w": "http://www.opengis.net/wmts/1.0", "ows": "http://www.opengis.net/ows/1.1"}
QGIS = "/usr/bin/python3"
DAYS = ("2024-05-12T10:05:00Z", "2024-05-13T10:05:00Z", "2024-06-01")


@pytest.fixture(scope="module")
def archive(pair: SimulatedPair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue: three open products of one pair, and one that is internal."""
    folder = tmp_path_factory.mktemp("gis")
    common = ["--pan", str(pair.pan), "--ms", str(pair.ms), "--no-progress", "--no-calibrate"]
    for at, method in enumerate(("exp", "brovey", "sfim", "hpf")):
        out = folder / f"{method}.tif"
        window = [] if method == "sfim" else ["--window", "256", "256", "400", "512"]
        assert main(["fuse", *common, "--method", method, *window, "--out", str(out)]) == 0
        told = ["--id", method, "--acquired", DAYS[min(at, 2)], "--access", "open" if at < 3 else "internal"]
        assert main(["publish", str(out), "--catalog", str(folder / "archive"), *told]) == 0
    return folder / "archive"


@pytest.fixture(scope="module")
def address(archive: Path) -> Iterator[str]:
    """It, served."""
    with served(archive) as address:
        yield address


def get(address: str, status: int = 200) -> httpx.Response:
    answer = httpx.get(address, timeout=60)
    assert answer.status_code == status, answer.text
    return answer


# STAC -----------------------------------------------------------------------------------------------------------------


def test_pystac_client_searches_and_pages(address: str) -> None:
    client = Client.open(f"{address}/stac")
    assert [found.id for found in client.get_collections()] == ["generic"]
    assert [item.id for item in client.search(limit=1).items()] == ["sfim", "brovey", "exp"]
    assert [item.id for item in client.search(method="GET", limit=2).items()] == ["sfim", "brovey", "exp"]
    by_time = client.search(datetime="2024-05-13/..")
    assert (by_time.matched(), [item.id for item in by_time.items()]) == (2, ["sfim", "brovey"])
    west, south, east, north = next(client.search(ids=["exp"]).items()).bbox or ()
    corner = {"type": "Point", "coordinates": [west - 0.001, (south + north) / 2]}
    assert [item.id for item in client.search(intersects=corner).items()] == ["sfim"]
    assert client.search(bbox=[west + 10, south, east + 10, north]).matched() == 0
    assert [item.id for item in client.get_collection("generic").get_items()] == ["sfim", "brovey", "exp"]


def test_items_are_valid_and_their_assets_are_where_they_say(address: str, archive: Path) -> None:
    item = next(Client.open(f"{address}/stac").search(ids=["exp"]).items())
    validator = JsonSchemaSTACValidator()
    validator.schema_cache.update(schema_cache())
    pystac.validation.set_validator(validator)
    item.validate()
    with (
        rasterio.open(item.assets["data"].href) as seen,
        rasterio.open(archive / "generic/exp/v1/exp.tif") as kept,
    ):
        assert (seen.read() == kept.read()).all()
    assert "file:" not in json.dumps([link.href for link in item.links])


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("collections/nowhere", 404),
        ("collections/generic/items/hpf", 404),
        ("collections/nowhere/items/exp", 404),
        ("search?bbox=1,2,3", 400),
        ("search?bbox=a,b,c,d", 400),
        (
            "search?bbox=0,0,1,1&intersects=%7B%22type%22%3A%22Point%22%2C%22coordinates%22%3A%5B0%2C0%5D%7D",
            400,
        ),
        ("search?intersects=%7B%22type%22%3A%22Pint%22%7D", 400),
        ("search?datetime=yesterday", 400),
        ("search?token=%2500", 400),
        ("search?limit=0", 400),
        ("search?filter=eo:cloud_cover<5", 400),
    ],
)
def test_what_cannot_be_searched_is_said(address: str, asked: str, status: int) -> None:
    assert set(get(f"{address}/stac/{asked}", status).json()) == {"code", "message"}


def test_a_body_with_what_is_not_known_is_refused(address: str) -> None:
    answer = httpx.post(f"{address}/stac/search", json={"query": {"eo:cloud_cover": {"lt": 5}}})
    assert (answer.status_code, answer.json()["code"]) == (400, "usage")


# OGC API - Features, GeoPackage ---------------------------------------------------------------------------------------


def test_footprints_by_ogc_api(address: str) -> None:
    links = {link["rel"]: link["href"] for link in get(f"{address}/ogc").json()["links"]}
    assert (
        "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core"
        in get(links["conformance"]).json()["conformsTo"]
    )
    collection = get(links["data"]).json()["collections"][0]
    items = next(link["href"] for link in collection["links"] if link["rel"] == "items")
    first = get(f"{items}?limit=2").json()
    assert (first["numberMatched"], [found["id"] for found in first["features"]]) == (3, ["sfim", "brovey"])
    following = next(link["href"] for link in first["links"] if link["rel"] == "next")
    last = get(following).json()
    assert [found["id"] for found in last["features"]] == ["exp"]
    assert not any(link["rel"] == "next" for link in last["links"])
    assert get(f"{items}/exp").json()["geometry"] == last["features"][0]["geometry"]
    get(f"{items}/hpf", 404)


def test_the_geopackage_holds_what_may_be_seen(address: str, tmp_path: Path) -> None:
    import geopandas

    answer = get(f"{address}/footprints.gpkg")
    (tmp_path / "f.gpkg").write_bytes(answer.content)
    table = geopandas.read_file(tmp_path / "f.gpkg", layer="footprints")
    assert sorted(table["id"]) == ["brovey", "exp", "sfim"]
    known = httpx.get(f"{address}/footprints.gpkg", headers={"if-none-match": answer.headers["etag"]})
    assert known.status_code == 304


# WMTS, XYZ, styles ----------------------------------------------------------------------------------------------------


def capabilities(address: str, of: str = "") -> ElementTree.Element:
    return ElementTree.fromstring(get(f"{address}/wmts/1.0.0/{of}WMTSCapabilities.xml").content)


def test_capabilities_have_names_styles_and_limits_and_no_paths(address: str, archive: Path) -> None:
    top = capabilities(address)
    layers = {
        layer.findtext("ows:Identifier", None, WMTS): layer
        for layer in top.iterfind("w:Contents/w:Layer", WMTS)
    }
    assert list(layers) == ["sfim", "brovey", "exp"]
    text = ElementTree.tostring(top, encoding="unicode")
    assert str(archive) not in text
    assert ".tif" not in text
    styles = layers["exp"].findall("w:Style", WMTS)
    assert [style.findtext("ows:Identifier", None, WMTS) for style in styles] == ["true", "cir"]
    assert [style.get("isDefault") for style in styles] == ["true", "false"]
    for limit in layers["exp"].iterfind(".//w:TileMatrixLimits", WMTS):
        z, row0, row1, col0, col1 = (int(child.text or "") for child in limit)
        assert 0 <= row0 <= row1 < 2**z
        assert 0 <= col0 <= col1 < 2**z
    assert len(capabilities(address, "exp/").findall("w:Contents/w:Layer", WMTS)) == 1


def test_the_three_ways_to_a_tile_give_the_same(address: str) -> None:
    detail = get(f"{address}/api/items/exp").json()
    z, (x, y) = middle_tile(detail)
    plain = get(f"{address}/xyz/exp/{z}/{x}/{y}.png?style=cir").content
    assert plain == get(f"{address}/wmts/1.0.0/exp/cir/WebMercatorQuad/{z}/{y}/{x}.png").content
    keys = f"service=wmts&request=gettile&layer=exp&style=cir&tilematrixset=WebMercatorQuad&tilematrix={z}&TileRow={y}"
    assert plain == get(f"{address}/wmts?{keys}&TileCol={x}&format=image/png").content
    assert plain != get(f"{address}/xyz/exp/{z}/{x}/{y}.png").content
    get(f"{address}/xyz/exp/{z}/{x}/{y}.png?style=purple", 404)
    get(f"{address}/xyz/hpf/{z}/{x}/{y}.png", 404)
    get(f"{address}/wmts?service=WMS", 400)
    get(f"{address}/wmts?request=GetTile&layer=exp&tilematrixset=WebMercatorQuad&tilematrix=x", 400)


def middle_tile(detail: dict[str, Any]) -> tuple[int, tuple[int, int]]:
    from geofuse.serve.maps.wmts import tile_of

    west, south, east, north = detail["bounds_lonlat"]
    return detail["max_zoom"] - 2, tile_of((west + east) / 2, (south + north) / 2, detail["max_zoom"] - 2)


def test_gdal_reads_wmts(address: str) -> None:
    if not shutil.which("gdalinfo"):
        pytest.skip("no gdalinfo: install gdal-bin")
    command = ["gdalinfo", "-json", f"WMTS:{address}/wmts/1.0.0/WMTSCapabilities.xml,layer=exp,style=cir"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(done.stdout)
    west, _, _, north = get(f"{address}/api/items/exp").json()["bounds_lonlat"]
    ring = np.array(found["wgs84Extent"]["coordinates"][0])
    assert ring[:, 0].min() == pytest.approx(west, abs=1e-3)
    assert ring[:, 1].max() == pytest.approx(north, abs=1e-3)
    assert len(found["bands"]) == 4


# QGIS -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def qgis(address: str, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What PyQGIS found, all kinds of layers in one start of it; `sfim` has a slanted nodata border."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    environment.pop("PYTHONPATH", None)
    probe = [QGIS, "-c", "import qgis.core"]
    if (
        not Path(QGIS).exists()
        or subprocess.run(probe, capture_output=True, check=False, env=environment).returncode
    ):
        pytest.skip("no PyQGIS: install Debian's python3-qgis")
    folder = tmp_path_factory.mktemp("qgis")
    for name, part in (("style.qml", "api/items/sfim/style.qml"), ("layer.qlr", "api/items/sfim/layer.qlr")):
        (folder / name).write_bytes(get(f"{address}/{part}").content)
    (folder / "footprints.gpkg").write_bytes(get(f"{address}/footprints.gpkg").content)
    detail = get(f"{address}/api/items/sfim").json()
    job = {
        "kinds": ["cog", "cog with style", "xyz", "wmts", "footprints", "qlr"],
        "cog": str(archive / "generic/sfim/v1/sfim.tif"),
        "qml": str(folder / "style.qml"),
        "qlr": str(folder / "layer.qlr"),
        "gpkg": str(folder / "footprints.gpkg"),
        "xyz": f"{address}/xyz/sfim/{{z}}/{{x}}/{{y}}.png",
        "capabilities": f"{address}/wmts/1.0.0/WMTSCapabilities.xml",
        "item": "sfim",
        "style": "true",
        "max_zoom": detail["max_zoom"],
        "extent": detail["bounds_3857"],
        "size": [360, 360],
        "folder": str(folder),
    }
    done = subprocess.run(
        [QGIS, str(Path(__file__).with_name("qgis_client.py"))],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env=environment,
    )
    assert done.stdout.startswith("{"), done.stderr
    return {**json.loads(done.stdout), "job": job, "detail": detail}


def shown(qgis: dict[str, Any], kind: str) -> np.ndarray:
    return np.asarray(Image.open(qgis[kind]["picture"]).convert("RGB"), np.float64)


def expected(qgis: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The product over the job's extent, stretched as the page does it, by an independent warp; and validity."""
    width, height = qgis["job"]["size"]
    transform = from_bounds(*qgis["job"]["extent"], width, height)
    with (
        rasterio.open(qgis["job"]["cog"]) as data,
        WarpedVRT(
            data,
            crs="EPSG:3857",
            transform=transform,
            width=width,
            height=height,
            resampling=Resampling.average,
        ) as warped,
    ):
        planes, valid = warped.read([3, 2, 1]).astype(np.float64), warped.dataset_mask() > 0
    bands = {band["name"]: band["stats"] for band in qgis["detail"]["bands"]}
    for at, name in enumerate(("red", "green", "blue")):
        low, high = bands[name]["p2"], bands[name]["p98"]
        planes[at] = np.clip((planes[at] - low) / (high - low), 0, 1) * 255
    return np.moveaxis(planes, 0, -1), valid


@pytest.mark.parametrize("kind", ["cog with style", "xyz", "wmts", "qlr"])
def test_qgis_shows_the_scene_at_its_place_with_the_stretch_of_the_page(
    qgis: dict[str, Any], kind: str
) -> None:
    assert qgis[kind]["valid"]
    image, (wanted, valid) = shown(qgis, kind), expected(qgis)
    inside = valid & (
        np.roll(valid, 4, 0) & np.roll(valid, -4, 0) & np.roll(valid, 4, 1) & np.roll(valid, -4, 1)
    )
    assert np.abs(image - wanted)[inside].mean() < 16.0
    here = np.corrcoef(image[inside].ravel(), wanted[inside].ravel())[0, 1]
    assert here > 0.9
    for by in ((0, 6), (6, 0)):
        assert (
            np.corrcoef(np.roll(image, by, (0, 1))[inside].ravel(), wanted[inside].ravel())[0, 1]
            < here - 0.03
        )


@pytest.mark.parametrize("kind", ["cog", "cog with style", "xyz", "wmts"])
def test_qgis_leaves_nodata_open(qgis: dict[str, Any], kind: str) -> None:
    image, (_, valid) = shown(qgis, kind), expected(qgis)
    magenta = (image == (255, 0, 255)).all(axis=-1)
    around = np.zeros_like(valid)
    for down in range(-3, 4):
        for across in range(-3, 4):
            around |= np.roll(valid, (down, across), (0, 1))
    assert (~around).sum() > 1000
    assert magenta[~around].mean() > 0.99
    assert magenta[valid].mean() < 0.03


def test_qgis_knows_bands_nodata_and_a_stretch_that_shows_something(qgis: dict[str, Any]) -> None:
    found = qgis["cog"]
    assert found["nodata"] == [0.0] * 4
    assert [name.split(": ")[1] for name in found["band names"]] == ["blue", "green", "red", "nir"]
    assert found["crs"] == "EPSG:32632"
    image = shown(qgis, "cog")
    seen = image[~(image == (255, 0, 255)).all(axis=-1)]
    assert seen.std() > 30.0  # QGIS's own default stretch, without our style
    assert qgis["wmts"]["renderer"] == "singlebandcolordata"


def test_qgis_opens_the_footprints(qgis: dict[str, Any]) -> None:
    found = qgis["footprints"]
    assert (found["valid"], found["features"], found["crs"]) == (True, 3, "EPSG:4326")
    assert {"id", "start", "attribution"} <= set(found["fields"])
