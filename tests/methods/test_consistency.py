"""Back-projection: equal to the plain loop in float64, the same for any cut, and it brings D(F) to M."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, cubic_taps, gaussian_taps, shifted
from geofuse.methods.base import After, Params, Patch, Reach, Target
from geofuse.methods.observation import Observation, ShiftField, axes_at, degrade, upsample
from geofuse.methods.sharpen.back_projection import fuse_patch, margin_px, round_trip_cpx
from geofuse.methods.sharpen.one_scale_down import there_and_back
from geofuse.methods.table import get
from tests.methods import reference
from tests.methods.scenes import LANDSAT, NAMES, Scene, aligned, fitted, make_scene

Core = tuple[int, int, int, int]
PHASES = {
    "2, half a pixel": (LANDSAT, LANDSAT),
    "4": (aligned(4.0), aligned(4.0)),
    "4.016": (aligned(2.0 / 0.498),) * 2,
    "3 by 5": (aligned(3.0), aligned(5.0)),
}


def scene_of(phase: str, *, holes: bool, observation: Observation | None = None) -> Scene:
    axes = PHASES[phase]
    size = round(100 * axes[0].scale), round(110 * axes[1].scale)
    scene = make_scene(axes, size, names=NAMES[:3], gains=(0.34, 0.34, 0.2), holes=holes)
    return replace(scene, observation=observation) if observation else scene


def grown_patch(scene: Scene, core: Core, margin: int, reach: Reach, dtype: str) -> Patch:
    """The patch of a core and a margin around it, mirrored beyond the scene."""
    fine_px, coarse_cpx = 300, 150
    assert reach.fine_px + margin < fine_px
    row0, row1, col0, col1 = core[0] - margin, core[1] + margin, core[2] - margin, core[3] + margin
    fine = reference.symmetric(scene.fine.astype(dtype), fine_px)
    fine_valid = reference.symmetric(scene.fine_valid, fine_px)
    coarse_valid = reference.symmetric(scene.coarse_valid, coarse_cpx)

    def under(axis: AxisMap, start: int, stop: int) -> NDArray[np.int64]:
        return (
            np.floor(axis.scale * np.arange(start, stop) + axis.offset + 0.5 + 1e-6).astype(int) + coarse_cpx
        )

    inner = slice(row0 + fine_px, row1 + fine_px), slice(col0 + fine_px, col1 + fine_px)
    seen = coarse_valid[np.ix_(under(scene.axes[0], row0, row1), under(scene.axes[1], col0, col1))]
    coarse = reference.symmetric(scene.coarse.astype(dtype), coarse_cpx)
    return Patch(
        fine,
        fine_valid,
        (-fine_px, -fine_px),
        (Target(coarse, coarse_valid, (-coarse_cpx, -coarse_cpx), *scene.axes),),
        (row0, row1, col0, col1),
        fine_valid[inner] & seen,
    )


def product(
    scene: Scene,
    name: str,
    params: Params,
    core: Core,
    after: After,
    *,
    dtype: str = "float32",
    more: int = 0,
) -> NDArray:
    """Fuse a core, with `more` margin than is needed."""
    method = get(name)
    margin = margin_px(scene.observation, after.rounds, scene.options) + more
    reach = method.halo(scene.observation, options=scene.options)
    patch = grown_patch(scene, core, margin, reach, dtype)
    return fuse_patch(method, patch, params, scene.observation, options=scene.options, core=core, after=after)


def whole(scene: Scene) -> Core:
    return 0, scene.fine_valid.shape[0], 0, scene.fine_valid.shape[1]


def table(taps: object, size: int, origin: int) -> NDArray:
    """A tap table as a dense matrix over indices origin .. origin + size."""
    out = np.zeros((len(taps.first), size))
    for row, (first, weights) in enumerate(zip(taps.first, taps.weights, strict=True)):
        out[row, first - origin : first - origin + len(weights)] += weights
    return out


@pytest.mark.parametrize("rounds", [1, 2, 3])
@pytest.mark.parametrize("phase", PHASES)
def test_equals_the_plain_loop(phase: str, rounds: int) -> None:
    """F <- F + U(M - D(F)) in float64 by dense matrices on a wider area, compared where its sides do not matter."""
    shifts = ((0.6, -1.2), (0.6, -1.2), (-0.4, 0.3))
    observation = Observation((0.34, 0.34, 0.2), (0.6, -1.2), shifts)
    scene = scene_of(phase, holes=False, observation=observation)
    params = fitted(replace(scene, observation=Observation(observation.mtf_gain)), "gsa")
    core = (40, 60, 44, 66)
    found = product(scene, "gsa", params, core, After(rounds), dtype="float64")
    side = 170
    area = (core[0] - side, core[1] + side, core[2] - side, core[3] + side)
    fused = product(scene, "gsa", params, area, After(0), dtype="float64")
    for band in range(3):
        known = fused[band]
        operators = []
        for axis, (start, stop), shift in zip(scene.axes, (area[:2], area[2:]), shifts[band], strict=True):
            moved = shifted(axis, shift)
            first, last = (round(moved.scale * place + moved.offset) for place in (start + 30, stop - 30))
            down = table(gaussian_taps(moved, observation.mtf_gain[band], first, last), stop - start, start)
            inside = start + 45, stop - 45
            up = np.zeros((stop - start, last - first))
            up[45 : stop - start - 45] = table(cubic_taps(moved, *inside), last - first, first)
            operators.append((first, last, down, up))
        (r0, r1, down_y, up_y), (c0, c1, down_x, up_x) = operators
        rows = reference.symmetric(scene.coarse, 150)[band, r0 + 150 : r1 + 150, c0 + 150 : c1 + 150]
        for _ in range(rounds):
            known = known + up_y @ (rows - down_y @ known @ down_x.T) @ up_x.T
        expected = known[side : side + core[1] - core[0], side : side + core[3] - core[2]]
        assert np.abs(found[band] - expected).max() < 1e-6


@pytest.mark.parametrize("name", ["gsa", "mtf-glp-hpm-r", "exp"])
@pytest.mark.parametrize("phase", PHASES)
def test_any_cut_gives_the_same_bits(phase: str, name: str) -> None:
    shifted_by = Observation((0.34, 0.34, 0.2), (0.6, -1.2), ((0.6, -1.2), (1.4, -1.2), (0.6, -1.2)))
    scene = scene_of(phase, holes=True, observation=shifted_by)
    params = fitted(scene_of(phase, holes=True), name)
    after = After(3, (1.0, 0.4, 0.0))
    full = product(scene, name, params, whole(scene), after)
    assert np.isfinite(full).all()
    height, width = scene.fine_valid.shape
    for row0, row1, col0, col1 in ((0, 37, 0, 53), (37, height, 53, width), (11, 64, 20, width - 7)):
        core = row0, row1, col0, col1
        expected = full[:, row0:row1, col0:col1]
        assert np.array_equal(product(scene, name, params, core, after), expected)
        assert np.array_equal(product(scene, name, params, core, after, more=13), expected)


FIELD = ShiftField(
    (-40, -20),
    64,
    ((-0.8, 0.3, 0.6, 0.1), (0.4, 0.9, -0.2, 0.5), (0.0, -0.6, 0.7, -0.9), (0.2, 0.2, -0.4, 0.3)),
    ((0.5, -0.5, 0.2, 0.0), (-0.9, 0.1, 0.4, 0.2), (0.6, 0.6, -0.3, 0.8), (0.1, -0.7, 0.0, 0.4)),
)


@pytest.mark.parametrize("name", ["gsa", "mtf-glp-hpm-r", "ridge"])
@pytest.mark.parametrize("phase", ["2, half a pixel", "4", "3 by 5"])
def test_any_cut_gives_the_same_bits_under_a_field_of_shifts(phase: str, name: str) -> None:
    model = Observation((0.34, 0.34, 0.2), (0.6, -1.2), ((0.6, -1.2), (1.1, -1.2), (0.6, -1.2)), field=FIELD)
    scene = scene_of(phase, holes=True, observation=model)
    params = fitted(scene_of(phase, holes=True), name)
    after = After(2)
    full = product(scene, name, params, whole(scene), after)
    assert np.isfinite(full).all()
    height, width = scene.fine_valid.shape
    for row0, row1, col0, col1 in ((0, 37, 0, 53), (37, height, 53, width)):
        found = product(scene, name, params, (row0, row1, col0, col1), after)
        assert np.array_equal(found, full[:, row0:row1, col0:col1])


def test_a_field_of_one_value_is_a_shift() -> None:
    """Both operators, with holes, equal those of the constant."""
    flat = ShiftField((-9, 3), 50, ((0.7, 0.7),) * 2, ((-0.4, -0.4),) * 2)
    scene = scene_of("4", holes=True)
    fine, valid = scene.fine, scene.fine_valid
    window = (6, 18, 7, 19)
    moved = degrade(fine, valid, (0, 0), axes_at(scene.axes, (0.7, -0.4)), window, gain=0.3)
    found = degrade(fine, valid, (0, 0), axes_at(scene.axes, (0.0, 0.0), flat), window, gain=0.3)
    assert np.array_equal(found[1], moved[1])
    assert np.allclose(found[0], moved[0], rtol=1e-9)
    place = (20, 60, 24, 70)
    raised = upsample(scene.coarse, (0, 0), axes_at(scene.axes, (0.7, -0.4)), place)
    assert np.allclose(
        upsample(scene.coarse, (0, 0), axes_at(scene.axes, (0.0, 0.0), flat), place), raised, rtol=1e-9
    )


def test_a_field_is_bilinear_and_leads_where_it_says() -> None:
    """On a linear image U and D are exact: their values tell the place that was looked at."""
    axis = aligned(4.0)
    rows, cols = np.mgrid[0:60.0, 0:60.0]
    field = ShiftField((0, 0), 100, ((0.0, 0.0), (2.0, 2.0)), ((0.0, 1.0), (0.0, 1.0)))
    lifted = upsample(rows[None], (0, 0), axes_at((axis, axis), (0.0, 0.0), field), (50, 90, 50, 90))[0]
    fine = np.arange(50.0, 90.0)
    assert np.allclose(lifted[:, 0], 0.25 * (fine + 0.02 * fine) - 0.375)
    lifted = upsample(cols[None], (0, 0), axes_at((axis, axis), (0.0, 0.0), field), (50, 90, 50, 90))[0]
    assert np.allclose(lifted[0], 0.25 * (fine + 0.01 * fine) - 0.375)
    high = np.mgrid[0:240.0, 0:240.0][0][None]
    seen, _ = degrade(
        high,
        np.ones((240, 240), np.bool_),
        (0, 0),
        axes_at((axis, axis), (0.0, 0.0), field),
        (10, 40, 10, 40),
        gain=0.3,
    )
    place = (np.arange(10.0, 40.0) + 0.375) * 4.0
    expected = np.where(place / 1.02 < 100.0, place / 1.02, place - 2.0)
    assert np.allclose(seen[0, :, 0], expected, atol=2e-3)


def test_brings_the_product_to_the_coarse_image() -> None:
    """Each round lowers |M - D(F)|, for upsampling by more than half in all."""
    scene = scene_of("4", holes=False)
    misses = []
    for rounds in (0, 1, 3):
        made = product(scene, "exp", Params("exp"), whole(scene), After(rounds), dtype="float64")
        size = scene.coarse.shape[1:]
        down = [
            table(gaussian_taps(axis, scene.observation.mtf_gain[0], 6, count - 6), made.shape[1 + k], 0)
            for k, (axis, count) in enumerate(zip(scene.axes, size, strict=True))
        ]
        seen = down[0] @ made[0] @ down[1].T
        misses.append(float(np.abs(scene.coarse[0, 6:-6, 6:-6] - seen).mean()))
    assert misses[2] < misses[1] < misses[0]
    assert misses[2] < 0.5 * misses[0]


def test_shares_blend_with_upsampling() -> None:
    scene = scene_of("4", holes=False)
    params = fitted(scene, "gsa")
    core = (8, 40, 8, 40)
    full, half, none = (
        product(scene, "gsa", params, core, After(0, (share,) * 3)) for share in (1.0, 0.5, 0.0)
    )
    plain = product(scene, "exp", Params("exp"), core, After(0))
    assert np.array_equal(none, plain)
    assert np.allclose(half, 0.5 * (full + plain), rtol=1e-5)
    assert not np.allclose(full, plain, rtol=1e-3)


def test_round_trip_is_d_after_u() -> None:
    """The combined table equals the product of both, at fractional phases too."""
    axis = AxisMap(0.249, -0.371)
    combined = there_and_back(axis, 0.3, 20, 30)
    down = gaussian_taps(axis, 0.3, 20, 30)
    low, high = int(down.first[0]), int(down.first[-1]) + down.weights.shape[1]
    expected = table(down, high - low, low) @ table(cubic_taps(axis, low, high), 40, 5)
    assert np.allclose(table(combined, 40, 5), expected, atol=1e-12)
    assert combined.weights.sum(axis=1) == pytest.approx(1.0)
    place = np.abs(combined.first - np.arange(20, 30))
    assert place.max() <= round_trip_cpx(Observation((0.3,)), 1.0 / axis.scale)


def test_nothing_to_ask_means_nothing_changes() -> None:
    scene = scene_of("4", holes=False)
    scene = replace(scene, coarse_valid=np.zeros_like(scene.coarse_valid), coarse=np.zeros_like(scene.coarse))
    core = (8, 40, 8, 40)
    made = product(scene, "exp", Params("exp"), core, After(3))
    assert np.array_equal(made, np.zeros_like(made))
    assert margin_px(scene.observation, 0, scene.options) == 0
