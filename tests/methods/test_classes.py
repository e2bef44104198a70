"""Soft classes: memberships and gains against plain arithmetic, the choice against refits, and where they help."""

from __future__ import annotations

import json
from functools import cache, reduce

import numpy as np
import pytest
from numpy.typing import NDArray

from geofuse.kernels.classes import GainSums, memberships_of, power_table
from geofuse.methods.base import Params
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen import spectral_classes as soft
from geofuse.methods.sharpen.ridge import RIDGE
from geofuse.methods.sums import MOST_SPECTRA, GainEquations, Spectra, merge, spectra_of
from geofuse.metrics.reference import ergas
from tests.methods import reference
from tests.methods.reference_ridge import Plane, full_scale, local_gains, memberships
from tests.methods.scenes import Scene, aligned, applied, collected, fitted, make_scene, pair_of, texture


def spectra_like(rng: np.random.Generator, size: int, bands: int) -> Spectra:
    """Spectra around as many places as there are classes."""
    homes = rng.uniform(200.0, 900.0, (soft.CLASSES, bands))
    values = homes[rng.integers(0, len(homes), size)] + rng.normal(0.0, 12.0, (size, bands))
    return Spectra(size, 1, np.stack([np.arange(size), np.zeros(size, np.int64)], axis=1), values)


# --- spectra and classes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [[(0, 400)], [(0, 7), (7, 207), (207, 400)]])
def test_sampled_spectra_are_those_of_a_lattice(cuts: list[tuple[int, int]]) -> None:
    """Whatever the blocks and their order: a lattice of the scene, as wide as it must be."""
    rng = np.random.default_rng(0)
    planes, valid = rng.normal(size=(2, 400, 300)), rng.random((400, 300)) > 0.2
    parts = [spectra_of(planes[:, top:end], valid[top:end], (top + 6, 3)) for top, end in cuts]
    rows, cols = np.nonzero(valid)
    for found in (reduce(merge, parts), reduce(merge, parts[::-1])):
        assert isinstance(found, Spectra)
        step = found.step_cpx
        on = ((rows + 6) % step == 0) & ((cols + 3) % step == 0)
        assert found.pixels == rows.size
        assert np.array_equal(found.places, np.stack([rows[on] + 6, cols[on] + 3], axis=1))
        assert np.array_equal(found.values, planes[:, rows[on], cols[on]].T)
        before = ((rows + 6) % (step // 2) == 0) & ((cols + 3) % (step // 2) == 0)
        assert on.sum() <= MOST_SPECTRA < before.sum()


@pytest.mark.parametrize("bands", [1, 4, 8])
def test_k_means_ends_where_lloyd_stands_still(bands: int) -> None:
    spectra = spectra_like(np.random.default_rng(bands), 4000, bands)
    found = soft.classes_of(spectra)
    assert found is not None
    points = (spectra.values - spectra.values.mean(axis=0)) / spectra.values.std(axis=0)
    distances = np.linalg.norm(points[:, None] - found.centres, axis=2)
    owner = distances.argmin(axis=1)
    means = np.stack([points[owner == k].mean(axis=0) for k in range(soft.CLASSES)])
    # in one band the last spectra go back and forth for long
    assert np.allclose(found.centres, means, rtol=0.0, atol=1e-10 if bands > 1 else 0.02)
    assert np.isclose(found.spread, distances.min(axis=1).mean(), rtol=1e-12)
    assert found.spread < 0.5 * np.linalg.norm(points, axis=1).mean()


def test_too_few_or_equal_spectra_have_no_classes() -> None:
    rng = np.random.default_rng(1)
    assert soft.classes_of(spectra_like(rng, 1199, 3)) is None
    places = np.zeros((5000, 2), np.int64)
    for values in (np.full((5000, 3), 7.0), rng.integers(0, 2, (5000, 1)).astype(float)):
        assert soft.classes_of(Spectra(5000, 1, places, values)) is None


def test_a_flat_band_has_no_say() -> None:
    """And its infinite scale survives a trip through JSON."""
    spectra = spectra_like(np.random.default_rng(2), 4000, 3)
    values = spectra.values.copy()
    values[:, 1] = 300.0
    found = soft.classes_of(Spectra(4000, 1, spectra.places, values))
    assert found is not None
    gains = np.ones((3, soft.CLASSES))
    again, _ = soft.from_json(json.loads(json.dumps(soft.to_json(found, gains))))
    for field in ("mean", "scale", "centres", "spread"):
        assert np.array_equal(getattr(again, field), getattr(found, field))
    planes = values.T[:, None, :].copy()
    other = planes.copy()
    other[1] += 1e6
    assert np.array_equal(kernel_shares(found, planes), kernel_shares(again, other))


def kernel_shares(found: soft.Classes, planes: NDArray) -> NDArray:
    shares = np.empty((planes.shape[1], soft.CLASSES, planes.shape[2]), planes.dtype)
    memberships_of(planes, *soft.tables(found, planes.dtype), shares)
    return shares.swapaxes(0, 1)


@pytest.mark.parametrize(("kind", "close"), [("float32", 3e-5), ("float64", 1e-11)])
def test_memberships_equal_the_formula(kind: str, close: float) -> None:
    rng = np.random.default_rng(3)
    found = soft.classes_of(spectra_like(rng, 4000, 4))
    assert found is not None
    planes = rng.uniform(-5e3, 2e4, (4, 9, 133))  # far outside too
    planes[:, 3:] = rng.uniform(200.0, 900.0, (4, 6, 133))
    planes = planes.astype(kind)
    truth = memberships(soft.to_json(found, np.ones((4, soft.CLASSES))), planes.astype(np.float64))
    shares = kernel_shares(found, planes)
    assert shares.dtype == kind
    assert np.abs(shares - truth)[:, 3:].max() < close
    assert np.abs(shares.sum(axis=0) - 1.0).max() < 1e-6
    assert (shares >= 0.0).all()
    assert np.array_equal(shares[:, 3:].argmax(axis=0), truth[:, 3:].argmax(axis=0))


def test_powers_of_two_are_exact_where_they_can_be() -> None:
    """Two centres, a whole number of squared units apart in nearness: memberships are 1 to 2^n."""
    table = power_table(np.dtype(np.float64))
    for power in range(0, 60, 7):
        shares = np.empty((1, 2, 1))
        centres = np.array([[0.0], [np.sqrt(power)]])
        memberships_of(np.zeros((1, 1, 1)), np.zeros(1), np.ones(1), centres, table, shares)
        assert np.isclose(shares[0, 1, 0] / shares[0, 0, 0], 2.0**-power, rtol=1e-11)


# --- gains --------------------------------------------------------------------------------------------------


@cache
def samples() -> tuple[GainEquations, list[NDArray], list[NDArray], list[NDArray]]:
    """Random equations of 12 classes and 2 bands, and memberships, detail and targets of each fold."""
    rng = np.random.default_rng(4)
    size = (80, 70)
    shares = rng.dirichlet(np.full(soft.CLASSES, 0.2), size).transpose(2, 0, 1).copy()
    detail = rng.normal(0.0, [[[20.0]], [[5.0]]], (2, *size))
    truth = np.linspace(0.2, 1.8, soft.CLASSES)
    targets = np.tensordot(truth, shares, 1) * detail + rng.normal(0.0, 6.0, (2, *size))
    seen = rng.random(size) > 0.1
    place = (29, 70)
    sums = GainSums(soft.CLASSES, 2)
    sums.add(shares.swapaxes(0, 1).copy(), detail, targets, seen=seen, place=place)
    row, col = np.indices(size)
    fold = 2 * ((row + place[0]) // 32 % 2) + (col + place[1]) // 32 % 2
    parts = [[plane[:, seen & (fold == f)] for f in range(4)] for plane in (shares, detail, targets)]
    found = GainEquations(np.stack([sums.counts] * 2), *sums.done(), seen.size)
    return found, *parts


def test_sums_equal_the_explicit_ones() -> None:
    found, shares, detail, targets = samples()
    for fold in range(4):
        assert found.counts[:, fold].tolist() == [shares[fold].shape[1]] * 2
        for band in range(2):
            x, y = shares[fold] * detail[fold][band], targets[fold][band]
            assert np.allclose(found.gram[band, fold], x @ x.T, rtol=1e-10)
            assert np.allclose(found.cross[band, fold], x @ y, rtol=1e-10)
            assert np.isclose(found.squares[band, fold], y @ y, rtol=1e-10)


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 1e6])
def test_gains_minimise_their_penalised_error(penalty: float) -> None:
    """Stacked least squares on the samples; the penalty draws them to 1."""
    found, shares, detail, targets = samples()
    use = np.array([True, False, True, True])
    gains = soft.solve_gains(found, use, penalty=penalty)
    m, r, y = (
        np.concatenate([p for p, own in zip(part, use, strict=True) if own], axis=1)
        for part in (shares, detail, targets)
    )
    for band in range(2):
        truth = local_gains(m, r[band], y[band], penalty)
        assert np.allclose(gains[band], truth, rtol=1e-8)
    assert (np.abs(gains - 1.0).max() < 1e-4) == (penalty == 1e6)


def test_the_choice_equals_explicit_refits() -> None:
    found, shares, detail, targets = samples()
    errors = {}
    for penalty in soft.PENALTIES:
        total = np.zeros(2)
        for fold in range(4):
            others = [f for f in range(4) if f != fold]
            m, r, y = (
                np.concatenate([part[f] for f in others], axis=1) for part in (shares, detail, targets)
            )
            for band in range(2):
                gains = local_gains(m, r[band], y[band], penalty)
                missed = targets[fold][band] - gains @ shares[fold] * detail[fold][band]
                total[band] += missed @ missed
        errors[penalty] = np.sqrt(total / sum(part.shape[1] for part in shares))
    gaps = np.concatenate(targets, axis=1) - np.concatenate(detail, axis=1)
    without = np.sqrt(np.mean(gaps**2, axis=1))
    judged = soft.judge(found)
    assert judged is not None
    assert np.allclose(judged.without, without, rtol=1e-9)
    assert np.allclose(judged.best.rmse, errors[judged.best.penalty], rtol=1e-8)
    shares_of = {penalty: np.mean(own / without) for penalty, own in errors.items()}
    assert shares_of[judged.best.penalty] <= soft.NEAR * min(shares_of.values())
    assert judged.worth == (shares_of[judged.best.penalty] <= soft.WORTH)


def test_nothing_to_hold_out_is_no_choice() -> None:
    found, *_ = samples()
    empty = np.zeros((2, 4, 0, 0)), np.zeros((2, 4, 0)), np.zeros((2, 4))
    assert soft.judge(GainEquations(np.zeros((2, 4), np.int64), *empty, 9)) is None
    one = found.counts * np.array([1, 0, 0, 0])
    assert soft.judge(GainEquations(one, found.gram, found.cross, found.squares, found.pixels)) is None


# --- scenes -------------------------------------------------------------------------------------------------


@cache
def landscape(covers: int) -> tuple[Scene, NDArray]:
    """A pair at ratio 2 and its truth: one land cover, or two whose bands answer PAN's detail differently."""
    rng = np.random.default_rng(11)
    size = 256
    fine_texture = texture(rng, size, size, 0.9)
    cover = (texture(rng, size, size, 2.4) > 0.0) if covers == 2 else np.zeros((size, size), np.bool_)
    pan = 500.0 + 40.0 * fine_texture
    level = np.where(cover, 200.0, 0.0)
    gain = np.where(cover, 0.2, 1.2)
    own = texture(rng, size, size, 1.5)
    red = 400.0 + level + gain * 40.0 * fine_texture + 3.0 * own
    truth = np.stack([red, 900.0 - 2.0 * level + (1.5 - gain) * 40.0 * fine_texture])
    half = ((0.5, -0.25), (0.5, -0.25))
    coarse = []
    for plane in truth:
        padded = reference.symmetric(plane, 24)
        seen = Plane(padded, np.ones(padded.shape, np.bool_), (-24, -24)).down(half, 0.3)
        coarse.append(seen.window((0, 0), (size // 2, size // 2))[0])
    made = make_scene((aligned(2.0),) * 2, (size // 2, size // 2), names=("red", "nir"), gains=(0.3, 0.3))
    axes, spare = made.axes, made.fine_valid.shape
    assert spare == (size, size)
    scene = Scene(
        pan[None],
        np.ones(pan.shape, np.bool_),
        np.stack(coarse) + rng.normal(0.0, 0.5, (2, size // 2, size // 2)),
        np.ones((size // 2, size // 2), np.bool_),
        axes,
        Observation((0.3, 0.3)),
        made.options,
    )
    return scene, truth


def test_two_land_covers_are_told_apart() -> None:
    scene, truth = landscape(2)
    params = fitted(scene, "ridge")
    assert "classes" in params.values["extras"]
    report = params.values["hold_out"]["classes"]
    assert np.mean(np.divide(report["rmse"], report["rmse_without"])) <= soft.WORTH
    plain = Params("ridge", {**params.values, "classes": None})
    errors = [ergas(truth, applied(scene, "ridge", own), ratio=2.0) for own in (plain, params)]
    assert errors[1] < 0.95 * errors[0], errors
    assert json.loads(json.dumps(params.values)) == params.values


def test_one_land_cover_needs_no_classes() -> None:
    scene, _ = landscape(1)
    values = fitted(scene, "ridge").values
    assert "classes" not in values["extras"]
    assert values["classes"] is None
    assert values["hold_out"]["classes"] is not None  # they were tried


def test_the_modulation_equals_its_formula() -> None:
    scene, _ = landscape(2)
    params = fitted(scene, "ridge", dtype="float64")
    pair = pair_of(scene)
    features, up = full_scale(pair, (0.0, 0.0), ((0.0, 0.0),) * 2)
    values = params.values
    coefficients = np.concatenate(
        [np.reshape(values["taps"], (2, 25)), values["ratios"], values["corrections"]], axis=1
    )
    detail = np.tensordot(coefficients, features, 1)
    shares = memberships(values["classes"], up)
    gains = np.tensordot(values["classes"]["gains"], shares, 1)
    truth = up + gains * detail
    span = np.abs(truth).max()
    assert np.abs(applied(scene, "ridge", params, dtype="float64") - truth).max() < 1e-10 * span
    assert np.abs(applied(scene, "ridge", params) - truth).max() < 3e-6 * span


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_cut_gives_the_same_bits(dtype: str) -> None:
    scene, _ = landscape(2)
    params = fitted(scene, "ridge", dtype=dtype, block_px=100)
    assert params.values["classes"]
    whole = applied(scene, "ridge", params, dtype=dtype)
    for tile in ((64, 64), (17, 39), (256, 9)):
        assert np.array_equal(applied(scene, "ridge", params, tile=tile, dtype=dtype), whole)


def test_what_is_collected_barely_depends_on_the_blocks() -> None:
    scene, _ = landscape(2)
    cut, whole = (collected(scene, RIDGE, dtype="float64", block_px=px) for px in (100, 4096))
    assert np.array_equal(cut["spectra"].values, whole["spectra"].values)
    assert whole["classes"].gram.max() > 0.0
    assert np.array_equal(cut["classes"].counts, whole["classes"].counts)
    for field in ("gram", "cross", "squares"):
        one, two = getattr(cut["classes"], field), getattr(whole["classes"], field)
        assert np.allclose(one, two, rtol=0.0, atol=1e-11 * np.abs(two).max())
    again = collected(scene, RIDGE, dtype="float64", block_px=100, spare=(9, 9))["classes"]
    assert np.array_equal(again.gram, cut["classes"].gram)
