"""A picture out of an image on another grid: places by knots, values between pixels, a stretch, 8 bits."""

from __future__ import annotations

import math

from geofuse.kernels.jit import compiled


@compiled
def paint(planes, valid, knots, step, low, gain, curve, out):  # type: ignore[no-untyped-def]
    """Paint out (H, W, 4) from planes (3, h, w) seen at places between knots (2, n, m), `step` pixels apart.

    Places are rows and columns of `planes`, whose pixels' centres are whole numbers; NaN is nowhere. Values are
    bilinear over the valid ones of 4 pixels; alpha is 255 where the nearest pixel is valid. Level = (value -
    low) * gain in [0, 1], taken to 8 bits by `curve`, a table over that range.
    """
    height, width = valid.shape
    last = curve.shape[0] - 1
    for i in range(out.shape[0]):
        top = i // step
        t = (i - top * step) / step
        for j in range(out.shape[1]):
            left = j // step
            s = (j - left * step) / step
            y = (1.0 - t) * ((1.0 - s) * knots[0, top, left] + s * knots[0, top, left + 1]) + t * (
                (1.0 - s) * knots[0, top + 1, left] + s * knots[0, top + 1, left + 1]
            )
            x = (1.0 - t) * ((1.0 - s) * knots[1, top, left] + s * knots[1, top, left + 1]) + t * (
                (1.0 - s) * knots[1, top + 1, left] + s * knots[1, top + 1, left + 1]
            )
            out[i, j, 3] = 0
            if not (-0.5 <= y < height - 0.5 and -0.5 <= x < width - 0.5):  # also NaN
                out[i, j, 0] = out[i, j, 1] = out[i, j, 2] = 0
                continue
            if not valid[min(int(y + 0.5), height - 1), min(int(x + 0.5), width - 1)]:
                out[i, j, 0] = out[i, j, 1] = out[i, j, 2] = 0
                continue
            fy, fx = math.floor(y), math.floor(x)
            v, u = y - fy, x - fx
            y0, x0 = max(int(fy), 0), max(int(fx), 0)
            y1, x1 = min(int(fy) + 1, height - 1), min(int(fx) + 1, width - 1)
            w00 = (1.0 - v) * (1.0 - u) * valid[y0, x0]
            w01 = (1.0 - v) * u * valid[y0, x1]
            w10 = v * (1.0 - u) * valid[y1, x0]
            w11 = v * u * valid[y1, x1]
            total = w00 + w01 + w10 + w11
            for k in range(3):
                value = (
                    w00 * planes[k, y0, x0]
                    + w01 * planes[k, y0, x1]
                    + w10 * planes[k, y1, x0]
                    + w11 * planes[k, y1, x1]
                ) / total
                level = min(max((value - low[k]) * gain[k], 0.0), 1.0)
                out[i, j, k] = curve[int(level * last + 0.5)]
            out[i, j, 3] = 255
