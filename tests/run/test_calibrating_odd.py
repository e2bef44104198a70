"""Pairs of which little or nothing can be told: the defaults take the prior, or say in one line why not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from scenery import averaged, fuse, fuse_plain, landscape, north_up, pixels, record, status, write

from geofuse.cli import main
from geofuse.methods.table import CANDIDATES

SIDE_CPX = 40
"""Enough to measure on, and too little to hold out: 900 and 2500 coarse pixels."""
MEASURED, PRIOR = "measured", "not measurable"


@dataclass(frozen=True)
class Odd:
    """A pair and what the defaults make of it."""

    pan: NDArray[Any]
    """(1, H, W)."""
    ms: NDArray[Any]
    """(B, h, w)."""
    ends: str
    """`MEASURED`, `PRIOR`, or the code of the error."""
    ratio: int = 4
    """PAN pixels a MS pixel."""
    nodata: float | None = None
    """In both files."""
    place: Affine | None = None
    """PAN's transform, where it is not the usual one."""
    known: bool = True
    """Whether PAN and MS were made of the same landscape, unshifted."""


def drawn(
    dtype: str = "uint16",
    low: float = 300,
    high: float = 60_000,
    *,
    bands: int = 3,
    side: int = SIDE_CPX,
    ratio: int = 4,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return PAN and MS of a landscape whose values span a range of a type."""
    truth = low + landscape(np.random.default_rng(4), bands, side * ratio) * (high - low)

    def stored(planes: NDArray[np.float64]) -> NDArray[Any]:
        return (np.rint(planes) if np.dtype(dtype).kind in "iu" else planes).astype(dtype)

    return stored(truth.mean(axis=0)[None]), stored(averaged(truth, ratio))


def pair(ends: str, *numbers: Any, ratio: int = 4, **options: Any) -> Callable[[], Odd]:
    """A drawn pair."""
    return lambda: Odd(*drawn(*numbers, ratio=ratio, **options), ends, ratio)


def cut(height: int, width: int, ratio: int) -> Callable[[], Odd]:
    """A corner of (height, width) coarse pixels."""

    def make() -> Odd:
        pan, ms = drawn(ratio=ratio)
        return Odd(pan[:, : height * ratio, : width * ratio], ms[:, :height, :width], PRIOR, ratio)

    return make


def changed(
    ends: str,
    change: Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]],
    *,
    dtype: str = "uint16",
    **options: Any,
) -> Callable[[], Odd]:
    """A drawn pair, then changed."""
    return lambda: Odd(*change(*drawn(dtype)), ends, **options)


def filled(planes: NDArray[Any], where: tuple[Any, ...], value: float) -> NDArray[Any]:
    """Return a copy with a value somewhere."""
    out = planes.copy()
    out[where] = value
    return out


def only(planes: NDArray[Any], where: tuple[Any, ...]) -> NDArray[Any]:
    """Return the pixels somewhere, 0 elsewhere."""
    out = np.zeros_like(planes)
    out[where] = planes[where]
    return out


def noise(seed: int, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(1, 60_000, shape).astype("uint16")


HALF = (slice(None), slice(None, None, 2), slice(None, None, 2))
ROWS, COLS = np.mgrid[: 4 * SIDE_CPX, : 4 * SIDE_CPX]
DIAGONAL = np.abs(ROWS - COLS) < 14
PAIRS: dict[str, Callable[[], Odd]] = {
    # sizes
    "one pixel, ratio 1": cut(1, 1, 1),
    "one MS pixel, ratio 8": cut(1, 1, 8),
    "3 x 3, ratio 1": cut(3, 3, 1),
    "two rows": cut(2, SIDE_CPX, 4),
    "one row": cut(1, SIDE_CPX, 4),
    "one column": cut(SIDE_CPX, 1, 4),
    "29 x 29: a pixel's row too few": cut(29, 29, 4),
    "31 x 31: just enough": pair(MEASURED, side=31),
    # ratios and bands
    "ratio 1": pair(MEASURED, side=80, ratio=1),
    "ratio 2": pair(MEASURED, side=60, ratio=2),
    "ratio 8": pair(MEASURED, ratio=8),
    "one band": pair(MEASURED, bands=1),
    "18 bands, of which 16 are regressed": pair(MEASURED, "uint8", 5, 250, bands=18),
    # types
    "uint8": pair(MEASURED, "uint8", 5, 250),
    "int16, negative": pair(MEASURED, "int16", -30_000, -9_000),
    "int32": pair(MEASURED, "int32", 100_000_000, 2_100_000_000),
    "uint32": pair(MEASURED, "uint32", 100_000_000, 4_200_000_000),
    "float32, reflectance": pair(MEASURED, "float32", 0.01, 0.8),
    "float32, 1e-12": pair(MEASURED, "float32", 1e-12, 1e-10),
    "float32, 1e-30": pair(MEASURED, "float32", 1e-30, 1e-28),
    "float32, small on a pedestal": pair(PRIOR, "float32", 1e6, 1e6 + 1.0),
    "float64": pair(MEASURED, "float64", 1e8, 1e9),
    # nothing to see
    "both flat": changed(PRIOR, lambda pan, ms: (np.full_like(pan, 50), np.full_like(ms, 60))),
    "flat, and large enough to be sampled": lambda: Odd(
        np.full((1, 500, 500), 50, "uint8"), np.full((2, 500, 500), 60, "uint8"), PRIOR, 1
    ),
    "both zero": changed(PRIOR, lambda pan, ms: (np.zeros_like(pan), np.zeros_like(ms))),
    "PAN flat": changed(PRIOR, lambda pan, ms: (np.full_like(pan, 50), ms)),
    "a ramp": lambda: Odd(
        (100 + 2 * ROWS + COLS)[None].astype("uint16"),
        (100 + 2 * ROWS + COLS)[None, 2::4, 2::4].astype("uint16"),
        PRIOR,
    ),
    "one edge": lambda: Odd(
        np.where(COLS < 82, 100, 900)[None].astype("uint16"),
        np.where(COLS < 82, 100, 900)[None, 2::4, 2::4].astype("uint16"),
        PRIOR,
    ),
    "MS flat": changed(PRIOR, lambda pan, ms: (pan, np.full_like(ms, 60))),
    "one spike": changed(
        PRIOR,
        lambda pan, ms: (
            filled(np.full_like(pan, 100), (0, 80, 80), 60_000),
            filled(np.full_like(ms, 100), (slice(None), 20, 20), 4_000),
        ),
    ),
    "chess in black and white": lambda: Odd(
        ((ROWS // 8 + COLS // 8) % 2 * 65535)[None].astype("uint16"),
        ((ROWS // 8 + COLS // 8) % 2 * 65535)[None, 2::4, 2::4].astype("uint16"),
        PRIOR,
    ),
    # something to see in part of it
    "one band flat": changed(MEASURED, lambda pan, ms: (pan, filled(ms, (1,), 7))),
    "one band zero": changed(MEASURED, lambda pan, ms: (pan, filled(ms, (1,), 0))),
    "bands all alike": changed(MEASURED, lambda pan, ms: (pan, np.repeat(ms[:1], 3, axis=0))),
    "PAN upside down": changed(MEASURED, lambda pan, ms: ((60_300 - pan).astype("uint16"), ms)),
    # nodata
    "nothing valid": changed("pixels", lambda pan, ms: (pan * 0, ms * 0), nodata=0),
    "MS all nodata": changed("pixels", lambda pan, ms: (pan, ms * 0), nodata=0),
    "PAN all nodata": changed("pixels", lambda pan, ms: (pan * 0, ms), nodata=0),
    "one MS pixel valid": changed(PRIOR, lambda pan, ms: (pan, only(ms, (slice(None), 20, 20))), nodata=0),
    "one PAN pixel valid": changed(PRIOR, lambda pan, ms: (only(pan, (0, 80, 80)), ms), nodata=0),
    "every other PAN pixel": changed(PRIOR, lambda pan, ms: (only(pan, HALF), ms), nodata=0),
    "every other MS pixel": changed(PRIOR, lambda pan, ms: (pan, only(ms, HALF)), nodata=0),
    "a sliver": changed(PRIOR, lambda pan, ms: (pan * DIAGONAL, ms * DIAGONAL[2::4, 2::4]), nodata=0),
    "float32 with NaN and infinities": changed(
        MEASURED,
        lambda pan, ms: (
            filled(pan / 6e4, (0, slice(30, 60), slice(40, 90)), np.nan),
            filled(ms / 6e4, (1, slice(10, 12)), -np.inf),
        ),
        dtype="float32",
    ),
    "float32, all NaN": changed("pixels", lambda pan, ms: (pan * np.nan, ms * np.nan), dtype="float32"),
    # two that do not match, one that matches everywhere
    "unrelated": lambda: Odd(noise(1, (1, 160, 160)), noise(2, (3, 40, 40)), "match"),
    "stripes": lambda: Odd(
        (ROWS // 4 % 2 * 900 + 100)[None].astype("uint16"),
        (ROWS // 4 % 2 * 900 + 100)[None, 2::4, 2::4].astype("uint16"),
        MEASURED,
        known=False,
    ),
    # places
    "turned alike": lambda: Odd(*drawn(), MEASURED, place=north_up(0.5, turn_deg=20.0)),
    "south up": lambda: Odd(*drawn(), MEASURED, place=Affine(0.5, 0.0, 5e5, 0.0, 0.5, 5.4e6)),
}


def written(folder: Path, odd: Odd) -> tuple[Path, Path]:
    place = odd.place or north_up(0.5)
    tags = {} if odd.nodata is None else {"nodata": odd.nodata}
    return (
        write(folder / "pan.tif", odd.pan, place, **tags),
        write(folder / "ms.tif", odd.ms, place * Affine.scale(odd.ratio), **tags),
    )


def strict(text: str) -> dict[str, Any]:
    """Read one JSON object without NaN."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    found: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return found


def valid_of(odd: Odd) -> NDArray[np.bool_]:
    """Return where the product must have pixels (H, W)."""
    ok = [
        (np.abs(planes) < 1e30).all(axis=0)
        & (True if odd.nodata is None else (planes != odd.nodata).all(axis=0))
        for planes in (odd.pan, odd.ms)
    ]
    return ok[0] & np.kron(ok[1], np.ones((odd.ratio, odd.ratio), np.bool_))


def calibrated(
    capsys: pytest.CaptureFixture[str], pan: Path, ms: Path, *options: str
) -> tuple[int, str, str]:
    """Calibrate by the command line; returns its exit status and what it printed."""
    capsys.readouterr()
    ended = main(["calibrate", "--pan", str(pan), "--ms", str(ms), "--json", *options])
    said = capsys.readouterr()
    return ended, said.out, said.err


@pytest.mark.parametrize("name", PAIRS)
def test_calibrate_measures_or_says_why_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    odd = PAIRS[name]()
    ended, text, said = calibrated(capsys, *written(tmp_path, odd))
    if odd.ends == "match":
        assert (ended, text) == (2, "")
        assert re.fullmatch(r"geofuse: error \[match\] [^\n]+ --force [^\n]+\n", said)
        return
    assert (ended, said) == (0, "")
    found = strict(text)
    assert found["measurable"] == (odd.ends == MEASURED)
    assert all(0.0 <= found[key] <= 1.0 for key in ("r2", "confidence", "usable_fraction"))
    assert {len(found[key]) for key in ("mtf_gain", "band_shift_px", "pan_weights")} == {len(odd.ms)}
    assert all(0.0 < gain < 1.0 for gain in found["mtf_gain"].values())
    if odd.ends == MEASURED:
        if odd.known:
            assert max(map(abs, found["shift_px"])) < 0.1
            assert not found["uncertain"]
        return
    assert found["confidence"] == found["r2"] == 0.0
    assert found["shift_px"] == [0.0, 0.0]
    assert found["shift_sigma_px"] == [None, None]
    assert set(found["mtf_gain"].values()) == {0.3}
    assert any("not measurable" in warning for warning in found["warnings"])


@pytest.mark.parametrize("name", PAIRS)
def test_fuse_takes_what_is_known_or_the_prior(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    odd = PAIRS[name]()
    files, out = written(tmp_path, odd), tmp_path / "x.tif"
    ended = status(out, *files)
    if odd.ends not in (MEASURED, PRIOR):
        assert ended == 2
        said = capsys.readouterr().err
        assert re.fullmatch(rf"geofuse: error \[{odd.ends}\] [^\n]+\n", said)
        assert not out.exists()
        return
    assert ended == 0
    found, made, valid = record(out), pixels(out), valid_of(odd)
    assert made.dtype == odd.ms.dtype
    with rasterio.open(out) as file:
        np.testing.assert_array_equal(file.dataset_mask() > 0, valid)
    assert np.isfinite(made[:, valid]).all()
    assert found["counts"]["valid"] == valid.sum()
    assert main(["verify", str(out)]) == 0
    if odd.ends == PRIOR:
        assert found["observation"]["origin"] == "sensor table and georeference"
        assert found["parameters"]["back_projections"] == 0
        assert any("not measurable" in warning for warning in found["warnings"])
        plain = fuse_plain(tmp_path / "plain.tif", *files)
        np.testing.assert_array_equal(made, pixels(plain))
    elif odd.known:
        assert found["observation"]["origin"] == "calibration"
        assert found["parameters"]["back_projections"] == 3


@pytest.mark.parametrize(
    "name", ["one pixel, ratio 1", "two rows", "both zero", "one MS pixel valid", "a sliver"]
)
def test_every_candidate_of_auto_stands_a_scene_that_tells_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Or says that it finds no pixel to fit on, which `auto` then does not choose."""
    odd = PAIRS[name]()
    files = written(tmp_path, odd)
    for method in CANDIDATES:
        out = tmp_path / f"{method}.tif"
        if status(out, *files, "--method", method, "--back-projections", "2") == 0:
            assert np.isfinite(pixels(out)).all()
            record(out)
        else:
            assert re.fullmatch(r"geofuse: error \[pixels\] no MS pixel to [^\n]+\n", capsys.readouterr().err)
            assert record(fuse(tmp_path / "auto.tif", *files))["method"]["name"] != method


def test_unrelated_images_can_be_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = written(tmp_path, PAIRS["unrelated"]())
    ended, text, _ = calibrated(capsys, *files, "--force")
    assert ended == 0
    assert any("--force" in warning for warning in strict(text)["warnings"])
    found = record(fuse(tmp_path / "x.tif", *files, "--force"))
    assert any("--force" in warning for warning in found["warnings"])
    assert "calibration" not in found["observation"]["origin"] or found["calibration"]["confidence"] >= 0.5


@pytest.mark.parametrize("where", ["cloud alone", "two rows", "a column"])
def test_areas_of_the_real_scene_that_tell_nothing(
    landsat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    area = {
        "cloud alone": ("400", "0", "200", "200"),
        "two rows": ("1000", "0", "2", "400"),
        "a column": ("900", "7", "300", "1"),
    }[where]
    assert main(["calibrate", str(landsat), "--json", "--window", *area]) == 0
    assert not strict(capsys.readouterr().out)["measurable"]
    out = tmp_path / "x.tif"
    command = ["fuse", str(landsat), "--window", *area, "--no-progress", "--level", "1", "--out"]
    assert main([*command, str(out)]) == 0
    assert main([*command, str(tmp_path / "plain.tif"), "--no-calibrate"]) == 0
    np.testing.assert_array_equal(pixels(out), pixels(tmp_path / "plain.tif"))
