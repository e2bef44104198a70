"""Detail nobody saw: what PAN or the MS shows is supported, what is added beside them is found and counted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from geofuse.metrics import unsupported_detail
from tests.methods.scenes import texture

GAINS, RATIO, SIDE = (0.3, 0.2), 4.0, 160


@pytest.fixture(scope="module")
def planes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """PAN (1, H, W), the upsampled MS (2, H, W), and texture of neither (H, W)."""
    rng = np.random.default_rng(2)
    pan = 500.0 + 90.0 * texture(rng, SIDE, SIDE, 1.2)
    ms = np.stack([ndimage.gaussian_filter(texture(rng, SIDE, SIDE, 1.0), 2.0) for _ in GAINS])
    return pan[None], 300.0 + 200.0 * ms, texture(rng, SIDE, SIDE, 0.2)


def found(image: np.ndarray, pan: np.ndarray, plain: np.ndarray, **more: object) -> list[float]:
    valid = np.ones(pan.shape[1:], bool)
    sums = unsupported_detail.unsupported_sums(
        *unsupported_detail.unsupported(image, pan, plain, gains=GAINS, ratio=RATIO, valid=valid, **more)
    )
    return unsupported_detail.shares(sums)


def test_what_pan_or_the_ms_shows_is_supported(planes: tuple[np.ndarray, ...]) -> None:
    pan, plain, _ = planes
    gain = np.linspace(0.2, 1.4, SIDE)  # injected more strongly from left to right
    assert max(found(plain + pan * gain, pan, plain)) < 1e-3
    assert max(found(1.7 * plain, pan, plain)) < 1e-12
    flat = np.full_like(pan, 500.0)
    assert max(found(1.7 * plain, flat, plain)) < 1e-9
    assert found(np.full_like(plain, 7.0), pan, plain) == [0.0, 0.0]


def test_added_texture_is_found_with_its_energy(planes: tuple[np.ndarray, ...]) -> None:
    """Of texture no regressor knows, 81 pixels and two regressors leave 79 / 81."""
    pan, plain, extra = planes
    clean, spoilt = plain + 0.8 * pan, plain + 0.8 * pan + np.stack([0.0 * extra, 20.0 * extra])
    shares = found(spoilt, pan, plain)
    assert shares[0] == pytest.approx(found(clean, pan, plain)[0])
    assert shares[0] < 1e-9
    kernel = unsupported_detail.gaussian_kernel(GAINS[1], RATIO)
    own = 20.0 * (
        extra - ndimage.correlate(extra, np.outer(kernel, kernel) / kernel.sum() ** 2, mode="constant")
    )
    whole = spoilt[1] - ndimage.correlate(
        spoilt[1], np.outer(kernel, kernel) / kernel.sum() ** 2, mode="constant"
    )
    inner = (slice(20, -20), slice(20, -20))
    wanted = 79.0 / 81.0 * float((own[inner] ** 2).sum() / (whole[inner] ** 2).sum())
    assert shares[1] == pytest.approx(wanted, rel=0.1)
    noise = float((own[inner] ** 2).mean())
    assert found(spoilt, pan, plain, noise=[0.0, noise])[1] < 0.35 * shares[1]


def test_cores_add_up_and_holes_are_left_out(planes: tuple[np.ndarray, ...]) -> None:
    pan, plain, extra = planes
    image = plain + 0.5 * pan + 9.0 * extra
    valid = np.ones(pan.shape[1:], bool)
    valid[60:63, 70:74] = False
    zeroed = [np.where(valid, one, 0.0) for one in (image, pan, plain)]
    left, whole, known = unsupported_detail.unsupported(*zeroed, gains=GAINS, ratio=RATIO, valid=valid)
    reach = max(unsupported_detail.support_reach_px(gain, RATIO) for gain in GAINS)
    assert not known[60 - reach : 63 + reach, 70 - reach : 74 + reach].any()
    assert not known[:reach].any()
    assert known[reach:20, reach:-reach].all()
    halves = [
        unsupported_detail.unsupported_sums(left, whole, known, (slice(a, b), slice(None)))
        for a, b in ((0, 77), (77, SIDE))
    ]
    both = unsupported_detail.unsupported_sums(left, whole, known)
    assert sum(half.count for half in halves) == both.count
    np.testing.assert_allclose(halves[0].total + halves[1].total, both.total, rtol=1e-12)
    # a part read by itself, with its reach around it, measures the same
    part = (slice(0, 60 + reach), slice(0, SIDE))
    again, _, seen = unsupported_detail.unsupported(
        *(one[:, *part] for one in zeroed), gains=GAINS, ratio=RATIO, valid=valid[part]
    )
    inner = (slice(reach, 60), slice(0, SIDE))
    assert np.array_equal(seen[inner], known[inner])
    assert np.array_equal(again[:, *inner][:, seen[inner]], left[:, *inner][:, known[inner]])


def test_the_bound_is_reality_with_slack() -> None:
    assert unsupported_detail.allowed([0.2, 0.0]) == pytest.approx([0.22, 0.02])
    assert np.isnan(unsupported_detail.allowed([float("nan")])[0])
