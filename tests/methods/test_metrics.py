"""Every metric against a hand-computed case, another library, or a slow implementation written otherwise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from geofuse.errors import UsageError
from geofuse.geometry import AxisMap, axis_from_grids
from geofuse.metrics import reference as metrics
from geofuse.metrics.q2n import check_pair, hypercomplex_signs, means, q_pair_sums

TIGHT = 1e-9


def pair(bands: int, height: int, width: int, *, seed: int = 0, noise: float = 40.0):
    """A reference with structure at several scales and a fused image that follows it imperfectly."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / rng.uniform(2, 9) + b) * np.cos(y / rng.uniform(2, 9)) for b in range(bands)]
    reference = 500.0 + 150.0 * np.stack(waves) + rng.normal(0.0, 60.0, (bands, height, width))
    fused = 0.9 * reference + 30.0 + rng.normal(0.0, noise, reference.shape)
    return reference.astype(np.float32), fused.astype(np.float32)


def holes(height: int, width: int) -> np.ndarray:
    """A slanted invalid corner and a single invalid pixel."""
    y, x = np.mgrid[:height, :width]
    valid = x + 0.5 * y > 30
    valid[height // 2, width // 2] = False
    return valid


def spoiled(image: np.ndarray, valid: np.ndarray, value: float) -> np.ndarray:
    return np.where(valid, image, np.float32(value))


# --- pixel metrics ------------------------------------------------------------------------------------------


def test_sam_of_known_angles():
    reference = np.array([[1.0, 1.0, 0.0, 2.0], [0.0, 1.0, 0.0, 0.0]]).reshape(2, 2, 2)
    fused = np.array([[0.0, 1.0, 1.0, 2.0], [3.0, 0.0, 1.0, 0.0]]).reshape(2, 2, 2)
    # 90, 45, a zero spectrum (skipped), 0 degrees
    assert metrics.sam(reference, fused) == pytest.approx(45.0, abs=1e-12)


def test_sam_resolves_tiny_angles_that_an_arc_cosine_loses():
    angle = 1e-9
    reference = np.array([[[1.0]], [[0.0]]])
    fused = np.array([[[math.cos(angle)]], [[math.sin(angle)]]])
    assert metrics.sam(reference, fused) == pytest.approx(math.degrees(angle), rel=1e-6)


def test_sam_matches_the_pixel_loop():
    reference, fused = pair(5, 9, 11)
    angles = [
        math.degrees(math.acos(np.dot(a, b) / math.sqrt(np.dot(a, a) * np.dot(b, b))))
        for a, b in zip(
            reference.reshape(5, -1).T.astype(float), fused.reshape(5, -1).T.astype(float), strict=True
        )
    ]
    assert metrics.sam(reference, fused) == pytest.approx(np.mean(angles), abs=1e-6)


def test_ergas_by_hand():
    reference = np.stack([np.full((2, 2), 10.0), np.full((2, 2), 20.0)])
    fused = reference + np.array([1.0, 4.0])[:, None, None]
    expected = 100.0 / 4.0 * math.sqrt((1.0 / 100.0 + 16.0 / 400.0) / 2.0)
    assert metrics.ergas(reference, fused, ratio=4.0) == pytest.approx(expected, abs=1e-12)
    assert metrics.ergas(reference, fused, ratio=2.0) == pytest.approx(2.0 * expected, abs=1e-12)


@pytest.mark.parametrize("bits", [None, 11])
def test_psnr_matches_skimage(bits):
    reference, fused = pair(4, 40, 50)
    peak = float(reference.max()) if bits is None else 2047.0
    oracle = peak_signal_noise_ratio(reference.astype(float), fused.astype(float), data_range=peak)
    assert metrics.psnr(reference, fused, bits=bits) == pytest.approx(oracle, abs=1e-9)


# --- windows ------------------------------------------------------------------------------------------------


def test_ssim_matches_skimage():
    reference, fused = pair(3, 37, 45)
    oracle = structural_similarity(
        reference.astype(float),
        fused.astype(float),
        data_range=2047.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=0,
    )
    assert metrics.ssim(reference, fused, bits=11) == pytest.approx(oracle, abs=1e-9)


def test_ssim_drops_every_window_that_touches_an_invalid_pixel():
    reference, fused = pair(2, 30, 34)
    valid = np.ones((30, 34), bool)
    valid[14, 20] = False
    peak = 2047.0
    full = [
        structural_similarity(
            *(image[b].astype(float) for image in (reference, fused)),
            data_range=peak,
            gaussian_weights=True,
            use_sample_covariance=False,
            full=True,
        )[1]
        for b in range(2)
    ]
    counted = np.zeros((30, 34), bool)
    counted[5:-5, 5:-5] = True
    counted[14 - 5 : 14 + 6, 20 - 5 : 20 + 6] = False
    expected = np.mean([one[counted].mean() for one in full])
    spoilt = spoiled(fused, valid, np.nan)
    assert metrics.ssim(reference, spoilt, valid=valid, bits=11) == pytest.approx(expected, abs=1e-9)


def sobel_by_hand(band: np.ndarray) -> np.ndarray:
    inner = np.pad(band[1:-1, 1:-1].astype(float), 1)
    out = np.zeros((inner.shape[0] - 2, inner.shape[1] - 2))
    for row, col in itertools.product(range(out.shape[0]), range(out.shape[1])):
        w = inner[row : row + 3, col : col + 3]
        gy = w[2, 0] + 2 * w[2, 1] + w[2, 2] - w[0, 0] - 2 * w[0, 1] - w[0, 2]
        gx = w[0, 2] + 2 * w[1, 2] + w[2, 2] - w[0, 0] - 2 * w[1, 0] - w[2, 0]
        out[row, col] = math.sqrt(gy * gy + gx * gx)
    return out


def test_scc_matches_the_window_loop():
    reference, fused = pair(2, 14, 17)
    a, b = (np.stack([sobel_by_hand(band) for band in image]) for image in (reference, fused))
    expected = (a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum())
    assert metrics.scc(reference, fused) == pytest.approx(expected, abs=1e-12)


def test_scc_drops_every_window_that_touches_an_invalid_pixel():
    reference, fused = pair(2, 14, 17)
    valid = np.ones((14, 17), bool)
    valid[6, 9] = False
    a, b = (np.stack([sobel_by_hand(band) for band in image]) for image in (reference, fused))
    for planes in (a, b):
        planes[:, 4:7, 7:10] = 0.0  # in the cropped frame: rows 5..7, columns 8..10 of the image
    expected = (a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum())
    found = metrics.scc(spoiled(reference, valid, np.inf), spoiled(fused, valid, np.nan), valid=valid)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("ratio", "window"), [(2, 3), (3, 3), (4, 5), (4.016, 5)])
def test_d_rho_matches_numpy_correlations(ratio, window):
    fused, pan = pair(2, 16, 18)
    pan = pan[:1]
    half = window // 2
    rho = [
        np.corrcoef(
            fused[band, y - half : y + half + 1, x - half : x + half + 1].ravel(),
            pan[0, y - half : y + half + 1, x - half : x + half + 1].ravel(),
        )[0, 1]
        for band in range(2)
        for y in range(half, 16 - half)
        for x in range(half, 18 - half)
    ]
    assert metrics.d_rho(fused, pan, ratio=ratio) == pytest.approx(1.0 - np.mean(rho), abs=1e-9)


def test_d_rho_skips_flat_pan_and_counts_a_flat_band_as_uncorrelated():
    rng = np.random.default_rng(3)
    pan = rng.normal(1000.0, 50.0, (1, 12, 24)).astype(np.float32)
    pan[:, :, 12:] = 700.0
    fused = pan.copy()
    straddling = metrics.d_rho_sums(fused, pan, ratio=3.0)
    assert straddling.count == 10 * 12  # columns 1..12 see some of the textured half
    assert straddling.total[0] == pytest.approx(0.0, abs=1e-9)
    flat = metrics.d_rho_sums(np.full_like(pan, 3.3), pan, ratio=3.0)
    assert flat.total[0] == pytest.approx(flat.count, abs=1e-9)


# --- Q and Q2n ----------------------------------------------------------------------------------------------


def q_of_block(x: np.ndarray, y: np.ndarray) -> float:
    c = np.cov(x.ravel(), y.ravel())
    mx, my = x.mean(), y.mean()
    return 4.0 * c[0, 1] * mx * my / ((c[0, 0] + c[1, 1]) * (mx * mx + my * my))


def blocks(height: int, width: int, valid: np.ndarray | None = None):
    for top in range(0, height - 31, 32):
        for left in range(0, width - 31, 32):
            at = (slice(top, top + 32), slice(left, left + 32))
            if valid is None or valid[at].all():
                yield at


def test_q_matches_block_loop_and_drops_incomplete_and_invalid_blocks():
    reference, fused = pair(3, 70, 133)
    valid = holes(70, 133)
    seen = list(blocks(70, 133, valid))
    assert 0 < len(seen) < len(list(blocks(70, 133)))
    expected = np.mean(
        [
            [q_of_block(reference[b][at].astype(float), fused[b][at].astype(float)) for at in seen]
            for b in range(3)
        ]
    )
    spoilt = spoiled(reference, valid, np.nan), spoiled(fused, valid, np.inf)
    assert metrics.q(*spoilt, valid=valid) == pytest.approx(expected, abs=TIGHT)


def test_q_of_constant_blocks_is_their_luminance_alone():
    reference, fused = np.full((1, 32, 32), 10.0), np.full((1, 32, 32), 30.0)
    assert metrics.q(reference, fused) == pytest.approx(2 * 10 * 30 / (100 + 900), abs=1e-12)
    assert metrics.q(0 * reference, 0 * fused) == 1.0
    assert metrics.q(np.full((1, 32, 32), 0.1), np.full((1, 32, 32), 0.3)) == pytest.approx(0.6, abs=1e-12)


def test_q_matches_skimage_ssim_without_constants():
    """SSIM over one block, uniform window, K1 = K2 = 0 is Q."""
    reference, fused = pair(1, 33, 33)
    at = (slice(0, 32), slice(0, 32))
    _, full = structural_similarity(
        reference[0].astype(float),
        fused[0].astype(float),
        win_size=31,
        data_range=1.0,
        K1=0.0,
        K2=0.0,
        full=True,
    )
    block = reference[:, 0:31, 0:31], fused[:, 0:31, 0:31]
    assert full[15, 15] == pytest.approx(q_of_block(*(b[0].astype(float) for b in block)), abs=1e-9)
    ours = metrics.q(reference[:, *at], fused[:, *at])
    assert ours == pytest.approx(
        q_of_block(reference[0][at].astype(float), fused[0][at].astype(float)), abs=TIGHT
    )


def product(signs: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    out = np.zeros(len(a))
    for i, j in itertools.product(range(len(a)), repeat=2):
        out[i ^ j] += signs[i, j] * a[i] * b[j]
    return out


def hamilton(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    a, b, c, d = p
    e, f, g, h = q
    return np.array(
        [
            a * e - b * f - c * g - d * h,
            a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f,
            a * h + b * g - c * f + d * e,
        ]
    )


def doubled(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The Cayley-Dickson product by its recursive definition."""
    if len(a) == 1:
        return a * b
    half = len(a) // 2
    star = np.array([1.0] + [-1.0] * (half - 1))
    p, q, r, s = a[:half], a[half:], b[:half], b[half:]
    left = doubled(p, r) - doubled(star * s, q)
    return np.concatenate([left, doubled(s, p) + doubled(q, star * r)])


def test_four_units_are_hamiltons_quaternions():
    rng = np.random.default_rng(1)
    p, q = rng.normal(size=(2, 4))
    np.testing.assert_allclose(product(hypercomplex_signs(4), p, q), hamilton(p, q), atol=1e-14)


@pytest.mark.parametrize("count", [1, 2, 4, 8, 16])
def test_table_is_the_recursive_product(count):
    rng = np.random.default_rng(count)
    a, b = rng.normal(size=(2, count))
    np.testing.assert_allclose(product(hypercomplex_signs(count), a, b), doubled(a, b), atol=1e-13)


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_the_norm_is_multiplicative_up_to_octonions(count):
    rng = np.random.default_rng(count)
    a, b = rng.normal(size=(2, count))
    ab = product(hypercomplex_signs(count), a, b)
    assert np.linalg.norm(ab) == pytest.approx(np.linalg.norm(a) * np.linalg.norm(b), rel=1e-12)


@pytest.mark.parametrize("count", [2, 4, 8, 16, 32])
def test_conjugation_gives_the_norm_and_reverses_products(count):
    rng = np.random.default_rng(count)
    signs = hypercomplex_signs(count)
    star = np.array([1.0] + [-1.0] * (count - 1))
    a, b = rng.normal(size=(2, count))
    norm = product(signs, a, star * a)
    np.testing.assert_allclose(norm, [a @ a] + [0.0] * (count - 1), atol=1e-12)
    np.testing.assert_allclose(star * product(signs, a, b), product(signs, star * b, star * a), atol=1e-12)


def q2n_of_block(x: np.ndarray, y: np.ndarray) -> float:
    """Q2n pixel by pixel: normalise, pad, multiply hypercomplex numbers, average. x, y (B, 32, 32)."""
    bands, n = len(x), x[0].size
    units = 1
    while units < bands:
        units *= 2
    a, b = np.ones((n, units)), np.ones((n, units))  # a padded zero band normalises to 1
    for band in range(bands):
        m, s = x[band].mean(), x[band].std(ddof=1)
        a[:, band] = (x[band].ravel() - m) / s + 1.0
        b[:, band] = (y[band].ravel() - m) / s + 1.0
    star = np.array([1.0] + [-1.0] * (units - 1))
    mean_product = np.mean([doubled(p, star * q) for p, q in zip(a, b, strict=True)], axis=0)
    ma, mb = a.mean(axis=0), b.mean(axis=0)
    bessel = n / (n - 1)
    cov = bessel * (mean_product - doubled(ma, star * mb))
    var_a = bessel * ((a * a).sum(axis=1).mean() - ma @ ma)
    var_b = bessel * ((b * b).sum(axis=1).mean() - mb @ mb)
    luminance = 2.0 * np.linalg.norm(ma) * np.linalg.norm(mb) / (ma @ ma + mb @ mb)
    return float(luminance * 2.0 * np.linalg.norm(cov) / (var_a + var_b))


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 8])
def test_q2n_matches_the_product_of_pixels(bands):
    reference, fused = pair(bands, 33, 64, seed=bands, noise=120.0)
    expected = np.mean(
        [q2n_of_block(reference[:, *at].astype(float), fused[:, *at].astype(float)) for at in blocks(33, 64)]
    )
    assert metrics.q2n(reference, fused) == pytest.approx(expected, abs=TIGHT)


def test_q2n_of_one_band_is_q_of_the_normalised_block():
    reference, fused = pair(1, 32, 32)
    m, s = reference.astype(float).mean(), reference.astype(float).std(ddof=1)
    x, y = ((image.astype(float) - m) / s + 1.0 for image in (reference, fused))
    assert metrics.q2n(reference, fused) == pytest.approx(abs(metrics.q(x, y)), abs=TIGHT)


def test_q2n_ignores_a_common_gain_and_pedestal_but_not_rounding():
    reference, fused = pair(4, 64, 64)
    plain = metrics.q2n(reference, fused)
    reflectance = [image.astype(float) * 2e-5 - 0.1 for image in (reference, fused)]
    assert metrics.q2n(*reflectance) == pytest.approx(plain, abs=TIGHT)
    rounded = [np.rint(image) for image in (reference, fused)]
    assert metrics.q2n(reference, fused, whole_dn=True) == pytest.approx(metrics.q2n(*rounded), abs=1e-12)
    assert metrics.q2n(reference, fused, whole_dn=True) != plain


def test_q2n_survives_constant_bands():
    reference, fused = pair(4, 32, 32)
    reference[2] = 77.3
    fused[2] = 77.3
    assert 0.5 < metrics.q2n(reference, fused) < 1.0
    flat = np.full((4, 32, 32), 9.0)
    assert metrics.q2n(flat, flat) == pytest.approx(1.0, abs=1e-12)


# --- full resolution ----------------------------------------------------------------------------------------


def test_d_lambda_by_band_pairs():
    fused, upsampled = pair(3, 64, 96)
    expected = [
        abs(
            np.mean(
                [q_of_block(fused[i][at].astype(float), fused[j][at].astype(float)) for at in blocks(64, 96)]
            )
            - np.mean(
                [
                    q_of_block(upsampled[i][at].astype(float), upsampled[j][at].astype(float))
                    for at in blocks(64, 96)
                ]
            )
        )
        for i in range(3)
        for j in range(3)
        if i != j
    ]
    assert metrics.d_lambda(fused, upsampled) == pytest.approx(np.mean(expected), abs=TIGHT)
    assert metrics.d_lambda(upsampled, upsampled) == 0.0
    assert metrics.d_lambda(fused[:1], upsampled[:1]) == 0.0


def test_d_s_by_bands_and_qnr():
    fused, upsampled = pair(3, 64, 96)
    pan, low = pair(1, 64, 96, seed=9)
    expected = [
        abs(
            np.mean(
                [q_of_block(fused[b][at].astype(float), pan[0][at].astype(float)) for at in blocks(64, 96)]
            )
            - np.mean(
                [
                    q_of_block(upsampled[b][at].astype(float), low[0][at].astype(float))
                    for at in blocks(64, 96)
                ]
            )
        )
        for b in range(3)
    ]
    d_s = metrics.d_s(fused, pan, upsampled=upsampled, pan_low=low)
    assert d_s == pytest.approx(np.mean(expected), abs=TIGHT)
    d_lambda = metrics.d_lambda(fused, upsampled)
    assert metrics.qnr(d_lambda, d_s) == pytest.approx((1 - d_lambda) * (1 - d_s), abs=1e-15)
    d_k = metrics.d_lambda_k(fused, upsampled)
    assert d_k == pytest.approx(1.0 - metrics.q2n(upsampled, fused), abs=1e-15)
    assert metrics.hqnr(d_k, d_s) == pytest.approx((1 - d_k) * (1 - d_s), abs=1e-15)


def keys(t: float) -> float:
    t = abs(t)
    if t < 1.0:
        return 1.5 * t**3 - 2.5 * t**2 + 1.0
    return -0.5 * t**3 + 2.5 * t**2 - 4.0 * t + 2.0 if t < 2.0 else 0.0


def test_pan_low_is_the_antialiased_cubic_there_and_back():
    rng = np.random.default_rng(2)
    size, ratio = 32, 4
    line = rng.normal(100.0, 20.0, size)
    pan = np.broadcast_to(line, (1, size, size)).astype(np.float64)
    axis = axis_from_grids(0.0, 1.0, 0.0, float(ratio))
    low = metrics.pan_low(pan, axis_y=axis, axis_x=axis, coarse_shape=(8, 8))
    mirror = np.concatenate([line[::-1], line, line[::-1]])  # symmetric padding
    coarse = []
    for k in range(8):
        centre = (k + 0.5) * ratio - 0.5
        w = np.array([keys((i - size - centre) / ratio) for i in range(3 * size)])
        coarse.append(w @ mirror / w.sum())
    coarse = np.concatenate([coarse[::-1], coarse, coarse[::-1]])
    back = [sum(keys(k - 8 - (i + 0.5) / ratio + 0.5) * coarse[k] for k in range(24)) for i in range(size)]
    np.testing.assert_allclose(low[0], np.broadcast_to(back, (size, size)), rtol=1e-6)


def test_pan_low_keeps_less_of_the_fine_detail_than_a_plain_cubic():
    size, ratio = 256, 4
    y, x = np.mgrid[:size, :size]
    pan = (np.sin(2 * np.pi * x / 5.3) * np.cos(2 * np.pi * y / 6.1))[
        None
    ]  # finer than the coarse grid carries
    axis = axis_from_grids(0.0, 1.0, 0.0, float(ratio))
    low = metrics.pan_low(pan, axis_y=axis, axis_x=axis, coarse_shape=(64, 64))
    assert low.std() < 0.15 * pan[0, 1::ratio, 1::ratio].std()
    with pytest.raises(UsageError, match="ratio"):
        metrics.pan_low(pan, axis_y=AxisMap(2.0, 0.0), axis_x=axis, coarse_shape=(64, 64))


# --- what holds for all -------------------------------------------------------------------------------------

FULL_REFERENCE = {
    "sam": (metrics.sam, 0.0),
    "ergas": (lambda x, y, valid=None: metrics.ergas(x, y, ratio=4.0, valid=valid), 0.0),
    "psnr": (metrics.psnr, math.inf),
    "scc": (metrics.scc, 1.0),
    "ssim": (metrics.ssim, 1.0),
    "q": (metrics.q, 1.0),
    "q2n": (metrics.q2n, 1.0),
    "r_sam": (metrics.r_sam, 0.0),
    "r_ergas": (lambda x, y, valid=None: metrics.r_ergas(x, y, ratio=4.0, valid=valid), 0.0),
    "r_q2n": (metrics.r_q2n, 1.0),
}


@pytest.mark.parametrize("name", FULL_REFERENCE)
def test_equal_images_are_perfect(name):
    measure, best = FULL_REFERENCE[name]
    reference, fused = pair(3, 70, 90)
    assert measure(reference, reference) == pytest.approx(best, abs=1e-12)
    assert measure(reference, fused) != pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("name", FULL_REFERENCE)
def test_what_lies_under_invalid_pixels_does_not_matter(name):
    measure, _ = FULL_REFERENCE[name]
    reference, fused = pair(3, 70, 110)
    valid = holes(70, 110)
    clean = measure(reference, fused, valid=valid)
    assert measure(spoiled(reference, valid, np.nan), spoiled(fused, valid, -1e30), valid=valid) == clean
    assert clean != measure(reference, fused)


@pytest.mark.parametrize("name", FULL_REFERENCE)
def test_nothing_valid_gives_nan(name):
    measure, _ = FULL_REFERENCE[name]
    reference, fused = pair(3, 40, 40)
    assert math.isnan(measure(reference, fused, valid=np.zeros((40, 40), bool)))


@pytest.mark.parametrize("name", FULL_REFERENCE)
def test_shapes_that_do_not_fit_are_refused(name):
    measure, _ = FULL_REFERENCE[name]
    if name != "q":  # Q alone compares one band with many
        with pytest.raises(UsageError, match="bands"):
            measure(np.ones((3, 40, 40)), np.ones((1, 40, 40)))
    with pytest.raises(UsageError, match="shape"):
        measure(np.ones((3, 40, 40)), np.ones((3, 40, 41)))
    with pytest.raises(UsageError, match="validity"):
        measure(np.ones((3, 40, 40)), np.ones((3, 40, 40)), valid=np.ones((40, 41), bool))


def test_a_plane_of_ones_is_made_where_none_is_given():
    assert check_pair(np.ones((2, 3, 4)), np.ones((1, 3, 4)), None).all()


# --- tiles --------------------------------------------------------------------------------------------------


def tiles(height: int, width: int, step: int, halo: int):
    """Windows with their halo clipped at the image's border, and the core inside them."""
    for top, left in itertools.product(range(0, height, step), range(0, width, step)):
        r0, c0 = max(0, top - halo), max(0, left - halo)
        r1, c1 = min(height, top + step + halo), min(width, left + step + halo)
        core = slice(top - r0, min(height, top + step) - r0), slice(left - c0, min(width, left + step) - c0)
        yield (slice(r0, r1), slice(c0, c1)), core


def summed(sums_of, height, width, step, halo):
    total = None
    for at, core in tiles(height, width, step, halo):
        part = sums_of(at, core)
        total = part if total is None else metrics.merge(total, part)
    return total


H, W = 150, 187


@pytest.fixture(scope="module")
def scene():
    reference, fused = pair(3, H, W, seed=5)
    return reference, fused, holes(H, W)


@pytest.mark.parametrize("step", [64, 37])
def test_tiled_pixel_metrics_equal_whole(scene, step):
    x, y, valid = scene
    errors = summed(lambda at, _: metrics.error_sums(x[:, *at], y[:, *at], valid=valid[at]), H, W, step, 0)
    assert metrics.ergas_value(errors, ratio=4.0) == pytest.approx(
        metrics.ergas(x, y, ratio=4.0, valid=valid), rel=1e-12
    )
    assert metrics.psnr_value(errors) == pytest.approx(metrics.psnr(x, y, valid=valid), rel=1e-12)
    angles = summed(lambda at, _: metrics.sam_sums(x[:, *at], y[:, *at], valid=valid[at]), H, W, step, 0)
    assert metrics.mean(angles) == pytest.approx(metrics.sam(x, y, valid=valid), rel=1e-12)


@pytest.mark.parametrize("step", [64, 37])
def test_tiled_window_metrics_equal_whole(scene, step):
    x, y, valid = scene
    cosine = summed(
        lambda at, core: metrics.scc_sums(x[:, *at], y[:, *at], valid=valid[at], core=core),
        H, W, step, metrics.SCC_HALO_PX,
    )  # fmt: skip
    assert metrics.scc_value(cosine) == pytest.approx(metrics.scc(x, y, valid=valid), rel=1e-12)
    similar = summed(
        lambda at, core: metrics.ssim_sums(x[:, *at], y[:, *at], peak=2047.0, valid=valid[at], core=core),
        H, W, step, metrics.SSIM_HALO_PX,
    )  # fmt: skip
    assert metrics.mean(similar) == pytest.approx(metrics.ssim(x, y, valid=valid, bits=11), rel=1e-12)
    local = summed(
        lambda at, core: metrics.d_rho_sums(x[:, *at], y[:1, *at], ratio=4.0, valid=valid[at], core=core),
        H, W, step, metrics.d_rho_window(4.0) // 2,
    )  # fmt: skip
    assert metrics.mean(local) == pytest.approx(metrics.d_rho(x, y[:1], ratio=4.0, valid=valid), rel=1e-12)


@pytest.mark.parametrize("step", [32, 96])
def test_tiled_block_metrics_equal_whole(scene, step):
    x, y, valid = scene
    whole_q, whole_q2n = metrics.q(x, y, valid=valid), metrics.q2n(x, y, valid=valid)
    q = summed(lambda at, _: metrics.q_sums(x[:, *at], y[:, *at], valid=valid[at]), H, W, step, 0)
    assert metrics.mean(q) == pytest.approx(whole_q, rel=1e-12)
    q2n = summed(lambda at, _: metrics.q2n_sums(x[:, *at], y[:, *at], valid=valid[at]), H, W, step, 0)
    assert metrics.mean(q2n) == pytest.approx(whole_q2n, rel=1e-12)
    pairs = [
        summed(lambda at, _, image=image: q_pair_sums(image[:, *at], valid=valid[at]), H, W, step, 0)
        for image in (x, y)
    ]
    assert metrics.d_lambda_value(*pairs) == pytest.approx(metrics.d_lambda(x, y, valid=valid), rel=1e-12)
    against = summed(lambda at, _: metrics.q_sums(x[:, *at], y[:1, *at], valid=valid[at]), H, W, step, 0)
    low = summed(lambda at, _: metrics.q_sums(y[:, *at], x[:1, *at], valid=valid[at]), H, W, step, 0)
    whole = metrics.d_s(x, y[:1], upsampled=y, pan_low=x[:1], valid=valid)
    assert metrics.d_s_value(against, low) == pytest.approx(whole, rel=1e-12)


def test_merging_with_an_empty_tile_changes_nothing(scene):
    x, y, valid = scene
    some = metrics.error_sums(x, y, valid=valid)
    none = metrics.error_sums(x, y, valid=np.zeros_like(valid))
    both = metrics.merge(some, none)
    assert both.highest == some.highest == float(x[:, valid].max())
    assert both.count == some.count
    np.testing.assert_array_equal(both.squared, some.squared)
    np.testing.assert_array_equal(means(metrics.q_sums(x, y, valid=np.zeros_like(valid))), [np.nan] * 3)
