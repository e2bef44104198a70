"""One scene, one file: the same bytes for any tile size, number of workers and scheduler."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import rasterio

from geofuse.cli import main
from geofuse.methods.table import METHODS
from geofuse.quality.simulated_pair import SimulatedPair

WINDOW = ("--window", "90", "0", "1100", "560")
"""Three rows of 512-px tiles, two of 1024-px ones and two columns or one, over a slanted border of nodata."""


def fused(pair: SimulatedPair, out: Path, *options: str) -> str:
    """Fuse by the command line; return the product's checksum."""
    arguments = ["fuse", "--pan", str(pair.pan), "--ms", str(pair.ms), "--out", str(out), "--no-progress"]
    level = () if "none" in options or "lzw" in options else ("--level", "1")
    assert main([*arguments, *WINDOW, *level, *options]) == 0
    return hashlib.sha256(out.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("method", "words", "others"),
    [
        *((method, ("--no-calibrate",), False) for method in METHODS),
        # and some with all that calibration brings: shifts, blur, shares, back-projection
        *((method, (), False) for method in ("gsa", "ridge")),
        *(pytest.param(method, (), True, marks=pytest.mark.slow) for method in ("gsa", "ridge")),
    ],
    ids=lambda value: (
        {(): "calibrated", False: "three cuts", True: "five cuts"}.get(value, value)
        if not isinstance(value, tuple) or not value
        else " ".join(value)
    ),
)
def test_bytes_do_not_depend_on_how_the_work_is_cut(
    pair: SimulatedPair, tmp_path: Path, dask_address: str, method: str, words: tuple[str, ...], others: bool
) -> None:
    cuts = [
        ("--tile", "512", "--scheduler", "serial"),
        ("--tile", "1024", "--workers", "2"),
        ("--tile", "1024", "--scheduler", dask_address),
    ]
    if others:  # the other paths, too
        cuts += [("--tile", "512", "--workers", "4"), ("--tile", "2048", "--workers", "1")]
    sums = {
        fused(pair, tmp_path / f"{number}.tif", "--method", method, *words, *cut)
        for number, cut in enumerate(cuts)
    }
    assert len(sums) == 1


def test_a_local_dask_cluster_gives_the_same_bytes(pair: SimulatedPair, tmp_path: Path) -> None:
    words = ("--no-calibrate", "--tile", "512")
    local = fused(pair, tmp_path / "a.tif", *words, "--scheduler", "dask", "--workers", "2")
    assert local == fused(pair, tmp_path / "b.tif", *words, "--scheduler", "serial")


def test_sixteen_threads_give_the_same_bytes(pair: SimulatedPair, tmp_path: Path) -> None:
    """More than there are tiles, or cores."""
    words = ("--no-calibrate", "--method", "gsa", "--tile", "512")
    wide = fused(pair, tmp_path / "a.tif", *words, "--workers", "16")
    assert wide == fused(pair, tmp_path / "b.tif", *words, "--scheduler", "serial")


@pytest.fixture(scope="module")
def zstd(pair: SimulatedPair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product in the default codec."""
    out = tmp_path_factory.mktemp("zstd") / "z.tif"
    fused(pair, out, "--no-calibrate")
    return out


@pytest.mark.parametrize("codec", ["deflate", "lzw", "none"])
def test_every_codec_is_as_deterministic_and_lossless(
    pair: SimulatedPair, tmp_path: Path, zstd: Path, codec: str
) -> None:
    words = ("--no-calibrate", "--compress", codec)
    small = fused(pair, tmp_path / "a.tif", *words, "--tile", "512")
    assert small == fused(pair, tmp_path / "b.tif", *words, "--tile", "2048")
    with rasterio.open(tmp_path / "a.tif") as one, rasterio.open(zstd) as other:
        assert one.compression is None if codec == "none" else one.compression.name == codec
        assert (one.read() == other.read()).all()
