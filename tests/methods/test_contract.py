"""The contract of every method: the same bits for any cut, from patches that reach as far as it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

from geofuse.errors import MethodError
from geofuse.geometry import AxisMap
from geofuse.methods.base import Options, fused_core
from geofuse.methods.sums import GainEquations, Histogram, Moments, NormalEquations, Spectra
from geofuse.methods.table import AUTO, METHODS, get
from tests.methods.scenes import (
    JILIN,
    LANDSAT,
    NAMES,
    Cutter,
    Scene,
    aligned,
    applied,
    collected,
    fitted,
    make_scene,
)

PHASES: dict[str, tuple[AxisMap, AxisMap]] = {
    "1": (aligned(1.0), aligned(1.0)),
    "1, off by half": (AxisMap(1.0, -0.5), AxisMap(1.0, 0.25)),
    "2": (aligned(2.0), aligned(2.0)),
    "2, half a pixel": (LANDSAT, LANDSAT),
    "3": (aligned(3.0), aligned(3.0)),
    "3, off by a third": (AxisMap(1 / 3, -0.5), AxisMap(1 / 3, 0.0)),
    "4": (aligned(4.0), aligned(4.0)),
    "4, shifted": (AxisMap(0.25, -0.375 + 0.37 / 4), AxisMap(0.25, -0.375 - 2.61 / 4)),
    "4.016": (JILIN, JILIN),
    "2 by 5": (aligned(2.0), aligned(5.0)),
    "5.5 by 3": (aligned(5.5), aligned(3.0)),
    "8": (aligned(8.0), aligned(8.0)),
}
SMALL_BLOCK_PX = 64
SMALL_CUTS = ((64, 64), (37, 53), (9, 97))
MORE = (9, 9)
TRUE_CUTS = ((512, 512), (1024, 1024), (2048, 2048), (411, 777))


@cache
def small_scene(phase: str) -> Scene:
    axes = PHASES[phase]
    coarse = round(93 * axes[0].scale), round(105 * axes[1].scale)
    return make_scene(axes, coarse, names=NAMES[:3], gains=(0.34, 0.34, 0.15), holes=True)


@cache
def true_scene(phase: str, size: tuple[int, int]) -> Scene:
    axes = PHASES[phase]
    coarse = round(size[0] * axes[0].scale), round(size[1] * axes[1].scale)
    return make_scene(axes, coarse, names=NAMES[:3], gains=(0.3, 0.3, 0.3), holes=True)


def some(count: int, phases: Sequence[str]) -> list[Any]:
    """Pair every method with `count` of the phases, so that all are covered; the other pairs are slow."""
    quick = {
        (name, phases[(at + step * len(phases) // count) % len(phases)])
        for at, name in enumerate(METHODS)
        for step in range(count)
    }
    assert {phase for _, phase in quick} == set(phases)
    return [
        pytest.param(name, phase, marks=() if (name, phase) in quick else pytest.mark.slow)
        for phase in phases
        for name in METHODS
    ]


def same(first: Any, second: Any) -> bool:
    """Whether two collections hold the same bits."""
    return type(first) is type(second) and all(
        np.array_equal(getattr(first, field.name), getattr(second, field.name)) for field in fields(first)
    )


@pytest.mark.parametrize(("name", "phase"), some(4, tuple(PHASES)))
def test_any_cut_gives_the_same_bits(name: str, phase: str) -> None:
    scene = small_scene(phase)
    params = fitted(scene, name, block_px=SMALL_BLOCK_PX)
    whole = applied(scene, name, params)
    assert np.isfinite(whole).all()
    for tile in SMALL_CUTS:
        assert np.array_equal(applied(scene, name, params, tile=tile), whole), tile


@pytest.mark.parametrize(
    ("name", "phase"), some(2, ("1, off by half", "2, half a pixel", "4.016", "5.5 by 3", "8"))
)
def test_more_than_the_reach_changes_nothing(name: str, phase: str) -> None:
    """Neither the statistics nor the result depend on what lies beyond the halo a method asked for."""
    scene, method = small_scene(phase), get(name)
    exact = collected(scene, method, block_px=SMALL_BLOCK_PX)
    roomy = collected(scene, method, block_px=SMALL_BLOCK_PX, spare=MORE)
    assert list(exact) == list(roomy) == [one.name for one in method.passes(scene.options)]
    assert all(same(exact[key], roomy[key]) for key in exact)
    params = method.fit(exact, scene.observation, options=scene.options)
    assert np.array_equal(applied(scene, name, params), applied(scene, name, params, spare=MORE))


@pytest.mark.parametrize("name", METHODS)
def test_any_cut_gives_the_same_bits_in_float64(name: str) -> None:
    scene = small_scene("4.016")
    params = fitted(scene, name, dtype="float64", block_px=SMALL_BLOCK_PX)
    whole = applied(scene, name, params, dtype="float64")
    assert whole.dtype == np.float64
    assert np.array_equal(applied(scene, name, params, tile=(37, 53), dtype="float64"), whole)


@pytest.mark.parametrize("name", METHODS)
def test_true_tiles_and_blocks(name: str) -> None:
    scene = true_scene("2, half a pixel", (1100, 230))
    params = fitted(scene, name)
    whole = applied(scene, name, params, tile=(2048, 2048))
    for tile in TRUE_CUTS:
        assert np.array_equal(applied(scene, name, params, tile=tile), whole), tile


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["2, half a pixel", "3", "4.016", "8"])
@pytest.mark.parametrize("name", METHODS)
def test_true_tiles_and_blocks_of_a_large_scene(name: str, phase: str) -> None:
    scene = true_scene(phase, (2150, 1100))
    params = fitted(scene, name)
    whole = applied(scene, name, params)
    for tile in (*TRUE_CUTS, (2048, 2048)):
        assert np.array_equal(applied(scene, name, params, tile=tile), whole), tile


@pytest.mark.parametrize("name", METHODS)
def test_statistics_barely_depend_on_the_blocks(name: str) -> None:
    """Blocks are fixed for the sake of bits; the sums themselves are those of the scene."""
    scene, method = small_scene("3"), get(name)
    cut = collected(scene, method, dtype="float64", block_px=41)
    whole = collected(scene, method, dtype="float64", block_px=4096)
    for key, found in cut.items():
        if isinstance(found, Histogram | Spectra):
            assert same(found, whole[key])
        elif isinstance(found, NormalEquations | GainEquations):
            assert np.array_equal(found.counts, whole[key].counts)
            largest = found.gram.max(initial=0.0)
            assert np.allclose(found.gram, whole[key].gram, rtol=0.0, atol=1e-12 * largest)
        else:
            assert isinstance(found, Moments)
            scatter = whole[key].scatter
            assert found.count == whole[key].count
            assert np.allclose(found.mean, whole[key].mean, rtol=1e-12, atol=0.0)
            assert np.allclose(found.scatter, scatter, rtol=0.0, atol=1e-12 * scatter.max())


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", ["mtf-glp", "gsa", "bdsd-pc"])
def test_every_pixel_is_counted_once(name: str, phase: str) -> None:
    """Whatever the blocks, each coarse pixel whose centre is in the scene belongs to one of them."""
    scene, method = small_scene(phase), get(name)
    clear = replace(
        scene,
        fine_valid=np.ones_like(scene.fine_valid),
        coarse_valid=np.ones_like(scene.coarse_valid),
    )
    for block_px in (37, 64):
        state = collected(clear, method, block_px=block_px)
        for key, pixels in {
            "fine": clear.fine_valid.size,
            "coarse": coarse_centres(clear),
            "coarser": coarse_centres(clear),
        }.items():
            if key in state:
                assert state[key].count == pixels


def coarse_centres(scene: Scene) -> int:
    """Count the coarse pixels whose centre lies in the fine image's footprint, its far border left out."""
    count = 1
    for axis, size in zip(scene.axes, scene.fine_valid.shape, strict=True):
        centres = (np.arange(-9, 400) - axis.offset) / axis.scale
        count *= int(((centres >= -0.5 - 1e-7) & (centres < size - 0.5 - 1e-7)).sum())
    return count


@pytest.mark.parametrize("name", METHODS)
def test_a_patch_is_only_read(name: str) -> None:
    scene, method = small_scene("4"), get(name)
    core = (10, 60, 20, 90)
    patch, untouched = Cutter(scene, method).cut(core), Cutter(scene, method).cut(core)
    state = collected(scene, method)
    params = method.fit(state, scene.observation, options=scene.options)
    for one in method.passes(scene.options):
        method.collect(one.name, patch, scene.observation, options=scene.options, state=state)
    fused = fused_core(method, patch, params, scene.observation, options=scene.options)
    assert fused.shape == (3, 50, 70)
    assert fused.dtype == np.float32
    assert not any(np.shares_memory(fused, plane) for plane in (patch.guides, patch.target.values))
    for name in ("guides", "guides_valid", "valid"):
        assert np.array_equal(getattr(patch, name), getattr(untouched, name)), name
    for name in ("values", "valid"):
        assert np.array_equal(getattr(patch.target, name), getattr(untouched.target, name)), name


@pytest.mark.parametrize("short", [(0, -2), (-5, 0)])
@pytest.mark.parametrize("name", METHODS)
def test_less_than_the_reach_is_noticed(name: str, short: tuple[int, int]) -> None:
    """A patch cut too close raises instead of giving something else: reaches are tight, and checked."""
    scene, method = small_scene("4"), get(name)
    reach = method.halo(scene.observation, options=scene.options)
    if reach.fine_px < 3:  # there is no fine halo to cut short, or all of it
        short = (-reach.fine_px, -2)
    state = collected(scene, method)
    params = method.fit(state, scene.observation, options=scene.options)
    patch = Cutter(scene, method, spare=short).cut((41, 83, 40, 84))
    steps = [
        *(partial(method.collect, one.name, state=state) for one in method.passes(scene.options)),
        partial(fused_core, method, params=params),
    ]
    with pytest.raises(IndexError, match="leave"):
        list(step(patch=patch, observation=scene.observation, options=scene.options) for step in steps)


def test_names() -> None:
    for name in METHODS:
        about = get(name).about
        assert about.name == name
        assert about.paper
        assert about.title
        assert about.family
    assert get("auto") is get(AUTO)
    with pytest.raises(MethodError, match=r"did you mean gsa\?"):
        get("gsaa")
    with pytest.raises(MethodError, match=r"one of auto, .*exp, brovey"):
        get("zzzzzz")


@pytest.mark.parametrize("name", METHODS)
def test_params_name_their_method(name: str) -> None:
    assert fitted(small_scene("2"), name).method == name


@pytest.mark.parametrize("name", METHODS)
def test_reach_grows_with_the_larger_ratio(name: str) -> None:
    method, observation = get(name), small_scene("2").observation
    plain = method.halo(observation, options=Options(("a",), 3.0))
    skewed = method.halo(observation, options=Options(("a",), 3.0, largest_ratio=6.0))
    assert skewed.fine_px >= plain.fine_px
    assert skewed.coarse_cpx >= plain.coarse_cpx
