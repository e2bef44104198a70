"""What each access class lets through: looks at a quarter of the scale, no files; internal ones need a token."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from conftest import LOOK, OPEN, OWED, SECRET, Site, running
from PIL import Image
from test_api import middle_tile, picture

from geofuse.archive.rights import VIEW_ONLY_SCALE
from geofuse.cli import main
from geofuse.serve.http.tokens import new_token, read_tokens, revoke
from geofuse.serve.settings import Settings

ITEM = f"/api/items/{LOOK}"


def averaged(pixels: np.ndarray, by: int) -> np.ndarray:
    bands, height, width = pixels.shape
    blocks = pixels[:, : height // by * by, : width // by * by].reshape(
        bands, height // by, by, width // by, by
    )
    return blocks.mean(axis=(2, 4))


def test_view_only_gives_no_files(site: Site, token: str) -> None:
    for who in (None, token):
        known = site.ask(ITEM, token=who).json()
        assert known["rights"] == {"view": True, "clip": False, "download": False, "native": False}
        assert (known["downloads"], known["report"]) == ([], None)
        assert set(known["item"]["assets"]) <= {"quicklook"}
        assert "file:checksum" not in json.dumps(known["item"])
        for asset in ("data", "input", "mask", "provenance", "quicklook"):
            refused = site.ask(f"{ITEM}/download/{asset}", token=who, Range="bytes=0-99")
            assert refused.status in (403, 404), asset
            assert refused.json()["code"] in ("access", "missing")
        wish = {"item": LOOK, "bbox": known["bbox"]}
        assert site.post("/api/clips", wish, who).json()["code"] == "access"
        answer = site.post("/api/clips/estimate", wish, who)
        assert (answer.status, answer.json()["allowed"]) == (200, False)
        assert site.ask(f"{ITEM}/report", token=who).status == 403


@pytest.mark.parametrize("layer", ["fused", "input"])
def test_view_only_tiles_hold_a_quarter_of_the_detail_however_deep(site: Site, layer: str) -> None:
    """A tile at and beyond the native scale is what the means of 4 x 4 pixels look like, whatever is asked."""
    z, x, y = middle_tile(site)
    known = site.ask(ITEM).json()
    assert known["max_zoom"] <= site.ask(f"/api/items/{OPEN}").json()["max_zoom"] - 2
    query = f"png?layer={layer}&bands=red&range=0,1500"
    native = picture(site.ask(f"/api/items/{OPEN}/tiles/{z}/{x}/{y}.{query}").body)[:, :, 0]
    shown = picture(site.ask(f"{ITEM}/tiles/{z}/{x}/{y}.{query}").body)[:, :, 0]

    # bilinear between coarse means: straight lines in between, so that second differences all but vanish;
    # the input is 4 times as coarse, and its native look is straight between its own pixels already
    step, most = (1, 0.3) if layer == "fused" else (8, 0.75)

    def detail(pixels: np.ndarray) -> float:
        return float(np.abs(np.diff(pixels[:, ::step].astype(float), n=2, axis=1)).mean())

    assert detail(shown) < most * detail(native)
    assert abs(shown.mean() - native.mean()) < 4
    deeper = picture(site.ask(f"{ITEM}/tiles/{z + 2}/{4 * x}/{4 * y}.{query}").body)[:, :, 0]
    assert detail(deeper) < most * detail(native)


def test_view_only_values_are_means(site: Site) -> None:
    (path,) = site.catalog.glob(f"generic/{LOOK}/v1/{LOOK}.tif")
    with rasterio.open(path) as file:
        means = averaged(file.read().astype(float), VIEW_ONLY_SCALE)
        x, y = file.xy(603, 642)
        (lon,), (lat,) = rasterio.warp.transform(file.crs, "OGC:CRS84", [x], [y])
    found = site.ask(f"{ITEM}/point?lon={lon!r}&lat={lat!r}").json()
    assert found["scale"] == VIEW_ONLY_SCALE
    values = [band["dn"] for band in found["bands"]]
    assert values == pytest.approx(means[:, 603 // 4, 642 // 4].tolist(), abs=1.5)
    point = f"{lon!r},{lat!r},{lon + 1e-6!r},{lat + 1e-6!r}"
    asked = site.ask(f"{ITEM}/ranges?bbox={point}&bands=1&low=0&high=100").json()
    assert asked["ranges"][0][0] == pytest.approx(means[0, 603 // 4, 642 // 4], abs=1.5)


def test_view_only_quicklooks_and_records(site: Site) -> None:
    small = Image.open(io.BytesIO(site.ask(f"{ITEM}/quicklook.png").body))
    assert max(small.size) <= 1280 / VIEW_ONLY_SCALE
    assert max(Image.open(io.BytesIO(site.ask(f"/api/items/{OPEN}/quicklook.png").body)).size) > 320
    assert site.ask(f"{ITEM}/provenance").status == 200


def test_view_only_cannot_leave_by_the_gis_door(site: Site) -> None:
    asked = site.ask(f"/stac/collections/generic/items/{LOOK}")
    assert asked.status == 200
    assert set(asked.json()["assets"]) <= {"quicklook", "thumbnail", "tiles", "overview"}
    z, x, y = middle_tile(site)
    native = picture(site.ask(f"/xyz/{OPEN}/{z}/{x}/{y}.png").body)[:, :, 0].astype(float)
    shown = site.ask(f"/xyz/{LOOK}/{z}/{x}/{y}.png")
    if shown.status == 200:
        detail = np.abs(np.diff(picture(shown.body)[:, :, 0].astype(float), n=2, axis=1)).mean()
        assert detail < 0.3 * np.abs(np.diff(native, n=2, axis=1)).mean()


def test_internal_items_are_not_there_without_a_token(site: Site, token: str) -> None:
    z, x, y = middle_tile(site)
    paths = (
        f"/api/items/{SECRET}",
        f"/api/items/{SECRET}/tiles/{z}/{x}/{y}.png",
        f"/api/items/{SECRET}/point?lon=9&lat=48",
        f"/api/items/{SECRET}/ranges?bbox=8,47,10,49&bands=1",
        f"/api/items/{SECRET}/quicklook.png",
        f"/api/items/{SECRET}/provenance",
        f"/api/items/{SECRET}/download/data",
        f"/stac/collections/generic/items/{SECRET}",
        f"/xyz/{SECRET}/{z}/{x}/{y}.png",
        f"/ogc/collections/footprints/items/{SECRET}",
        f"/api/items/{SECRET}/style.qml",
    )
    for path in paths:
        answer = site.ask(path)
        assert answer.status == 404, path
        assert SECRET not in answer.body.decode(), path
        assert site.ask(path, token=token).status == 200, path
    for path in ("/api/items", "/stac/search", "/wmts/1.0.0/WMTSCapabilities.xml", "/footprints.gpkg"):
        assert SECRET.encode() not in site.ask(path).body, path
        assert SECRET.encode() in site.ask(path, token=token).body, path
    assert site.post("/api/clips", {"item": SECRET}).status == 404
    assert site.post("/api/clips/estimate", {"item": SECRET}).status == 404
    assert site.post("/api/clips/estimate", {"item": SECRET}, token).json()["allowed"]


def test_tokens_end(site: Site) -> None:
    gone, token = new_token(site.tokens, "bob", days=1.0)
    assert site.tokens.stat().st_mode & 0o077 == 0
    _within(lambda: site.ask(f"/api/items/{SECRET}", token=gone).status == 200)
    late, kept = new_token(site.tokens, "carol", days=1.0)
    known = json.loads(site.tokens.read_text())
    for value in known["tokens"]:
        if value["key"] == kept.key:
            value["expires"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    site.tokens.write_text(json.dumps(known))
    assert revoke(site.tokens, token.key) == 1
    for text in (gone, late):
        _within(lambda text=text: site.ask(f"/api/items/{SECRET}", token=text).status == 401)
    assert gone not in site.tokens.read_text()
    assert all(gone.rpartition("_")[2] not in entry.digest for entry in read_tokens(site.tokens))


def _within(condition: Any, limit_s: float = 5.0) -> None:
    stop = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < stop
        time.sleep(0.1)


@pytest.mark.parametrize(
    "text", ["", "x", "gf_000000000000_" + "A" * 43, "Basic", "\x00", "é" * 10, "A" * 3000]
)
def test_wrong_tokens(site: Site, text: str) -> None:
    answer = site.ask(
        f"/api/items/{OPEN}", Authorization=f"Bearer {text}".encode("latin-1").decode("latin-1")
    )
    assert answer.status in (400, 401)
    signed = site.post("/api/session", {"token": text})
    assert signed.status in (400, 401)
    assert "set-cookie" not in signed.headers


def test_a_token_in_the_address_is_no_token(site: Site, token: str) -> None:
    for name in ("token", "access_token", "api_key"):
        assert site.ask(f"/api/items/{SECRET}?{name}={token}").status in (400, 404)
        assert SECRET.encode() not in site.ask(f"/api/items?{name}={token}").body


def test_signing_in(site: Site, token: str) -> None:
    assert site.ask("/api/session").json() == {"required": False, "authenticated": False, "user": None}
    answer = site.post("/api/session", {"token": token})
    assert answer.json()["user"] == "alice"
    cookie = answer.headers["set-cookie"]
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    pair = cookie.partition(";")[0]
    assert site.ask(f"/api/items/{SECRET}", Cookie=pair).status == 200
    assert site.ask("/api/session", Cookie=pair).json()["authenticated"]
    out = site.ask("/api/session", "DELETE", Cookie=pair)
    assert "max-age=0" in out.headers["set-cookie"].lower()
    foreign = {"Cookie": pair, "Origin": "http://evil.example"}
    assert site.ask("/api/session", "DELETE", **foreign).status == 403
    assert site.ask("/api/session", "DELETE", Cookie=pair, Sec_Fetch_Site="cross-site").status == 403


def test_where_a_token_is_required_nothing_is_told_without(strict: Site) -> None:
    text, _ = new_token(strict.tokens, "dora", days=1.0)
    time.sleep(1.1)
    described = strict.ask("/openapi.json", token=text)
    assert described.status == 200
    for path in described.json()["paths"]:
        if path == "/api/session":
            continue
        answer = strict.ask(re.sub(r"\{\w+\}", "1", path))
        assert (answer.status, answer.json()["code"]) == (401, "token"), path
        assert answer.headers["www-authenticate"] == "Bearer"
    assert strict.ask("/openapi.json").status == 401
    assert strict.ask("/metrics").status == 401
    assert strict.ask("/healthz").status == 200
    assert strict.ask("/api/session").json()["required"]


def test_whoever_sits_at_the_machine_may_be_trusted(settings: Settings, product: Path) -> None:
    with running(replace(settings, trust_local=True), product) as site:
        assert site.ask(f"/api/items/{SECRET}").status == 200
        assert site.ask(f"/api/items/{SECRET}", Host="rebound.example").status == 421


def test_beyond_loopback_without_a_token_is_refused(
    catalogue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(catalogue), "--host", "0.0.0.0", "--trust-local", "--port", "0"]) == 2
    assert "[usage]" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["cog", "gtiff", "jpeg", "png", "netcdf", "zarr"])
def test_every_file_that_leaves_names_whom_it_is_owed_to(site: Site, tmp_path: Path, form: str) -> None:
    west, south, east, north = site.ask(f"/api/items/{OPEN}").json()["bounds_lonlat"]
    x, y = (west + east) / 2, (south + north) / 2
    box = [x - (east - west) / 16, y - (north - south) / 16, x, y]
    answer = site.clip({"item": OPEN, "bbox": box, "format": form})
    assert answer.status == 200
    assert OPEN in answer.headers["content-disposition"]
    if form in ("cog", "gtiff"):
        with rasterio.MemoryFile(answer.body) as memory, memory.open() as file:
            assert file.tags()["TIFFTAG_COPYRIGHT"] == OWED
    elif form == "netcdf":
        import h5py

        with h5py.File(io.BytesIO(answer.body)) as file:
            assert file.attrs["attribution"] == OWED
    else:
        archive = zipfile.ZipFile(io.BytesIO(answer.body))
        if form == "zarr":
            assert json.loads(archive.read(".zattrs"))["attribution"] == OWED
            return
        suffix = "jpg" if form == "jpeg" else "png"
        image = Image.open(io.BytesIO(archive.read(f"{OPEN}.{suffix}")))
        owed = image.getexif()[0x8298] if form == "jpeg" else image.text["Copyright"]
        assert owed == OWED
        note = archive.read(f"{OPEN}.txt").decode()
        assert f"credit: {OWED}" in note
        assert "stretch to 0..255: red " in note
