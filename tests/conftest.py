"""Scenes every test may use: real ones where they are at hand, simulated ones made once a session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from geofuse.landscape.camera import Camera, make_truth
from geofuse.quality.simulated_pair import SimulatedPair, write_pair

ROOT = Path(__file__).resolve().parents[1]
collect_ignore = ["serve/qgis_client.py", "plugin"]  # a script of QGIS's own Python; a package of its own
CAMERA = Camera(
    mtf_gains=(0.3, 0.3, 0.3, 0.3),
    pan_weights=(0.15, 0.3, 0.3, 0.2),
    ratio=4.0,
    noise_sigma=1.0,
)


def folder_from(variable: str, default: str) -> Path:
    """Find a folder of real files, or skip with the reason."""
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / default))
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set {variable} to the folder of {default}")
    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real scenes."""
    return folder_from("GEOFUSE_DATA", "data")


@pytest.fixture(scope="session")
def landsat(data_dir: Path) -> Path:
    """The real Landsat 8 scene."""
    return data_dir / "landsat8"


@pytest.fixture(scope="session")
def truth() -> np.ndarray:
    """A landscape (4, 1280, 1280)."""
    return make_truth(1280, rng=np.random.default_rng(3))


@pytest.fixture(scope="session")
def pair(truth: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> SimulatedPair:
    """A simulated pair with a slanted nodata border: PAN 1280 x 1280, MS 320 x 320 x 4."""
    return write_pair(tmp_path_factory.mktemp("pair"), truth, CAMERA, slant_deg=8.0, seed=3)


@pytest.fixture(scope="session")
def dask_address() -> Iterator[str]:
    """A real cluster of two single-threaded worker processes."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        host="127.0.0.1",
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
    ) as cluster:
        yield cluster.scheduler_address
