"""Training for real, small: losses fall, a killed run ends with the same weights, several processes learn as one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from geofuse.errors import WeightsError  # noqa: E402
from geofuse.nets.arch.ms_residual import MsGenerator  # noqa: E402
from geofuse.nets.arch.pan_gan import PanGanGenerator, PanGanSpec  # noqa: E402
from geofuse.nets.training import losses  # noqa: E402
from geofuse.nets.training.averaged import weights_of  # noqa: E402
from geofuse.nets.training.checkpoints import CURVE  # noqa: E402
from geofuse.nets.training.data import digest, load_pair, save_pair  # noqa: E402
from geofuse.nets.training.draws import batch_of, draw, places_in  # noqa: E402
from geofuse.nets.training.pan_gan import Full, Meal, PanGanTrainer  # noqa: E402
from geofuse.nets.training.residual import Diet, MsTrainer, Objective, left_after, relative_ergas  # noqa: E402
from geofuse.nets.training.schedule import Schedule, rate_at  # noqa: E402
from geofuse.nets.training.steps import run  # noqa: E402
from tests.nets.training_pairs import SPEC, pair  # noqa: E402

PLAIN = Objective()
DIET = Diet(crop_cpx=12, batch=4, bands=2)
SCHEDULE = Schedule(steps=40, rate=3e-3, warm=5, judge_every=20, save_every=10, average=0.9, seed=5)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trainer(schedule: Schedule = SCHEDULE, objective: Objective = PLAIN, diet: Diet = DIET) -> MsTrainer:
    torch.manual_seed(schedule.seed)
    net = MsGenerator(SPEC)
    pairs = [pair(seed) for seed in range(3)]
    return MsTrainer(
        net,
        pairs,
        places_in(pairs, diet.crop_cpx, net.halo),
        held=[pair(99, bands=5)],
        schedule=schedule,
        objective=objective,
        diet=diet,
    )


def test_pairs_come_back_from_disk(tmp_path: Path) -> None:
    first = pair(1)
    save_pair(tmp_path / "pair.safetensors", first)
    again = load_pair(tmp_path / "pair.safetensors")
    assert again.about == first.about
    assert digest(again) == digest(first) != digest(pair(2))
    (tmp_path / "bad.safetensors").write_bytes(b"no pair at all")
    with pytest.raises(WeightsError, match="no training pair"):
        load_pair(tmp_path / "bad.safetensors")


def test_what_is_drawn_depends_on_seed_and_step_and_is_usable() -> None:
    usable = np.ones((40, 40), bool)
    usable[:, 20:] = False
    pairs = [pair(1, usable=usable), pair(2)]
    places = places_in(pairs, 12, 2)
    drawn = [draw(pairs, places, seed=3, step=step, batch=4, bands=2) for step in range(30)]
    assert drawn == [draw(pairs, places, seed=3, step=step, batch=4, bands=2) for step in range(30)]
    assert drawn != [draw(pairs, places, seed=4, step=step, batch=4, bands=2) for step in range(30)]
    assert {crop.pair for crop in drawn} == {0, 1}
    assert all(col + 16 <= 20 for crop in drawn if crop.pair == 0 for _, col in crop.places)
    batch = batch_of(pairs, places, drawn[0])
    assert batch.common.shape == (4, 10, 16, 16)
    assert batch.own.shape == (4, 2, 6, 16, 16)
    assert batch.wanted.shape == batch.base.shape == (4, 2, 24, 24)
    with pytest.raises(WeightsError, match="no usable patch of 64"):
        places_in(pairs, 60, 2)


def test_the_coarse_and_the_fine_part_of_a_crop_are_of_one_place() -> None:
    pairs = [pair(4)]
    places = places_in(pairs, 12, 2)
    batch = batch_of(pairs, places, draw(pairs, places, seed=0, step=0, batch=1, bands=3))
    inner = batch.common[:, :4, 2:-2, 2:-2]
    assert torch.equal(torch.nn.functional.pixel_shuffle(inner, 2), batch.pan)


def test_back_projection_leaves_what_the_coarse_sensor_does_not_see() -> None:
    pairs = [pair(4)]
    places = places_in(pairs, 12, 2)
    batch = batch_of(pairs, places, draw(pairs, places, seed=0, step=0, batch=1, bands=3))
    left = left_after(torch.ones(1, 3, 24, 24), batch.operators)
    assert left.abs().max() < 1e-5  # a level is seen and taken away
    fine = torch.ones(24)
    fine[::2] = -1.0
    checkered = (fine[:, None] * fine[None, :]).expand(1, 3, 24, 24)
    assert (left_after(checkered, batch.operators) - checkered)[..., 4:-4, 4:-4].abs().max() < 0.2


def test_it_learns_and_the_untrained_net_is_ridge(tmp_path: Path) -> None:
    made = trainer(replace(SCHEDULE, steps=120, judge_every=60))
    assert made.judge() == pytest.approx(1.0, abs=1e-6)
    kept, progress = run(made, made.schedule, folder=tmp_path)
    assert progress.curve[1]["error"] < 0.8 * progress.curve[0]["error"]
    assert progress.best < 0.9
    net = MsGenerator(SPEC)
    net.load_state_dict(weights_of(kept, "generator"))
    assert relative_ergas(net, made.held[0], torch.device("cpu")) == pytest.approx(progress.best, abs=1e-6)
    rows = (tmp_path / CURVE).read_text().splitlines()
    assert rows[0] == "step,rate,error,held_out"
    assert len(rows) == 3


@pytest.mark.parametrize(
    "objective",
    [
        Objective(),
        Objective("ergas", q2n=0.1, correlation=0.01, spectral_adversary=0.01, spatial_adversary=0.01),
    ],
    ids=["plain", "all terms"],
)
def test_a_killed_run_ends_with_the_same_weights(tmp_path: Path, objective: Objective) -> None:
    diet = replace(DIET, crop_cpx=20, batch=2)
    schedule = replace(SCHEDULE, steps=20, judge_every=10, save_every=5)
    whole, _ = run(trainer(objective=objective, diet=diet), schedule)
    with pytest.raises(Killed):
        run(trainer(objective=objective, diet=diet), schedule, folder=tmp_path / "a", tell=_killer(13))
    resumed = trainer(objective=objective, diet=diet)
    kept, progress = run(resumed, schedule, folder=tmp_path / "a")
    assert progress.step == 20
    assert kept.keys() == whole.keys()
    assert all(torch.equal(kept[name], whole[name]) for name in whole)
    with pytest.raises(WeightsError, match="another training"):
        run(trainer(), schedule, folder=tmp_path / "a", key="other")


class Killed(Exception):
    """Stands for the signal."""


def _killer(at: int):
    def tell(step: int, steps: int, values: object) -> None:
        if step == at:
            raise Killed

    return tell


def test_early_stopping_keeps_the_best() -> None:
    made = trainer(replace(SCHEDULE, steps=400, judge_every=5, patience=2))
    values = iter([0.9, 0.8, 0.85, 0.86, 0.1])
    made.judge = lambda: next(values)  # type: ignore[method-assign]
    kept, progress = run(made, made.schedule)
    assert (progress.step, progress.best_step, progress.best) == (20, 10, 0.8)
    assert kept["generator.steps"].item() == 10


def test_learning_rate() -> None:
    schedule = Schedule(steps=110, rate=1.0, warm=10, last=0.1)
    assert [rate_at(schedule, step) for step in (0, 9, 60, 109)] == pytest.approx([0.1, 1.0, 0.5, 0.1])


def test_mixed_precision_learns_the_same_thing() -> None:
    made = trainer(replace(SCHEDULE, precision="bf16", steps=60, judge_every=60))
    _, progress = run(made, made.schedule)
    assert progress.best < 0.97
    assert all(value.dtype != torch.bfloat16 for value in made.tensors().values())


TWO = """
import sys, torch
torch.set_num_threads(1)
from dataclasses import replace
from tests.nets.test_training import SCHEDULE, trainer
from geofuse.nets.training.distributed import joined, leave
from geofuse.nets.training.steps import run
rank, world = joined()
kept, _ = run(trainer(), replace(SCHEDULE, steps=8))
if rank == 0:
    from safetensors.torch import save_file
    save_file({**kept, "world": torch.tensor(world)}, sys.argv[1])
leave()
"""


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    script = tmp_path / "two.py"
    script.write_text(TWO)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
    ]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [*command, str(tmp_path / "two.safetensors")],
        cwd=root,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    two = load_file(tmp_path / "two.safetensors")
    assert two.pop("world").item() == 2
    one, _ = run(trainer(), replace(SCHEDULE, steps=8))
    for name, value in weights_of(one, "generator").items():
        assert torch.allclose(weights_of(two, "generator")[name], value, atol=2e-5), name


def window(seed: int) -> Full:
    """A window whose bands are PAN seen by a coarse sensor: fusing is possible."""
    rng = np.random.default_rng(seed)
    size, ratio = 24, 2
    smooth = rng.normal(0.0, 0.4, (1, size * ratio, size * ratio)).astype(np.float32)
    truth = torch.from_numpy(np.clip(np.concatenate([smooth, 0.7 * smooth]), -0.9, 0.9))
    through = PanGanTrainer.operators_of(ratio, (0.3, 0.3), ((0.0, 0.0),) * 2, (-0.25, -0.25), size)
    ms = through.down(truth[None])
    stack = torch.cat([through.up(ms)[0], truth.mean(0, keepdim=True)])
    stack = torch.nn.functional.pad(stack[None], (8, 8, 8, 8), mode="reflect")[0]
    usable = torch.ones((size, size), dtype=torch.bool)
    return Full(
        "made", ratio, stack, ms[0], usable, (0.3, 0.3), ((0.0, 0.0),) * 2, (-0.25, -0.25), truth=truth
    )


@pytest.mark.parametrize("form", ["paper", "released", "matched"])
def test_pan_gan_trains_in_each_form(form: str) -> None:
    schedule = Schedule(steps=24, rate=1e-3, warm=2, judge_every=12, seed=1)
    torch.manual_seed(0)
    net = PanGanGenerator(PanGanSpec(2, first=8, second=8))
    made = PanGanTrainer(
        net, [window(0)], held=[window(1)], schedule=schedule, terms=losses.TERMS[form], meal=Meal(16, 2)
    )
    _, progress = run(made, schedule)
    names = {
        "spectral",
        "detail",
        "spectral_adversary",
        "spatial_adversary",
        "spectral_judge",
        "spatial_judge",
    }
    assert names < progress.curve[0].keys()
    assert progress.curve[1]["detail"] < progress.curve[0]["detail"]
