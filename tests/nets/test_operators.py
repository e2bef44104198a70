"""D, U, back-projection and ridge in torch give what the kernels give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from geofuse.geometry import AxisMap, cubic_taps, gaussian_taps
from geofuse.kernels import stencil
from geofuse.kernels.classes import modulate
from geofuse.methods.observation import (
    Observation,
    coarse_window_bands,
    degrade_bands,
    degrade_reach_bands,
    upsample_bands,
)
from geofuse.methods.sharpen import spectral_classes as soft

torch = pytest.importorskip("torch")
operators = pytest.importorskip("geofuse.nets.operators")

AXES = (AxisMap(0.25, -0.375), AxisMap(0.4, 0.13))
MODEL = Observation((0.3, 0.25, 0.3), (0.4, -0.7), ((0.4, -0.7), (0.4, -0.7), (1.1, 0.2)))
FINE, COARSE = (40, 104, 30, 90), (14, 22, 14, 34)


def planes(*shape: int) -> NDArray[Any]:
    return np.random.default_rng(3).uniform(100.0, 900.0, shape).astype(np.float32)


def test_down_and_up_are_the_kernels_with_a_gain_and_a_shift_for_each_band() -> None:
    window = degrade_reach_bands(AXES, COARSE, MODEL)
    fine = planes(3, window[1] - window[0], window[3] - window[2])
    wanted, _ = degrade_bands(
        fine, np.ones(fine.shape[1:], bool), (window[0], window[2]), AXES, COARSE, observation=MODEL
    )
    down = operators.down(AXES, MODEL.mtf_gain, MODEL.shifts_px, fine=window, coarse=COARSE, mirror=False)
    np.testing.assert_allclose(down(torch.from_numpy(fine)[None])[0].numpy(), wanted, rtol=2e-6)

    window = coarse_window_bands(AXES, FINE, MODEL)
    coarse = planes(3, window[1] - window[0], window[3] - window[2])
    wanted = upsample_bands(coarse, (window[0], window[2]), AXES, FINE, MODEL)
    up = operators.up(AXES, MODEL.shifts_px, coarse=window, fine=FINE, mirror=False)
    np.testing.assert_allclose(up(torch.from_numpy(coarse)[None])[0].numpy(), wanted, rtol=2e-6)


def test_taps_beyond_the_inputs_mirror_or_are_refused() -> None:
    axis = AxisMap(0.5, -0.25)
    taps = cubic_taps(axis, 0, 8)
    with pytest.raises(IndexError, match="leave 4 inputs"):
        operators.matrix(taps, 4)
    values = np.array([3.0, 5.0, 4.0, 8.0], np.float32)
    padded = np.pad(values, 4, mode="symmetric")
    wanted = [
        float(row @ padded[first + 4 : first + 8])
        for first, row in zip(taps.first, taps.weights, strict=True)
    ]
    found = operators.matrix(taps, 4, mirror=True) @ torch.from_numpy(values)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)
    assert operators.matrix(gaussian_taps(axis, 0.3, 0, 4), 8, mirror=True).sum(1).numpy() == pytest.approx(
        1.0
    )


def _back_projected(
    fused: torch.Tensor, coarse: torch.Tensor, through: operators.Operators, rounds: int
) -> torch.Tensor:
    """F <- F + U(M - D(F)), so many times (Irani and Peleg 1991, CVGIP 53(3))."""
    for _ in range(rounds):
        fused = fused + through.up(coarse - through.down(fused))
    return fused


def test_back_projection_brings_the_product_towards_the_coarse_image_and_has_a_gradient() -> None:
    axes = (AxisMap(0.25, -0.375), AxisMap(0.25, -0.375))
    through = operators.operators(axes, [0.3], [(0.0, 0.0)], fine=(0, 64, 0, 64), coarse=(0, 16, 0, 16))
    coarse = torch.from_numpy(planes(1, 1, 16, 16))
    start = torch.zeros(1, 1, 64, 64, requires_grad=True)
    missed = [
        _missed(_back_projected(start.detach(), coarse, through, rounds), coarse, through)
        for rounds in (0, 1, 3)
    ]
    assert missed[2] < 0.5 * missed[1] < 0.25 * missed[0]
    _back_projected(start, coarse, through, 3).sum().backward()
    assert start.grad is not None
    assert float(start.grad.abs().sum()) > 0.0


def test_ridge_is_the_stencil_kernels_with_corrections_and_classes() -> None:
    rng = np.random.default_rng(5)
    up, corrections = planes(2, 20, 24), planes(2, 20, 24) - 500.0
    detail, low = planes(24, 28) - 480.0, planes(24, 28) - 110.0
    centres = rng.normal(size=(12, 2))
    classes = soft.Classes(np.array([480.0, 510.0]), np.array([220.0, np.inf]), centres, 0.8)
    values = {
        "taps": rng.normal(size=(2, 5, 5)).tolist(),
        "ratios": rng.normal(size=(2, 2)).tolist(),
        "corrections": rng.normal(size=(2, 2)).tolist(),
        "extras": ["back-projection", "classes"],
        "classes": soft.to_json(classes, rng.uniform(0.5, 1.5, (2, 12))),
    }
    kind = up.dtype
    wanted = up.copy()
    tables = [np.asarray(values[key], kind) for key in ("taps", "ratios", "corrections")]
    stencil.inject(wanted, corrections, detail, low, kind.type(4.0), *tables)
    modulate(up, wanted, *soft.tables(classes, kind), np.asarray(values["classes"]["gains"], kind))
    found = operators.ridge_detail(
        torch.from_numpy(detail)[None, None],
        torch.from_numpy(low[2:-2, 2:-2].copy())[None, None],
        torch.from_numpy(up)[None],
        torch.from_numpy(corrections)[None],
        values,
        floor=4.0,
    )
    np.testing.assert_allclose(found[0].numpy() + up, wanted, rtol=1e-4, atol=2e-2)


def _missed(fused: Any, coarse: Any, through: Any) -> float:
    return float((coarse - through.down(fused)).square().mean())
