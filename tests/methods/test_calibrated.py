"""What a measured model costs against the true one: the error of the product."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from geofuse.geometry import axis_from_grids
from geofuse.landscape.camera import Camera, observe
from geofuse.methods.base import After, Options
from geofuse.methods.hold_out import Reduced, fit_patches, patches_of
from geofuse.methods.observation import Observation
from geofuse.methods.sharpen.back_projection import fuse_patch, margin_px
from geofuse.methods.table import get
from geofuse.metrics.reference import ergas
from tests.methods.test_calibrate import found, landsat_pan, sentinel

ROUNDS = 3


def error(name: str, truth: NDArray, pair: tuple[NDArray, NDArray], ratio: int, model: Observation) -> float:
    """ERGAS of a whole pair fused under a model, three back-projections after it."""
    pan, ms = pair
    axis = axis_from_grids(0.0, 1.0, 0.0, float(ratio))
    options = Options(tuple(str(band) for band in range(len(ms))), float(ratio))
    height, width = ms.shape[1] * ratio, ms.shape[2] * ratio
    pan, truth = pan[:, :height, :width], truth[:, :height, :width]
    everywhere = np.ones((height, width), np.bool_)
    scene = Reduced(pan, everywhere, truth, everywhere, ms, np.ones(ms.shape[1:], np.bool_), (axis, axis))
    method = get(name)
    reach = method.halo(model, options=options)
    margin = margin_px(model, ROUNDS, options)
    ((patch, core),) = patches_of(scene, (reach.fine_px, reach.coarse_cpx), margin, 1)
    params = fit_patches(method, [replace(patch, core=core, valid=everywhere)], model, options)
    assert params is not None
    made = fuse_patch(method, patch, params, model, options=options, core=core, after=After(ROUNDS))
    return ergas(truth[:, 8:-8, 8:-8], made[:, 8:-8, 8:-8], ratio=ratio)


@pytest.mark.parametrize("name", ["gsa", "mtf-glp-hpm-r", "ridge"])
@pytest.mark.parametrize(
    ("image", "ratio", "seed"), [("im10", 4, 0), ("im10", 2, 1), ("im20", 2, 0), ("pan", 2, 1)]
)
def test_within_three_percent_of_the_true_model(
    data_dir: Path, name: str, image: str, ratio: int, seed: int
) -> None:
    """Shifts of +-2 px, one gain of .15 to .45 for all bands, noise, random PAN weights."""
    if image == "pan":
        truth = landsat_pan(data_dir)[:, 480:, :]
    else:
        truth = sentinel(data_dir)[image][:, : 150 * ratio, : 150 * ratio]
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 1.0, len(truth))
    gain = float(rng.uniform(0.15, 0.45))
    shift = (float(rng.uniform(-2.0, 2.0)), float(rng.uniform(-2.0, 2.0)))
    camera = Camera(
        (gain,) * len(truth),
        tuple((weights / weights.sum()).tolist()),
        ratio=float(ratio),
        shift_px=shift,
        noise_sigma=3.0,
    )
    pair = observe(truth, camera, rng=rng)
    estimate = found(*pair, ratio)
    true = error(name, truth, pair, ratio, Observation((gain,) * len(truth), shift))
    own = () if len(set(estimate.band_shift_px)) == 1 else estimate.band_shift_px
    measured = error(name, truth, pair, ratio, Observation(estimate.mtf_gain, estimate.shift_px, own))
    assert measured < 1.03 * true
