"""The page's map where it was once wrong: before it has the focus, over the antimeridian, with nothing to show."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
import rasterio
from browsing import looking, seen, served, settle, until
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

from geofuse.cli import main
from geofuse.errors import MissingError
from geofuse.scenes.quality import CLOUD, SHADOW
from geofuse.serve.maps.rasters import raster_at
from geofuse.serve.maps.rendering import ViewStretch, ranges_in, stats_of

SIDE = 512
PIXEL_M = 10.0


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a small product lies."""

    crs: str
    """Its UTM zone."""
    corner: tuple[float, float]
    """Its upper left corner, in metres."""


NEAR = Ground("EPSG:32632", (500_000.0, 5_400_000.0))
ACROSS = Ground("EPSG:32660", (703_000.0, 5_765_000.0))
"""Half of it east of 180 degrees, at 52 N."""


def write_image(path: Path, ground: Ground, pixel_m: float, image: np.ndarray) -> Path:
    """Write (bands, rows, columns) where it lies."""
    count, height, width = image.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": image.dtype}
    place = {"crs": ground.crs, "transform": from_origin(*ground.corner, pixel_m, pixel_m)}
    with rasterio.open(path, "w", **profile, **place) as out:
        out.write(image)
    return path


def bounds_of(path: str) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of a file, in its own units."""
    with rasterio.open(path) as image:
        left, bottom, right, top = image.bounds
    return left, bottom, right, top


def publish(
    catalog: Path, name: str, day: str, ground: Ground = NEAR, dtype: str = "uint16", bands: int = 4
) -> None:
    """Fuse a small pair and publish it."""
    folder = catalog.parent / name
    folder.mkdir()
    top = 250 if dtype == "uint8" else 2000
    rng = np.random.default_rng(5)
    coarse = rng.integers(20, top, (bands, SIDE // 4, SIDE // 4)).astype(dtype)
    fine = rng.integers(20, top, (1, SIDE, SIDE)).astype(dtype)
    pan = write_image(folder / "pan.tif", ground, PIXEL_M, fine)
    ms = write_image(folder / "ms.tif", ground, 4 * PIXEL_M, coarse)
    out = folder / "out.tif"
    fuse = ("fuse", "--pan", pan, "--ms", ms, "--out", out, "--method", "sfim")
    assert main([*map(str, fuse), "--no-calibrate", "--no-progress"]) == 0
    place = ("publish", out, "--catalog", catalog, "--id", name, "--acquired", day)
    assert main(list(map(str, place))) == 0


@pytest.fixture(scope="module")
def site(built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over a scene of everyday, one over the antimeridian, and one of 8 bits."""
    catalog = tmp_path_factory.mktemp("map") / "archive"
    publish(catalog, "near", "2024-02-03")
    publish(catalog, "across", "2024-05-06", ACROSS)
    publish(catalog, "bytes", "2024-08-09", dtype="uint8")
    with served(catalog, "--trust-local") as url:
        yield url


def open_item(view: Any, url: str, item: str, query: str = "") -> None:
    """Open a scene by its address and wait until it is drawn."""
    view.goto(f"{url}/#/scene/{item}{query}")
    view.get_by_role("tablist").wait_for()
    settle(view)


def place_of(view: Any) -> list[float]:
    """Longitude, latitude and zoom of the address."""
    until(view, "location.hash.includes('at=')")
    text = view.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('at')")
    return [float(part) for part in text.split(",")]


def middle(view: Any) -> tuple[float, float]:
    """A place on the map clear of what lies on it."""
    box = view.locator(".map").bounding_box()
    return box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"]


@pytest.mark.parametrize("item", [None, "near"])
def test_wheel_and_first_drag_move_a_map_without_the_focus(browser: Any, site: str, item: str | None) -> None:
    with looking(browser, site) as view:
        if item is None:
            view.goto(site)
            view.locator(".card").first.wait_for()
            settle(view)
        else:
            open_item(view, site, item)
        x, y = middle(view)
        zoom = "new URLSearchParams(location.hash.split('?')[1]).get('at')?.split(',')[2]"
        view.mouse.move(x, y)
        assert view.evaluate("!document.activeElement.closest('.map')")
        before = view.evaluate(zoom)
        view.mouse.wheel(0, -400)
        until(view, f"{zoom} !== {before!r} && {zoom} !== undefined")
        settle(view)
        place = place_of(view)
        if before is not None:
            assert place[2] > float(before), "the wheel goes in"

    with looking(browser, site) as view:
        open_item(view, site, "near", "?at=9,48.75,10")
        x, y = middle(view)
        assert view.evaluate("!document.activeElement.closest('.map')")
        view.mouse.move(x, y)
        view.mouse.down()
        view.mouse.move(x + 150, y, steps=5)
        view.mouse.up()
        ground = "new URLSearchParams(location.hash.split('?')[1]).get('at').split(',')[0] < 8.95"
        until(view, ground)  # it follows the hand to the east
        _, lat, zoom_at = place_of(view)
        assert lat == pytest.approx(48.75, abs=0.01)
        assert zoom_at == 10


def test_the_timelines_ends_are_the_first_and_last_scene(browser: Any, site: str) -> None:
    with looking(browser, site) as view:
        view.goto(site)
        view.locator(".card").first.wait_for()
        assert view.locator(".timeline .ends").inner_text() == "3 Feb 2024 to 9 Aug 2024"
        view.get_by_role("slider", name="Acquired, from").press("ArrowRight")
        until(view, "document.querySelectorAll('.card').length === 2")
        assert "from=2024-02-04" in view.evaluate(
            "new Promise((go) => setTimeout(() => go(location.hash), 400))"
        )


def test_a_scene_over_the_antimeridian_fills_the_map_and_is_seen_from_both_sides(
    browser: Any, site: str
) -> None:
    with looking(browser, site) as view:
        open_item(view, site, "across", "?swipe=off&tab=about")
        west, east = view.locator("dt", has_text="Extent").locator("+ dd").inner_text().split(" to ")
        assert west.endswith("E")
        assert east.endswith("W")
        view.get_by_role("button", name="Zoom in").click()
        settle(view)
        lon, lat, zoom = place_of(view)
        assert abs(lon) > 179.9
        assert lat == pytest.approx(52, abs=0.1)
        assert zoom > 12, "the scene is fitted, not the world"
        x, y = middle(view)
        box = {"x": x - 60, "y": y - 60, "width": 120, "height": 120}
        assert seen(view, box).std() > 10, "its pixels are drawn"

    for lon in (179.98, -179.98):
        with looking(browser, site) as view:
            open_item(view, site, "across", f"?swipe=off&at={lon},51.98,14")
            x, y = middle(view)
            box = {"x": x - 60, "y": y - 60, "width": 120, "height": 120}
            assert seen(view, box).std() > 10, f"drawn where one looks from {lon}"
            view.mouse.click(x, y)
            card = view.get_by_role("complementary", name="Pixel values")
            card.get_by_role("table").wait_for()
    with looking(browser, site) as view:
        open_item(view, site, "across", "?tab=get")
        view.get_by_role("button", name="Whole scene", exact=True).click()
        until(view, "document.querySelector('.size b').textContent.includes('×')")
        told = "".join(view.locator(".size b").inner_text().split())
        assert told.startswith(f"{SIDE}×{SIDE}px"), "the clip is of the scene, not of the world"


def test_bounds_over_the_antimeridian_are_as_wide_as_the_scene(site: str) -> None:
    def ask(path: str) -> Any:
        with urlopen(f"{site}{path}") as answer:
            return json.load(answer)

    west, _, east, _ = ask("/api/items/across")["bounds_3857"]
    assert 5_000 < east - west < 20_000
    (box,) = ask("/stac/collections/generic")["extent"]["spatial"]["bbox"]
    assert box[0] == pytest.approx(9, abs=0.1)
    assert box[2] == pytest.approx(-179.96, abs=0.1), "it ends where the last scene ends, beyond 180"
    assert ask("/ogc/collections/footprints")["extent"]["spatial"]["bbox"] == [box]
    found = ask("/api/items?bbox=179.9,51,-179.9,53")
    assert [one["id"] for one in found["features"]] == ["across"]


def test_land_has_no_bands_around_the_earth(browser: Any, site: str) -> None:
    with looking(browser, site, reduced_motion="reduce") as view:
        view.goto(f"{site}/#/?at=0,69,4")
        view.locator(".card").first.wait_for()
        settle(view)
        box = view.locator(".map").bounding_box()
        # the Norwegian and Greenland seas, 66 to 71 N, on which nothing lies
        x, y = box["x"] + 0.5 * box["width"] - 40, box["y"] + 0.5 * box["height"]
        sea = seen(view, {"x": x, "y": y - 40, "width": 6, "height": 80})
        sea_colour = view.evaluate(
            "getComputedStyle(document.documentElement).getPropertyValue('--map').trim()"
        )
        wanted = [int(sea_colour[at : at + 2], 16) for at in (1, 3, 5)]
        share = (np.abs(sea - wanted).max(axis=2) < 3).mean()
        assert share > 0.9, "it is sea"


def test_tiles_on_their_way_are_shown(browser: Any, site: str) -> None:
    with looking(browser, site) as view:
        held: list[Any] = []
        free: list[bool] = []
        view.route("**/tiles/**", lambda route: route.continue_() if free else held.append(route))
        view.goto(f"{site}/#/scene/near")
        bar = view.get_by_role("progressbar", name="Loading the map's tiles")
        bar.wait_for()
        assert held, "the server was asked"
        free.append(True)
        for one in held:
            one.continue_()
        bar.wait_for(state="detached")


def test_products_of_one_scene_are_told_apart(browser: Any, site: str) -> None:
    with looking(browser, site) as view:
        view.goto(site)
        card = view.locator(".card", has=view.locator("#card-across"))
        card.wait_for()
        lines = card.locator(".words").inner_text()
        assert "pan, 52.0° N 180.0° " in lines, "scene and place"
        for word in ("across", "6 May 2024", "sfim", "4 bands: 1, 2, 3, 4"):
            assert word in lines
        view.get_by_role("searchbox").fill("sfim near")
        until(view, "document.querySelectorAll('.card').length === 1")
        view.locator(".card a").click()
        head = view.locator(".scenehead")
        head.get_by_text("near", exact=True).wait_for()
        assert "sfim" in head.inner_text()
        assert "48.7° N 9.0° E" in head.locator("h1").inner_text()


@pytest.mark.parametrize("there", [True, False])
def test_a_catalogue_without_a_scene_is_served_and_the_first_one_appears(
    browser: Any, built: None, tmp_path: Path, there: bool
) -> None:
    catalog = tmp_path / "archive"
    if there:
        catalog.mkdir()
    with served(catalog, "--trust-local") as url, looking(browser, url) as view:
        view.goto(url)
        view.get_by_text("No scene yet").wait_for()
        settle(view)
        for path in ("/api/items", "/stac/search", "/ogc/collections", "/wmts/1.0.0/WMTSCapabilities.xml"):
            with urlopen(f"{url}{path}") as answer:
                assert answer.status == 200, path
        publish(catalog, "first", "2024-02-03")
        view.locator("#card-first").wait_for(timeout=25_000)


def test_a_folder_of_something_else_or_a_wrong_path_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("no catalogue")
    for folder in (tmp_path, tmp_path / "mistyped" / "archive", tmp_path / "notes.txt"):
        assert main(["serve", str(folder), "--port", "0"]) == 2
        assert "no catalogue" in capsys.readouterr().err


def test_a_cloudy_scenes_land_is_not_black(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    land = rng.integers(200, 600, (1, SIDE, SIDE)).astype("uint16")
    flags = np.zeros((1, SIDE, SIDE), np.uint8)
    flags[:, : SIDE // 2] = CLOUD
    flags[:, SIDE // 2 : SIDE // 2 + 20] = SHADOW
    cloudy = np.where(flags == CLOUD, 9000, np.where(flags == SHADOW, 20, land)).astype("uint16")
    raster = raster_at(write_image(tmp_path / "a.tif", NEAR, PIXEL_M, cloudy))
    mask = raster_at(write_image(tmp_path / "a.mask.tif", NEAR, PIXEL_M, flags))
    (plain,) = stats_of(raster)
    (clear,) = stats_of(raster, mask)
    assert plain.high == 9000
    assert clear.low >= 200
    assert clear.high < 600, "white is the brightest land"
    assert (clear.least, clear.most) == (20, 9000), "the whole range is still said"
    every = raster_at(write_image(tmp_path / "b.mask.tif", NEAR, PIXEL_M, np.full_like(flags, CLOUD)))
    assert stats_of(raster, every) == (plain,), "where all is cloud, clouds are what there is to see"


def test_a_bin_of_whole_numbers_holds_as_many_as_its_neighbour(site: str) -> None:
    with urlopen(f"{site}/api/items/bytes") as answer:
        bands = json.load(answer)["bands"]
    for band in bands:
        edges = np.array(band["stats"]["histogram"]["edges"])
        assert 1 <= len(edges) - 1 <= 128
        assert set(np.diff(edges)) <= {1.0, 2.0}
        assert np.ptp(np.diff(edges)) == 0
        assert (edges % 1 == 0.5).all()


def test_a_stretch_by_what_is_in_view(browser: Any, site: str, tmp_path: Path) -> None:
    image = np.full((1, SIDE, SIDE), 100, np.uint16)
    image[:, :, SIDE // 2 :] = 5000
    image[:, ::2] += 50
    raster = raster_at(write_image(tmp_path / "a.tif", NEAR, PIXEL_M, image))
    west, south, east, north = transform_bounds(NEAR.crs, "EPSG:4326", *bounds_of(raster.path))
    third = (east - west) / 3
    assert ranges_in(raster, None, (0,), (west, south, west + third, north), ViewStretch()) == [(100, 150)]
    assert ranges_in(raster, None, (0,), (east - third, south, east, north), ViewStretch()) == [(5000, 5050)]
    with pytest.raises(MissingError):
        ranges_in(raster, None, (0,), (0.0, 10.0, 1.0, 11.0), ViewStretch())
    with looking(browser, site) as view:
        open_item(view, site, "near", "?at=9.02,48.74,15")
        with view.expect_response(re.compile("/ranges")) as answer:
            view.get_by_role("button", name="Stretch to what is in view").click()
        ((low, high), *_) = answer.value.json()["ranges"]
        until(view, "location.hash.includes('range=')")
        field = view.get_by_label("Black of 1", exact=True)
        assert float(field.input_value()) == pytest.approx(low, abs=1)
        assert low < high


def test_fringes_beside_a_cloud_are_named_parallax(browser: Any, built: None, tmp_path: Path) -> None:
    catalog = tmp_path / "archive"
    publish(catalog, "cloudy", "2024-02-03")
    flags = np.zeros((1, SIDE, SIDE), np.uint8)
    flags[:, :, : SIDE // 4] = CLOUD
    folder = catalog / "generic" / "cloudy"
    write_image(folder / "v1" / "cloudy.mask.tif", NEAR, PIXEL_M, flags)
    item = json.loads((folder / "cloudy.json").read_text())
    item["assets"]["mask"] = {"href": "v1/cloudy.mask.tif", "roles": ["mask"]}
    (folder / "cloudy.json").write_text(json.dumps(item))
    west, south, east, north = transform_bounds(
        NEAR.crs, "EPSG:4326", *bounds_of(str(folder / "v1" / "cloudy.tif"))
    )
    with served(catalog, "--trust-local") as url, looking(browser, url) as view:
        card = view.get_by_role("complementary", name="Pixel values")
        for share, cloud, edge in (
            (0.1, True, False),
            (0.24, True, True),
            (0.27, False, True),
            (0.7, False, False),
        ):
            at = f"{west + share * (east - west)},{(south + north) / 2},14"
            view.goto(f"{url}/#/?at=0,0,1")
            open_item(view, url, "cloudy", f"?at={at}")
            view.locator(".map").focus()
            view.keyboard.press("Enter")
            card.get_by_role("table").wait_for()
            said = card.inner_text()
            assert ("Mask cloud" in said) == cloud, share
            assert ("parallax" in said) == edge, share


def test_many_bands_are_folded(browser: Any, built: None, tmp_path: Path) -> None:
    catalog = tmp_path / "archive"
    publish(catalog, "many", "2024-02-03", bands=66)
    with served(catalog, "--trust-local") as url, looking(browser, url) as view:
        view.goto(url)
        view.locator(".card").get_by_text("66 bands: 1, 2, 3 … 66").wait_for()
        open_item(view, url, "many", "?tab=about")
        table = view.get_by_role("group", name="Bands")
        assert not table.is_visible()
        view.get_by_text("66 bands: 1, 2, 3 … 66").click()
        assert table.locator("tbody tr").count() == 66
        view.get_by_role("tab", name="Clip & download").click()
        tick = view.get_by_label("66", exact=True)
        assert not tick.is_visible()
        view.get_by_text("66 of 66").click()
        tick.uncheck()
        view.get_by_text("65 of 66").wait_for()
        box = view.locator(".map").bounding_box()
        view.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.45 * box["height"])
        card = view.get_by_role("complementary", name="Pixel values")
        card.get_by_role("table").first.wait_for()
        assert card.locator("tbody tr").filter(visible=True).count() == 3, "those that are shown"
        card.get_by_text("All 66 bands").click()
        assert card.locator("tbody tr").filter(visible=True).count() == 69
