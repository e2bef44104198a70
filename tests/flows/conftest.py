"""One real Prefect server on SQLite for all quick tests, and small scenes to drop into inboxes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("prefect", reason="the extra `flows` is not installed")

from operating import Server, started_server

from geofuse.config import RunConfig, config_from
from geofuse.landscape.camera import Camera, make_truth
from geofuse.quality.simulated_pair import SimulatedPair, write_pair


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as `geofuse up` starts it, with authentication, and this process told to use it."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import temporary_settings

    with (
        started_server(tmp_path_factory.mktemp("server"), auth="ann:secret") as server,
        temporary_settings(updates=server.updates),
    ):
        yield server
        EventsWorker.drain_all()
        APILogWorker.drain_all()


@pytest.fixture(scope="session")
def small_pair(tmp_path_factory: pytest.TempPathFactory) -> SimulatedPair:
    """A simulated pair: PAN 512 x 512, MS 128 x 128 x 4."""
    camera = Camera((0.3,) * 4, (0.15, 0.3, 0.3, 0.2), ratio=4.0, noise_sigma=1.0)
    truth = make_truth(512, rng=np.random.default_rng(5))
    return write_pair(tmp_path_factory.mktemp("small"), truth, camera, slant_deg=0.0, seed=5)


@pytest.fixture
def drop(small_pair: SimulatedPair) -> Callable[..., Path]:
    """Copy the pair into an inbox as one more scene."""

    def dropped(inbox: Path, name: str) -> Path:
        folder = inbox / name
        folder.mkdir(parents=True)
        shutil.copy(small_pair.pan, folder / f"{name}_pan.tif")
        shutil.copy(small_pair.ms, folder / f"{name}_ms.tif")
        with (folder / f"{name}_ms.tif").open("ab") as stream:
            stream.write(name.encode())  # other contents: not the same scene twice
        return folder

    return dropped


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., RunConfig]:
    """Make a configuration whose inbox, catalogue and state lie in this test's folder."""

    def made(**sections: dict[str, Any]) -> RunConfig:
        values: dict[str, Any] = {
            "inbox": {"folder": str(tmp_path / "inbox"), "settle": 0},
            "catalog": {"folder": str(tmp_path / "catalog"), "acquired": "2024-05-12T10:00:00Z"},
            "work": {"retries": 2, "backoff": 0.1, "workers": 2},
        }
        for name, more in sections.items():
            values[name] = {**values.get(name, {}), **more}
        (tmp_path / "inbox").mkdir(exist_ok=True)
        return config_from(values)

    return made


@pytest.fixture
def quick(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Sections of a configuration that makes products fast, unmeasured, and accepts them as they are."""
    profile = tmp_path / "anything.yaml"
    profile.write_text("profile: anything\nversion: 1\nchecks: {}\n")
    return {
        "fuse": {"method": "gsa", "calibrate": False},
        "assess": {"enabled": False},
        "accept": {"profile": str(profile)},
    }
