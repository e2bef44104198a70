"""What Python users call: the command line's bytes and JSON, signatures that say what they take, short reprs."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

import geofuse
from geofuse.cli import main
from geofuse.quality.simulated_pair import SimulatedPair
from tests.api_user import work_through

ROOT = Path(__file__).resolve().parents[1]
PLAIN = ("--method", "exp", "--no-calibrate", "--level", "1", "--tile", "512", "--workers", "1")
WINDOW = (0, 0, 512, 512)
AREA = ("--window", *map(str, WINDOW))


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Run a command and return what its --json printed."""
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def jsoned(value: Any) -> Any:
    return json.loads(json.dumps(value))


def small(pair: SimulatedPair, out: Path, **options: Any) -> geofuse.Product:
    """Fuse a corner of the pair."""
    return geofuse.fuse_to(
        out, pair.pan, pair.ms, method="exp", calibrate=False, window=WINDOW, level=1, **options
    )


READING: dict[str, tuple[tuple[str, ...], Callable[[SimulatedPair], Any]]] = {
    "inspect": (
        ("inspect", "PAIR", *AREA),
        lambda pair: geofuse.inspect(pair.pan, pair.ms, window=WINDOW).facts,
    ),
    "calibrate": (
        ("calibrate", "PAIR", *AREA),
        lambda pair: geofuse.calibrate(pair.pan, pair.ms, window=WINDOW).facts,
    ),
    "plan": (
        ("plan", "PAIR", "--workers", "1", "--memory", "8GiB", "--bands", "2,1", "--compress", "none"),
        lambda pair: (
            geofuse.plan(pair.pan, pair.ms, workers=1, memory="8GiB", bands=["2", "1"], compress="none").facts
        ),
    ),
    "methods": (("methods",), lambda pair: geofuse.list_methods().facts),
}


@pytest.mark.parametrize("name", READING)
def test_what_reads_answers_what_the_command_prints(
    pair: SimulatedPair, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words, call = READING[name]
    files = ["--pan", str(pair.pan), "--ms", str(pair.ms)]
    given = [part for word in words for part in (files if word == "PAIR" else [word])]
    assert jsoned(call(pair)) == said(capsys, *given)


def test_products_are_the_commands_bytes_and_records(
    pair: SimulatedPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--pan", str(pair.pan), "--ms", str(pair.ms)]
    theirs, mine = tmp_path / "a.tif", tmp_path / "b.tif"
    told = said(capsys, "fuse", *files, *PLAIN, *AREA, "--attribution", "me", "--out", str(theirs))
    made = small(pair, mine, tile_px=512, workers=1, attribution="me")
    assert mine.read_bytes() == theirs.read_bytes()
    assert made.record["fingerprint"] == told["fingerprint"]
    assert made.sha256 == said(capsys, "verify", str(theirs))["sha256"] == geofuse.verify(mine).sha256
    assert small(pair, mine, tile_px=512, workers=1, attribution="me").record == made.record, "a no-op"
    with pytest.raises(geofuse.GeofuseError, match="made from other"):
        small(pair, mine, validity="mask")
    lazy = geofuse.fuse(pair.pan, pair.ms, method="exp", calibrate=False, window=WINDOW, tile_px=512)
    again = geofuse.assess(lazy, pair.pan, pair.ms, workers=1)
    judged = geofuse.assess(made, pair.pan, pair.ms, workers=1)
    assert jsoned(judged.values) == said(capsys, "assess", str(mine), *files, "--workers", "1")
    assert again.values["shape" if "shape" in again.values else "units"] is not None
    np.testing.assert_array_equal(lazy.shape, (4, 512, 512))


def test_pieces_and_the_archive_answer_as_the_commands(
    pair: SimulatedPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small(pair, tmp_path / "x.tif")
    geofuse.clip(made, tmp_path / "mine.png", window=(0, 0, 64, 64), ranges=[(0.0, 2000.0)], gamma=1.5)
    picture = ("--range", "0,2000", "--gamma", "1.5", "--window", "0", "0", "64", "64")
    told = said(capsys, "clip", made.address, *picture, "--out", str(tmp_path / "theirs.png"))
    assert (tmp_path / "mine.png").read_bytes() == (tmp_path / "theirs.png").read_bytes()
    mine = geofuse.clip(made, tmp_path / "mine.png", window=(0, 0, 64, 64), overwrite=True)
    assert set(mine) == set(told)
    with pytest.raises(geofuse.GeofuseError, match="a stretch with format gtiff"):
        geofuse.clip(made, tmp_path / "n.tif", format="gtiff", gamma=2.0)
    with pytest.raises(geofuse.GeofuseError, match="did you mean window"):
        geofuse.clip(made, tmp_path / "n.tif", windw=(0, 0, 9, 9))  # type: ignore[call-arg]
    first, second = tmp_path / "one", tmp_path / "two"
    done = geofuse.publish(made, first, acquired="2024-05-12")
    told = said(capsys, "publish", made.address, "--catalog", str(second), "--acquired", "2024-05-12")
    assert set(done) == set(told)
    assert (done["item"], done["access"]) == (told["item"], told["access"])
    found = geofuse.search(first, datetime="2024-05-01/..", limit=2)
    asked = ("--datetime", "2024-05-01/..", "--limit", "2")
    assert jsoned(found.facts) == said(capsys, "catalog", "search", str(first), *asked)


def test_simulated_pairs_and_benches_answer_as_the_commands(
    pair: SimulatedPair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--pan", str(pair.pan), "--ms", str(pair.ms)]
    mine = geofuse.simulate(tmp_path / "a", pair.pan, pair.ms, calibrate=False, window=WINDOW)
    told = said(capsys, "simulate", *files, *AREA, "--no-calibrate", "--out", str(tmp_path / "b"))
    assert jsoned(mine.facts) == told
    for name in ("pan.tif", "ms.tif", "reference.tif"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    look = ("--ratio", "2", "--shift", "0.5,-1e-1", "--noise", "2", "--seed", "3")
    told = said(capsys, "simulate", "--fine", str(pair.ms), *look, "--out", str(tmp_path / "d"))
    mine = geofuse.simulate_from(
        tmp_path / "c", pair.ms, ratio=2.0, shift_px=(0.5, -0.1), noise_sigma=2.0, seed=3
    )
    assert jsoned(mine.facts) == told
    asked = {"methods": ["exp"], "rounds": [0], "calibrate": False, "window": WINDOW}
    made = geofuse.bench(tmp_path / "e", pair.pan, pair.ms, **asked)
    words = (*AREA, "--methods", "exp", "--back-projections", "0", "--no-calibrate")
    told = said(capsys, "bench", *files, *words, "--out", str(tmp_path / "e"))
    assert made.found["commands"] == told["commands"]
    assert made.found["rows"][0]["hqnr"] == told["rows"][0]["hqnr"]


def test_metrics_of_arrays_are_those_of_the_table() -> None:
    from geofuse.metrics.full_resolution import d_lambda, d_s
    from geofuse.metrics.reference import ergas, q2n

    rng = np.random.default_rng(7)
    truth = rng.uniform(100.0, 900.0, (3, 64, 64))
    fused, up, pan = truth + rng.normal(0.0, 9.0, truth.shape), truth * 0.9, truth.mean(axis=0, keepdims=True)
    valid = np.ones((64, 64), bool)
    valid[:3] = False
    found = geofuse.measure("ergas", fused=fused, reference=truth, ratio=4.0, valid=valid)
    assert found == ergas(truth, fused, ratio=4.0, valid=valid) > 0.0
    assert geofuse.measure("q2n@blocks32", fused=fused, reference=truth) == q2n(truth, fused)
    images: geofuse.MetricImages = {"fused": fused, "upsampled": up, "pan": pan, "pan_low": pan * 0.95}
    spectral = d_lambda(fused, up, valid=valid)
    spatial = d_s(fused, pan, upsampled=up, pan_low=pan * 0.95, valid=valid)
    whole = geofuse.measure("qnr", valid=valid, **images)
    assert whole == (1.0 - spectral) * (1.0 - spatial)
    for words, call in {
        "wanted reference and fused and ratio": lambda: geofuse.measure(
            "ergas", fused=fused, reference=truth
        ),
        "wanted reference and fused": lambda: geofuse.measure("sam", fused=fused, reference=truth, ratio=4.0),
        "sam of fused, reference, pan": lambda: geofuse.measure("sam", fused=fused, reference=truth, pan=pan),
        "of shape": lambda: geofuse.measure("sam", fused=fused, reference=truth[:, 1:]),
        "geofuse.assess": lambda: geofuse.measure("match_r2"),
        "no metric 'ergs'": lambda: geofuse.measure("ergs", fused=fused),
    }.items():
        with pytest.raises(geofuse.GeofuseError, match=words):
            call()


def test_a_users_script_is_typed_and_runs(pair: SimulatedPair, tmp_path: Path) -> None:
    found = work_through(pair.pan, pair.ms, tmp_path)
    assert found["ratio"] == 4.0
    assert min(found.values()) > 0


def test_a_users_script_passes_mypy() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "tests/api_user.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout


VERBS = [getattr(geofuse, name) for name in geofuse.__all__ if inspect.isfunction(getattr(geofuse, name))]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_signatures_say_what_they_take(verb: Callable[..., Any]) -> None:
    text = inspect.getdoc(verb) or ""
    assert text
    assert text.splitlines()[0].rstrip().endswith((".", ";", ":", "``out``.")) or len(text.splitlines()) > 1
    for parameter in inspect.signature(verb).parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            assert "Unpack[" in str(parameter.annotation), f"{verb.__name__}: {parameter}"
    assert inspect.signature(verb).return_annotation is not inspect.Signature.empty


def test_a_keyword_nobody_hears_is_refused(pair: SimulatedPair) -> None:
    for call in (geofuse.inspect, geofuse.calibrate, geofuse.fuse):
        with pytest.raises(geofuse.GeofuseError, match="unknown option 'level'"):
            call(pair.pan, pair.ms, level=3)
    with pytest.raises(geofuse.GeofuseError, match="wanted method brovey"):
        geofuse.plan(pair.pan, pair.ms, method="gsa", weights=[1, 1, 1, 1])
    with pytest.raises(geofuse.GeofuseError, match="one of both"):
        geofuse.plan(geofuse.open_pair(pair.pan, pair.ms), pair.ms)


class Tags(HTMLParser):
    """Counts tags that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_nouns_show_themselves_shortly(pair: SimulatedPair, tmp_path: Path) -> None:
    scene = geofuse.open_pair(pair.pan, pair.ms)
    planned = geofuse.plan(scene, method="gsa")
    made = small(pair, tmp_path / "x.tif")
    judged = geofuse.assess(made, scene, workers=1)
    found = {"rows": [{"method": "exp", "back_projections": 0}], "scene": "<b>", "protocol": "full"}
    nouns = [scene, planned, planned.plan, made, judged, geofuse.inspect(scene), geofuse.Bench(found, ())]
    for noun in nouns:
        assert repr(noun).startswith(f"<geofuse.{type(noun).__name__}: "), repr(noun)
        assert len(repr(noun)) < 300
        parser = Tags()
        parser.feed(noun._repr_html_())
        assert not parser.open
        assert "<b>" not in noun._repr_html_()


def test_the_manuals_table_has_every_option() -> None:
    from geofuse.config.errands import ERRANDS
    from geofuse.config.option import options_of
    from geofuse.config.sections import every_option

    text = geofuse.option_table()
    assert len(text.splitlines()) == 2 + len(every_option()) + sum(len(options_of(each)) for each in ERRANDS)
    rows = [line.replace("\\|", "") for line in text.splitlines()]
    assert len({line.count("|") for line in rows}) == 1
    assert "| `weights` | `--weights` |" in text
    assert "brovey" in next(line for line in rows if line.startswith("| `weights`"))


GUESTS = {"Any", "DataArray", "Mapping", "NDArray", "None", "PathLike", "Sequence", "Unpack"}
"""Types of others: the standard library's, numpy's, xarray's."""


def test_public_types_are_exported() -> None:
    said = set[str]()
    for name in geofuse.__all__:
        public = getattr(geofuse, name)
        assert public is not None
        if inspect.isfunction(public):
            said |= {str(hint) for hint in public.__annotations__.values()}
        elif name.endswith("Keywords"):
            said |= {str(getattr(hint, "__forward_arg__", hint)) for hint in public.__annotations__.values()}
    named = set(re.findall(r"\b[A-Z]\w+", " ".join(said)))
    assert named - GUESTS <= set(geofuse.__all__)
    assert {"PathText", "RequestKeywords", "Compress"} <= named
    assert get_type_hints(geofuse.PlanKeywords)["compress"] is not None
    with pytest.raises(AttributeError):
        geofuse.nothing  # noqa: B018
    with pytest.warns(DeprecationWarning, match=r"geofuse\.calibrate"), pytest.raises(AttributeError):
        geofuse.calibrate_scene(None)  # type: ignore[arg-type]


def test_the_manuals_page_is_what_the_options_say() -> None:
    from geofuse.api.lists import options_page

    assert (ROOT / "docs" / "options.md").read_text() == options_page(), (
        "write options_page() to docs/options.md"
    )
