"""The table of metrics: its rows, names and variants; a package's row in assess, bench, acceptance and on the pages."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geofuse.cli import main
from geofuse.errors import PluginError, UsageError
from geofuse.landscape.camera import Camera, make_truth
from geofuse.metrics.metric import html_text, plain_text, titled
from geofuse.metrics.rows import BUILT_IN
from geofuse.metrics.table import METRICS, find, installed, measured_by, row_of
from geofuse.quality.accept import judged, measured, profile_for
from geofuse.quality.measuring import BLOCK_PX, Views
from geofuse.quality.measuring import measured as measured_on
from geofuse.quality.simulated_pair import SimulatedPair, write_pair
from tests.run.scenery import pixels

CAMERA = Camera(mtf_gains=(0.3,) * 4, pan_weights=(0.15, 0.3, 0.3, 0.2), ratio=4.0, noise_sigma=1.0)
CODE = """
    import numpy as np
    from geofuse.metrics.metric import Metric

    def bias(fused, reference, valid):
        return float(np.abs(fused.astype(float) - reference)[:, valid].mean())

    def spread(fused, valid):
        return float(fused[:, valid].std())

    def softness(coarse, degraded, ratio, valid):
        return float(np.abs(coarse - degraded)[:, valid].mean() / ratio)

    def doubled(bias):
        return 2.0 * bias

    def broken(fused, valid):
        raise ZeroDivisionError("as ever")

    def row(name, needs, **more):
        return Metric(name, name.title(), f"What {name}_s says.", best=0.0, direction="less", needs=needs,
                      target=f"told_metrics:{name}", **more)

    BIAS = row("bias", ("fused", "reference"), unit="DN")
    SPREAD = row("spread", ("fused",))
    SOFT = row("softness", ("coarse", "degraded", "ratio"))
    DOUBLED = row("doubled", ("bias",))
    BROKEN = row("broken", ("fused",))
    MIXED = row("mixed", ("fused", "coarse"))
    ODD = row("spread", ("fused",), variant="odd", standard=False)
"""
ROWS = {"bias": "BIAS", "spread": "SPREAD", "softness": "SOFT", "doubled": "DOUBLED", "spread@odd": "ODD"}


def install(folder: Path, rows: dict[str, str]) -> None:
    """Lay a package with metrics into a folder, as pip leaves it."""
    (folder / "told_metrics.py").write_text(textwrap.dedent(CODE))
    about = folder / "told_metrics-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: told-metrics\nVersion: 1.2\n")
    lines = "".join(f"{name} = told_metrics:{value}\n" for name, value in rows.items())
    (about / "entry_points.txt").write_text(f"[geofuse.metrics]\n{lines}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "told_metrics", raising=False)
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> SimulatedPair:
    truth = make_truth(640, rng=np.random.default_rng(5))
    return write_pair(tmp_path_factory.mktemp("pair"), truth, CAMERA, slant_deg=6.0, seed=5)


# --- rows -----------------------------------------------------------------------------------------------------


def test_every_row_is_whole_and_its_function_takes_what_it_needs() -> None:
    assert [row.name for row in METRICS.own] == [metric.key for metric in BUILT_IN]
    for metric in BUILT_IN:
        assert METRICS.load(metric.key) is metric
        assert metric.phrase.endswith("."), metric.key
        assert (metric.best is None) <= (not metric.bounded), metric.key
        names = measured_by(metric).__code__.co_varnames[: measured_by(metric).__code__.co_argcount + 9]
        assert set(metric.needs) <= set(names), metric.key


def test_reading_the_rows_loads_no_array() -> None:
    code = "import geofuse.metrics.table as t, sys; t.installed(); print(sorted({'numpy', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_metric_is_named_by_name_by_variant_and_by_what_it_was_called() -> None:
    assert find("q2n").key == find("q2n@blocks32").key == "q2n"
    assert find("r_sam_deg").key == "r_sam"
    with pytest.raises(UsageError, match="no metric 'q2n@blocks8'; wanted q2n@blocks32"):
        find("q2n@blocks8")
    with pytest.raises(UsageError, match=r"did you mean hqnr\?"):
        find("hqnrs")


def test_labels_in_every_script() -> None:
    assert (plain_text("D_λ^K"), html_text("D_λ^K")) == ("D_λᴷ", "D<sub>λ</sub><sup>K</sup>")
    assert titled(find("r_sam")) == "R-SAM °"
    assert [find(name).best_text for name in ("psnr", "sam", "edge_gain", "shift_px")] == [
        "∞",
        "0",
        "high",
        "",
    ]
    assert row_of(find("psnr"))["version"]


# --- packages' rows -------------------------------------------------------------------------------------------


def test_a_packages_rows_follow_geofuses_own(site: Path) -> None:
    install(site, ROWS)
    found = installed()
    assert found.metrics[: len(BUILT_IN)] == BUILT_IN
    assert [metric.key for metric in found.metrics[len(BUILT_IN) :]] == sorted(ROWS)
    assert {(metric.package, metric.version) for metric in found.metrics[len(BUILT_IN) :]} == {
        ("told-metrics", "1.2")
    }
    assert find("spread@odd").variant == "odd"
    assert find("spread").standard


@pytest.mark.parametrize(
    ("name", "attribute", "text"),
    [
        ("other", "BIAS", "calls itself 'bias'"),
        ("bias", "bias", "told_metrics:bias has no name, label"),
        ("bias", "GONE", "cannot be loaded"),
        ("mixed", "MIXED", "images of one grid"),
    ],
)
def test_a_row_that_is_none_is_left_out_and_named(site: Path, name: str, attribute: str, text: str) -> None:
    install(site, {name: attribute})
    found = installed()
    assert found.metrics == BUILT_IN
    assert len(found.faults) == 1
    assert text in found.faults[0]
    assert "told-metrics 1.2" in found.faults[0]


def test_a_built_in_name_is_not_given_away(site: Path) -> None:
    install(site, {"sam": "BIAS"})
    with pytest.raises(PluginError, match=r"'sam' is in geofuse and in told-metrics 1\.2"):
        installed()


def test_blocks_are_averaged_by_their_valid_pixels(site: Path) -> None:
    install(site, ROWS)
    image = np.zeros((2, 10, BLOCK_PX + 30))
    image[:, :, BLOCK_PX:] = np.arange(10)[:, None]
    valid = np.ones(image.shape[1:], np.bool_)
    valid[:, :400] = False
    found = measured_on(find("spread"), Views({"fused": image}, valid, 4.0))
    assert found == pytest.approx((112 * 0.0 + 30 * np.arange(10).std()) / 142)
    assert math.isnan(measured_on(find("spread"), Views({"fused": image}, np.zeros_like(valid), 4.0)))


def test_assess_measures_and_shows_them(site: Path, pair: SimulatedPair, tmp_path: Path, capsys: Any) -> None:
    install(site, {**ROWS, "broken": "BROKEN"})
    words = ["--pan", str(pair.pan), "--ms", str(pair.ms)]
    out, page = tmp_path / "f.tif", tmp_path / "f.html"
    assert (
        main(["fuse", *words, "--method", "gsa", "--no-calibrate", "--out", str(out), "--no-progress"]) == 0
    )
    capsys.readouterr()
    asked = ["assess", str(out), *words, "--reference", str(pair.truth), "--no-progress"]
    assert main([*asked, "--json", "--html", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    fused, truth = pixels(out).astype(np.float64), pixels(pair.truth).astype(np.float64)
    ok = (fused != 0).all(axis=0) & (truth != 0).all(axis=0) & (pixels(pair.pan)[0] != 0)
    told = found["metrics"]["bias"]
    assert told["value"] == pytest.approx(np.abs(fused - truth)[:, ok].mean(), rel=1e-6)
    assert (told["package"], told["version"], told["unit"]) == ("told-metrics", "1.2", "DN")
    assert found["metrics"]["doubled"]["value"] == pytest.approx(2.0 * told["value"])
    assert found["metrics"]["softness"]["value"] > 0.0
    assert found["metrics"]["spread@odd"]["value"] == found["metrics"]["spread"]["value"]
    assert "broken" not in found["metrics"]
    assert any("told-metrics 1.2: ZeroDivisionError: as ever" in note for note in found["warnings"])
    text = page.read_text()
    assert "What bias<sub>s</sub> says. From told-metrics 1.2." in text
    assert main(asked) == 0
    assert "told-metrics 1.2" in capsys.readouterr().out

    record = json.loads(out.with_suffix(".json").read_text())
    numbers = measured(record, found, out)
    assert numbers["bias"] == pytest.approx(told["value"], abs=1e-6)
    assert numbers["r_sam"] == numbers["r_sam_deg"] is not None
    profile = tmp_path / "own.yaml"
    profile.write_text("profile: own\nversion: 1\nchecks:\n  bias: {reject_above: 0.001}\n")
    verdict = judged(profile_for(str(profile), ""), numbers)
    assert (verdict["verdict"], verdict["reasons"][0]["check"]) == ("REJECT", "bias")
    profile.write_text("profile: own\nversion: 1\nchecks:\n  r_sam@mean: {reject_above: 0.001}\n")
    assert judged(profile_for(str(profile), ""), numbers)["verdict"] == "REJECT"


def test_bench_measures_and_shows_them(site: Path, pair: SimulatedPair, tmp_path: Path, capsys: Any) -> None:
    install(site, {**ROWS, "broken": "BROKEN"})
    folder = tmp_path / "bench"
    words = ["bench", "--pan", str(pair.pan), "--ms", str(pair.ms), "--methods", "exp", "--no-progress"]
    assert main([*words, "--back-projections", "0", "--no-calibrate", "--out", str(folder)]) == 0
    found = json.loads((folder / "bench.json").read_text())
    (row,) = found["rows"]
    assert row["bias"] > 0.0
    assert row["doubled"] == pytest.approx(2.0 * row["bias"])
    assert row["broken"] is None
    assert found["metrics"]["bias"]["package"] == "told-metrics"
    assert "Bias DN ↓" in (folder / "bench.md").read_text()
    assert "(told-metrics 1.2)" in (folder / "bench.html").read_text()
    assert "Bias DN" in capsys.readouterr().out
    assert found["metrics"].keys() >= {"ergas", "hqnr", "bias"}


def test_the_runs_page_reads_the_rows(site: Path) -> None:
    from geofuse.flows.run_pages import scene_page

    install(site, ROWS)
    values = {"r_sam": 0.5, "d_lambda_k": 0.01, "bias": 3.0, "gone_since": 1.0}
    text = scene_page("s", {"assess": {"values": values}}, seconds={})
    assert "| R-SAM ° | 0.5 | 0 |" in text
    assert "| D_λᴷ | 0.01 | 0 |" in text
    assert "| Bias DN | 3 | 0 | What bias_s says. |" in text
    assert "| gone since | 1 |" in text
