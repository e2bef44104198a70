"""Make `made_by_0_3/`: what a user of version 0.3 has on disk on the day of the upgrade.

    git worktree add /tmp/geofuse-0.3 62024d7
    python tests/upgrade/make_fixture.py /tmp/geofuse-0.3 [FOLDER]

Everything in it is made by that version's own command line, in child processes with PYTHONPATH=the 0.3 tree:

    run.yaml, configs/         a configuration as users write it, and all that came along with 0.3
    inbox/one, inbox/two       two small Landsat-like deliveries
    archive/, archive.state/   the catalogue with two published items, the ledger of scenes, the records of stages
                               (one is published; two's run was killed after its tile was fused, before the product)
    pair/, sharp.tif ...       a pair, and a product of it with record and picture, published as the second item
    .killed.tif.parts/         what `geofuse fuse` left that was killed before its product had its name
    tiny.yaml, tiny/           a training's configuration, its weights, card and checkpoint
    deployments.json           what 0.3 registers with Prefect: names and entrypoints
    digests.json               what 0.3 knows each configuration by
    times.json                 when the inputs were written: records of a run know them by that

Absolute paths of the folder it was made in are replaced by @ROOT@, SQLite files by their SQL text (NAME.sql);
`tests/upgrade/fixture.py` puts both back where a test wants it.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MARK = "@ROOT@"
RUN = """\
name: upgrade
fuse: {method: gsa}
encode: {level: 9}
work: {scheduler: serial, workers: 1}
inbox: {folder: inbox, settle: 0s}
catalog: {folder: archive}
assess: {html: false}
accept: {profile: generic}
"""
TINY = """\
name: tiny
method: pan-gan-ms
network: {ratio: 4, width: 4, trunk: 0, blocks: 1}
data:
  simulated: {scenes: 1, held: 1, size_cpx: 48}
schedule: {steps: 6, judge_every: 3, save_every: 3, crop_cpx: 8, batch: 1}
folder: tiny
"""
INPUTS = """\
import sys
sys.path.insert(0, "tests/run")
import numpy as np, arrivals, rasterio
from pathlib import Path
from geofuse.methods.simulate import Camera, make_truth
from geofuse.run.simulating import write_pair
root = Path(sys.argv[1])
truth = make_truth(512, rng=np.random.default_rng(3))
(root / "inbox").mkdir()
for number, name in enumerate(("one", "two")):
    for path in arrivals.deliver(root / "inbox" / name, truth, number, side=96).glob("*.TIF"):
        with rasterio.open(path) as file:
            planes, profile = file.read(), file.profile
        path.unlink(); path.with_suffix(".aux.xml").unlink(missing_ok=True)
        with rasterio.open(path, "w", **(profile | {"tiled": False, "compress": "deflate", "predictor": 2})) as file:
            file.write(planes)
camera = Camera(mtf_gains=(0.3,) * 4, pan_weights=(0.15, 0.3, 0.3, 0.2), ratio=4.0, noise_sigma=1.0)
(root / "pair").mkdir()
write_pair(root / "pair", truth[:, 200:328, 200:328], camera, slant_deg=8.0, seed=3)
"""
KILLED = """\
import os, signal, sys
from geofuse.cli import main
def hook(event, arguments):
    if event == "open" and "product.tif" in str(arguments[0]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
main(sys.argv[1:])
"""
TOLD = """\
import json, sys
from pathlib import Path
from flows.deploy import deployments
from geofuse.config import config_digest, config_to_json, load_config, load_training, training_to_json
root = Path(sys.argv[1])
config = load_config(root / "run.yaml")
made = [{"name": f"{d.flow_name}/{d.name}", "entrypoint": d.entrypoint, "tags": d.tags} for d in
        deployments(config, str(root / "run.yaml"))]
runs = [root / "run.yaml", *sorted((root / "configs").glob("*.yaml"))]
digests = {str(path.relative_to(root)): config_digest(load_config(path)) for path in runs}
(root / "deployments.json").write_text(json.dumps(made, indent=1) + "\\n")
(root / "digests.json").write_text(json.dumps(digests, indent=1) + "\\n")
"""


def main(tree: Path, target: Path) -> None:
    """Make it all in a temporary folder, then put it where it is kept."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary).resolve() / "upgrade"
        root.mkdir()
        make(tree.resolve(), root)
        tidy(root)
        keep(root, target)


def make(tree: Path, root: Path) -> None:
    """Let 0.3 do what its users did."""

    def child(code: str, *words: object, fails: bool = False) -> None:
        command = [sys.executable, "-c", code, *map(str, words)]
        done = subprocess.run(command, cwd=tree if code is INPUTS else root, env=around, text=True)
        assert (done.returncode != 0) == fails, f"{words}: status {done.returncode}"

    def geofuse(*words: str) -> None:
        child("import sys; from geofuse.cli import main; sys.exit(main(sys.argv[1:]))", *words)

    around = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    (root / "run.yaml").write_text(RUN)
    (root / "tiny.yaml").write_text(TINY)
    shutil.copytree(tree / "configs", root / "configs")
    child(INPUTS, root)
    quiet = ("--no-progress",)
    second = root / "inbox" / "two"
    second.rename(root / "two")
    geofuse("inbox", "run.yaml", *quiet)  # one is published
    (root / "two").rename(second)
    child(KILLED, "inbox", "run.yaml", *quiet, fails=True)
    pair = ("--pan", "pair/pan.tif", "--ms", "pair/ms.tif", "--scheduler", "serial", *quiet)
    geofuse("fuse", *pair, "--method", "mtf-glp-hpm-r", "--level", "9", "--out", "sharp.tif")
    geofuse("publish", "sharp.tif", "--catalog", "archive", "--acquired", "2024-05-12T10:00:00Z")
    child(KILLED, "fuse", *pair, "--method", "ridge", "--out", "killed.tif", fails=True)
    geofuse("train", "tiny.yaml", "--device", "cpu", *quiet)
    child(TOLD, root)
    (root / "pair" / "truth.tif").unlink()
    times = {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.glob("[ip]*/**/*.*")}
    (root / "times.json").write_text(json.dumps(times, indent=1) + "\n")


def tidy(root: Path) -> None:
    """Leave out what is large or looked at by nobody: locks, and what the training drew."""
    drawn = root / "tiny" / "samples", root / "tiny" / "pairs"
    for path in [*root.rglob("*.lock"), *drawn]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def keep(root: Path, target: Path) -> None:
    """Copy to where it is kept: without this machine's paths, and text where text will do."""
    shutil.rmtree(target, ignore_errors=True)
    for path in sorted(root.rglob("*")):
        if path.is_dir():
            continue
        place = target / path.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".sqlite":
            with sqlite3.connect(path) as book:
                version = book.execute("PRAGMA user_version").fetchone()[0]
                text = "\n".join([*book.iterdump(), f"PRAGMA user_version = {version};", ""])
            place.with_name(f"{place.name}.sql").write_text(text.replace(str(root), MARK))
            continue
        data = path.read_bytes()
        if str(root).encode() in data:
            assert b"\0" not in data, f"{path}: a path in a binary file"
            data = data.replace(str(root).encode(), MARK.encode())
        place.write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "made_by_0_3")
