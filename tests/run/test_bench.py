"""The bench: its figures are those of the products, its files say the same, its page works in a browser."""

from __future__ import annotations

import base64
import html.parser
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from geofuse.cli import main
from geofuse.errors import AreaError, MethodError, UsageError
from geofuse.landscape.camera import Camera, make_truth
from geofuse.methods.table import METHODS
from geofuse.pages.bench_table import best_value, columns_of, name_of
from geofuse.quality.bench import checked_cases, cut_to_size
from geofuse.quality.bench_order import sorted_rows
from geofuse.quality.simulated_pair import write_pair
from geofuse.run.plans.request import make_request
from geofuse.scenes.opening import open_pair
from tests.run.scenery import north_up, pixels, write

CAMERA = Camera(mtf_gains=(0.3, 0.3, 0.3, 0.3), pan_weights=(0.15, 0.3, 0.3, 0.2), ratio=4.0, noise_sigma=1.0)
METHODS_HERE = "exp,gsa,auto"


def bench(folder: Path, pan: Path, ms: Path, *options: str) -> dict[str, Any]:
    words = ["bench", "--pan", str(pan), "--ms", str(ms), "--out", str(folder), "--no-progress"]
    assert main([*words, "--methods", METHODS_HERE, "--back-projections", "0", *options]) == 0
    found: dict[str, Any] = json.loads((folder / "bench.json").read_text())
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("bench-pair")
    truth = make_truth(512, rng=np.random.default_rng(5))
    made = write_pair(folder, truth, CAMERA, slant_deg=6.0, seed=5)
    return made.pan, made.ms


@pytest.fixture(scope="module")
def reduced(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    bench(folder, *pair)
    return folder


@pytest.fixture(scope="module")
def full(pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench-full")
    bench(folder, *pair, "--protocol", "full", "--window", "60", "70", "300", "340")
    return folder


def loaded(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "bench.json").read_text())
    return found


def test_figures_are_those_of_the_products(reduced: Path, tmp_path: Path) -> None:
    """Fused again by the command line from the pair that is left, ERGAS and SAM by their formulas."""
    rows, bands = {row["method"]: row for row in loaded(reduced)["rows"]}, loaded(reduced)["bands"]
    reference = pixels(reduced / "pair/reference.tif").astype(np.float64)
    pan, ms = str(reduced / "pair/pan.tif"), str(reduced / "pair/ms.tif")
    for method in METHODS_HERE.split(","):
        out = tmp_path / f"{method}.tif"
        words = ["fuse", "--pan", pan, "--ms", ms, "--method", method, "--out", str(out), "--no-progress"]
        assert main([*words, "--back-projections", str(rows[method]["back_projections"])]) == 0
        made = pixels(out).astype(np.float64)
        valid = (made > 0).all(axis=0) & (reference > 0).all(axis=0)
        x, y = reference[:, valid], made[:, valid]
        relative = ((x - y) ** 2).mean(axis=1) / x.mean(axis=1) ** 2
        assert rows[method]["ergas"] == pytest.approx(25.0 * np.sqrt(relative.mean()), rel=1e-9)
        angle = np.arccos(np.clip((x * y).sum(0) / np.sqrt((x**2).sum(0) * (y**2).sum(0)), -1, 1))
        assert rows[method]["sam"] == pytest.approx(float(np.degrees(angle).mean()), rel=1e-4)
        errors = 100.0 * np.sqrt(((x - y) ** 2).mean(axis=1)) / x.mean(axis=1)
        assert [rows[method]["error_percent"][name] for name in bands] == pytest.approx(errors.tolist())


def test_rows_are_sorted_and_whole(reduced: Path, full: Path) -> None:
    for folder, key in ((reduced, "ergas"), (full, "mean_place")):
        found = loaded(folder)
        values = [row[key] for row in found["rows"]]
        assert values == sorted(values)
        assert {row["method"] for row in found["rows"]} == set(METHODS_HERE.split(","))
        for row in found["rows"]:
            assert row["cpu_s_per_mpx"] > 0.0
            for column in columns_of(found["protocol"]):
                if column.key == "r_q2n" and folder == reduced:
                    assert row["r_q2n"] is None, "no block of 32 x 32 MS pixels is seen whole"
                else:
                    assert np.isfinite(row[column.key]), (row["method"], column.key)
            assert row["is"] in METHODS
            assert row["method"] in ("auto", row["is"])
    assert "ergas" not in loaded(full)["rows"][0]
    assert loaded(full)["size_px"] == [300, 340]


def test_fusing_beats_upsampling_which_keeps_the_relations_of_bands(reduced: Path) -> None:
    rows = {row["method"]: row for row in loaded(reduced)["rows"]}
    assert rows["gsa"]["ergas"] < 0.8 * rows["exp"]["ergas"]
    assert rows["exp"]["d_lambda"] < 2e-3
    assert rows["exp"]["d_rho"] > rows["gsa"]["d_rho"]


def test_markdown_says_what_json_says(reduced: Path) -> None:
    found, text = loaded(reduced), (reduced / "bench.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    head = [cell.strip(" ↑↓") for cell in lines[0].strip("|").split("|")]
    assert head[2:] == [column.title for column in columns_of("reduced")]
    at = head.index("ERGAS")
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [float(cells[at].strip("*")) for cells in shown] == [
        pytest.approx(row["ergas"], abs=5e-4) for row in found["rows"]
    ]
    assert [cells[at].startswith("**") for cells in shown] == [True, False, False]
    assert "HQNR alone misranks" in text
    assert "geofuse bench --pan" in text


def test_best_and_order_by_hand() -> None:
    rows: list[dict[str, Any]] = [
        {"method": "a", "ergas": 2.0, "q2n": 0.8, "d_s": 0.1, "d_rho": 0.3, "r_ergas": 1.0, "r_q2n": 0.9},
        {"method": "b", "error": "no"},
        {"method": "c", "ergas": 1.0, "q2n": 0.9, "d_s": 0.2, "d_rho": 0.2, "r_ergas": 1.0, "r_q2n": 0.95},
        {
            "method": "d",
            "ergas": 1.0004,
            "q2n": None,
            "d_s": 0.3,
            "d_rho": 0.1,
            "r_ergas": 0.5,
            "r_q2n": 0.97,
        },
    ]
    assert [row["method"] for row in sorted_rows(rows, "reduced")] == ["c", "d", "a", "b"]
    by_key = {column.key: column for column in columns_of("reduced")}
    assert best_value(rows, by_key["ergas"]) == 1.0
    assert best_value(rows, by_key["q2n"]) == 0.9
    assert best_value(rows[1:2], by_key["ergas"]) is None
    places = [(row["method"], row["mean_place"]) for row in sorted_rows(rows, "full")]
    assert places[:3] == [("d", 1.5), ("c", 2.125), ("a", 2.375)], "equal values share their place"


def test_cases_and_areas_are_checked_before_anything_is_done(pair: tuple[Path, Path], tmp_path: Path) -> None:
    assert checked_cases(["all"], [0, 3])[-1] == ("auto", None)
    assert len(checked_cases(["all"], [0, 3])) == 2 * len(METHODS) + 1
    assert checked_cases(["gsa", "gsa"], [1]) == [("gsa", 1)]
    with pytest.raises(MethodError, match="did you mean gsa"):
        checked_cases(["gsaa"], [0])
    with pytest.raises(UsageError):
        checked_cases(["gsa"], [-1])
    flat = write(tmp_path / "p.tif", np.full((1, 5200, 5000), 9, np.uint8), north_up(1.0), compress="zstd")
    coarse = write(tmp_path / "m.tif", np.full((3, 1300, 1250), 9, np.uint8), north_up(4.0), compress="zstd")
    scene = open_pair(str(flat), [str(coarse)])
    request, notes = cut_to_size(scene, make_request())
    assert request.scene.window == (1576, 1476, 2048, 2048)
    assert "middle 2048 x 2048" in notes[0]
    asked = make_request(window=(0, 0, 100, 100))
    assert cut_to_size(scene, asked) == (asked, [])
    with pytest.raises(AreaError, match="smaller --window"):
        cut_to_size(scene, make_request(window=(0, 0, 5200, 5000)))


class _Page(html.parser.HTMLParser):
    """Collects what a page asks for, and its texts by tag."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.images: list[tuple[str, str, int, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.sources += [str(known[name]) for name in ("src", "href", "action") if name in known]
        if tag == "img":
            size = int(str(known["width"])), int(str(known["height"]))
            self.images.append((str(known["src"]), str(known["alt"]), *size))


def test_the_page_holds_all_it_shows(reduced: Path) -> None:
    text = (reduced / "bench.html").read_text()
    page = _Page()
    page.feed(text)
    assert page.sources
    assert all(source.startswith("data:") for source in page.sources), "nothing is fetched"
    assert not re.search(r"url\(|@import|https?://", text)
    assert len(page.images) == 3 + 3 + 3 + 1  # inputs, products, error maps, the scale
    for source, alt, width, height in page.images:
        image = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
        assert image.size == (width, height)
        assert alt
    assert len(text) < 5e6
    with Image.open(reduced / "crops.png") as sheet:
        assert sheet.width > 1000


CHECK = """
<script>window.faults = []; addEventListener('error', event => faults.push(event.message));
addEventListener('securitypolicyviolation', event => faults.push(event.blockedURI));</script>
"""
REPORT = """
<script>
const read = () => [...document.querySelectorAll('#table tbody tr')].map(row => row.cells[0].textContent);
const before = read(), heads = [...document.querySelectorAll('#table thead button')];
const sam = heads.find(head => head.textContent.startsWith('SAM'));
sam.click(); const once = read(); sam.click(); const twice = read();
const images = [...document.images].every(image => image.complete && image.naturalWidth > 0);
document.documentElement.dataset.found = JSON.stringify({before, once, twice, images, faults,
  wide: document.documentElement.scrollWidth, view: innerWidth});
</script>
"""


@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_works_in_a_browser(reduced: Path, tmp_path: Path, width: int) -> None:
    """Sorting by a click turns the rows about; nothing fails; nothing is wider than the window."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium to look at the page with")
    text = (reduced / "bench.html").read_text()
    page = tmp_path / "page.html"
    page.write_text(text.replace("<head>", f"<head>{CHECK}", 1).replace("</body>", f"{REPORT}</body>", 1))
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        f"--user-data-dir={tmp_path}/chrome",
    ]
    done = subprocess.run(
        [browser, *words, f"--window-size={width},900", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    told = re.search(r'data-found="([^"]*)"', done.stdout)
    assert told, "the page's script ran to its end"
    found = json.loads(told.group(1).replace("&quot;", '"').replace("&amp;", "&"))
    assert found["faults"] == []
    assert found["images"]
    assert found["wide"] <= found["view"]
    names = [name_of(row) for row in _by_sam(reduced)]
    assert found["once"] == names
    assert found["twice"] == names[::-1]
    assert sorted(found["before"]) == sorted(names)


def _by_sam(folder: Path) -> list[dict[str, Any]]:
    return sorted(loaded(folder)["rows"], key=lambda row: row["sam"])


def test_the_page_at_full_resolution_has_no_error_maps(full: Path) -> None:
    text = (full / "bench.html").read_text()
    assert 'id="errors"' not in text
    assert "D_S" in text
    assert not (full / "pair").exists()
    assert not list(full.glob(".products-*"))


def fine_of(sentinel: Path, out: Path) -> Path:
    with h5py.File(next(sentinel.glob("*.mat"))) as file:
        stored: NDArray[Any] = np.asarray(file["im10"])
    planes = stored.transpose(0, 2, 1).astype(np.uint16)
    return write(out, planes, north_up(10.0), descriptions=("red", "green", "blue", "nir"))


@pytest.mark.slow
@pytest.mark.parametrize("which", ["landsat", "sentinel"])
def test_all_methods_on_real_scenes(data_dir: Path, tmp_path: Path, which: str) -> None:
    if which == "landsat":
        scene = [str(data_dir / "landsat8"), "--window", "960", "2", "244", "838"]
    else:
        fine = fine_of(data_dir / "sentinel2", tmp_path / "fine.tif")
        words = ["--ratio", "4", "--shift", "0.6", "-1.2", "--gain", "0.3,0.28,0.25,0.22", "--noise", "4"]
        assert main(["simulate", "--fine", str(fine), *words, "--out", str(tmp_path / "pair")]) == 0
        scene = ["--pan", str(tmp_path / "pair/pan.tif"), "--ms", str(tmp_path / "pair/ms.tif")]
    out = tmp_path / "bench"
    assert main(["bench", *scene, "--out", str(out), "--no-progress"]) == 0
    found = loaded(out)
    rows = {(row["method"], row["back_projections"]): row for row in found["rows"]}
    assert len(found["rows"]) == 2 * len(METHODS) + 1
    assert {method for method, _ in rows} == {*METHODS, "auto"}
    assert found["seconds"] < 600.0
    best, plain = found["rows"][0]["ergas"], rows["exp", 0]["ergas"]
    assert best < 0.75 * plain
    auto = next(row for row in found["rows"] if row["method"] == "auto")
    assert auto["ergas"] < 1.25 * best
