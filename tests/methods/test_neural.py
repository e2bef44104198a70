"""Networks behind the protocol: the same bits for any cut, ridge at step 0, inputs that are what they say."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geofuse.errors import MethodError, WeightsError, WorkerError
from geofuse.files import sha256_of
from geofuse.geometry import AxisMap
from geofuse.methods.base import After, Params
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen import ms_network
from geofuse.methods.sharpen.back_projection import fuse_patch, margin_px
from geofuse.methods.table import get
from geofuse.nets.choice import NetworkChoice
from geofuse.nets.weights import Card, save_weights
from tests.methods.scenes import LANDSAT, NAMES, Cutter, Scene, aligned, applied, fitted, make_scene

torch = pytest.importorskip("torch")
inference = pytest.importorskip("geofuse.nets.inference")
models = pytest.importorskip("geofuse.nets.arch.ms_residual")
pan_gan = pytest.importorskip("geofuse.nets.arch.pan_gan")

PHASES: dict[str, tuple[AxisMap, AxisMap]] = {
    "2, half a pixel": (LANDSAT, LANDSAT),
    "3": (aligned(3.0), AxisMap(1 / 3, 0.1)),
    "4": (aligned(4.0), aligned(4.0)),
}
CUTS = ((64, 64), (37, 53), (9, 97))
INNER_PX = 64
PRECISIONS = ["float32", "bfloat16"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


def network(
    folder: Path, name: str, ratio: int, *, precision: str = "float32", **changes: Any
) -> NetworkChoice:
    """Weights at random, planned for here."""
    torch.manual_seed(4)
    if name == "pan-gan":
        spec = pan_gan.PanGanSpec(3, 8, 8)
        net = pan_gan.PanGanGenerator(spec)
    else:
        spec = models.MsSpec(ratio, **{"bands": 0, "width": 16, "blocks": 1, "trunk": 1, **changes})
        net = models.MsGenerator(spec)
        torch.nn.init.normal_(net.leave.weight, std=0.3)
    path = folder / f"{name}-{ratio}-{len(changes)}.safetensors"
    save_weights(path, net, Card(path.stem, name, asdict(spec), ratio if name != "pan-gan" else 0, net.halo))
    return NetworkChoice(
        name=path.stem,
        path=str(path),
        sha256=sha256_of(path),
        ratio=ratio,
        halo=net.halo,
        device="cpu",
        precision=precision,
        runs_on=inference.describe("cpu"),
        inner_px=INNER_PX,
        shares=None,
    )


def scene_at(phase: str, planned: NetworkChoice, *, holes: bool = True, rows: int = 150) -> Scene:
    axes = PHASES[phase]
    coarse = round(rows * axes[0].scale), round(170 * axes[1].scale)
    scene = make_scene(axes, coarse, names=NAMES[:3], gains=(0.34, 0.34, 0.2), holes=holes)
    seen = Observation(scene.observation.mtf_gain, (0.3, -0.6), ((0.3, -0.6), (0.3, -0.6), (0.7, -0.2)))
    return replace(scene, observation=seen, options=replace(scene.options, network=planned))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", ["pan-gan", "pan-gan-ms"])
def test_any_cut_gives_the_same_bits(name: str, phase: str, precision: str, folder: Path) -> None:
    ratio = round(1.0 / PHASES[phase][0].scale)
    scene = scene_at(phase, network(folder, name, ratio, precision=precision))
    params = fitted(scene, name, block_px=64)
    whole = applied(scene, name, params)
    assert np.isfinite(whole).all()
    for tile in CUTS:
        assert np.array_equal(applied(scene, name, params, tile=tile), whole), tile
    assert np.array_equal(applied(scene, name, params, spare=(9, 9)), whole)


@pytest.mark.parametrize(
    "changes", [{"bands": 3, "trunk": 0}, {"own": ("ms", "back"), "common": ("detail",)}]
)
def test_any_cut_gives_the_same_bits_with_other_inputs(changes: dict[str, Any], folder: Path) -> None:
    scene = scene_at("4", network(folder, "pan-gan-ms", 4, **changes))
    params = fitted(scene, "pan-gan-ms", block_px=64)
    whole = applied(scene, "pan-gan-ms", params)
    assert np.array_equal(applied(scene, "pan-gan-ms", params, tile=(37, 53)), whole)


def test_untrained_it_is_ridge_and_shares_of_none_too(folder: Path) -> None:
    planned = network(folder, "pan-gan-ms", 2)
    scene = scene_at("2, half a pixel", planned, holes=False)
    params = fitted(scene, "pan-gan-ms")
    ridge = applied(scene, "ridge", Params("ridge", params.values["ridge"]))
    whole = applied(scene, "pan-gan-ms", params)
    assert np.abs(whole - ridge).mean() > 1.0
    none = replace(scene, options=replace(scene.options, network=replace(planned, shares=(0.0, 1.0, 0.0))))
    found = applied(none, "pan-gan-ms", params)
    assert np.array_equal(found[[0, 2]], ridge[[0, 2]])
    assert np.array_equal(found[1], whole[1])


def test_inputs_are_what_they_say(folder: Path) -> None:
    """Against the plain formulas, at a scene without holes."""
    scene = scene_at("4", network(folder, "pan-gan-ms", 4), holes=False)
    params = fitted(scene, "pan-gan-ms")
    spec = models.MsSpec(4, width=8, blocks=2)
    patch = Cutter(scene, get("pan-gan-ms"), spare=(4, 1)).cut((33, 71, 46, 90))
    found = ms_network.ms_inputs(patch, params.values, scene.observation, spec, options=scene.options)
    levels = params.values["levels"]
    r0, r1, c0, c1 = found.coarse
    assert found.fine[0] <= 33 < found.fine[0] + 4
    assert found.fine[1] - 4 < 71 <= found.fine[1]
    coarse = scene.coarse[:, r0 - 2 : r1 + 2, c0 - 2 : c1 + 2]
    wanted = (coarse - np.array(levels["mean"])[:, None, None]) / np.array(levels["std"])[:, None, None]
    np.testing.assert_allclose(found.own[:, 0], wanted, atol=1e-4)
    pan = scene.fine[0, found.fine[0] - 8 : found.fine[1] + 8, found.fine[2] - 8 : found.fine[3] + 8]
    scaled = torch.from_numpy((pan - levels["pan_mean"]) / levels["pan_std"])[None, None]
    wanted = torch.nn.functional.pixel_unshuffle(scaled, 4)[0].numpy()
    np.testing.assert_allclose(found.common[:16], wanted, atol=1e-4)
    assert found.common.shape[0] == 34
    # the block of 4 x 4 pixels under a coarse pixel: its middle is at most half a pixel from where the bands see it
    phases = found.common[32:, 0, 0]
    assert (np.abs(phases) <= 0.5).all()
    assert phases == pytest.approx([-0.3, -0.4], abs=1e-6)
    missed = found.own[:, 1] * np.array(levels["back"])[:, None, None]
    assert np.abs(missed).mean() < 0.5 * np.array(levels["std"]).mean()


def test_what_is_missing_is_said(folder: Path) -> None:
    planned = network(folder, "pan-gan-ms", 4)
    scene = scene_at("4", planned, rows=64)
    bare = replace(scene, options=replace(scene.options, network=None))
    with pytest.raises(MethodError, match="pan-gan-ms without a network"):
        get("pan-gan-ms").halo(bare.observation, options=bare.options)
    params = fitted(scene, "pan-gan-ms")
    other = replace(planned, runs_on="a processor of another kind")
    with pytest.raises(WorkerError, match="others give other bits"):
        applied(replace(scene, options=replace(scene.options, network=other)), "pan-gan-ms", params)
    wrong = replace(planned, sha256="1" * 64)
    with pytest.raises(WeightsError, match="planned with"):
        applied(replace(scene, options=replace(scene.options, network=wrong)), "pan-gan-ms", params)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_worker_without_the_planned_gpu_refuses(folder: Path) -> None:
    with pytest.raises(WorkerError, match="no CUDA device here"):
        inference.engine(replace(network(folder, "pan-gan-ms", 4), device="cuda:0", runs_on="some GPU"))


@pytest.mark.parametrize("rounds", [0, 2])
@pytest.mark.parametrize("name", ["pan-gan", "pan-gan-ms"])
def test_a_whole_tile_on_a_device_is_what_the_kernels_give(name: str, rounds: int, folder: Path) -> None:
    """The device's path, here on torch's CPU: the same numbers but for the order of additions."""
    from geofuse.methods.sharpen import on_device

    planned = replace(network(folder, name, 2), shares=(1.0, 0.5, 1.0))
    scene = scene_at("2, half a pixel", planned, holes=False)
    method, params = get(name), fitted(scene, name)
    margin = margin_px(scene.observation, rounds, scene.options)
    core = (41, 83, 46, 90)
    grown = (core[0] - margin, core[1] + margin, core[2] - margin, core[3] + margin)
    patch = Cutter(scene, method, spare=(margin, margin)).cut(core)
    patch = replace(patch, core=grown, valid=np.ones((grown[1] - grown[0], grown[3] - grown[2]), bool))
    after = After(rounds, (1.0, 0.7, 1.0))
    given: Any = {"options": scene.options, "core": core, "after": after}
    wanted = fuse_patch(method, patch, params, scene.observation, **given)
    grid = "ms" if name == "pan-gan-ms" else "fine"
    told: Any = {"options": scene.options, "after": replace(after, core=core)}
    found, halved = on_device.whole_tile(grid, patch, params, scene.observation, **told)
    assert found is not None
    assert halved == 0
    np.testing.assert_allclose(found, wanted, atol=0.02, rtol=1e-5)
    assert on_device.all_there(patch, scene.observation)
    holed = replace(patch, guides_valid=np.zeros_like(patch.guides_valid))
    assert not on_device.all_there(holed, scene.observation)


def test_short_memory_halves_the_batch_then_the_tile_then_goes_to_the_cpu(folder: Path) -> None:
    transfer = pytest.importorskip("geofuse.nets.transfer")
    seen: list[tuple[int, int]] = []

    def run(batch: int, inner_px: int) -> Any:
        seen.append((batch, inner_px))
        if batch * inner_px > limit:
            raise torch.OutOfMemoryError("out of memory")
        return np.zeros((1, 2, 2), np.float32)

    eased = transfer.Eased(4)
    limit = 300
    assert eased.fuse(run, 256, 64)[1] == 2
    assert seen == [(4, 256), (2, 256), (1, 256)]
    assert eased.fuse(run, 256, 64)[1] == 0  # later tiles remember
    limit = 100
    found, halved = eased.fuse(run, 256, 64)
    assert found is not None
    assert halved == 2
    assert seen[-1] == (1, 64)
    limit = 10
    assert eased.fuse(run, 256, 64) == (None, 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["pan-gan", "pan-gan-ms"])
def test_a_gpu_gives_what_the_cpu_gives(name: str, folder: Path) -> None:
    planned = network(folder, name, 4)
    scene = scene_at("4", planned, holes=False)
    params = fitted(scene, name)
    wanted = applied(scene, name, params)
    there = replace(planned, device="cuda:0", runs_on=inference.describe("cuda:0"))
    remote = replace(scene, options=replace(scene.options, network=there))
    patch = Cutter(remote, get(name)).cut((0, 150, 0, 170))
    given: Any = {"options": remote.options, "core": patch.core, "after": After()}
    found = fuse_patch(get(name), patch, params, scene.observation, **given)
    np.testing.assert_allclose(found, wanted[:, :150, :170], atol=1.0, rtol=1e-3)
