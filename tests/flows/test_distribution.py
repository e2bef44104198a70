"""The same flow on a dask cluster of several processes: TLS, workers that die, a tile that kills them."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster
from distributed.security import Security
from operating import until

from geofuse.config import RunConfig, config_to_json
from geofuse.errors import UsageError
from geofuse.files import sha256_of
from geofuse.flows.eventlog import read_events
from geofuse.flows.scene import fuse_scene
from geofuse.flows.settings import event_log
from geofuse.landscape.camera import Camera, make_truth
from geofuse.quality.simulated_pair import SimulatedPair, write_pair
from geofuse.rasters.ledger import parts_dir
from geofuse.run.executors import executor

pytestmark = pytest.mark.usefixtures("server")
Drop = Callable[..., Path]
Configured = Callable[..., RunConfig]
Sections = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """An authority and a certificate for this machine."""
    trustme = pytest.importorskip("trustme")
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    own = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    own.private_key_pem.write_to_path(str(folder / "key.pem"))
    for part in own.cert_chain_pems:
        part.write_to_path(str(folder / "cert.pem"), append=True)
    return str(folder / "ca.pem"), str(folder / "cert.pem"), str(folder / "key.pem")


def cluster_of(workers: int, **more: Any) -> LocalCluster:
    """Start worker processes that are started again when they die."""
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        host="127.0.0.1",
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        **more,
    )


def fuse(config: RunConfig, folder: Path) -> Path:
    """Run the flow to its end; returns the product."""
    state = fuse_scene(config_to_json(config), str(folder), return_state=True)
    assert state.is_completed(), state
    return Path(state.result()["out"])


@pytest.mark.slow
def test_a_cluster_that_speaks_tls_makes_the_same_bytes(
    tmp_path: Path, drop: Drop, configured: Configured, quick: Sections, certificates: tuple[str, str, str]
) -> None:
    folder = drop(tmp_path / "inbox", "alpha")
    here = fuse(configured(**quick, output={"folder": str(tmp_path / "here")}), folder)
    ca, cert, key = certificates
    both = {"tls_worker_cert": cert, "tls_worker_key": key, "tls_scheduler_cert": cert}
    security = Security(
        tls_ca_file=ca,
        tls_client_cert=cert,
        tls_client_key=key,
        tls_scheduler_key=key,
        require_encryption=True,
        **both,
    )
    with cluster_of(1, security=security, protocol="tls") as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://")
        work = {"scheduler": address, "tls": {"ca": ca, "cert": cert, "key": key}, "tile_px": 512}
        there = {"output": {"folder": str(tmp_path / "there")}, "state": {"folder": str(tmp_path / "state")}}
        made = fuse(configured(**quick, work=work, **there), folder)
        assert sha256_of(str(made)) == sha256_of(str(here))
        assert made != here
        with pytest.raises(UsageError, match="without certificates"), executor(address, 1):
            pass


@pytest.fixture(scope="module")
def large_pair(tmp_path_factory: pytest.TempPathFactory) -> SimulatedPair:
    """A pair of PAN 4096 x 4096: the landscape of 1024 pixels sixteen times."""
    camera = Camera((0.3,) * 4, (0.15, 0.3, 0.3, 0.2), ratio=4.0, noise_sigma=1.0)
    truth = np.tile(make_truth(1024, rng=np.random.default_rng(5)), (1, 4, 4))
    return write_pair(tmp_path_factory.mktemp("large"), truth, camera, slant_deg=0.0, seed=5)


@pytest.fixture
def large(large_pair: SimulatedPair, tmp_path: Path) -> Path:
    """Its folder."""
    folder = tmp_path / "large"
    folder.mkdir()
    shutil.copy(large_pair.pan, folder / "large_pan.tif")
    shutil.copy(large_pair.ms, folder / "large_ms.tif")
    return folder


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """Four worker processes."""
    with cluster_of(4) as found:
        yield found


def seconds(config: RunConfig) -> float:
    """Return how long the last scene took."""
    return float([e for _, e in read_events(event_log(config)) if e["event"] == "scene_ended"][-1]["seconds"])


@pytest.mark.slow
def test_three_dead_workers_cost_half_as_much_again_at_most(
    tmp_path: Path, large: Path, configured: Configured, quick: Sections, cluster: LocalCluster
) -> None:
    quick["fuse"] = {"method": "ridge"}

    def config_of(name: str) -> RunConfig:
        return configured(
            **quick,
            work={"scheduler": cluster.scheduler_address, "tile_px": 512},
            output={"folder": str(tmp_path / name), "name": "{scene}"},
            state={"folder": str(tmp_path / f"{name}.state")},
            catalog={"folder": str(tmp_path / f"{name}.catalog")},
        )

    fuse(config_of("warm"), large)  # compiles the kernels in every worker
    calm = fuse(config_of("calm"), large)
    killed: list[int] = []
    out = tmp_path / "storm" / "large.tif"

    def kill() -> None:
        with Client(cluster.scheduler_address, set_as_default=False) as client:
            for count in (8, 24, 40):
                until(
                    lambda count=count: len(list(parts_dir(out).glob("*.part"))) >= count, 200, "parts", 0.02
                )
                victim = sorted(set(client.run(os.getpid).values()) - set(killed))[0]
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

    killer = threading.Thread(target=kill)
    killer.start()
    storm = fuse(config_of("storm"), large)
    killer.join()
    assert len(killed) == 3
    assert sha256_of(str(storm)) == sha256_of(str(calm))
    undisturbed, disturbed = seconds(config_of("calm")), seconds(config_of("storm"))
    print(
        f"undisturbed {undisturbed:.1f} s, three workers killed {disturbed:.1f} s: {disturbed / undisturbed:.2f}"
    )
    assert disturbed <= 1.5 * undisturbed


DEADLY = """
import os, signal
import geofuse.run.fuse as fuse

if not hasattr(fuse, "harmless"):  # a preload is loaded twice
    fuse.harmless = fuse.write_part

    def deadly(path, *arguments, **named):
        if path.name == "tile-0000002.part":
            os.kill(os.getpid(), signal.SIGKILL)
        return fuse.harmless(path, *arguments, **named)

    fuse.write_part = deadly
"""


@pytest.mark.slow
def test_a_tile_that_kills_its_worker_three_times_is_named_in_the_runs_state(
    tmp_path: Path, large: Path, configured: Configured, quick: Sections
) -> None:
    preload = tmp_path / "deadly.py"
    preload.write_text(DEADLY)
    settings = {
        "distributed.scheduler.allowed-failures": 2,
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.scheduler.no-workers-timeout": "60s",
    }
    with dask.config.set(settings), cluster_of(2, preload=[str(preload)]) as cluster:
        work = {"scheduler": cluster.scheduler_address, "retries": 0}
        state = fuse_scene(config_to_json(configured(**quick, work=work)), str(large), return_state=True)
    assert state.is_failed()
    assert state.message is not None
    assert state.message.startswith(
        "[worker] tile 2 (rows 0..1023, columns 2048..3071) killed its worker 3 times"
    )
    assert "smaller --tile" in state.message
