"""Which weights a plan fuses with, on which device, in which precision: settled before any tile is fused.

The weights' card is read without torch; torch is loaded here for what a network is planned on, and only then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geofuse.errors import MethodError
from geofuse.files import sha256_of
from geofuse.methods import table
from geofuse.methods.base import Method, Options, Patch, fused_core
from geofuse.methods.hold_out import fit_patches
from geofuse.methods.observation import Observation
from geofuse.nets.choice import NetworkChoice, PrecisionChoice
from geofuse.nets.weights import Card, find_weights, no_torch, read_card
from geofuse.run.patch_reading import job_of, read_patch
from geofuse.run.plans.plan import Plan
from geofuse.run.sampling import sample_cores

INNER_PX = 256
"""Side of the inner tile a network runs on, in output pixels."""
MOST_DRIFT_PX = 0.25
"""How far a network's blocks may drift from the coarse pixels over a scene whose ratio is nearly whole."""
QUIET_SHARE = 0.1
"""Of a band's blocks, from the smoothest on, those that are taken to show noise alone."""
NOISE_BLOCK_CPX = 8
TOLERATED = 0.2
"""Error of bfloat16 against float32, in standard deviations of the scene's noise ..."""
PRECISION_WINDOWS = 2
"""Sample windows that the precision is measured on."""
TOLERATED_SHARE = 0.999
"""... that this share of the pixels must stay under."""


def plan_network(
    method: str,
    *,
    named: str | None,
    device: str,
    bands: Sequence[str],
    ratio: tuple[float, float],
    size_px: tuple[int, int],
) -> NetworkChoice:
    """Choose weights and device for a method, in float32.

    Raises WeightsError and MethodError where weights or ratio do not fit, UsageError where there is no such device.
    """
    if table.get(method).about.takes.whole_ratios:
        _check_ratio(method, ratio, size_px)
    where, runs_on = _device(device)
    path = find_weights(named, kind=method, bands=bands, ratio=ratio)
    card = read_card(path)
    return NetworkChoice(
        name=card.name,
        path=str(path),
        sha256=sha256_of(path),
        ratio=card.ratio,
        halo=card.halo,
        device=where,
        precision="float32",
        runs_on=runs_on,
        inner_px=INNER_PX,
        shares=_adapted_shares(card, bands),
    )


def _adapted_shares(card: Card, bands: Sequence[str]) -> tuple[float, ...] | None:
    """Return what the gate let through where the weights were adapted to a scene with these bands; else None: all."""
    adapted = card.training.get("adapted") or {}
    if list(adapted.get("bands", ())) != list(bands):
        return None
    return tuple(float(share) for share in adapted["shares"])


def least_shares(first: Sequence[float] | None, second: Sequence[float] | None) -> tuple[float, ...] | None:
    """Return the smaller of two shares for each band; None stands for all of it."""
    if not first or not second:
        return tuple(first or second or ()) or None
    return tuple(min(pair) for pair in zip(first, second, strict=True))


def _check_ratio(method: str, ratio: tuple[float, float], size_px: tuple[int, int]) -> None:
    """Refuse what blocks of R x R pixels cannot follow."""
    least, most = table.get(method).about.takes.ratios
    whole = round(ratio[0])
    drift = max(abs(own - whole) / own * size for own, size in zip(ratio, size_px, strict=True))
    if not least <= whole <= most or drift > MOST_DRIFT_PX:
        found = " x ".join(f"{value:.4g}" for value in dict.fromkeys(ratio))
        raise MethodError(
            f"{method} at ratio {found}",
            wanted=f"one whole number from {least:g} to {most:g} for both axes",
            do="choose --method auto, or a network on the fine grid with weights of its own",
        )


def _device(asked: str) -> tuple[str, str]:
    """Return the device's name for torch and what decides its bits; MethodError without torch."""
    try:
        from geofuse.nets.inference import find_device
    except ModuleNotFoundError as error:
        fault = no_torch()
        raise MethodError(fault.found, do=fault.do) from error
    return find_device(asked)


def with_precision(
    method: Method, options: Options, windows: Sequence[Patch], observation: Observation
) -> Options:
    """Let a network run in bfloat16 where the processor has it and the scene does not notice; says what was found.

    The error is measured on ``windows``: sample patches that reach as far as the method's halo.
    """
    from geofuse.nets.inference import has_bfloat16

    network = options.network
    assert network is not None
    if network.device == "cpu" and not has_bfloat16():
        return _told(options, PrecisionChoice("float32", reason="the processor has no bfloat16 units"))
    params = fit_patches(method, windows, observation, options)
    if params is None:
        return _told(options, PrecisionChoice("float32", reason="too little to measure on"))
    quick = replace(options, network=replace(network, precision="bfloat16"))
    counts = np.zeros(2, np.int64)
    noise = noise_sigma(windows, whole=options.whole)
    for patch in windows:
        exact, fast = (
            fused_core(method, patch, params, observation, options=one)[:, patch.valid]
            for one in (options, quick)
        )
        near = np.abs(fast - exact) < TOLERATED * noise[:, None]
        counts += near.size, int(near.sum())
    share = float(counts[1] / counts[0]) if counts[0] else 0.0
    said = PrecisionChoice("bfloat16", round(share, 6), tuple(round(x, 4) for x in noise.tolist()))
    if share < TOLERATED_SHARE:
        return _told(options, replace(said, precision="float32", reason="bfloat16's error would show"))
    return _told(quick, said)


def _told(options: Options, measured: PrecisionChoice) -> Options:
    assert options.network is not None
    return replace(options, network=replace(options.network, measured=measured))


def noise_sigma(windows: Sequence[Patch], *, whole: bool) -> NDArray[np.float64]:
    """Estimate the standard deviation of each band's noise (B,) from the smoothest blocks of the coarse image.

    Immerkaer's mask [1 -2 1; -2 4 -2; 1 -2 1] is blind to planes and quadratics; its mean magnitude over white noise
    of sigma is 6 sigma sqrt(2 / pi). Source: Immerkaer 1996, Computer Vision and Image Understanding 64(2). Whole
    numbers have at least the noise of their rounding.
    """
    found: list[NDArray[np.float64]] = []
    for patch in windows:
        planes = patch.target.values.astype(np.float64)
        rows = planes[:, :-2] - 2.0 * planes[:, 1:-1] + planes[:, 2:]
        curved = np.abs(rows[:, :, :-2] - 2.0 * rows[:, :, 1:-1] + rows[:, :, 2:])
        valid = patch.target.valid
        seen = valid[1:-1, 1:-1] & valid[:-2, :-2] & valid[2:, 2:] & valid[:-2, 2:] & valid[2:, :-2]
        step = NOISE_BLOCK_CPX
        height, width = (size // step * step for size in seen.shape)
        shape = height // step, step, width // step, step
        means = curved[:, :height, :width].reshape(-1, *shape).mean(axis=(2, 4))
        full = seen[:height, :width].reshape(shape).all(axis=(1, 3))
        found.append(means[:, full])
    blocks = np.concatenate(found, axis=1) if found else np.zeros((0, 0))
    least = 1.0 / math.sqrt(12.0) if whole else 0.0
    if not blocks.size:
        return np.full(len(blocks), least)
    quiet = np.quantile(blocks, QUIET_SHARE, axis=1)
    return np.maximum(quiet * math.sqrt(math.pi / 2.0) / 6.0, least)


def settled(plan: Plan) -> Plan:
    """Return the plan with its network's precision, measured on the scene's sample."""
    job = job_of(plan)
    cores = (plan.sample or sample_cores(plan))[:PRECISION_WINDOWS]
    windows = [read_patch(plan, core, job.pedestal) for core in cores]
    method = table.get(plan.method)
    return replace(plan, options=with_precision(method, plan.options, windows, plan.pair.observation))
