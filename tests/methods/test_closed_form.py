"""Every closed-form method against a whole-array reference written from its paper."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, shifted
from geofuse.methods.table import METHODS
from tests.methods.reference import REFERENCES, Pair, hpm_r_slopes
from tests.methods.scenes import (
    JILIN,
    LANDSAT,
    NAMES,
    Scene,
    aligned,
    applied,
    fitted,
    fused,
    make_scene,
    pair_of,
    zeroed,
)

ADDITIVE = ("exp", "ihs", "pca", "gs", "gsa", "hpf", "mtf-glp", "mtf-glp-fs")
SCALED = tuple(name for name in METHODS if name != "bt-h")  # its haze comes from a histogram of 65536 bins
ADDS_TO_FLAT = ("brovey", "ihs", "pca", "gs", "ridge")  # ridge sharpens with the MS's own detail, too
QUARTER = aligned(4.0)


def darkened(scene: Scene) -> Scene:
    """Black out a block of both images: every ratio there would divide by nothing."""
    fine, coarse = scene.fine.copy(), scene.coarse.copy()
    _, height, width = fine.shape
    _, h, w = coarse.shape
    fine[:, height // 4 : height // 2, width // 4 : width // 2] = 0.0
    coarse[:, h // 4 : h // 2, w // 4 : w // 2] = 0.0
    return replace(scene, fine=fine, coarse=coarse)


def in_reflectance(scene: Scene) -> Scene:
    """The same scene as floats between 0 and 1."""
    options = replace(scene.options, whole=False)
    return replace(scene, fine=scene.fine / 1e4, coarse=scene.coarse / 1e4, options=options)


def with_weights(scene: Scene) -> Scene:
    return replace(scene, options=replace(scene.options, weights=(0.1, 0.5, 0.3, 0.1)))


@cache
def scene_of(situation: str) -> Scene:
    bgr = ("blue", "green", "red")
    shuffled = ("red", "nir", "green", "blue")
    two_gains = (0.4, 0.3, 0.4, 0.4)
    tilted: tuple[AxisMap, AxisMap] = (shifted(QUARTER, 0.37), shifted(QUARTER, -0.61))
    makers = {
        "ratio 2, eight bands": lambda: make_scene((aligned(2.0),) * 2, (31, 36), names=NAMES),
        "ratio 3, three bands": lambda: make_scene((aligned(3.0),) * 2, (27, 31), names=bgr),
        "ratio 3, one band": lambda: make_scene((aligned(3.0),) * 2, (27, 31), names=("gray",)),
        "ratio 4": lambda: make_scene((QUARTER,) * 2, (25, 29)),
        "ratio 4, shifted": lambda: make_scene(tilted, (25, 29), names=("a", "b", "c", "d")),
        "ratio 4, dark": lambda: darkened(make_scene((QUARTER,) * 2, (25, 29), seed=5)),
        "ratio 4, reflectance": lambda: in_reflectance(make_scene((QUARTER,) * 2, (25, 29), seed=6)),
        "ratio 4, weights": lambda: with_weights(make_scene((QUARTER,) * 2, (25, 29), seed=7)),
        "PAN begins inside": lambda: make_scene((AxisMap(0.5, 0.125), AxisMap(1 / 3, 0.1)), (31, 36)),
        "ratio 4.016": lambda: make_scene((JILIN,) * 2, (25, 29), names=("a", "b", "c", "d")),
        "half a pixel": lambda: make_scene((LANDSAT,) * 2, (43, 47), names=shuffled, gains=two_gains),
        "half a pixel, holes": lambda: make_scene(
            (LANDSAT,) * 2, (43, 47), names=shuffled, gains=two_gains, holes=True
        ),
        "rows 2, columns 3.3": lambda: make_scene((aligned(2.0), aligned(3.3)), (38, 33), holes=True),
        "rows 5, columns 2": lambda: make_scene((aligned(5.0), aligned(2.0)), (25, 37)),
        "ratio 4, holes": lambda: make_scene((QUARTER,) * 2, (37, 41), holes=True),
        "ratio 4.016, holes": lambda: make_scene((JILIN,) * 2, (37, 41), holes=True, seed=2),
        "ratio 2, eight bands, holes": lambda: make_scene(
            (aligned(2.0),) * 2, (43, 47), names=NAMES, holes=True
        ),
    }
    return makers[situation]()


SITUATIONS = (
    "ratio 2, eight bands",
    "ratio 3, three bands",
    "ratio 3, one band",
    "ratio 4",
    "ratio 4, shifted",
    "ratio 4, dark",
    "ratio 4, reflectance",
    "ratio 4, weights",
    "PAN begins inside",
    "ratio 4.016",
    "half a pixel",
    "half a pixel, holes",
    "rows 2, columns 3.3",
    "rows 5, columns 2",
    "ratio 4, holes",
    "ratio 4.016, holes",
    "ratio 2, eight bands, holes",
)
FEW = ("half a pixel, holes", "ratio 4.016, holes", "rows 2, columns 3.3")


@cache
def pair_in(situation: str) -> Pair:
    return pair_of(scene_of(situation))


def worst(result: NDArray, truth: NDArray, where: NDArray[np.bool_]) -> float:
    """Largest difference over the pixels that count; NaN counts as infinite."""
    gap = np.abs(result.astype(np.float64) - truth)[:, where]
    return float(np.nan_to_num(gap, nan=np.inf).max())


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_method_equals_its_reference(situation: str) -> None:
    scene, pair = scene_of(situation), pair_in(situation)
    faults = []
    for name, reference in REFERENCES.items():
        truth = reference(pair)
        span = float(np.abs(truth[:, pair.valid]).max())
        haze_bin = 6e-5 if name == "bt-h" else 0.0
        for dtype, most in (("float32", 5e-6), ("float64", 1e-6)):
            gap = worst(fused(scene, name, dtype=dtype), truth, pair.valid)
            if not gap < (most + haze_bin) * span:
                faults.append(f"{name} in {dtype}: {gap / span:g} of its span")
    assert not faults


def test_scenes_are_worth_fusing() -> None:
    """The references are told apart by these scenes: no two methods agree, all but exp inject detail."""
    pair = pair_in("ratio 4")
    results = {name: reference(pair) for name, reference in REFERENCES.items()}
    names = list(results)
    assert names == [name for name in METHODS if name != "ridge"]  # which is held against its own
    for index, name in enumerate(names):
        for other in names[:index]:
            assert np.abs(results[name] - results[other]).max() > 1.0, (name, other)


@pytest.mark.parametrize("situation", FEW)
def test_holes_are_holes(situation: str) -> None:
    """The scenes with holes have some in both images, and valid PAN too thin for D to see half of it."""
    scene = scene_of(situation)
    assert 0.02 < 1.0 - scene.fine_valid.mean() < 0.4
    assert 0.02 < 1.0 - scene.coarse_valid.mean() < 0.4
    _, known = pair_in(situation).degraded(0.3, 0.5)
    assert not known.all()
    _, some = pair_in(situation).degraded(0.3, 1e-3)
    assert (some & ~known).any()


@pytest.mark.parametrize("name", METHODS)
def test_what_stands_under_nodata_is_never_seen(name: str) -> None:
    scene = scene_of("half a pixel, holes")
    rng = np.random.default_rng(11)
    results = []
    for top in (10.0, 60000.0):
        garbage = replace(
            scene,
            fine=np.where(scene.fine_valid, scene.fine, rng.uniform(-top, top, scene.fine.shape)),
            coarse=np.where(scene.coarse_valid, scene.coarse, rng.uniform(-top, top, scene.coarse.shape)),
        )
        results.append(fused(zeroed(garbage), name))
    assert np.array_equal(*results)


@pytest.mark.parametrize("situation", FEW)
@pytest.mark.parametrize("name", ADDITIVE)
def test_zeros_of_nodata_do_not_leak(name: str, situation: str) -> None:
    """A pedestal on all valid pixels comes out as itself: were a masked 0 seen anywhere, it would not."""
    scene = scene_of(situation)
    pedestal = np.linspace(300.0, 5000.0, scene.coarse.shape[0])[:, None, None]
    raised = zeroed(replace(scene, fine=scene.fine + 4000.0, coarse=scene.coarse + pedestal))
    valid = pair_in(situation).valid
    plain = fused(scene, name, dtype="float64")
    assert worst(fused(raised, name, dtype="float64"), plain + pedestal, valid) < 5e-3


@pytest.mark.parametrize("situation", FEW)
def test_a_flat_scene_stays_flat(situation: str) -> None:
    """No edge of a hole shows where both images are constant."""
    scene = scene_of(situation)
    level = np.linspace(400.0, 900.0, scene.coarse.shape[0])[:, None, None]
    flat = zeroed(
        replace(scene, fine=np.full_like(scene.fine, level.mean()), coarse=scene.coarse * 0 + level)
    )
    wanted, valid = np.broadcast_to(level, flat.coarse[:, :1, :1].shape), pair_in(situation).valid
    assert not [name for name in METHODS if not worst(fused(flat, name), wanted, valid) < 5e-3]


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ADDS_TO_FLAT])
def test_a_flat_pan_adds_nothing(name: str) -> None:
    """Rounding around the holes of a constant PAN is not blown up into detail."""
    scene = scene_of("ratio 4, holes")
    flat = zeroed(replace(scene, fine=np.full_like(scene.fine, 777.0)))
    difference = (fused(flat, name) - fused(flat, "exp"))[:, pair_in("ratio 4, holes").valid]
    assert np.ptp(difference, axis=1).max() < 0.1
    assert (
        name == "bdsd-pc" or np.abs(difference).max() < 0.1
    )  # it has no intercept: a constant serves as one


@pytest.mark.parametrize("situation", ["ratio 4, reflectance", "half a pixel, holes"])
@pytest.mark.parametrize("name", SCALED)
def test_units_do_not_matter(name: str, situation: str) -> None:
    """Both images times 1000: the result times 1000."""
    scene = scene_of(situation)
    scene = replace(scene, options=replace(scene.options, whole=False))
    large = replace(scene, fine=scene.fine * 1e3, coarse=scene.coarse * 1e3)
    plain = fused(scene, name, dtype="float64") * 1e3
    valid = pair_in(situation).valid
    assert worst(fused(large, name, dtype="float64"), plain, valid) < 1e-7 * np.abs(plain[:, valid]).max()


@pytest.mark.parametrize("name", METHODS)
def test_order_of_bands_does_not_matter(name: str) -> None:
    scene = scene_of("ratio 4, holes")
    order = [2, 0, 3, 1]
    turned = replace(
        scene,
        coarse=scene.coarse[order],
        observation=replace(
            scene.observation, mtf_gain=tuple(scene.observation.mtf_gain[band] for band in order)
        ),
        options=replace(scene.options, names=tuple(scene.options.names[band] for band in order)),
    )
    plain = fused(scene, name, dtype="float64")[order]
    valid = pair_in("ratio 4, holes").valid
    assert worst(fused(turned, name, dtype="float64"), plain, valid) < 1e-3


@pytest.mark.parametrize("name", ["mtf-glp", "mtf-glp-fs", "mtf-glp-hpm", "mtf-glp-hpm-r"])
def test_lone_valid_pan_is_no_spike(name: str) -> None:
    """A valid PAN pixel alone in a large hole has no neighbours to stand out from: next to no detail."""
    scene = scene_of("ratio 4")
    valid = np.ones_like(scene.fine_valid)
    valid[16:-16, 16:-16] = False
    lone = (slice(None), slice(38, 70, 25), slice(38, 80, 25))
    valid[lone[1:]] = True
    params = fitted(scene, name)
    holed = zeroed(replace(scene, fine_valid=valid))
    detail = (applied(holed, name, params) - applied(scene, "exp", fitted(scene, "exp")))[lone]
    assert np.abs(detail).max() < 1.0


@pytest.mark.parametrize("level", [3000.0, 100.0])
def test_a_band_that_goes_against_pan_gets_no_modulation(level: float) -> None:
    """Regressed radiometry has no meaning where the regression slopes down: such a band is upsampled only."""
    scene = scene_of("ratio 4")
    sign, base = np.array([1.0, -1.0, 1.0, 1.0]), np.array([0.0, level, 0.0, 0.0])
    against = replace(scene, coarse=scene.coarse * sign[:, None, None] + base[:, None, None])
    difference = np.abs(fused(against, "mtf-glp-hpm-r") - fused(against, "exp")).max(axis=(1, 2))
    assert difference[1] == 0.0
    assert (difference[[0, 2, 3]] > 1.0).all()


def test_modulation_is_limited_where_its_denominator_nears_zero() -> None:
    pair = pair_in("ratio 4, dark")
    free, limited = hpm_r_slopes(pair, 1e9), hpm_r_slopes(pair, 2.0)
    assert 0.0 < (free > limited).mean() < 0.5


@pytest.mark.parametrize("name", METHODS)
def test_twin_bands_stay_twins(name: str) -> None:
    """Two equal bands make every regression singular: the result is finite, and the twins get the same."""
    scene = scene_of("ratio 4, shifted")
    twins = replace(
        scene,
        coarse=scene.coarse[[0, 1, 2, 0]],
        observation=replace(scene.observation, mtf_gain=(0.3,) * 4),
    )
    result = fused(twins, name, dtype="float64")
    assert np.abs(result[3] - result[0]).max() < 1e-3
    single = replace(
        scene,
        coarse=scene.coarse[:3],
        observation=replace(scene.observation, mtf_gain=(0.3,) * 3),
        options=replace(scene.options, names=scene.options.names[:3]),
    )
    if name not in ("brovey", "ihs", "pca", "gs", "pracs", "awlp", "ridge"):  # these weigh a twin twice
        assert np.abs(result[:3] - fused(single, name, dtype="float64")).max() < 0.01
