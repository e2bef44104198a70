"""Index agreement, seams and sharpness: hand cases, closed forms, planted faults, tiles against the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import norm

from geofuse.errors import UsageError
from geofuse.metrics import index_agreement, seams, sharpness
from geofuse.metrics.reference import merge

ALL = (slice(None), slice(None))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def planes(rng: np.random.Generator, *names: str, shape: tuple[int, int] = (40, 50)) -> dict[str, np.ndarray]:
    return {name: rng.uniform(0.02, 0.5, shape) for name in names}


# --- indices --------------------------------------------------------------------------------------------------


def test_indices_of_one_pixel_by_hand():
    pixel = {
        name: np.array([[value]])
        for name, value in {"green": 0.1, "red": 0.05, "nir": 0.4, "swir1": 0.2, "swir2": 0.12}.items()
    }
    by_hand = {
        "ndvi": 0.35 / 0.45,
        "evi2": 2.5 * 0.35 / (0.4 + 2.4 * 0.05 + 1.0),
        "ndwi": -0.3 / 0.5,
        "ndmi": 0.2 / 0.6,
        "mndwi": -0.1 / 0.3,
        "nbr": 0.28 / 0.52,
    }
    assert index_agreement.index_names(list(pixel), reflectance=True) == list(by_hand)
    assert "evi2" not in index_agreement.index_names(list(pixel), reflectance=False)
    for key, wanted in by_hand.items():
        value, defined = index_agreement.index_plane(key, pixel, np.ones((1, 1), bool))
        assert defined.all()
        assert value[0, 0] == pytest.approx(wanted, rel=1e-12)


def test_an_index_is_undefined_where_its_bands_are_dark_or_invalid():
    bands = {"nir": np.array([[0.0, 0.3, 0.3]]), "red": np.array([[0.0, 0.1, np.nan]])}
    value, defined = index_agreement.index_plane("ndvi", bands, np.array([[True, True, False]]))
    assert defined.tolist() == [[False, True, False]]
    assert value.tolist() == [[0.0, pytest.approx(0.5), 0.0]]


def test_index_agreement_is_that_of_the_plain_arrays(rng: np.random.Generator):
    observed = planes(rng, "nir", "red")
    product = {name: plane * rng.uniform(0.95, 1.1, plane.shape) for name, plane in observed.items()}
    valid = rng.random((40, 50)) > 0.1
    sums = index_agreement.index_sums("ndvi", observed, product, valid=valid)
    fine = index_agreement.index_mean_sums("ndvi", product, valid=valid)
    found = index_agreement.index_value(sums, fine)
    there, here = (
        ((image["nir"] - image["red"]) / (image["nir"] + image["red"]))[valid]
        for image in (observed, product)
    )
    assert found["bias"] == pytest.approx((here - there).mean(), rel=1e-9)
    assert found["rmse"] == pytest.approx(math.sqrt(((here - there) ** 2).mean()), rel=1e-9)
    assert found["share_over"] == pytest.approx((np.abs(here - there) > 0.02).mean(), rel=1e-12)
    assert found["mean_coarse"] == pytest.approx(there.mean(), rel=1e-9)
    assert found["mean_fine"] == pytest.approx(here.mean(), rel=1e-9)
    edges = np.linspace(-index_agreement.BIN_SPAN, index_agreement.BIN_SPAN, index_agreement.BINS + 1)
    inside = np.clip(here - there, edges[0] + 1e-9, edges[-1] - 1e-9)
    np.testing.assert_array_equal(sums.bins, np.histogram(inside, edges)[0])


def test_index_sums_of_tiles_add_up(rng: np.random.Generator):
    observed, product = planes(rng, "nir", "green"), planes(rng, "nir", "green")
    valid = rng.random((40, 50)) > 0.2
    whole = index_agreement.index_sums("ndwi", observed, product, valid=valid)
    parts = [
        index_agreement.index_sums(
            "ndwi",
            {name: plane[rows] for name, plane in observed.items()},
            {name: plane[rows] for name, plane in product.items()},
            valid=valid[rows],
        )
        for rows in (slice(0, 13), slice(13, 40))
    ]
    both = merge(*parts)
    assert (both.count, both.over) == (whole.count, whole.over)
    assert both.squared == pytest.approx(whole.squared, rel=1e-12)
    np.testing.assert_array_equal(both.bins, whole.bins)


def test_nothing_defined_is_not_a_number():
    dark = {"nir": np.zeros((3, 3)), "red": np.zeros((3, 3))}
    valid = np.ones((3, 3), bool)
    sums = index_agreement.index_sums("ndvi", dark, dark, valid=valid)
    found = index_agreement.index_value(sums, index_agreement.index_mean_sums("ndvi", dark, valid=valid))
    assert all(math.isnan(found[name]) for name in ("bias", "rmse", "share_over", "mean_coarse", "mean_fine"))
    assert found["count"] == 0


# --- seams ----------------------------------------------------------------------------------------------------


def landscape(seed: int, bands: int = 3, rows: int = 2048) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((bands, rows, 10))
    return 100.0 + 10.0 * ndimage.gaussian_filter(noise, (0, 2.0, 1.0), mode="wrap")


def judged(strip: np.ndarray, valid: np.ndarray | None = None) -> dict:
    ok = np.ones(strip.shape[1:], bool) if valid is None else valid
    return seams.seam_value(seams.seam_sums(strip, ok))


def test_clean_strips_have_no_seam():
    found = [judged(landscape(seed)) for seed in range(20)]
    assert not any(one["found"] for one in found)
    assert max(abs(one[name]) for one in found for name in ("z", "level_z")) < 5.0


def test_a_step_of_level_is_found():
    strip = landscape(3)
    strip[:, :, 5:] += 2.0
    found = judged(strip)
    assert found["found"]
    assert found["level_score"] > 1.0
    assert found["segments"] == 64


def test_an_edge_artefact_without_a_level_is_found():
    strip = landscape(4)
    strip[:, :, 4] += np.random.default_rng(0).choice([-2.0, 2.0], 2048)
    found = judged(strip)
    assert found["found"]
    assert found["score"] > 0.2


def test_a_step_in_one_band_is_enough():
    strip = landscape(5)
    strip[2, :, 5:] -= 3.0
    assert judged(strip)["found"]


def test_lines_down_and_across_are_judged_alike():
    strip, valid = landscape(6), np.ones((2048, 10), bool)
    valid[70:75, 3] = False
    upright = seams.seam_sums(strip, valid)
    lying = seams.seam_sums(strip.transpose(0, 2, 1), valid.T, axis=0)
    assert upright.segments == lying.segments == 63
    np.testing.assert_array_equal(upright.excess, lying.excess)


def test_invalid_pixels_do_not_count():
    strip = landscape(7)
    valid = np.ones((2048, 10), bool)
    valid[1024:, 9] = False
    half = strip.copy()
    half[:, 1024:] = np.nan
    np.testing.assert_equal(judged(half, valid), judged(strip[:, :1024]))


def test_seam_sums_add_up_and_too_few_say_nothing():
    strip = landscape(8)
    ok = np.ones((2048, 10), bool)
    parts = [seams.seam_sums(strip[:, rows], ok[rows]) for rows in (slice(0, 512), slice(512, 2048))]
    whole = seams.seam_sums(strip, ok)
    np.testing.assert_allclose(merge(*parts).squared, whole.squared, rtol=1e-12)
    assert math.isnan(judged(strip[:, :224])["z"])
    assert not math.isnan(judged(strip[:, :256])["z"])
    with pytest.raises(UsageError, match="the line in the middle"):
        seams.seam_sums(strip[:, :, :9], ok[:, :9])


def test_steps_on_a_constant_image_are_all_seam():
    flat = np.full((1, 512, 10), 7.0)
    assert judged(flat)["score"] == 0.0
    flat[:, :, 5:] = 8.0
    assert judged(flat)["found"]


# --- sharpness ------------------------------------------------------------------------------------------------


def edges(sigma: float, size: int = 240) -> np.ndarray:
    """Upright edges each 40 pixels, between two of them, blurred in closed form."""
    at = np.arange(size)[None, :]
    rising = sum(
        (-1.0) ** number * norm.cdf((at - (40 * number + 19.5)) / max(sigma, 1e-9)) for number in range(6)
    )
    return np.repeat(10.0 + 5.0 * rising, size, axis=0)[None]


def test_edge_width_is_the_closed_form_of_blurred_steps():
    fused, upsampled, pan = edges(0.9), edges(3.0), edges(0.0)
    valid = np.ones(pan.shape[1:], bool)
    sums = sharpness.sharpness_sums(
        (fused, upsampled, pan), (upsampled, upsampled), valid=valid, ratio=4.0, core=ALL
    )
    found = sharpness.sharpness_value(sums)
    reach = sharpness.edge_reach_px(4.0) + 0.5

    def width(sigma: float) -> float:
        return (2 * norm.cdf(reach / sigma) - 1) / (2 * norm.cdf(0.5 / sigma) - 1)

    assert found["edge_width_px"] == [pytest.approx(width(0.9), rel=1e-6)]
    assert found["edge_width_upsampled_px"] == [pytest.approx(width(3.0), rel=1e-6)]
    assert found["edge_width_pan_px"] == pytest.approx(1.0)


def test_gradient_energy_and_detail_correlation_by_hand(rng: np.random.Generator):
    up, pan = rng.random((2, 30, 33)), rng.random((1, 30, 33))
    low = np.full((1, 30, 33), 0.5)
    fused = np.stack([3.0 * up[0], -2.0 * (pan[0] - 0.5)])
    valid = np.ones((30, 33), bool)
    found = sharpness.sharpness_value(
        sharpness.sharpness_sums(
            (fused, up, pan), (np.zeros_like(fused), low), valid=valid, ratio=2.0, core=ALL
        )
    )
    squared = [
        (np.diff(image, axis=0)[:, :-1] ** 2 + np.diff(image, axis=1)[:-1] ** 2).sum()
        for image in (*fused, *up)
    ]
    assert found["energy_gain"] == pytest.approx([9.0, squared[1] / squared[3]])
    assert found["detail_correlation"][1] == pytest.approx(-1.0)


@pytest.mark.parametrize("ratio", [2.0, 4.0])
def test_sharpness_of_tiles_is_that_of_the_whole(ratio: float, rng: np.random.Generator):
    images = tuple(
        ndimage.gaussian_filter(rng.standard_normal((bands, 160, 192)), (0, s, s))
        for bands, s in ((2, 0.7), (2, 2.0), (1, 0.7))
    )
    lows = tuple(ndimage.gaussian_filter(image, (0, 3, 3)) for image in (images[0], images[2]))
    valid = np.ones((160, 192), bool)
    valid[40:60, 90:120] = False
    whole = sharpness.sharpness_sums(images, lows, valid=valid, ratio=ratio, core=ALL)
    halo, found = sharpness.edge_reach_px(ratio) + 1, None
    for top in (0, 64, 128):
        for left in (0, 96):
            rows, cols = (
                slice(max(top - halo, 0), top + 64 + halo),
                slice(max(left - halo, 0), left + 96 + halo),
            )
            core = (
                slice(top - rows.start, min(top + 64, 160) - rows.start),
                slice(left - cols.start, left + 96 - cols.start),
            )
            part = sharpness.sharpness_sums(
                tuple(image[:, rows, cols] for image in images),
                tuple(image[:, rows, cols] for image in lows),
                valid=valid[rows, cols],
                ratio=ratio,
                core=core,
            )
            found = merge(found, part) if found else part
    assert found is not None
    assert found.count == whole.count
    for name in ("energy", "contrast", "steepest", "products"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-10)


def test_without_an_edge_there_is_no_width():
    flat = np.ones((1, 64, 64))
    sums = sharpness.sharpness_sums(
        (flat, flat, flat), (flat, flat), valid=np.ones((64, 64), bool), ratio=4.0, core=ALL
    )
    found = sharpness.sharpness_value(sums)
    assert math.isnan(found["edge_width_pan_px"])
    assert math.isnan(found["energy_gain"][0])
