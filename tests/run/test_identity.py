"""One scene, one file: the same bytes for any tile size, number of workers and scheduler."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from geofuse.cli import main
from geofuse.methods.base import METHODS
from geofuse.run.simulating import Pair


def fused(pair: Pair, out: Path, *options: str) -> str:
    """Fuse by the command line; return the product's checksum."""
    arguments = ["fuse", "--pan", str(pair.pan), "--ms", str(pair.ms), "--out", str(out), "--no-progress"]
    level = () if "none" in options or "lzw" in options else ("--level", "1")
    assert main([*arguments, *level, *options]) == 0
    return hashlib.sha256(out.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("method", "words"),
    [
        *((method, ("--no-calibrate",)) for method in METHODS),
        # and some with all that calibration brings: shifts, blur, shares, back-projection
        *((method, ()) for method in ("gsa", "ridge")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value) or "calibrated",
)
def test_bytes_do_not_depend_on_how_the_work_is_cut(
    pair: Pair, tmp_path: Path, dask_address: str, method: str, words: tuple[str, ...]
) -> None:
    cuts = [
        ("--tile", "512", "--scheduler", "serial"),
        ("--tile", "1024", "--workers", "2"),
        ("--tile", "1024", "--scheduler", dask_address),
    ]
    if not words:  # the other paths, too
        cuts += [("--tile", "512", "--workers", "4"), ("--tile", "2048", "--workers", "1")]
    sums = {
        fused(pair, tmp_path / f"{number}.tif", "--method", method, *words, *cut)
        for number, cut in enumerate(cuts)
    }
    assert len(sums) == 1


def test_a_local_dask_cluster_gives_the_same_bytes(pair: Pair, tmp_path: Path) -> None:
    local = fused(pair, tmp_path / "a.tif", "--scheduler", "dask", "--workers", "2", "--tile", "512")
    assert local == fused(pair, tmp_path / "b.tif", "--scheduler", "serial")


@pytest.mark.parametrize("codec", ["deflate", "lzw", "none"])
def test_every_codec_is_as_deterministic_and_lossless(pair: Pair, tmp_path: Path, codec: str) -> None:
    import rasterio

    words = ("--no-calibrate", "--compress", codec)
    small = fused(pair, tmp_path / "a.tif", *words, "--tile", "512")
    assert small == fused(pair, tmp_path / "b.tif", *words, "--tile", "2048")
    fused(pair, tmp_path / "z.tif", "--no-calibrate")
    with rasterio.open(tmp_path / "a.tif") as one, rasterio.open(tmp_path / "z.tif") as other:
        assert one.compression is None if codec == "none" else one.compression.name == codec
        assert (one.read() == other.read()).all()
