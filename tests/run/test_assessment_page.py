"""The assessment's page in a real browser: no request, no error, no sideways scrolling; and what it is made of."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from geofuse.cli import main
from geofuse.metrics.metric import html_text
from geofuse.metrics.rows import BUILT_IN
from geofuse.pages.assessment_files import write_page
from geofuse.pages.assessment_page import assessment_page
from geofuse.pages.assessment_pictures import picture_of, pictures_of, ramp, worst_place
from geofuse.pages.assessment_words import BETTER
from geofuse.pages.charts import difference, edge_widths, histogram
from geofuse.quality.assess import assess
from geofuse.quality.assessment.values import Assessment
from geofuse.quality.simulated_pair import open_simulated, write_pair
from tests.conftest import CAMERA
from tests.run.scenery import fuse

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
WIDTHS = (1280, 400)


@pytest.fixture(scope="module")
def found(truth: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Assessment:
    """A simulated product with a nodata border, assessed against its truth."""
    folder = tmp_path_factory.mktemp("page")
    part = np.ascontiguousarray(truth[:, 300:684, 200:648])
    pair = write_pair(folder, part, CAMERA, slant_deg=8.0, seed=5)
    fused = fuse(folder / "fused.tif", pair.pan, pair.ms, "--method", "mtf-glp-hpm-r", "--no-calibrate")
    return assess(fused, open_simulated(pair), reference=pair.truth)


@pytest.fixture(scope="module")
def page(found: Assessment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page."""
    out = tmp_path_factory.mktemp("html") / "report.html"
    write_page(found, out)
    return out


# --- in a browser -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A real Chromium, headless."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_opens_alone_without_a_fault(browser: object, page: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    view = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    view.on("console", lambda message: said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    view.on("request", lambda request: asked.append(request.url))
    view.goto(page.as_uri())
    view.wait_for_load_state("networkidle")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    widths = view.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths == [width, width]
    broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"
    assert view.evaluate(broken) == 0
    assert view.evaluate("[...document.images].every(image => image.alt.length > 3)")
    paper = view.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", paper)))
    assert light > 600 if scheme == "light" else light < 120
    context.close()


def test_the_slider_uncovers_the_upsampled_image(browser: object, page: Path) -> None:
    view = browser.new_page(viewport={"width": 1280, "height": 900})
    view.goto(page.as_uri())
    slider = view.locator(".swipe input")
    box = slider.bounding_box()
    before = view.locator(".swipe .bar").bounding_box()["x"]
    view.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 40)
    view.mouse.down()
    view.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 40, steps=4)
    view.mouse.up()
    moved = view.locator(".swipe .bar").bounding_box()["x"] - before
    assert moved == pytest.approx(0.3 * box["width"], abs=0.03 * box["width"])
    view.close()


def test_the_browser_notices_a_request_and_an_error(browser: object, tmp_path: Path) -> None:
    """The test above can fail."""
    bad = tmp_path / "bad.html"
    bad.write_text('<body style="width:3000px"><img src="missing.png"><script>nothing()</script>')
    view = browser.new_page(viewport={"width": 400, "height": 900})
    said: list[str] = []
    asked: list[str] = []
    view.on("console", lambda message: said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    view.on("request", lambda request: asked.append(request.url))
    view.goto(bad.as_uri())
    assert any("nothing is not defined" in text for text in said)
    assert len(asked) == 2
    assert view.evaluate("document.documentElement.scrollWidth") > 400
    view.close()


# --- what it is made of -----------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Collects what a page points at, and its words."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "img", "input", "col", "path", "rect", "line", "circle"):
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "poster")]

    def handle_endtag(self, tag: str) -> None:
        if self.open and tag == self.open[-1]:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)


def test_the_page_is_whole_and_small(page: Path) -> None:
    text = page.read_text()
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert all(link.startswith("data:") for link in reader.links)
    assert len(reader.links) > 15
    assert "url(" not in text
    assert "@import" not in text
    assert 100_000 < len(text) < 5_000_000


def test_every_number_is_there_with_a_phrase_and_its_best_value(found: Assessment, page: Path) -> None:
    text = page.read_text()
    for metric in BUILT_IN:
        if metric.of_product:
            continue
        label = f'<td class="key">{html_text(metric.label)}</td>'
        row = next(row for row in re.findall("<tr>.*?</tr>", text) if label in row)
        assert html_text(metric.phrase) in row
        assert f"{metric.best_text}, {BETTER[metric.direction]}" in row
        shown = re.search(r'<td class="n">([\d.]+)', row)
        assert shown
        assert float(shown[1]) == pytest.approx(found.values[metric.key], rel=1e-3)
    for words in ("favour back-projection", "HQNR alone ranks", "Where it is worst", "MTF gain", "SHA-256"):
        assert words in text
    for warning in found.values["warnings"]:
        assert warning.replace("'", "&#x27;") in text


def test_strange_names_do_no_harm(found: Assessment) -> None:
    from dataclasses import replace

    evil = '<script>alert("x")</script>'
    plan = replace(found.subject.plan, scene=replace(found.subject.plan.scene, scene_id=evil))
    record = {**(found.subject.record or {}), "scene": {"id": evil}}
    values = {**found.values, "warnings": [evil]}
    strange = replace(found, values=values, subject=replace(found.subject, plan=plan, record=record))
    text = assessment_page(strange)
    assert evil not in text
    assert text.count("<script>") == 1


def test_a_product_of_another_tool_has_a_page_too(found: Assessment) -> None:
    from dataclasses import replace

    bare = replace(
        found,
        subject=replace(found.subject, record=None, reference=None),
        maps={"d_rho": found.maps["d_rho"]},
        values={**found.values, "indices": {}, "sam": None, "warnings": []},
        baseline={},
    )
    text = assessment_page(bare)
    assert "no record beside it" in text
    assert "Where it is worst" not in text
    assert "Indices" not in text


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_places_show_what_they_say(found: Assessment) -> None:
    overview, hero, places = pictures_of(found)
    assert [place.title for place in places] == ["Edges and colours"] * 3 + ["Where it is worst"]
    for place in places:
        row0, row1, col0, col1 = place.window
        assert 0 <= row0 < row1 <= 384
        assert 0 <= col0 < col1 <= 448
        pictures = [decoded(uri) for uri in (place.before, place.pan, place.after)]
        assert {picture.shape[:2] for picture in pictures} == {(row1 - row0, col1 - col0)}
        valid = pictures[2][..., 3] == 255
        detail = [
            np.abs(np.diff(picture[..., 1].astype(float), axis=1))[valid[:, 1:] & valid[:, :-1]].mean()
            for picture in pictures
        ]
        assert detail[2] > 1.5 * detail[0]  # the product is sharper than the upsampled MS
    row, col = worst_place(found)
    row0, row1, col0, col1 = places[-1].window
    assert row0 <= row < row1
    assert col0 <= col < col1
    worst = found.maps["ergas"].values
    assert worst[int(row // 32), int(col // 32)] == np.nanmax(worst)
    assert decoded(overview.picture).shape[:2] == overview.size_px
    assert hero.window[3] - hero.window[2] == 448


def test_map_pictures_are_bright_where_it_is_worse(found: Assessment) -> None:
    local = found.maps["sam"]
    painted = picture_of(local, (384, 448))
    assert painted is not None
    image = decoded(painted.picture)
    np.testing.assert_array_equal(image[..., 3] == 0, np.isnan(local.values))
    known = ~np.isnan(local.values)
    order = np.argsort(local.values[known])
    lightness = rgb2lab(image[..., :3][known])[..., 0][order]
    assert (np.diff(lightness) > -0.8).all()
    assert painted.worst == np.nanmax(local.values)
    assert painted.box == (0.0, 0.0, 14 * 32 / 448, 12 * 32 / 384)


def test_the_ramp_is_perceptually_uniform() -> None:
    """In CIELAB, another space than the one it is made in: lightness rises by even steps, colours never jump."""
    lab = rgb2lab(ramp()[None])[0]
    wide = lab[::8]
    rises = np.diff(wide[:, 0])
    assert rises.min() > 0.0
    assert rises.max() < 1.6 * rises.min()
    steps = np.sqrt((np.diff(wide, axis=0) ** 2).sum(axis=1))
    assert steps.max() < 2.2 * steps.min()
    assert len(np.unique(ramp(), axis=0)) == 256


def test_charts_draw_their_numbers() -> None:
    bars = difference([0, 1, 4, 1, 0, 0, 0, 0, 2], 0.09, 0.02, label="a < b")
    heights = [float(tall) for tall in re.findall(r'height="([\d.]+)"', bars)]
    assert heights[2] == max(heights)
    assert heights[1] == pytest.approx(heights[2] / 4, abs=0.06)
    assert bars.count('class="bar far"') == 6
    assert 'aria-label="a &lt; b"' in bars
    lines = histogram([0.0, 1.0, 2.0], [9, 2, 2, 9], None, label="h")
    assert lines.count("<path") == 1
    assert histogram([0.0, 1.0, 2.0], [0, 1, 1, 0], [0, 1, 3, 0], label="h").count("<path") == 2
    dots = edge_widths(["x", "y"], [1.0, None], [4.0, None], 2.0)
    at = [float(x) for x in re.findall(r'cx="([\d.]+)"', dots)]
    mark = float(re.search(r'class="mark" x1="([\d.]+)"', dots)[1])
    assert len(at) == 2
    assert (at[0] - mark) / (mark - at[1]) == pytest.approx(2.0, rel=0.02)


def test_the_command_writes_the_page_and_the_numbers(
    found: Assessment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(found.subject.fused.image.bands[0].path).parent
    out = tmp_path / "report.html"
    words = [
        "assess",
        str(folder / "fused.tif"),
        "--pan",
        str(folder / "pan.tif"),
        "--ms",
        str(folder / "ms.tif"),
    ]
    capsys.readouterr()
    assert main([*words, "--html", str(out), "--json", "--no-progress"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["ergas"] is None
    assert values["r_ergas"] == pytest.approx(found.values["r_ergas"], rel=1e-9)
    assert out.read_text().startswith("<!doctype html>")
    assert "Against the reference" not in out.read_text()
    assert main([*words, "--html", str(tmp_path / "no" / "report.html")]) == 4
    assert "no such folder" in capsys.readouterr().err
