"""The API by its contract, asked over a real connection: list, item, tiles, values, records."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from conftest import DAY, LOOK, OPEN, OWED, SECRET, Site, running
from PIL import Image
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

from geofuse.cli import main
from geofuse.serve.settings import Settings

SIDE = 2 * 20037508.342789244
ITEM = f"/api/items/{OPEN}"


def picture(body: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(body)).convert("RGBA")).astype(np.int32)


def middle_tile(site: Site, zoom: int | None = None) -> tuple[int, int, int]:
    known = site.ask(ITEM).json()
    west, south, east, north = known["bounds_3857"]
    z = known["max_zoom"] - 2 if zoom is None else zoom
    x = int(((west + east) / 2 + SIDE / 2) / SIDE * 2**z)
    y = int((SIDE / 2 - (south + north) / 2) / SIDE * 2**z)
    return z, x, y


def test_the_list_finds_by_place_time_sensor_and_words(site: Site) -> None:
    found = site.ask("/api/items").json()
    assert {item["id"] for item in found["features"]} == {OPEN, LOOK}
    assert found["numberMatched"] == 2
    first = next(item for item in found["features"] if item["id"] == OPEN)
    said = first["properties"]
    assert (said["datetime"], said["sensor"], said["access"], said["attribution"]) == (
        DAY,
        "generic",
        "open",
        OWED,
    )
    assert (said["width"], said["height"], said["has_input"]) == (1280, 1280, True)
    assert said["bands"] == ["blue", "green", "red", "nir"]
    assert found["facets"]["sensors"] == [{"id": "generic", "count": 2}]
    assert sum(found["facets"]["histogram"]["counts"]) == 2
    west, south, east, north = first["bbox"]
    box = f"{(west + east) / 2},{(south + north) / 2},{east + 1},{north + 1}"
    for query, count in (
        (f"bbox={box}", 2),
        (f"bbox={east + 1},{south},{east + 2},{north}", 0),
        ("datetime=2024-05-12", 2),
        ("datetime=../2024-05-11", 0),
        ("datetime=2024-05-01/2024-06-01", 2),
        ("sensor=landsat8", 0),
        ("q=look", 1),
        ("cloud_max=50", 0),
        ("verdict=PASS", 0),
    ):
        assert site.ask(f"/api/items?{query}").json()["numberMatched"] == count, query
    assert len(site.ask("/api/items?limit=1&offset=1").json()["features"]) == 1


def test_polling_costs_nothing_until_something_is_published(
    settings: Settings, product: Any, tmp_path: Any
) -> None:
    folder = tmp_path / "archive"
    arguments = ["publish", str(product), "--catalog", str(folder), "--access", "open", "--acquired", DAY]
    assert main([*arguments, "--id", "first"]) == 0
    own = Settings(folder=folder, tokens=tmp_path / "t", audit=tmp_path / "a")
    with running(own, product) as site:
        before = site.ask("/api/items")
        again = site.ask("/api/items", If_None_Match=before.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        assert main([*arguments, "--id", "second"]) == 0
        stop = time.monotonic() + 10
        while (now := site.ask("/api/items", If_None_Match=before.headers["etag"])).status == 304:
            assert time.monotonic() < stop
            time.sleep(0.1)
        assert now.json()["numberMatched"] == 2


def test_an_item_says_all_and_no_path(site: Site) -> None:
    answer = site.ask(ITEM)
    known = answer.json()
    with rasterio.open(site.product) as file:
        assert known["transform"] == list(file.transform)[:6]
        assert known["crs"] == f"EPSG:{file.crs.to_epsg()}"
    with rasterio.open(site.product, overview_level=0) as file:  # 640 x 640: statistics are of at most 1024
        pixels = file.read(1)
        inside = pixels[pixels != file.nodata]
    stats = known["bands"][0]["stats"]
    assert stats["p2"] == pytest.approx(np.percentile(inside, 2))
    assert stats["p98"] == pytest.approx(np.percentile(inside, 98))
    assert sum(stats["histogram"]["counts"]) > 100_000
    assert len(stats["histogram"]["edges"]) == len(stats["histogram"]["counts"]) + 1
    assert {preset["id"] for preset in known["presets"]} >= {"true", "cir"}
    assert known["rights"] == {"view": True, "clip": True, "download": True, "native": True}
    assert known["links"]["xyz"].startswith(f"http://127.0.0.1:{site.port}/")
    for path in (str(site.catalog), str(site.product.parent), "file://"):
        assert path not in answer.body.decode()
        assert path not in site.ask(f"{ITEM}/provenance").body.decode()
        assert path not in site.ask(f"{ITEM}/download/provenance").body.decode()
    record = site.ask(f"{ITEM}/provenance").json()
    assert record["scene"]["sensor"] == "generic"
    assert [source["path"] for source in record["inputs"]] == ["pan.tif", "ms.tif"]


@pytest.mark.parametrize("layer", ["fused", "input"])
def test_a_tile_shows_the_right_pixels_at_the_right_place(site: Site, layer: str) -> None:
    z, x, y = middle_tile(site)
    answer = site.ask(f"{ITEM}/tiles/{z}/{x}/{y}.png?layer={layer}&bands=red,green,blue&range=100,1500")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    got = picture(answer.body)
    step = SIDE / 2**z / 256
    place = from_origin(x * step * 256 - SIDE / 2, SIDE / 2 - y * step * 256, step, step)
    (path,) = site.catalog.glob(f"generic/{OPEN}/v1/{OPEN}{'.input' if layer == 'input' else ''}.tif")
    with (
        rasterio.open(path) as file,
        WarpedVRT(
            file, crs="EPSG:3857", transform=place, width=256, height=256, resampling=Resampling.bilinear
        ) as there,
    ):
        wanted = np.clip((there.read([3, 2, 1]).astype(float) - 100) / 1400, 0, 1) * 255
        inside = there.read_masks(1) > 0
    assert inside.mean() > 0.5
    assert (got[:, :, 3] > 0)[inside].mean() > 0.98
    off = np.abs(np.moveaxis(got[:, :, :3], 2, 0) - wanted)[:, inside]
    assert off.mean() < 2.0
    moved = np.abs(np.roll(np.moveaxis(got[:, :, :3], 2, 0), 3, axis=2) - wanted)[:, inside]
    assert moved.mean() > 2 * off.mean()


def test_tiles_of_every_kind(site: Site) -> None:
    z, x, y = middle_tile(site)
    base = f"{ITEM}/tiles/{z}/{x}/{y}"
    plain = site.ask(f"{base}.png")
    assert picture(plain.body).shape == (256, 256, 4)
    assert picture(site.ask(f"{base}.png?size=512").body).shape == (512, 512, 4)
    grey = picture(site.ask(f"{base}.png?bands=nir").body)
    assert (grey[:, :, 0] == grey[:, :, 2]).all()
    light = picture(site.ask(f"{base}.png?gamma=2").body)
    assert light[:, :, :3].mean() > picture(plain.body)[:, :, :3].mean() + 5
    for kind, media in (("jpg", "image/jpeg"), ("webp", "image/webp")):
        answer = site.ask(f"{base}.{kind}")
        assert answer.headers["content-type"] == media
        assert np.abs(picture(answer.body)[:, :, :3] - picture(plain.body)[:, :, :3]).mean() < 6
    nowhere = picture(site.ask(f"{ITEM}/tiles/3/0/0.png").body)
    assert not nowhere.any()
    again = site.ask(f"{base}.png", If_None_Match=plain.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    version = site.ask(ITEM).json()["version"]
    assert "immutable" in site.ask(f"{base}.png?v={version}").headers["cache-control"]
    assert "immutable" not in site.ask(f"{base}.png?v=old").headers["cache-control"]
    for deep in (0, 24):
        assert site.ask(f"{ITEM}/tiles/{deep}/{(x << deep) >> z}/{(y << deep) >> z}.png").status == 200


def test_a_value_is_the_pixel_and_the_input_under_it(site: Site) -> None:
    known = site.ask(ITEM).json()
    (path,) = site.catalog.glob(f"generic/{OPEN}/v1/{OPEN}.tif")
    (own,) = site.catalog.glob(f"generic/{OPEN}/v1/{OPEN}.input.tif")
    with rasterio.open(path) as file, rasterio.open(own) as coarse:
        x, y = file.xy(600, 640)
        (lon,), (lat,) = rasterio.warp.transform(file.crs, "OGC:CRS84", [x], [y])
        wanted = file.read(window=((600, 601), (640, 641)))[:, 0, 0]
        row, col = coarse.index(x, y)
        before = coarse.read(window=((row, row + 1), (col, col + 1)))[:, 0, 0]
    found = site.ask(f"{ITEM}/point?lon={lon!r}&lat={lat!r}").json()
    assert (found["row"], found["col"], found["valid"]) == (600, 640, True)
    assert [band["dn"] for band in found["bands"]] == wanted.tolist()
    assert [band["input_dn"] for band in found["bands"]] == before.tolist()
    assert [band["name"] for band in found["bands"]] == [band["name"] for band in known["bands"]]
    west, south, _, _ = known["bounds_lonlat"]
    outside = site.ask(f"{ITEM}/point?lon={west - 1}&lat={south}").json()
    assert (outside["valid"], outside["row"]) == (False, None)


def test_heads_have_no_body(site: Site) -> None:
    z, x, y = middle_tile(site)
    for path in (ITEM, f"{ITEM}/tiles/{z}/{x}/{y}.png", f"{ITEM}/download/data", "/healthz"):
        whole, head = site.ask(path), site.ask(path, "HEAD")
        assert (head.status, head.body) == (200, b""), path
        assert head.headers["content-length"] == str(len(whole.body))


def test_every_answer_is_guarded(site: Site) -> None:
    for path in (
        "/",
        "/api/items",
        ITEM,
        f"{ITEM}/quicklook.png",
        "/nothing",
        "/openapi.json",
        "/api/items?x=1",
    ):
        headers = site.ask(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers


def test_the_description_names_no_outside_address(site: Site) -> None:
    described = site.ask("/openapi.json").json()
    assert {"/api/items", "/api/clips", "/api/items/{id}/tiles/{z}/{x}/{y}.{form}"} <= described[
        "paths"
    ].keys()
    assert site.ask("/docs").status == 404
    assert "cdn" not in json.dumps(described)
    matrices = site.ask("/tileMatrixSets/WebMercatorQuad").json()["tileMatrices"]
    assert (matrices[3]["matrixWidth"], matrices[3]["tileWidth"]) == (8, 256)


def test_a_report_is_a_page_of_its_own_without_paths(
    settings: Settings, product: Path, tmp_path: Path
) -> None:
    record = json.loads(product.with_suffix(".json").read_text())
    page = tmp_path / "report.html"
    source = record["inputs"][0]["path"]
    page.write_text(f"<!doctype html><p>made of {source}</p>")
    folder = tmp_path / "archive"
    arguments = [
        "publish",
        product,
        "--catalog",
        folder,
        "--access",
        "open",
        "--acquired",
        DAY,
        "--id",
        "told",
    ]
    assert main([*map(str, arguments), "--report", str(page)]) == 0
    with running(Settings(folder=folder, tokens=tmp_path / "t", audit=tmp_path / "a"), product) as site:
        known = site.ask("/api/items/told").json()
        answer = site.ask(known["report"])
        assert answer.body == b"<!doctype html><p>made of pan.tif</p>"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert site.ask("/api/items/told/download/report").body == answer.body


def test_health_and_metrics(site: Site) -> None:
    assert site.ask("/healthz").body == b"ok\n"
    said = site.ask("/metrics").body.decode()
    assert 'geofuse_responses_total{class="2xx"}' in said
    assert SECRET not in said
