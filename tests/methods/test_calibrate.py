"""Calibration against pairs whose making is known, made from real images, and against the real pair."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from geofuse.geometry import axis_from_grids
from geofuse.landscape.camera import Camera, observe
from geofuse.methods.base import Patch, Target
from geofuse.methods.calibrate import Estimate, calibrate
from geofuse.methods.registration import calibration_reach, highpass


@cache
def sentinel(folder: Path) -> dict[str, NDArray[np.float32]]:
    """The bands of 10 m and of 20 m."""
    with h5py.File(next((folder / "sentinel2").glob("*.mat"))) as file:
        return {name: np.array(file[name]).transpose(0, 2, 1).astype(np.float32) for name in ("im10", "im20")}


@cache
def landsat_pan(folder: Path) -> NDArray[np.float32]:
    """The clear strip of the 15 m band."""
    with rasterio.open(next((folder / "landsat8").glob("*_B8.TIF"))) as file:
        return file.read(window=((480, 1204), (2, 840))).astype(np.float32)


def patch_of(pan: NDArray, ms: NDArray, ratio: int) -> Patch:
    """A whole pair as one patch, mirrored at its sides."""
    axis = axis_from_grids(0.0, 1.0, 0.0, float(ratio))
    fine_px, coarse_cpx = calibration_reach(float(ratio))
    height, width = ms.shape[1] * ratio, ms.shape[2] * ratio
    fine = np.pad(pan[:, :height, :width], ((0, 0), (fine_px,) * 2, (fine_px,) * 2), mode="symmetric")
    coarse = np.pad(ms, ((0, 0), (coarse_cpx,) * 2, (coarse_cpx,) * 2), mode="symmetric")
    return Patch(
        fine,
        np.ones(fine.shape[1:], np.bool_),
        (-fine_px, -fine_px),
        (Target(coarse, np.ones(coarse.shape[1:], np.bool_), (-coarse_cpx, -coarse_cpx), axis, axis),),
        (0, height, 0, width),
        np.ones((height, width), np.bool_),
    )


def found(pan: NDArray, ms: NDArray, ratio: int, usable: NDArray[np.bool_] | None = None) -> Estimate:
    """Calibrate a pair."""
    patch = patch_of(pan, ms, ratio)
    mask = np.ones(patch.target.valid.shape, np.bool_)
    if usable is not None:
        reach = calibration_reach(float(ratio))[1]
        mask = np.pad(usable, reach, mode="symmetric")
    return calibrate([patch], [mask], prior_gain=(0.3,) * len(ms))


def drawn(
    image: NDArray, ratio: int, seed: int, noise: float
) -> tuple[Estimate, tuple[float, float], tuple[float, ...]]:
    """See an image with a random camera; returns the estimate and the truth."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 1.0, len(image))
    gains = tuple(rng.uniform(0.15, 0.45, len(image)).tolist())
    shift = (float(rng.uniform(-2.0, 2.0)), float(rng.uniform(-2.0, 2.0)))
    camera = Camera(
        gains,
        tuple((weights / weights.sum()).tolist()),
        ratio=float(ratio),
        shift_px=shift,
        noise_sigma=noise,
    )
    pan, ms = observe(image, camera, rng=rng)
    return found(pan, ms, ratio), shift, gains


@pytest.mark.parametrize("noise", [0.0, 5.0])
def test_shifts_and_gains_of_pairs_made_from_real_images(data_dir: Path, noise: float) -> None:
    """Shifts of +-2 px to .05 px in 95 %, identifiable gains to .05 in 90 %."""
    images = sentinel(data_dir)
    cases = [
        (images["im10"][:, :440, :440], 4),
        (images["im10"][:, :240, :240], 2),
        (images["im20"], 2),
        (landsat_pan(data_dir)[:, :420, :420], 4),
        (landsat_pan(data_dir)[:, 480:, :], 2),
    ]
    shift_errors, gain_errors = [], []
    for image, ratio in cases:
        for seed in range(4):
            estimate, shift, gains = drawn(image, ratio, seed, noise)
            shift_errors.append(max(abs(estimate.shift_px[k] - shift[k]) for k in (0, 1)))
            gain_errors += [
                abs(estimate.mtf_gain[band] - gain)
                for band, gain in enumerate(gains)
                if estimate.identifiable[band]
            ]
            assert estimate.confidence > 0.9
    assert np.mean(np.array(shift_errors) < 0.05) >= 0.95
    assert len(gain_errors) >= 12
    assert np.mean(np.array(gain_errors) < 0.05) >= 0.90


def test_standard_errors_cover_the_errors(data_dir: Path) -> None:
    """The error of the shift is rarely over three times what is stated, and what is stated is no excuse."""
    image = sentinel(data_dir)["im10"][:, :240, :240]
    ratios = []
    for seed in range(8):
        estimate, shift, _ = drawn(image, 2, 20 + seed, 60.0)
        assert max(estimate.shift_sigma_px) < 0.05
        ratios += [abs(estimate.shift_px[k] - shift[k]) / estimate.shift_sigma_px[k] for k in (0, 1)]
    assert np.mean(np.array(ratios) < 3.0) >= 0.85


def test_sign_of_the_shift() -> None:
    """What is seen at fine (row, col) is seen in the coarse image where the grids put (row + dy, col + dx)."""
    rng = np.random.default_rng(0)
    scene = gaussian_filter(rng.standard_normal((480, 480)), 1.5) * 1000.0 + 2000.0
    dy, dx = 2, -1
    moved = np.roll(scene, (dy, dx), axis=(0, 1))  # what was at (r, c) is at (r + dy, c + dx)
    ms = gaussian_filter(moved, 2.0)[None, 1::4, 1::4]  # and 1.5 px on is the centre of the 4 x 4 block
    centred = 0.5  # [1::4] samples pixel 4 k + 1, the coarse centre is at 4 k + 1.5
    estimate = found(scene[None].astype(np.float32), ms.astype(np.float32), 4)
    assert estimate.shift_px == pytest.approx((dy + centred, dx + centred), abs=0.05)


def test_bands_on_two_arrays(data_dir: Path) -> None:
    """Two groups of bands, 1.2 px apart, each get their own shift."""
    image = sentinel(data_dir)["im10"][:3, :440, :440]
    own = ((0.0, 0.0), (0.0, 0.0), (1.2, 0.0))
    camera = Camera((0.3, 0.3, 0.3), (0.4, 0.3, 0.3), ratio=4.0, shift_px=(0.5, -0.7), band_shifts_px=own)
    pan, ms = observe(image, camera, rng=np.random.default_rng(1))
    estimate = found(pan, ms, 4)
    for band, (dy, dx) in enumerate(own):
        assert estimate.band_shift_px[band] == pytest.approx((0.5 + dy, -0.7 + dx), abs=0.15)
    alike = observe(image, Camera((0.3,) * 3, (0.4, 0.3, 0.3), ratio=4.0), rng=np.random.default_rng(1))
    assert len(set(found(*alike, 4).band_shift_px)) == 1


def test_flat_scenes_are_not_measurable() -> None:
    pan, ms = np.full((1, 400, 400), 500.0, np.float32), np.full((3, 100, 100), 400.0, np.float32)
    estimate = found(pan, ms, 4)
    assert not estimate.measured
    assert estimate.confidence == 0.0
    assert estimate.mtf_gain == (0.3,) * 3
    assert estimate.shift_px == (0.0, 0.0)
    assert "not measurable" in estimate.warnings[0]


def test_masked_pixels_have_no_say(data_dir: Path) -> None:
    """A bright thing that moved between the bands, masked out, changes nothing much; unmasked it bends."""
    image = sentinel(data_dir)["im10"][:, :400, :400]
    camera = Camera((0.3,) * 4, (0.3, 0.3, 0.3, 0.1), ratio=2.0, shift_px=(0.4, 0.3))
    pan, ms = observe(image, camera, rng=np.random.default_rng(2))
    cloud = gaussian_filter((np.random.default_rng(5).random((200, 200)) > 0.6) * 1.0, 2.0)[None] * 20000.0
    spoiled = ms.copy()
    for band in range(4):
        spoiled[band, 60:150, 60:150] += np.roll(cloud[0], 2 * band, axis=1)[60:150, 60:150]
    usable = np.ones((200, 200), np.bool_)
    usable[50:160, 50:160] = False
    clean, masked = found(pan, ms, 2), found(pan, spoiled, 2, usable)
    assert masked.shift_px == pytest.approx(clean.shift_px, abs=0.01)
    assert masked.pan_weights == pytest.approx(clean.pan_weights, abs=0.03)
    assert masked.usable_fraction < 0.75


def test_decimation_without_a_low_pass_is_named(data_dir: Path) -> None:
    image = sentinel(data_dir)["im10"][:1, :400, :400]
    estimate = found(image, np.ascontiguousarray(image[:, ::2, ::2]), 2)
    assert any("without a low-pass" in warning for warning in estimate.warnings)


def test_unrelated_images_hardly_match(data_dir: Path) -> None:
    image = sentinel(data_dir)["im10"]
    pan, _ = observe(
        image[:, :240, :240], Camera((0.3,) * 4, (0.25,) * 4, ratio=2.0), rng=np.random.default_rng(0)
    )
    _, ms = observe(
        image[:, 300:540, 300:540], Camera((0.3,) * 4, (0.25,) * 4, ratio=2.0), rng=np.random.default_rng(0)
    )
    estimate = found(pan, ms, 2)
    assert estimate.r2 < 0.05
    assert estimate.confidence < 0.5


def test_pan_weights_of_a_known_mix(data_dir: Path) -> None:
    image = sentinel(data_dir)["im10"][:, :400, :400]
    weights = (0.35, 0.2, 0.4, 0.05)
    pan, ms = observe(image, Camera((0.3,) * 4, weights, ratio=2.0), rng=np.random.default_rng(0))
    assert found(pan, ms, 2).pan_weights == pytest.approx(weights, abs=0.1)


def test_highpass_removes_planes_and_keeps_the_finest_pattern() -> None:
    rows, cols = np.mgrid[0:9, 0:11].astype(np.float64)
    assert np.allclose(highpass((3.0 + 2.0 * rows - cols)[None]), 0.0)
    board = (-1.0) ** (rows + cols)
    assert np.allclose(highpass(board[None])[0], board[1:-1, 1:-1])
