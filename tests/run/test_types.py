"""Every stored type through the whole pipeline, against the methods' papers computed in float64 on whole arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rio_cogeo.cogeo import cog_validate
from scenery import averaged, fuse_plain, landscape, north_up, pixels, record, status, write

from tests.methods.reference import REFERENCES, Pair

METHODS = ("exp", "gsa", "mtf-glp-hpm-r")
WHOLE = ("uint8", "int16", "uint16", "int32", "uint32")
FLOATS = ("float32", "float64")
RANGES = {
    "uint8": (5, 250),
    "int16": (-9_000, 30_000),
    "uint16": (300, 60_000),
    "int32": (100_000_000, 2_100_000_000),
    "uint32": (100_000_000, 4_200_000_000),
    "float32": (0.01, 0.8),
    "float64": (1e8, 1e9),
}
"""32-bit integers and float64 lie where float32 has steps of 64 and more."""
SIDE, RATIO = 128, 4


@dataclass(frozen=True)
class Inputs:
    """A pair on disk and in memory."""

    pan_path: Path
    ms_path: Path
    pan: NDArray
    ms: NDArray


def make(
    folder: Path,
    dtype: str,
    *,
    bands: int = 3,
    pan_dtype: str | None = None,
    side: int = SIDE,
    **options: object,
) -> Inputs:
    """Write a pair whose values span most of the type's range."""
    truth = landscape(np.random.default_rng(7), bands, side)

    def stored(image: NDArray, kind: str) -> NDArray:
        low, high = RANGES[kind]
        scaled = low + image * (high - low)
        return (np.rint(scaled) if kind in WHOLE else scaled).astype(kind)

    pan = stored(truth.mean(axis=0)[None], pan_dtype or dtype)
    ms = stored(averaged(truth, RATIO), dtype)
    pan_path = write(folder / "pan.tif", pan, north_up(0.5))
    ms_path = write(folder / "ms.tif", ms, north_up(0.5 * RATIO), **options)
    return Inputs(pan_path, ms_path, pan, ms)


def pair_of(inputs: Inputs, *, pan_valid: NDArray | None = None, ms_valid: NDArray | None = None) -> Pair:
    """Return a pair as the references take it; every sensor unknown has a gain of 0.3."""
    pan, ms = inputs.pan[0].astype(np.float64), inputs.ms.astype(np.float64)
    pan_valid = np.ones(pan.shape, bool) if pan_valid is None else pan_valid
    ms_valid = np.ones(ms.shape[1:], bool) if ms_valid is None else ms_valid
    scale = ms.shape[1] / pan.shape[0]
    return Pair(
        pan=np.where(pan_valid, pan, 0.0),
        pan_valid=pan_valid,
        ms=np.where(ms_valid, ms, 0.0),
        ms_valid=ms_valid,
        rows=(scale, 0.5 * scale - 0.5),
        cols=(scale, 0.5 * scale - 0.5),
        gains=(0.3,) * len(ms),
        names=tuple(str(band + 1) for band in range(len(ms))),
        ratio_floor=0.5 if inputs.ms.dtype.kind in "iu" else 1e-6,
    )


def oracle(pair: Pair, method: str, dtype: str, pedestal: float = 0.0) -> NDArray:
    """Fuse whole arrays in float64 and round and saturate as the type needs."""
    fused = REFERENCES[method](pair) + pedestal
    if np.dtype(dtype).kind == "f":
        return fused
    limits = np.iinfo(dtype)
    return np.clip(np.floor(fused + 0.5), limits.min, limits.max)


def check(made: NDArray, want: NDArray, dtype: str, valid: NDArray | None = None) -> None:
    """Compare stored pixels with the oracle's: whole types may round to a neighbour, rarely; floats by digits."""
    assert made.dtype == dtype
    valid = np.ones(want.shape[1:], bool) if valid is None else valid
    found, wanted = made[:, valid].astype(np.float64), want[:, valid]
    if dtype in WHOLE:
        apart = np.abs(found - wanted)
        assert apart.max() <= 1.0
        assert (apart > 0).mean() < 0.01
    else:
        span = np.ptp(wanted)
        assert np.abs(found - wanted).max() < span * (1e-5 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize("dtype", [*WHOLE, *FLOATS])
def test_types_are_kept_and_computed_in_digits_enough(tmp_path: Path, dtype: str) -> None:
    inputs = make(tmp_path, dtype)
    for method in METHODS:
        out = fuse_plain(tmp_path / f"{method}.tif", inputs.pan_path, inputs.ms_path, "--method", method)
        with rasterio.open(out) as file:
            assert file.dtypes == (dtype,) * 3
            nodata = file.nodata
        assert nodata is None if dtype in WHOLE else np.isnan(nodata)
        assert record(out)["counts"]["valid"] == SIDE * SIDE
        check(pixels(out), oracle(pair_of(inputs), method, dtype), dtype)


@pytest.mark.parametrize("dtype", WHOLE)
def test_values_beyond_the_type_saturate_and_are_counted(tmp_path: Path, dtype: str) -> None:
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(1)
    hard = landscape(rng, 2, SIDE) > 0.55
    ends = np.where(hard, limits.max, limits.min).astype(dtype)
    ms = np.where(ends[:, ::RATIO, ::RATIO] > limits.min, limits.max, limits.min).astype(dtype)
    inputs = Inputs(
        write(tmp_path / "pan.tif", ends[:1], north_up(0.5)),
        write(tmp_path / "ms.tif", ms, north_up(0.5 * RATIO)),
        ends[:1],
        ms,
    )
    for method in METHODS if limits.min == 0 else ("exp", "gsa"):  # ratios of negative numbers mean nothing
        out = fuse_plain(tmp_path / f"{method}.tif", inputs.pan_path, inputs.ms_path, "--method", method)
        want = oracle(pair_of(inputs), method, dtype)
        made = pixels(out).astype(np.float64)
        assert record(out)["counts"]["saturated"] > 0
        assert any("saturate" in text for text in record(out)["warnings"])
        for end in (limits.min, limits.max):
            assert (want == end).any()
            # float32 has no more than 24 bits; a wrapped value would lie at the other end of the range
            far = np.abs(made[want == end] - end).max() / (float(limits.max) - limits.min)
            assert far < (1e-5 if np.dtype(dtype).itemsize < 4 else 1e-9)


@pytest.mark.parametrize("pan_dtype", ["uint8", "float32", "int32"])
def test_pan_and_ms_of_different_types(tmp_path: Path, pan_dtype: str) -> None:
    """The product has the MS's type, whatever PAN's."""
    inputs = make(tmp_path, "uint16", pan_dtype=pan_dtype)
    for method in METHODS:
        out = fuse_plain(tmp_path / f"{method}.tif", inputs.pan_path, inputs.ms_path, "--method", method)
        check(pixels(out), oracle(pair_of(inputs), method, "uint16"), "uint16")


def test_ms_files_of_different_types_make_one_that_holds_both(tmp_path: Path) -> None:
    inputs = make(tmp_path, "uint8", bands=2)
    signed = inputs.ms[1:].astype(np.int16) - 100
    one = write(tmp_path / "one.tif", inputs.ms[:1], north_up(0.5 * RATIO))
    two = write(tmp_path / "two.tif", signed, north_up(0.5 * RATIO))
    made = pixels(fuse_plain(tmp_path / "x.tif", inputs.pan_path, [one, two], "--method", "exp"))
    both = replace(inputs, ms=np.concatenate([inputs.ms[:1].astype(np.int16), signed]))
    check(made, oracle(pair_of(both), "exp", "int16"), "int16")


def slanted(side: int, step: float) -> NDArray[np.bool_]:
    """Return where a scene with a slanted border has pixels; ``step`` PAN pixels a pixel."""
    rows, cols = np.mgrid[:side, :side] * step
    return (cols - 0.2 * rows > 12.0) & (cols + 0.1 * rows < 120.0)


@pytest.mark.parametrize(
    ("dtype", "nodata", "tag"),
    [
        ("uint8", 0, True),
        ("uint16", 65535, True),
        ("int16", -9999, True),
        ("int16", -9999, False),
        ("uint32", 0, False),
        ("float32", -9999.0, True),
        ("float32", np.nan, True),
        ("float32", np.nan, False),
        ("float32", -3.4028234663852886e38, True),
        ("float64", -1.7976931348623157e308, True),
        ("float64", -9999.0, False),
    ],
)
def test_nodata_of_every_kind(tmp_path: Path, dtype: str, nodata: float, tag: bool) -> None:
    """By the file's tag, or by --nodata where there is none; NaN needs neither."""
    inputs = make(tmp_path, dtype)
    pan_valid, ms_valid = slanted(SIDE, 1.0), slanted(SIDE // RATIO, RATIO)
    pan = np.where(pan_valid, inputs.pan, nodata).astype(dtype)
    ms = np.where(ms_valid, inputs.ms, nodata).astype(dtype)
    tags = {"nodata": nodata} if tag else {}
    write(inputs.pan_path, pan, north_up(0.5), **tags)
    write(inputs.ms_path, ms, north_up(0.5 * RATIO), **tags)
    options = () if tag or np.isnan(nodata) else ("--nodata", str(nodata))
    pair = pair_of(inputs, pan_valid=pan_valid, ms_valid=ms_valid)
    for method in METHODS:
        out = fuse_plain(
            tmp_path / f"{method}.tif", inputs.pan_path, inputs.ms_path, "--method", method, *options
        )
        made = pixels(out)
        with rasterio.open(out) as file:
            assert np.isnan(file.nodata) if np.isnan(nodata) else file.nodata == nodata
            np.testing.assert_array_equal(file.dataset_mask() > 0, pair.valid)
        marked = np.isnan(made) if np.isnan(nodata) else made == np.dtype(dtype).type(nodata)
        np.testing.assert_array_equal(marked, np.broadcast_to(~pair.valid, made.shape))
        check(made, oracle(pair, method, dtype), dtype, pair.valid)
        assert record(out)["counts"]["valid"] == pair.valid.sum()


def test_each_ms_file_may_have_its_own_nodata(tmp_path: Path) -> None:
    inputs = make(tmp_path, "int16")
    side = SIDE // RATIO
    marks = (-9999, 0, -32768)
    holes = np.zeros((3, side, side), bool)
    holes[0, 3:7, 3:9], holes[1, 10:13, 20:22], holes[2, 25:, :] = True, True, True
    files = []
    for band, mark in enumerate(marks):
        plane = np.where(holes[band], mark, np.where(inputs.ms[band] == mark, mark + 1, inputs.ms[band]))
        inputs.ms[band] = np.where(holes[band], 0, plane)
        files.append(
            write(tmp_path / f"{band}.tif", plane[None].astype("int16"), north_up(0.5 * RATIO), nodata=mark)
        )
    pair = pair_of(inputs, ms_valid=~holes.any(axis=0))
    out = fuse_plain(tmp_path / "x.tif", inputs.pan_path, files, "--method", "gsa")
    with rasterio.open(out) as file:
        assert file.nodatavals == (-9999.0,) * 3, "one product has one nodata: the first band's"
    made = pixels(out)
    np.testing.assert_array_equal((made == -9999).all(axis=0), ~pair.valid)
    np.testing.assert_array_equal((made == -9999).any(axis=0), ~pair.valid)
    check(made, oracle(pair, "gsa", "int16"), "int16", pair.valid)


def test_a_valid_pixel_that_comes_out_as_nodata_moves_by_one(tmp_path: Path) -> None:
    inputs = make(tmp_path, "uint8", bands=1)
    ms = np.full_like(inputs.ms, 7)
    ms[0, :4, :4] = 0
    write(inputs.ms_path, ms, north_up(0.5 * RATIO), nodata=0)
    pan = np.full_like(inputs.pan, 9)
    pan[0, 0, 0] = 77  # PAN's own nodata, which the product's is not
    write(inputs.pan_path, pan, north_up(0.5), nodata=77)
    ms[0, 20:24, 20:24] = 1
    ms[0, 21:23, 21:23] = 2
    write(inputs.ms_path, np.where(ms == 2, 1, ms), north_up(0.5 * RATIO), nodata=0)
    out = fuse_plain(tmp_path / "x.tif", inputs.pan_path, inputs.ms_path, "--method", "exp")
    made = pixels(out)[0]
    valid = np.ones((SIDE, SIDE), bool)
    valid[:16, :16] = False
    np.testing.assert_array_equal(made > 0, valid)
    # cubic undershoot beside the step from 7 down to 1 rounds to 0, which means nodata
    want = REFERENCES["exp"](
        pair_of(replace(inputs, pan=pan, ms=np.where(ms == 2, 1, ms)), ms_valid=ms[0] > 0)
    )
    under = valid & (np.floor(want[0] + 0.5) <= 0)
    assert under.any()
    assert record(out)["counts"]["moved"] == under.sum()
    assert (made[under] == 1).all()
    assert any("moved by one step" in text for text in record(out)["warnings"])


@pytest.mark.parametrize("kind", ["alpha", "mask"])
@pytest.mark.parametrize("where", ["pan", "ms"])
def test_alpha_bands_and_internal_masks(tmp_path: Path, kind: str, where: str) -> None:
    inputs = make(tmp_path, "uint16")
    side, step = (SIDE, 1.0) if where == "pan" else (SIDE // RATIO, float(RATIO))
    shown = slanted(side, step)
    path, planes = (inputs.pan_path, inputs.pan) if where == "pan" else (inputs.ms_path, inputs.ms)
    if kind == "alpha":
        alpha = np.where(shown, 65535, 0).astype("uint16")[None]
        write(path, np.concatenate([planes, alpha]), north_up(0.5 * step))
        with rasterio.open(path, "r+") as file:
            file.colorinterp = [*file.colorinterp[: len(planes)], ColorInterp.alpha]
    else:
        write(path, planes, north_up(0.5 * step), mask=shown)
    pair = pair_of(inputs, **{f"{where}_valid": shown})
    out = fuse_plain(tmp_path / "x.tif", inputs.pan_path, inputs.ms_path, "--method", "gsa")
    with rasterio.open(out) as file:
        assert (file.count, file.nodata) == (3, 0.0)
        np.testing.assert_array_equal(file.dataset_mask() > 0, pair.valid)
    check(pixels(out), oracle(pair, "gsa", "uint16"), "uint16", pair.valid)


def test_scale_and_offset_tags_are_carried_and_give_the_pedestal(tmp_path: Path) -> None:
    """Ratio methods work above the DN of zero radiance, in PAN and in MS."""
    scales, offsets = (1e-4, 2e-4, 1e-4), (-0.1, -0.2, -0.1)
    inputs = make(tmp_path, "uint16", scales=(scales, offsets), descriptions=("green", "red", "nir"))
    with rasterio.open(inputs.pan_path, "r+") as file:
        file.scales, file.offsets = (1e-4,), (-0.05,)
    out = fuse_plain(tmp_path / "x.tif", inputs.pan_path, inputs.ms_path, "--bands", "nir,red")
    with rasterio.open(out) as file:
        assert file.scales == (1e-4, 2e-4)
        assert file.offsets == (-0.1, -0.2)
        assert file.descriptions == ("nir", "red")
    bands = record(out)["radiometry"]["bands"]
    assert [band["pedestal_dn"] for band in bands] == pytest.approx([1000.0, 1000.0])
    pair = pair_of(replace(inputs, ms=inputs.ms[[2, 1]]))
    above = replace(pair, pan=pair.pan - 500.0, ms=pair.ms - 1000.0)
    check(pixels(out), oracle(above, "mtf-glp-hpm-r", "uint16", 1000.0), "uint16")


@pytest.mark.parametrize("bands", [1, 2, 8, 33, 224])
def test_any_number_of_bands(tmp_path: Path, bands: int) -> None:
    inputs = make(tmp_path, "uint16", bands=bands, side=SIDE if bands < 224 else SIDE // 2)
    for method in METHODS if bands < 33 else ("gsa",) if bands == 33 else ("exp", "mtf-glp-hpm-r"):
        out = fuse_plain(tmp_path / f"{method}.tif", inputs.pan_path, inputs.ms_path, "--method", method)
        want = oracle(pair_of(inputs), method, "uint16")
        if method == "gsa" and bands == 33:
            # 33 bands regressed on few coarse pixels: digits are lost in the fit, not in the types
            assert np.abs(pixels(out).astype(np.float64) - want).max() < 0.01 * np.ptp(want)
        else:
            check(pixels(out), want, "uint16")
        assert cog_validate(out, strict=True) == (True, [], [])
        with rasterio.open(out) as file:
            assert file.count == bands
            assert file.interleaving.name == ("band" if bands >= 33 else "pixel") or bands == 1
            assert file.block_shapes == [(512, 512)] * bands
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_many_bands_in_planes_have_overviews_and_the_same_pixels_in_any_tile(tmp_path: Path) -> None:
    rows, cols = np.mgrid[:130, :130]
    ms = np.stack([(rows * (band + 1) + cols) // 8 % 200 + 20 for band in range(65)]).astype("uint8")
    pan = np.kron(ms[:1], np.ones((1, RATIO, RATIO), "uint8"))
    files = write(tmp_path / "pan.tif", pan, north_up(0.5)), write(tmp_path / "ms.tif", ms, north_up(2.0))
    one = fuse_plain(tmp_path / "a.tif", *files, "--method", "brovey", "--tile", "512")
    other = fuse_plain(tmp_path / "b.tif", *files, "--method", "brovey", "--tile", "1024")
    assert one.read_bytes() == other.read_bytes()
    assert cog_validate(one, strict=True) == (True, [], [])
    with rasterio.open(one) as file:
        assert file.interleaving.name == "band"
        assert file.overviews(65) == [2]


def test_a_nodata_value_the_type_cannot_hold_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = make(tmp_path, "uint8")
    assert status(tmp_path / "x.tif", inputs.pan_path, inputs.ms_path, "--nodata", "-9999") == 2
    text = capsys.readouterr().err
    assert text.startswith("geofuse: error [pixels]")
    assert text.count("\n") == 1
