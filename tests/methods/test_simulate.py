"""The simulator against closed forms: what a blur, a phase, a gain and a noise must do to known images."""

from __future__ import annotations

import math

import numpy as np
import pytest

from geofuse.errors import UsageError
from geofuse.geometry import AxisMap, axis_from_grids, cubic_taps, gaussian_taps
from geofuse.landscape import camera as simulate
from geofuse.landscape.camera import Camera, observe


def camera(bands: int = 1, **changed) -> Camera:
    known = {"mtf_gains": (0.3,) * bands, "pan_weights": (1.0 / bands,) * bands, "ratio": 4.0}
    return Camera(**(known | changed))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def inner(image: np.ndarray, edge: int = 4) -> np.ndarray:
    return image[..., edge:-edge, edge:-edge]


# --- observing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [1.0, 2.0, 4.0, 2.0 / 0.498])
def test_a_constant_stays_constant_up_to_the_edge(ratio):
    truth = np.full((2, 64, 80), 517.0, np.float32)
    seen = camera(2, ratio=ratio, shift_px=(1.3, -2.4), mtf_gains=(0.15, 0.45))
    pan, ms = observe(truth, seen, rng=rng())
    assert pan.shape == (1, 64, 80)
    assert ms.shape == (2, math.floor(64 / ratio), math.floor(80 / ratio))
    assert pan.dtype == ms.dtype == np.float32
    np.testing.assert_allclose(pan, 517.0, rtol=1e-6)
    np.testing.assert_allclose(ms, 517.0, rtol=1e-6)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.0, -2.0), (0.37, -0.81)])
@pytest.mark.parametrize("ratio", [2.0, 4.0, 4.016])
def test_a_ramp_is_read_at_the_coarse_centres(ratio, shift):
    y, x = np.mgrid[:128, :144].astype(np.float64)
    truth = np.stack([3.0 * y, 2.0 * x])
    _, ms = observe(truth, camera(2, ratio=ratio, shift_px=shift), rng=rng())
    rows = (np.arange(ms.shape[1]) + 0.5) * ratio - 0.5 - shift[0]  # in fine pixels, by hand
    cols = (np.arange(ms.shape[2]) + 0.5) * ratio - 0.5 - shift[1]
    # The filter is cut off 3 sigma out: off its lattice that leaves a few thousandths of a pixel.
    exact = ratio in (2.0, 4.0) and all(part == round(part) for part in shift)
    tolerance = 2e-5 if exact else 6e-3
    np.testing.assert_allclose(
        inner(ms)[0] / 3.0, np.broadcast_to(rows[:, None], ms.shape[1:])[4:-4, 4:-4], atol=tolerance
    )
    np.testing.assert_allclose(
        inner(ms)[1] / 2.0, np.broadcast_to(cols[None, :], ms.shape[1:])[4:-4, 4:-4], atol=tolerance
    )


def test_landsats_half_pixel_is_respected():
    x = np.arange(121, dtype=np.float64)
    truth = np.broadcast_to(x, (1, 121, 121))
    axis = axis_from_grids(-7.5, 15.0, 0.0, 30.0)
    _, ms = observe(truth, camera(ratio=2.0, axis_y=axis, axis_x=axis), rng=rng())
    assert ms.shape == (1, 60, 60)
    # coarse pixel k is centred on the ground at 30 k + 15 m; fine pixel i at 15 i m
    np.testing.assert_allclose(inner(ms)[0, 0], (2.0 * np.arange(60) + 1.0)[4:-4], atol=1e-3)


def test_each_band_moves_by_its_own_shift():
    x = np.arange(128, dtype=np.float64)
    truth = np.broadcast_to(x, (2, 128, 128))
    seen = camera(2, shift_px=(0.0, 1.0), band_shifts_px=((0.0, 0.0), (0.0, -3.0)))
    _, ms = observe(truth, seen, rng=rng())
    np.testing.assert_allclose(inner(ms)[1] - inner(ms)[0], 3.0, atol=1e-4)


@pytest.mark.parametrize("gain", [0.15, 0.3, 0.45])
@pytest.mark.parametrize("ratio", [2.0, 4.0])
def test_the_gain_is_the_response_at_the_coarse_nyquist(ratio, gain):
    # Half a cycle a coarse pixel; the quarter-cycle phase puts the samples on the crests.
    x = np.arange(256)
    crest = 0.5 * (ratio - 1.0)
    wave = np.cos(np.pi * (x - crest) / ratio)
    truth = 1000.0 + 100.0 * np.broadcast_to(wave, (1, 256, 256))
    _, ms = observe(truth, camera(ratio=ratio, mtf_gains=(gain,)), rng=rng())
    swing = inner(ms)[0, 0] - 1000.0
    expected = 100.0 * gain * (-1.0) ** np.arange(4, 4 + swing.size)
    np.testing.assert_allclose(swing, expected, atol=100.0 * 0.01)


def test_pan_is_the_weighted_sum_and_extra_light_cannot_be_mixed_from_the_bands():
    truth = rng(1).uniform(100.0, 900.0, (4, 32, 32))
    weights = (0.1, 0.3, 0.4, 0.2)
    pan, _ = observe(truth, camera(4, pan_weights=weights), rng=rng())
    np.testing.assert_allclose(
        pan[0], sum(w * band for w, band in zip(weights, truth, strict=True)), rtol=1e-6
    )
    more, _ = observe(truth, camera(4, pan_weights=weights, pan_extra=0.5), rng=rng())
    np.testing.assert_allclose(more[0] - pan[0], 0.5 * np.sqrt(truth[2] * truth[3]), rtol=1e-4)


def test_noise_has_the_stated_sigma_in_both_images():
    truth = np.full((3, 512, 512), 700.0, np.float32)
    pan, ms = observe(truth, camera(3, ratio=2.0, noise_sigma=5.0), rng=rng(4))
    for image in (pan, *ms[:, None]):
        count = image.size
        assert image.std() == pytest.approx(5.0, abs=5.0 * 5.0 / math.sqrt(2 * count))
        assert image.mean() == pytest.approx(700.0, abs=5.0 * 5.0 / math.sqrt(count))
    assert abs(np.corrcoef(ms[0].ravel(), ms[1].ravel())[0, 1]) < 0.02


def test_the_same_seed_sees_the_same_image():
    truth = simulate.make_truth(96, rng=rng(2))
    noisy = camera(4, noise_sigma=3.0)
    first, again, other = (observe(truth, noisy, rng=rng(seed)) for seed in (8, 8, 9))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


def test_resampled_is_the_tap_table_on_the_mirrored_image():
    """Against a direct double loop over numpy's own symmetric padding, for tables that reach outside."""
    image = rng(3).normal(size=(2, 13, 17))
    axis = AxisMap(0.31, -0.2)
    rows, cols = gaussian_taps(axis, 0.3, -1, 5), cubic_taps(AxisMap(1.7, -0.4), 0, 9)
    pad = 40
    big = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode="symmetric")
    expected = np.zeros((2, 6, 9))
    for n in range(6):
        for m in range(9):
            r0, c0 = pad + rows.first[n], pad + cols.first[m]
            part = big[:, r0 : r0 + rows.weights.shape[1], c0 : c0 + 4]
            expected[:, n, m] = np.einsum("bij,i,j->b", part, rows.weights[n], cols.weights[m])
    np.testing.assert_allclose(simulate.resampled(image, rows, cols), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"mtf_gains": (0.3,)}, "1 MTF gains"),
        ({"pan_weights": (0.3,) * 3}, "3 PAN weights"),
        ({"mtf_gains": (0.3, 1.0)}, "between 0 and 1"),
        ({"band_shifts_px": ((0.0, 0.0),)}, "1 band shifts"),
        ({"ratio": 0.5}, "ratio"),
    ],
)
def test_a_camera_that_does_not_fit_is_refused(changed, text):
    with pytest.raises(UsageError, match=text):
        observe(np.ones((2, 32, 32)), camera(2, **changed), rng=rng())


# --- the swath ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [-14.0, 5.0, 14.0])
def test_the_swath_touches_all_four_sides_and_has_its_area(angle):
    height, width = 300, 340
    valid = simulate.slanted_valid(height, width, angle_deg=angle)
    t = math.radians(abs(angle))
    # bounding box of an a x b rectangle turned by t: width = b cos + a sin, height = a cos + b sin
    a, b = np.linalg.solve([[math.cos(t), math.sin(t)], [math.sin(t), math.cos(t)]], [height, width])
    assert valid.sum() == pytest.approx(a * b, rel=5e-3)
    for side in (valid[:3], valid[-3:], valid[:, :3], valid[:, -3:]):
        assert 0 < side.any(axis=0).sum() + side.any(axis=1).sum() < side.size
    assert not valid[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    np.testing.assert_array_equal(valid, valid[::-1, ::-1])
    # the way it leans: clockwise on the screen for a positive angle
    top = np.flatnonzero(valid[1]).mean()
    assert (top < width / 2) == (angle > 0)


def test_the_swath_is_one_area_on_both_grids():
    axis_y, axis_x = axis_from_grids(-7.5, 15.0, 0.0, 30.0), axis_from_grids(0.0, 1.0, 0.0, 2.0)
    fine = simulate.slanted_valid(241, 260, angle_deg=11.0)
    coarse = simulate.slanted_valid(241, 260, angle_deg=11.0, axes=(axis_y, axis_x))
    assert coarse.shape == (120, 130)
    # rows: coarse centres lie on fine centres 2 k + 1; columns: between fine centres 2 k and 2 k + 1
    left, right = fine[1::2][:120, 0::2], fine[1::2][:120, 1::2]
    agree = left == right
    assert agree.mean() > 0.98
    np.testing.assert_array_equal(coarse[agree], left[agree])


def test_no_angle_is_all_valid_and_an_impossible_one_is_refused():
    assert simulate.slanted_valid(20, 30, angle_deg=0.0).all()
    with pytest.raises(UsageError, match="45"):
        simulate.slanted_valid(100, 100, angle_deg=50.0)
    with pytest.raises(UsageError, match="narrow"):
        simulate.slanted_valid(20, 200, angle_deg=30.0)


# --- the landscape ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def truth():
    return simulate.make_truth(512, rng=rng(7))


def test_truth_is_11_bit_float32_and_uses_the_range(truth):
    assert truth.shape == (4, 512, 512)
    assert truth.dtype == np.float32
    assert truth.min() >= 1.0
    assert truth.max() <= 2047.0
    assert (truth >= 2047.0).mean() < 0.001  # nothing to speak of is saturated
    spread = np.percentile(truth, 99, axis=(1, 2)) - np.percentile(truth, 1, axis=(1, 2))
    assert (spread > 200.0).all()


def test_truth_is_the_generators_alone():
    first, again, other = (simulate.make_truth(128, rng=rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.mean(np.abs(first - other)) > 50.0


@pytest.mark.parametrize("seed", [0, 1])
def test_no_band_is_a_linear_function_of_the_others(seed):
    sample = simulate.make_truth(384, rng=rng(seed)).reshape(4, -1)[:, ::5].astype(np.float64)
    for band in range(4):
        others = np.column_stack([np.delete(sample, band, axis=0).T, np.ones(sample.shape[1])])
        left = sample[band] - others @ np.linalg.lstsq(others, sample[band], rcond=None)[0]
        assert 1.0 - left.var() / sample[band].var() < 0.98


def test_truth_has_water_and_plants(truth):
    green, red, nir = truth[1], truth[2], truth[3]
    water = (nir < 0.5 * green) & (nir < 120.0)
    plants = nir > 2.5 * red
    assert 0.002 < water.mean() < 0.2
    assert 0.3 < plants.mean() < 0.95


def test_truth_is_sharp_at_the_fine_scale(truth):
    """A 4-pixel mean loses a good part of the green's gradient: there is something for PAN to bring."""
    green = truth[1].astype(np.float64)
    coarse = green.reshape(128, 4, 128, 4).mean(axis=(1, 3)).repeat(4, axis=0).repeat(4, axis=1)
    assert (green - coarse).var() > 0.10 * green.var()
    assert np.percentile(np.abs(np.diff(green, axis=1)), 99) > 0.5 * green.std()


@pytest.mark.parametrize("bands", [1, 3, 8])
def test_band_counts_share_the_first_bands_ground(bands):
    seen = simulate.make_truth(64, rng=rng(5), bands=bands)
    assert seen.shape == (bands, 64, 64)
    assert np.isfinite(seen).all()
    assert len(simulate.BANDS) == 8


@pytest.mark.parametrize("size", [32, 33, 200, 257])
def test_any_size_from_32_works(size):
    assert np.isfinite(simulate.make_truth(size, rng=rng(size))).all()


@pytest.mark.parametrize(("size", "bands"), [(31, 4), (64, 0), (64, 9)])
def test_impossible_landscapes_are_refused(size, bands):
    with pytest.raises(UsageError, match="px"):
        simulate.make_truth(size, rng=rng(), bands=bands)
