"""What Prefect costs a scene of four hundred tiles: processor time beside the same work without it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from operating import ROOT, Server

from geofuse.landscape.camera import Camera, make_truth
from geofuse.quality.simulated_pair import write_pair

RUN = """
import os, sys
from geofuse.config import load_config
from geofuse.line.scene_ref import ref_of_path, ref_to_json, with_digest
from geofuse.line.scene_run import run_scene
if sys.argv[3] == "prefect":
    from geofuse.flows.scene import fuse_scene

def cpu():
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system

config, begun = load_config(sys.argv[1]), cpu()
ref = with_digest(ref_of_path(sys.argv[2]))
if sys.argv[3] == "prefect":
    state = fuse_scene(sys.argv[1], ref_to_json(ref), return_state=True)
    assert state.is_completed(), state
else:
    assert run_scene(config, ref).state == "published"
print(cpu() - begun)
"""
TILES, SIDE, TURNS = 400, 10240, 3
TEXT = """\
catalog: {{folder: {catalog}, acquired: "2024-05-12T10:00:00Z"}}
fuse: {{method: mtf-glp-hpm-r, calibrate: false}}
work: {{tile_px: 512, workers: 1, scheduler: serial}}
encode: {{level: 1}}
assess: {{enabled: false}}
accept: {{profile: {profile}}}
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_prefect_costs_less_than_two_percent(tmp_path: Path, server: Server) -> None:
    camera = Camera((0.3,) * 4, (0.15, 0.3, 0.3, 0.2), ratio=4.0, noise_sigma=1.0)
    truth = np.tile(make_truth(1024, rng=np.random.default_rng(5)), (1, 10, 10))
    made = write_pair(tmp_path / "made", truth, camera, slant_deg=0.0, seed=5)
    del truth
    scene = tmp_path / "wide"
    scene.mkdir()
    shutil.move(made.pan, scene / "wide_pan.tif")
    shutil.move(made.ms, scene / "wide_ms.tif")
    profile = tmp_path / "anything.yaml"
    profile.write_text("profile: anything\nversion: 1\nchecks: {}\n")
    spent: dict[str, list[float]] = {"plain": [], "prefect": []}
    for turn in range(TURNS):
        for how in ("plain", "prefect") if turn % 2 else ("prefect", "plain"):
            place = tmp_path / f"{how}{turn}"
            place.mkdir()
            config = place / "run.yaml"
            config.write_text(TEXT.format(catalog=place / "catalog", profile=profile))
            command = [sys.executable, "-c", RUN, str(config), str(scene), how]
            done = subprocess.run(
                command, capture_output=True, text=True, env=server.surroundings, cwd=ROOT, check=True
            )
            spent[how].append(float(done.stdout.splitlines()[-1]))
            shutil.rmtree(place)
    plain, prefect = (float(np.median(spent[how])) for how in ("plain", "prefect"))
    print(
        f"{TILES} tiles: {plain:.2f} CPU s without, {prefect:.2f} with Prefect, {100 * (prefect / plain - 1):.2f} %"
    )
    print(spent)
    assert SIDE // 512 * (SIDE // 512) == TILES
    assert prefect < 1.02 * plain, spent
