"""The page in a real browser before a real server: find, look, swipe, measure, clip, download; keys; a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from browsing import looking, seen, served, settle, until
from rasterio.windows import from_bounds

from geofuse.cli import main
from geofuse.quality.simulated_pair import SimulatedPair
from tests.conftest import folder_from

LANDSAT = "LC80200392015216LGN00-fused"
QUICK = ("--method", "mtf-glp-hpm-r", "--no-calibrate", "--no-progress")


def geofuse(*arguments: object) -> None:
    """Run the command line, in this process."""
    assert main([str(argument) for argument in arguments]) == 0


@dataclass(frozen=True, slots=True)
class Site:
    """A served catalogue."""

    url: str
    """Its address."""
    catalog: Path
    """Its folder."""
    demo: Path
    """A product that can be published again."""

    def product(self, item: str) -> Path:
        """The file of an item."""
        (found,) = self.catalog.glob(f"*/{item}/v1/{item}.tif")
        return found


@pytest.fixture(scope="module")
def site(built: None, pair: SimulatedPair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A demo product, one that may only be looked at, and the Landsat scene where it is at hand."""
    folder = tmp_path_factory.mktemp("site")
    catalog, demo = folder / "archive", folder / "demo.tif"
    geofuse("fuse", "--pan", pair.pan, "--ms", pair.ms, "--out", demo, *QUICK)
    geofuse("publish", demo, "--catalog", catalog, "--id", "demo-fused", "--acquired", "2026-06-01")
    geofuse(
        *("publish", demo, "--catalog", catalog, "--id", "shown-only", "--acquired", "2024-02-03"),
        *("--access", "view-only", "--attribution", "Shown by permission"),
    )
    try:
        landsat = folder_from("GEOFUSE_DATA", "data") / "landsat8"
    except pytest.skip.Exception:
        pass
    else:
        geofuse("fuse", landsat, "--out", folder / "sharp.tif", *QUICK)
        geofuse("publish", folder / "sharp.tif", "--catalog", catalog)
    with served(catalog, "--trust-local", "--title", "Archive of the coast") as url:
        yield Site(url, catalog, demo)


@pytest.fixture(params=["demo-fused", LANDSAT])
def item(request: pytest.FixtureRequest) -> str:
    """Each product once; Landsat's where its files are at hand."""
    if request.param == LANDSAT:
        folder_from("GEOFUSE_DATA", "data")
    return str(request.param)


def open_item(view: Any, site: Site, item: str, query: str = "") -> None:
    """Open a scene by its address and wait until it is drawn."""
    view.goto(f"{site.url}/#/scene/{item}{query}")
    view.get_by_role("tablist").wait_for()
    settle(view)


def on_the_map(view: Any) -> dict[str, float]:
    """A band across the middle of the scene, clear of what lies on the map."""
    box = view.locator(".map").bounding_box()
    return {"x": box["x"] + 60, "y": box["y"] + 300, "width": box["width"] - 160, "height": 120}


# --- as analysts use it -------------------------------------------------------------------------------------------


def test_scenes_are_found_and_opened(browser: Any, site: Site) -> None:
    with looking(browser, site.url) as view:
        view.goto(site.url)
        cards = view.locator(".card")
        cards.first.wait_for()
        everything = cards.count()
        assert everything >= 2
        assert view.get_by_text("Archive of the coast").is_visible()
        settle(view)
        until(view, "[...document.images].every((image) => image.naturalWidth > 0)")

        view.get_by_role("searchbox").fill("shown-only")
        until(view, "document.querySelectorAll('.card').length === 1")
        assert "View only" in cards.first.inner_text()
        assert "q=shown-only" in view.evaluate(
            "new Promise((go) => setTimeout(() => go(location.hash), 400))"
        )
        view.get_by_role("button", name="Clear filters").click()
        until(view, f"document.querySelectorAll('.card').length === {everything}")

        view.get_by_role("button", name="Filters").click()
        view.get_by_label("Acquired from", exact=True).fill("2025-01-01")
        until(view, "document.querySelectorAll('.card').length === 1")
        assert "1 Jun 2026" in cards.first.inner_text()
        cards.first.get_by_role("link").click()
        view.get_by_role("tablist").wait_for()
        assert "#/scene/demo-fused" in view.url
        view.go_back()
        cards.first.wait_for()
        assert cards.count() == 1, "the way back leads to the same filters"


def test_the_time_slider_is_dragged(browser: Any, site: Site) -> None:
    with looking(browser, site.url) as view:
        view.goto(site.url)
        view.locator(".card").first.wait_for()
        handle = view.get_by_role("slider", name="Acquired, from")
        box, track = handle.bounding_box(), view.locator(".timeline .track").bounding_box()
        view.mouse.move(box["x"] + 12, box["y"] + 12)
        view.mouse.down()
        view.mouse.move(track["x"] + 0.95 * track["width"], box["y"] + 12, steps=5)
        view.mouse.up()
        until(view, "document.querySelectorAll('.card').length === 1")
        assert "2026" in view.locator(".card").inner_text()
        handle.press("Home")
        until(view, "document.querySelectorAll('.card').length > 1")


def test_the_swipe_shows_fused_left_and_input_right(browser: Any, site: Site, item: str) -> None:
    with looking(browser, site.url) as view:
        open_item(view, site, item)
        for _ in range(2):
            view.get_by_role("button", name="Zoom in").click()
            settle(view)
        box = on_the_map(view)
        knob = view.get_by_role("slider", name="Swipe")
        knob.focus()
        knob.press("End")
        settle(view)
        fused = seen(view, box)
        knob.press("Home")
        settle(view)
        plain = seen(view, box)
        assert np.abs(fused - plain).mean() > 1.0, "the two sides are different images"
        assert detail(fused) > 1.2 * detail(plain), "and the fused one has more detail"

        for to in (0.5, 0.3, 0.65):
            drag_knob(view, to)
            settle(view)
            both = seen(view, box)
            whole = view.locator(".map").bounding_box()
            at = round(whole["x"] + to * whole["width"] - box["x"])
            # the handle is 42 px wide and casts a shadow; beside it every pixel is that of its side,
            # but for the rounding of a picture that is scaled to the screen in two halves
            np.testing.assert_allclose(both[:, : at - 36], fused[:, : at - 36], atol=3)
            np.testing.assert_allclose(both[:, at + 36 :], plain[:, at + 36 :], atol=3)
            assert float(knob.get_attribute("aria-valuenow")) == pytest.approx(100 * to, abs=1)


def drag_knob(view: Any, to: float) -> None:
    """Take the swipe's handle with the mouse and put it down elsewhere."""
    whole = view.locator(".map").bounding_box()
    grab = view.locator(".knob .grab").bounding_box()
    y = grab["y"] + grab["height"] / 2
    x = grab["x"] + grab["width"] / 2
    x = min(max(x, whole["x"] + 8), whole["x"] + whole["width"] - 8)
    at = float(view.get_by_role("slider", name="Swipe").get_attribute("aria-valuenow")) / 100
    held = x - (whole["x"] + at * whole["width"])
    view.mouse.move(x, y)
    view.mouse.down()
    view.mouse.move(whole["x"] + to * whole["width"] + held, y, steps=8)
    view.mouse.up()


def detail(picture: np.ndarray) -> float:
    """How much neighbours differ."""
    return float(np.abs(np.diff(picture, axis=1)).mean() + np.abs(np.diff(picture, axis=0)).mean())


def test_bands_stretch_and_gamma_change_the_picture(browser: Any, site: Site) -> None:
    item = "demo-fused"
    with looking(browser, site.url) as view:
        open_item(view, site, item, "?swipe=off")
        box = on_the_map(view)
        true = seen(view, box)
        with view.expect_response(re.compile("bands=nir%2Cred%2Cgreen")) as answer:
            view.get_by_role("button", name="Colour infrared").click()
        assert answer.value.status == 200
        settle(view)
        infrared = seen(view, box)
        assert np.abs(infrared - true).mean() > 5

        with view.expect_response(re.compile("range=")) as answer:
            view.get_by_role("button", name="5 %", exact=True).click()
        assert answer.value.status == 200
        settle(view)
        harder = seen(view, box)
        assert harder.std() > infrared.std(), "a narrower range has more contrast"

        with view.expect_response(re.compile("gamma=2")):
            view.get_by_label("Gamma").fill("2")
        settle(view)
        assert seen(view, box).mean() > harder.mean() + 5, "gamma lifts the shadows"

        view.get_by_role("slider", name="nir: black and white, from").press("PageUp")
        until(view, "location.hash.includes('range=')")
        address = view.evaluate("location.hash")
        view.reload()
        view.get_by_role("tablist").wait_for()
        assert view.evaluate("location.hash") == address, "an address brings back what was shown"
        assert view.get_by_role("button", name="Colour infrared").get_attribute("aria-pressed") == "true"


def test_a_click_reads_the_pixel(browser: Any, site: Site, item: str) -> None:
    with looking(browser, site.url) as view:
        open_item(view, site, item)
        box = view.locator(".map").bounding_box()
        view.mouse.click(box["x"] + 0.42 * box["width"], box["y"] + 0.45 * box["height"])
        card = view.get_by_role("complementary", name="Pixel values")
        card.get_by_role("table").wait_for()
        row, col = map(int, re.findall(r"\d+", card.locator("b").first.inner_text()))
        with rasterio.open(site.product(item)) as product:
            names = product.descriptions
            stored = product.read(window=((row, row + 1), (col, col + 1)))[:, 0, 0]
        lines = card.locator("tbody tr")
        assert lines.count() == len(names)
        for at, name in enumerate(names):
            cells = lines.nth(at).locator("th, td").all_inner_texts()
            assert cells[0] == name
            assert int(cells[1]) == stored[at]
            assert cells[-1] != "–", "the input's value stands beside it"


def test_a_box_is_drawn_clipped_downloaded_and_is_the_products_own_pixels(
    browser: Any, site: Site, item: str, tmp_path: Path
) -> None:
    with looking(browser, site.url, accept_downloads=True) as view:
        open_item(view, site, item)
        view.get_by_role("tab", name="Clip & download").click()
        view.get_by_role("button", name="Draw a box").click()
        box = view.locator(".map").bounding_box()
        view.mouse.move(box["x"] + 0.45 * box["width"], box["y"] + 0.4 * box["height"])
        view.mouse.down()
        view.mouse.move(box["x"] + 0.56 * box["width"], box["y"] + 0.58 * box["height"], steps=6)
        view.mouse.up()
        size = view.locator(".size b")
        until(view, "document.querySelector('.size b').textContent.includes('×')")
        told = re.sub(r"\s", "", size.inner_text())
        view.get_by_label("nir", exact=True).uncheck()
        until(view, "document.querySelector('.size b').textContent.includes('×')")
        view.get_by_role("button", name="Make the clip").click()
        link = view.locator(".job.done").get_by_role("link", name="Download")
        link.wait_for()
        with view.expect_download() as coming:
            link.click()
        path = tmp_path / coming.value.suggested_filename
        coming.value.save_as(path)
    with rasterio.open(path) as clip, rasterio.open(site.product(item)) as product:
        assert clip.driver == "GTiff"
        assert clip.descriptions == product.descriptions[:3]
        assert (clip.crs, clip.nodata, clip.dtypes[0]) == (product.crs, product.nodata, product.dtypes[0])
        assert told.startswith(f"{clip.width}×{clip.height}px"), "the size was said in advance"
        window = from_bounds(*clip.bounds, product.transform).round_offsets().round_lengths()
        assert (window.height, window.width) == clip.shape
        own = product.read((1, 2, 3), window=window)
        assert own.size > 10_000
        assert own.any()
        np.testing.assert_array_equal(clip.read(), own)


def test_an_area_is_uploaded_and_too_large_or_elsewhere_is_said_before(
    browser: Any, site: Site, tmp_path: Path
) -> None:
    with rasterio.open(site.product("demo-fused")) as product:
        west, south, east, north = rasterio.warp.transform_bounds(product.crs, "EPSG:4326", *product.bounds)
    x, y, side = (west + east) / 2, (south + north) / 2, (east - west) / 8
    ring = [[x, y], [x + side, y], [x, y + side], [x, y]]
    area = tmp_path / "field.geojson"
    area.write_text(f'{{"type":"Polygon","coordinates":[{ring}]}}')
    far = tmp_path / "far.geojson"
    far.write_text('{"type":"Polygon","coordinates":[[[0,0],[1,0],[0,1],[0,0]]]}')
    with looking(browser, site.url) as view:
        open_item(view, site, "demo-fused", "?tab=get")
        view.get_by_label("Area file").set_input_files(area)
        until(view, "document.querySelector('.size b').textContent.includes('×')")
        assert "field" in view.locator(".chosen").inner_text()
        assert "At most" in view.locator(".size").inner_text()
        view.get_by_label("Area file").set_input_files(far)
        view.get_by_text("Not possible").wait_for()
        assert view.get_by_role("button", name="Make the clip").is_disabled()


def test_what_may_only_be_looked_at_cannot_be_taken(browser: Any, site: Site) -> None:
    with looking(browser, site.url) as view:
        open_item(view, site, "shown-only", "?tab=get")
        assert view.get_by_text("This scene is for viewing only").is_visible()
        assert view.get_by_text("cannot be downloaded").is_visible()
        assert view.get_by_text("Shown by permission").is_visible(), "its credit stands on the map"
        assert view.get_by_role("link", name="Download").count() == 0


def test_a_new_scene_appears_by_itself(browser: Any, site: Site) -> None:
    with looking(browser, site.url) as view:
        view.goto(site.url)
        view.locator(".card").first.wait_for()
        before = view.locator(".card").count()
        geofuse(
            "publish", site.demo, "--catalog", site.catalog, "--id", "just-in", "--acquired", "2026-07-01"
        )
        fresh = view.locator(".card", has=view.get_by_text("New", exact=True))
        fresh.wait_for(timeout=25_000)
        assert view.locator(".card").count() == before + 1
        assert "1 Jul 2026" in fresh.inner_text()


def test_provenance_and_links_are_there(browser: Any, site: Site) -> None:
    with looking(browser, site.url, permissions=["clipboard-read", "clipboard-write"]) as view:
        open_item(view, site, "demo-fused", "?tab=about")
        view.get_by_role("button", name="Copy XYZ tiles address").click()
        text = view.evaluate("navigator.clipboard.readText()")
        assert text == f"{site.url}/xyz/demo-fused/{{z}}/{{x}}/{{y}}.png"
        view.get_by_text("The whole record").click()
        record = view.locator("details pre").inner_text()
        assert '"fingerprint"' in record
        assert "mtf-glp-hpm-r" in record
        assert str(site.catalog.parent) not in view.content(), "no path of the server is shown"


def test_a_scene_that_is_not_there_is_said(browser: Any, site: Site) -> None:
    context = browser.new_context()
    view = context.new_page()
    view.goto(f"{site.url}/#/scene/nothing")
    view.get_by_role("alert").wait_for()
    view.get_by_role("button", name="All scenes", exact=True).click()
    view.locator(".card").first.wait_for()
    context.close()


# --- for everybody ------------------------------------------------------------------------------------------------


def test_all_of_it_by_keyboard(browser: Any, site: Site) -> None:
    with looking(browser, site.url) as view:
        view.goto(site.url)
        view.locator(".card").first.wait_for()
        card = view.locator("#card-demo-fused")
        for _ in range(40):
            view.keyboard.press("Tab")
            if card.evaluate("(link) => link === document.activeElement"):
                break
        else:
            raise AssertionError("the card is not reached by Tab")
        view.keyboard.press("Enter")
        view.get_by_role("tablist").wait_for()
        settle(view)
        assert view.evaluate("document.activeElement.tagName") == "H1", "the scene's title is read first"
        knob = view.get_by_role("slider", name="Swipe")
        knob.focus()
        ring = "getComputedStyle(document.activeElement.querySelector('.grab')).outlineStyle"
        view.keyboard.press("ArrowLeft")
        assert view.evaluate(ring) == "solid", "focus is seen"
        assert knob.get_attribute("aria-valuenow") == "48"
        view.get_by_role("tab", name="Look").focus()
        view.keyboard.press("ArrowRight")
        assert view.get_by_role("tab", name="Quality").get_attribute("aria-selected") == "true"
        view.locator(".map").focus()
        view.keyboard.press("Enter")
        view.get_by_role("complementary", name="Pixel values").get_by_role("table").wait_for()
        view.get_by_role("link", name="All scenes", exact=True).click()
        view.locator(".card").first.wait_for()
        assert view.evaluate("document.activeElement.id") == "card-demo-fused", "and back where one was"


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_nothing_that_axe_finds(browser: Any, site: Site, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with looking(browser, site.url, color_scheme=scheme) as view:
        view.goto(site.url)
        view.locator(".card").first.wait_for()
        view.get_by_role("button", name="Filters").click()
        settle(view)
        found = {"list": axe(Axe(), view)}
        open_item(view, site, "demo-fused")
        box = view.locator(".map").bounding_box()
        view.mouse.click(box["x"] + 0.42 * box["width"], box["y"] + 0.45 * box["height"])
        view.get_by_role("complementary", name="Pixel values").get_by_role("table").wait_for()
        for tab in ("Look", "Quality", "Clip & download", "About"):
            view.get_by_role("tab", name=tab).click()
            if tab.startswith("Clip"):
                view.get_by_role("button", name="Type corners").click()
                view.get_by_role("button", name="Whole scene", exact=True).click()
            settle(view)
            found[tab] = axe(Axe(), view)
    assert {place: faults for place, faults in found.items() if faults} == {}


def axe(judge: Any, view: Any) -> list[str]:
    """What axe-core holds against the page as it is."""
    return [
        f"{fault['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for fault in judge.run(view).response["violations"]
        for node in fault["nodes"]
    ]


def test_on_a_phone(browser: Any, site: Site) -> None:
    phone = {"width": 390, "height": 844, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    with looking(browser, site.url, **phone) as view:
        view.goto(site.url)
        view.locator(".card").first.wait_for()
        assert no_sideways(view)
        view.locator("#card-demo-fused").tap()
        view.get_by_role("tablist").wait_for()
        settle(view)
        for tab in ("Quality", "Clip & download", "About", "Look"):
            view.get_by_role("tab", name=tab).tap()
            assert no_sideways(view)
        grip = view.locator(".grip").bounding_box()
        view.mouse.move(195, grip["y"] + 10)
        view.mouse.down()
        view.mouse.move(195, 760, steps=6)
        view.mouse.up()
        assert view.locator(".main").get_attribute("data-sheet") == "low"
        drag_knob(view, 0.25)
        assert view.get_by_role("slider", name="Swipe").get_attribute("aria-valuenow") == "25"
        view.touchscreen.tap(120, 300)
        card = view.get_by_role("complementary", name="Pixel values")
        card.get_by_role("table").wait_for()
        box = card.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        credit = view.locator(".credits")
        assert credit.is_visible()
        assert no_sideways(view)


def no_sideways(view: Any) -> bool:
    """Whether nothing reaches beyond the screen's sides."""
    return bool(view.evaluate("document.documentElement.scrollWidth <= innerWidth && scrollX === 0"))


def test_a_token_is_asked_for_where_the_server_wants_one(
    browser: Any, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    geofuse("token", "add", site.catalog, "--user", "alice")
    token = capsys.readouterr().out.strip()
    with served(site.catalog, "--require-token") as url:
        context = browser.new_context()
        view = context.new_page()
        view.goto(url)
        view.get_by_label("Token").fill("not a token")
        view.get_by_role("button", name="Sign in").click()
        view.get_by_text("not valid, or it has expired").wait_for()
        view.get_by_label("Token").fill(token)
        view.get_by_role("button", name="Sign in").click()
        view.locator(".card").first.wait_for()
        settle(view)
        assert view.get_by_text("alice").is_visible()
        assert token not in view.url
        assert token not in view.content()
        view.get_by_role("button", name="Sign out").click()
        view.get_by_label("Token").wait_for()
        assert view.locator(".card").count() == 0
        context.close()
