"""Injection of spatial detail, pixel by pixel: the four forms that all closed-form methods reduce to.

Arrays: ``up`` (B, H, W) is the coarse image on the fine grid and is overwritten by the result, ``pan`` is
(H, W), ``low`` (G, H, W) low-passed PAN, ``group`` (B,) which of them belongs to a band.
"""

from __future__ import annotations

import numpy as np

from geofuse.kernels.jit import compiled

NO_LIMIT = 1e30
"""As a limit of a slope: none."""


@compiled
def _add(line, factor, source):  # type: ignore[no-untyped-def]
    """``line += factor * source``, in place."""
    if factor != 0.0:
        for col in range(line.size):
            line[col] += factor * source[col]


@compiled
def _details(up, pan, row, weights, pan_gain, constant, detail):  # type: ignore[no-untyped-def]
    """Make ``detail[k] = weights[k].U + pan_gain[k] P + constant[k]`` of one row."""
    bands, _, width = up.shape
    for k in range(detail.shape[0]):
        for col in range(width):
            detail[k, col] = pan_gain[k] * pan[row, col] + constant[k]
        for b in range(bands):
            weight = weights[k, b]
            if weight != 0.0:
                for col in range(width):
                    detail[k, col] += weight * up[b, row, col]


@compiled
def linear(up, pan, low, group, weights, pan_gain, low_gain, constant, gains):  # type: ignore[no-untyped-def]
    """``F_b = U_b + sum_k gains[b,k] (weights[k].U + pan_gain[k] P + low_gain[k] P_L(b) + constant[k])``."""
    bands, height, width = up.shape
    details = weights.shape[0]
    uses_low = low.shape[0] > 0
    detail = np.empty((details, width), up.dtype)
    for row in range(height):
        _details(up, pan, row, weights, pan_gain, constant, detail)
        for b in range(bands):
            g = group[b]
            for k in range(details):
                gain = gains[b, k]
                if gain == 0.0:
                    continue
                if uses_low and low_gain[k] != 0.0:
                    for col in range(width):
                        up[b, row, col] += gain * (detail[k, col] + low_gain[k] * low[g, row, col])
                else:
                    for col in range(width):
                        up[b, row, col] += gain * detail[k, col]


@compiled
def ratio(up, pan, low, top, bottom, haze, floor):  # type: ignore[no-untyped-def]
    """``F_b = (U_b - haze_b) N / D + haze_b``, N, D linear in (U_1..U_B, P, P_L, 1); U_b where D < floor."""
    bands, height, width = up.shape
    uses_low = low.shape[0] > 0
    one = up.dtype.type(1.0)
    above = np.empty(width, up.dtype)
    below = np.empty(width, up.dtype)
    for row in range(height):
        for col in range(width):
            above[col] = top[bands] * pan[row, col] + top[bands + 2]
            below[col] = bottom[bands] * pan[row, col] + bottom[bands + 2]
        if uses_low:
            _add(above, top[bands + 1], low[0, row])
            _add(below, bottom[bands + 1], low[0, row])
        for b in range(bands):
            _add(above, top[b], up[b, row])
            _add(below, bottom[b], up[b, row])
        for col in range(width):
            factor = above[col] / below[col]
            above[col] = factor if below[col] >= floor else one
        for b in range(bands):
            base, line = haze[b], up[b, row]
            for col in range(width):
                line[col] = (line[col] - base) * above[col] + base


@compiled
def modulate(up, pan, low, group, constant, limit, floor):  # type: ignore[no-untyped-def]
    """``F_b = U_b + s_b (P - P_L(b))``, ``s_b = min(U_b / (P_L(b) + c_b), limit_b)``: high-pass modulation.

    Without a limit (a huge one) this is ``U_b (P + c_b) / (P_L(b) + c_b)``. Where the denominator is below
    ``floor`` the slope is the limit, or 0 if there is none.
    """
    bands, height, width = up.shape
    for row in range(height):
        fine = pan[row]
        for b in range(bands):
            c, smooth, line = constant[b], low[group[b], row], up[b, row]
            most = limit[b]
            beyond = most if most < 0.5 * NO_LIMIT else line.dtype.type(0.0)
            for col in range(width):
                below = smooth[col] + c
                slope = min(line[col] / below, most) if below >= floor else beyond
                line[col] += slope * (fine[col] - smooth[col])


@compiled
def partial(up, pan, intensity, replace, gain, correlation, floor):  # type: ignore[no-untyped-def]
    """PRACS: ``F_b = U_b + gain_b L_b (H_b - I)``, ``H_b = replace_b0 P + replace_b1 U_b + replace_b2``.

    I = intensity . (U_1..U_B, 1) and L_b = 1 - |1 - correlation_b U_b / I|. U_b where I < floor.
    """
    bands, height, width = up.shape
    one = up.dtype.type(1.0)
    base = np.empty(width, up.dtype)
    for row in range(height):
        for col in range(width):
            base[col] = intensity[bands]
        for b in range(bands):
            for col in range(width):
                base[col] += intensity[b] * up[b, row, col]
        for b in range(bands):
            for col in range(width):
                value = up[b, row, col]
                if base[col] >= floor:
                    local = one - abs(one - correlation[b] * value / base[col])
                    high = replace[b, 0] * pan[row, col] + replace[b, 1] * value + replace[b, 2]
                    up[b, row, col] = value + gain[b] * local * (high - base[col])
