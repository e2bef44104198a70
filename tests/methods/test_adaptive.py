"""ridge against its whole-array reference, known models, explicit refits, and the landscapes it is meant for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache, reduce
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geofuse.geometry import covered, cubic_taps, gaussian_taps, moved, shifted
from geofuse.kernels.stencil import FOLDS, TAPS, ProductSums
from geofuse.landscape.camera import Camera, camera_axes, make_truth, observe
from geofuse.methods.base import Options, Params
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen import ridge_penalty
from geofuse.methods.sharpen.one_scale_down import there_and_back
from geofuse.methods.sharpen.ridge import RIDGE
from geofuse.methods.sharpen.ridge_penalty import PenaltyTrial
from geofuse.methods.sums import NormalEquations, merge
from geofuse.methods.table import METHODS, get
from geofuse.metrics.reference import ergas
from tests.methods import reference
from tests.methods.reference_ridge import Plane, Ridge, full_scale, ridge
from tests.methods.scenes import (
    JILIN,
    LANDSAT,
    NAMES,
    Cutter,
    Scene,
    aligned,
    applied,
    collected,
    cores,
    fitted,
    fused,
    make_scene,
    pair_of,
    zeroed,
)

BANDS = ("blue", "green", "red", "nir")


def observed(scene: Scene, observation: Observation) -> Scene:
    """The same pixels, taken to be seen so."""
    return replace(scene, observation=observation)


def darkened(scene: Scene) -> Scene:
    """Black out a block of both images: nothing there to divide by."""
    fine, coarse = scene.fine.copy(), scene.coarse.copy()
    (height, width), (h, w) = scene.fine_valid.shape, scene.coarse_valid.shape
    fine[:, height // 4 : height // 2, width // 4 : width // 2] = 0.0
    coarse[:, h // 4 : h // 2, w // 4 : w // 2] = 0.0
    return replace(scene, fine=fine, coarse=coarse)


@cache
def scene_of(situation: str) -> Scene:
    two_gains = (0.4, 0.3, 0.4, 0.4)
    makers: dict[str, Callable[[], Scene]] = {
        "ratio 1": lambda: make_scene((aligned(1.0),) * 2, (70, 41), names=BANDS[:2]),
        "half a pixel, holes": lambda: make_scene((LANDSAT,) * 2, (43, 47), gains=two_gains, holes=True),
        "rows 2, columns 3.3": lambda: make_scene((aligned(2.0), aligned(3.3)), (38, 33), holes=True),
        "ratio 2, eight bands, holes": lambda: make_scene(
            (aligned(2.0),) * 2, (43, 47), names=NAMES, holes=True
        ),
        "ratio 3, one band": lambda: make_scene((aligned(3.0),) * 2, (27, 31), names=("gray",)),
        "ratio 3, dark": lambda: darkened(make_scene((aligned(3.0),) * 2, (25, 34), seed=5)),
        "ratio 4.016, holes": lambda: make_scene((JILIN,) * 2, (20, 38), names=BANDS[:3], holes=True, seed=2),
        "one shift": lambda: observed(
            make_scene((aligned(2.0),) * 2, (36, 40), seed=7), Observation((0.3,) * 4, (0.7, -1.4))
        ),
        "two arrays of detectors, holes": lambda: observed(
            make_scene((aligned(2.0),) * 2, (36, 40), seed=8, holes=True),
            Observation(
                (0.3, 0.35, 0.3, 0.3), (0.2, 0.1), ((0.2, 0.1), (0.25, 0.06), (-1.1, 0.4), (-1.1, 0.4))
            ),
        ),
    }
    return makers[situation]()


SITUATIONS = (
    "ratio 1",
    "half a pixel, holes",
    "rows 2, columns 3.3",
    "ratio 2, eight bands, holes",
    "ratio 3, one band",
    "ratio 3, dark",
    "ratio 4.016, holes",
    "one shift",
    "two arrays of detectors, holes",
)


@cache
def reference_of(situation: str) -> Ridge:
    scene = scene_of(situation)
    return ridge(pair_of(scene), scene.observation.shift_px, scene.observation.band_shift_px)


@cache
def fitted_of(situation: str) -> Params:
    return fitted(scene_of(situation), "ridge", dtype="float64")


def coefficients_of(params: Params) -> NDArray:
    """(K, B), as the reference has them."""
    values = params.values
    taps = np.reshape(values["taps"], (-1, TAPS))
    return np.concatenate([taps, values["ratios"], values["corrections"]], axis=1).T


@pytest.mark.parametrize("situation", SITUATIONS)
def test_equals_reference(situation: str) -> None:
    scene, truth = scene_of(situation), reference_of(situation)
    valid = pair_of(scene).valid
    span = np.abs(truth.fused[:, valid]).max()
    params = fitted_of(situation)
    assert params.values["samples"] == truth.count
    assert params.values["extras"] == (["back-projection"] if truth.corrected else [])
    assert params.values["penalty"] == truth.penalty
    found = coefficients_of(params)
    assert np.abs(found - truth.coefficients).max() < 1e-9 * np.abs(truth.coefficients).max()
    precise = applied(scene, "ridge", params, dtype="float64")
    assert np.abs(precise - truth.fused)[:, valid].max() < 1e-10 * span
    assert np.abs(fused(scene, "ridge") - truth.fused)[:, valid].max() < 3e-6 * span


@pytest.mark.parametrize("situation", SITUATIONS)
def test_hold_out_equals_an_explicit_refit(situation: str) -> None:
    truth = reference_of(situation)
    report = fitted_of(situation).values["hold_out"]
    if np.isnan(truth.rmse).any():  # a scene of one block has nothing to hold out
        assert report is None
        return
    assert np.allclose(report["rmse"], truth.rmse, rtol=1e-9, atol=0.0)
    assert np.allclose(report["upsampling_rmse"], truth.base, rtol=1e-9, atol=0.0)
    assert (truth.rmse < truth.base).all()
    chosen = [trial for trial in report["tried"] if trial["rmse"] == report["rmse"]]
    assert [(trial["back_projection"], trial["penalty"]) for trial in chosen] == [
        (truth.corrected, truth.penalty)
    ]


def test_situations_hold_something_out_and_something_not() -> None:
    held = [not np.isnan(reference_of(situation).rmse).any() for situation in SITUATIONS]
    assert any(held)
    assert not all(held)
    dark = scene_of("ratio 3, dark")
    features, _ = full_scale(pair_of(dark), (0.0, 0.0), ((0.0, 0.0),) * 4)
    assert (features[TAPS : TAPS + 4] == 0.0).mean() > 0.02


def test_the_modulation_is_bounded() -> None:
    """Next to darkness d / P_L grows without end: it is kept within -1 .. 1, and was beyond."""
    pair = pair_of(scene_of("ratio 3, dark"))
    features, up = full_scale(pair, (0.0, 0.0), ((0.0, 0.0),) * 4)
    assert (np.abs(features[TAPS : TAPS + 4]) <= np.abs(up) * (1 + 1e-12)).all()
    assert (np.abs(features[TAPS : TAPS + 4]) == np.abs(up))[:, pair.valid].any()


def test_recovers_the_model_a_scene_was_made_with() -> None:
    """At ratio 1 all is convolution: bands that are PAN through a 5 x 5 kernel have just that detail."""
    scene = make_scene((aligned(1.0),) * 2, (96, 90), names=BANDS[:2], gains=(0.3, 0.3), seed=3)
    pair = pair_of(scene)
    pan = np.pad(pair.pan, 12, mode="symmetric")
    seen = Plane(pan, np.ones(pan.shape, np.bool_), (-12, -12)).down((pair.rows, pair.cols), 0.3)
    rng = np.random.default_rng(1)
    kernels = rng.normal(0.0, 0.2, (2, 5, 5))
    kernels += kernels[:, ::-1]
    kernels += kernels[:, :, ::-1]  # symmetric as the scene's borders are
    size = scene.coarse_valid.shape
    around, _ = seen.window((-2, -2), (size[0] + 4, size[1] + 4))
    coarse = np.stack(
        [
            sum(k[r, c] * around[r : r + size[0], c : c + size[1]] for r in range(5) for c in range(5))
            for k in kernels
        ]
    )
    made = replace(scene, coarse=coarse + 500.0)
    found = collected(made, RIDGE, dtype="float64")["ridge"]
    solution = ridge_penalty.solve(
        found,
        [0, 0],
        features=TAPS + 2,
        penalty=1e-12,
        folds=np.ones(FOLDS, np.bool_),
        scale=np.zeros(TAPS + 4),
    )
    assert np.abs(solution[:TAPS] - kernels.reshape(2, TAPS).T).max() < 2e-3
    assert np.abs(solution[TAPS:]).max() < 2e-3


@cache
def simulated(ratio: float, shift: tuple[float, float] = (0.0, 0.0)) -> tuple[Scene, NDArray]:
    """A landscape's pair and its truth, the model known."""
    truth = make_truth(256, rng=np.random.default_rng(5)).astype(np.float64)
    camera = Camera((0.3,) * 4, (0.15, 0.3, 0.3, 0.2), ratio=ratio, shift_px=shift, noise_sigma=1.0)
    pan, ms = observe(truth, camera, rng=np.random.default_rng(6))
    axes = camera_axes(camera)
    spans = [covered(axis, 256, size) for axis, size in zip(axes, ms.shape[1:], strict=True)]
    part = tuple(slice(*span) for span in spans)
    fine = pan[:, *part].astype(np.float64)
    scene = Scene(
        fine,
        np.ones(fine.shape[1:], np.bool_),
        ms.astype(np.float64),
        np.ones(ms.shape[1:], np.bool_),
        (moved(axes[0], spans[0][0]), moved(axes[1], spans[1][0])),
        Observation((0.3,) * 4, shift),
        Options(BANDS, ratio, largest_ratio=ratio),
    )
    return scene, truth[:, *part]


def error(scene: Scene, truth: NDArray, name: str) -> float:
    """ERGAS against the truth."""
    return ergas(truth, fused(scene, name), ratio=scene.options.ratio)


@pytest.mark.parametrize("ratio", [2.0, 4.0])
def test_better_than_its_neighbours_on_a_landscape(ratio: float) -> None:
    scene, truth = simulated(ratio)
    errors = {name: error(scene, truth, name) for name in ("exp", "gsa", "mtf-glp-hpm-r", "ridge")}
    assert errors["ridge"] < 0.97 * min(errors["gsa"], errors["mtf-glp-hpm-r"]), errors
    assert errors["ridge"] < 0.6 * errors["exp"], errors


def test_a_known_shift_does_no_harm() -> None:
    """A pair shifted by a pixel and a half is fused as well as one that is not, once the shift is known."""
    still, moved_by = simulated(4.0), simulated(4.0, (1.5, -0.8))
    assert error(*moved_by, "ridge") < 1.03 * error(*still, "ridge")
    blind = observed(moved_by[0], Observation((0.3,) * 4))
    assert error(blind, moved_by[1], "ridge") > 1.1 * error(*still, "ridge")


def test_better_on_the_real_landsat(landsat: Path) -> None:
    """The clear corner of the scene; one scale down the MS itself is the truth."""
    import rasterio

    def read(band: int, rows: slice, cols: slice) -> NDArray:
        with rasterio.open(landsat / f"LC80200392015216LGN00_B{band}.TIF") as source:
            return source.read(1)[rows, cols].astype(np.float64)

    def down(image: NDArray, size: tuple[int, int]) -> NDArray:
        """Landsat's own half pixel, on both scales."""
        padded = reference.symmetric(image, 30)
        plane = Plane(padded, np.ones(padded.shape, np.bool_), (-30, -30))
        return np.rint(plane.down(((0.5, -0.5), (0.5, -0.5)), 0.4).window((0, 0), size)[0])

    ms = np.stack([read(band, slice(480, 602), slice(0, 418)) for band in (2, 3, 4, 5)])
    pan = down(read(8, slice(960, 1205), slice(0, 837)), (122, 418))
    coarse = np.stack([down(plane, (61, 209)) for plane in ms])
    scene = Scene(
        pan[None],
        np.ones(pan.shape, np.bool_),
        coarse,
        np.ones(coarse.shape[1:], np.bool_),
        (LANDSAT, LANDSAT),
        Observation((0.4,) * 4),
        Options(BANDS, 2.0, largest_ratio=2.0),
    )
    errors = {name: error(scene, ms, name) for name in ("exp", "gsa", "mtf-glp-hpm-r", "ridge")}
    assert errors["ridge"] < 0.9 * min(errors["gsa"], errors["mtf-glp-hpm-r"]), errors


# --- what is collected --------------------------------------------------------------------------------------


def blocks(scene: Scene, block_px: int) -> list[NormalEquations]:
    cutter = Cutter(scene, RIDGE)
    return [
        RIDGE.collect("ridge", cutter.cut(core), scene.observation, options=scene.options, state={})
        for core in cores(scene.fine_valid.shape, (block_px, block_px))
    ]


def test_merged_in_any_order() -> None:
    """The order moves the last bits only; the same order gives the same bits."""
    parts = blocks(scene_of("half a pixel, holes"), 40)
    first, again, other = reduce(merge, parts), reduce(merge, parts), reduce(merge, parts[::-1])
    assert isinstance(first, NormalEquations)
    assert first.count == sum(part.count for part in parts) > 0
    assert first.pixels == sum(part.pixels for part in parts) > 0
    for field in fields(NormalEquations):
        one, two, three = (np.asarray(getattr(sums, field.name)) for sums in (first, again, other))
        assert np.array_equal(one, two)
        assert np.allclose(one, three, rtol=0.0, atol=1e-12 * np.abs(one).max())


def test_folds_do_not_depend_on_the_blocks() -> None:
    """A pixel's fold is that of its place in the output, whichever block brought it."""
    scene = scene_of("rows 2, columns 3.3")
    counts = [reduce(merge, blocks(scene, block_px)).counts for block_px in (33, 64, 4096)]
    assert np.array_equal(counts[0], counts[2])
    assert np.array_equal(counts[1], counts[2])
    assert (counts[2] > 0).sum() > 1


def test_every_pixel_serves_at_every_phase() -> None:
    scene = make_scene((aligned(3.0), aligned(2.0)), (34, 40), names=BANDS[:2])
    assert sum(part.count for part in blocks(scene, 50)) == 34 * 40 * 3 * 2


@pytest.mark.parametrize(("size", "place"), [((3, 5), (0, 0)), ((70, 41), (29, 63)), ((8, 100), (7, 31))])
def test_sums_of_products_equal_the_explicit_ones(size: tuple[int, int], place: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    detail = rng.normal(3.0, 5.0, (size[0] + 4, size[1] + 4))
    others = rng.normal(-1.0, 2.0, (3, *size))
    seen = rng.random(size) > 0.2
    sums = ProductSums(3, detail.dtype)
    sums.add(detail, others, seen, place)
    taps = [detail[r : r + size[0], c : c + size[1]] for r in range(5) for c in range(5)]
    samples = np.concatenate([taps, others])
    row, col = np.indices(size)
    fold = 2 * ((row + place[0]) // 32 % 2) + (col + place[1]) // 32 % 2
    for index, products in enumerate(sums.done()):
        own = samples[:, seen & (fold == index)]
        assert sums.counts[index] == own.shape[1]
        assert np.allclose(products, own @ own.T, rtol=0.0, atol=1e-12 * max(1.0, np.abs(own @ own.T).max()))


@settings(deadline=None, max_examples=60)
@given(st.floats(1.0, 8.0), st.floats(-2.0, 2.0), st.floats(0.1, 0.6), st.integers(-9, 9))
def test_there_and_back_is_both_operators_in_one(ratio: float, phase: float, gain: float, start: int) -> None:
    axis = shifted(aligned(ratio), phase)
    table = there_and_back(axis, gain, start, start + 7)
    down = gaussian_taps(axis, gain, start, start + 7)
    first, last = int(down.first[0]), int(down.first[-1]) + down.weights.shape[1]
    up = cubic_taps(axis, first, last)
    image = np.random.default_rng(start + 9).normal(size=200)
    fine = np.array([w @ image[f + 100 : f + 104] for f, w in zip(up.first, up.weights, strict=True)])
    both = [w @ fine[f - first : f - first + w.size] for f, w in zip(down.first, down.weights, strict=True)]
    once = [w @ image[f + 100 : f + 100 + w.size] for f, w in zip(table.first, table.weights, strict=True)]
    assert np.allclose(once, both, rtol=0.0, atol=1e-12)
    assert np.allclose(table.weights.sum(axis=1), 1.0, rtol=0.0, atol=1e-12)


# --- fitting ------------------------------------------------------------------------------------------------


def equations(rng: np.random.Generator, samples: int = 400) -> tuple[NormalEquations, list, list]:
    """Random normal equations of 6 features and 2 targets in 4 folds, and what they were made of."""
    xs = [rng.normal(size=(samples, 6)) * [1.0, 1.0, 30.0, 1.0, 0.2, 1.0] for _ in range(4)]
    model = rng.normal(size=(6, 2))
    ys = [x @ model + 0.3 * rng.normal(size=(samples, 2)) for x in xs]
    return (
        NormalEquations(
            np.array([[samples] * 4]),
            np.stack([x.T @ x for x in xs])[None],
            np.stack([x.T @ y for x, y in zip(xs, ys, strict=True)]),
            np.stack([(y**2).sum(axis=0) for y in ys]),
            samples,
            np.ones(3),
        ),
        xs,
        ys,
    )


@pytest.mark.parametrize("penalty", [1e-9, 1e-3, 0.5])
def test_ridge_minimises_its_penalised_error(penalty: float) -> None:
    """Stacked least squares on the samples themselves, features brought to unit power."""
    found, xs, ys = equations(np.random.default_rng(2))
    use = np.array([True, False, True, True])
    solution = ridge_penalty.solve(found, [0, 0], features=5, penalty=penalty, folds=use, scale=np.ones(6))
    x = np.concatenate([x for x, own in zip(xs, use, strict=True) if own])[:, :5]
    y = np.concatenate([y for y, own in zip(ys, use, strict=True) if own])
    size = np.sqrt((x**2).mean(axis=0))
    stacked = np.vstack([x / size, np.sqrt(penalty * len(x)) * np.eye(5)])
    truth = np.linalg.lstsq(stacked, np.vstack([y, np.zeros((5, 2))]), rcond=None)[0] / size[:, None]
    assert np.allclose(solution[:5], truth, rtol=1e-9, atol=1e-12)
    assert (solution[5] == 0.0).all()


def test_errors_from_sums_are_those_of_the_samples() -> None:
    found, xs, ys = equations(np.random.default_rng(3))
    trial = ridge_penalty.try_out(found, [0, 0], features=6, penalty=1e-2, scale=np.ones(6))
    gaps = []
    for fold in range(4):
        x = np.concatenate([own for index, own in enumerate(xs) if index != fold])
        y = np.concatenate([own for index, own in enumerate(ys) if index != fold])
        z = x / np.sqrt((x**2).mean(axis=0))
        c = np.linalg.solve(z.T @ z / len(z) + 1e-2 * np.eye(6), z.T @ y / len(z))
        gaps.append(ys[fold] - xs[fold] / np.sqrt((x**2).mean(axis=0)) @ c)
    truth = np.sqrt(np.mean(np.concatenate(gaps) ** 2, axis=0))
    assert np.allclose(trial.rmse, truth, rtol=1e-10, atol=0.0)
    assert np.allclose(
        ridge_penalty.residual_rms(found, [0, 0]),
        np.sqrt(np.mean(np.concatenate(ys) ** 2, axis=0)),
        rtol=1e-12,
    )


def test_a_feature_that_is_only_rounding_is_left_out() -> None:
    found, *_ = equations(np.random.default_rng(4))
    scale = np.array([1.0, 1.0, 1.0, 1e13, 1.0, 1.0])
    solution = ridge_penalty.solve(
        found, [0, 0], features=6, penalty=1e-3, folds=np.ones(4, np.bool_), scale=scale
    )
    assert (solution[3] == 0.0).all()
    assert (solution[[0, 1, 2, 4, 5]] != 0.0).all()


def test_the_cautious_of_equals_is_chosen() -> None:
    trials = [
        PenaltyTrial(features, penalty, (own, 2.0 * own))
        for features, penalty, own in (
            (29, 1e-2, 0.420),
            (29, 1e-3, 0.404),
            (29, 1e-4, 0.403),
            (33, 1e-3, 0.4025),
        )
    ]
    assert ridge_penalty.most_cautious(trials, (1.0, 2.0), near=1.005) == trials[1]
    assert ridge_penalty.most_cautious(trials, (1.0, 2.0), near=1.0) == trials[3]
    assert (
        ridge_penalty.most_cautious(trials[:1], (0.0, 0.0), near=1.005) == trials[0]
    )  # flat: nothing to compare with


def test_too_few_samples_are_upsampled_and_said_so() -> None:
    scene = make_scene((aligned(2.0),) * 2, (7, 9))
    params = fitted(scene, "ridge")
    assert 0 < params.values["samples"] < 10 * (TAPS + 4)
    assert params.values["hold_out"] is None
    assert np.array_equal(applied(scene, "ridge", params), fused(scene, "exp"))


def test_a_scene_without_a_known_pixel_collects_nothing() -> None:
    scene = make_scene((aligned(2.0),) * 2, (20, 20))
    blind = zeroed(replace(scene, coarse_valid=np.zeros_like(scene.coarse_valid)))
    state = collected(blind, RIDGE)
    assert state["ridge"].count == 0
    params = RIDGE.fit(state, blind.observation, options=blind.options)
    assert np.isfinite(applied(blind, "ridge", params)).all()


@pytest.mark.parametrize("ratio", [1.0, 2.0, 4.0, 8.0])
def test_a_flat_scene_gets_no_detail(ratio: float) -> None:
    scene = make_scene((aligned(ratio),) * 2, (40, 36), holes=True)
    flat = zeroed(replace(scene, fine=scene.fine * 0 + 777.0, coarse=scene.coarse * 0 + 333.0))
    result = fused(flat, "ridge")[:, pair_of(flat).valid]
    assert np.abs(result - 333.0).max() < 1e-3


def test_a_lone_valid_pan_is_no_spike() -> None:
    """A valid PAN pixel alone in a large hole has no neighbours to stand out from."""
    scene = make_scene((aligned(4.0),) * 2, (25, 29))
    params = fitted(scene, "ridge")
    valid = np.ones_like(scene.fine_valid)
    valid[16:-16, 16:-16] = False
    lone = (slice(None), slice(38, 70, 25), slice(38, 80, 25))
    valid[lone[1:]] = True
    holed = zeroed(replace(scene, fine_valid=valid))
    detail = (applied(holed, "ridge", params) - fused(scene, "exp"))[lone]
    assert np.abs(detail).max() < 1.0


def test_params_are_json_and_of_their_bands() -> None:
    values = fitted(scene_of("half a pixel, holes"), "ridge").values
    assert json.loads(json.dumps(values)) == values
    assert np.shape(values["taps"]) == (4, 5, 5)
    assert np.shape(values["ratios"]) == np.shape(values["corrections"]) == (4, 4)
    assert len(values["hold_out"]["tried"]) == 6


def test_only_ridge_is_sampled() -> None:
    assert [name for name in METHODS if get(name).about.sampled] == ["ridge"]


def test_reach_grows_with_shift_and_ratio() -> None:
    reaches = [
        RIDGE.halo(Observation((0.3,), (shift, 0.0)), options=Options(("a",), ratio))
        for ratio, shift in ((1.0, 0.0), (2.0, 0.0), (2.0, 3.0), (4.0, 3.0), (8.0, 3.0))
    ]
    for less, more in pairwise(reaches):
        assert more.fine_px > less.fine_px
        assert more.coarse_cpx > less.coarse_cpx


@pytest.mark.parametrize("situation", ["one shift", "two arrays of detectors, holes"])
def test_any_cut_gives_the_same_bits_where_bands_are_shifted(situation: str) -> None:
    scene = scene_of(situation)
    params = fitted(scene, "ridge")
    whole = applied(scene, "ridge", params)
    for tile in ((64, 64), (17, 39)):
        assert np.array_equal(applied(scene, "ridge", params, tile=tile), whole)
    assert np.array_equal(applied(scene, "ridge", params, spare=(9, 9)), whole)
    roomy = collected(scene, RIDGE, block_px=40, spare=(9, 9))["ridge"]
    exact = collected(scene, RIDGE, block_px=40)["ridge"]
    assert all(np.array_equal(getattr(roomy, f.name), getattr(exact, f.name)) for f in fields(roomy))
