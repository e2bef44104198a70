"""The rows of geofuse's own metrics, in the order in which they are shown: a new one is a constant here."""

from __future__ import annotations

import math

from geofuse.metrics.metric import Metric

_REFERENCE = "geofuse.metrics.reference"
_CHECKS = "geofuse.quality.checks"

# fmt: off
ERGAS = Metric(
    "ergas", "ERGAS", "Relative error over all bands against the reference, scaled by the ratio.",
    best=0.0, direction="less", needs=("reference", "fused", "ratio"), target=f"{_REFERENCE}:ergas",
    variant="wald", digits=3, tiled=True,
    shown=("terminal", "headline"),
)
SAM = Metric(
    "sam", "SAM", "Mean angle between spectra: colour, whatever the brightness.",
    best=0.0, direction="less", needs=("reference", "fused"), target=f"{_REFERENCE}:sam",
    unit="°", variant="mean", digits=3, tiled=True,
    shown=("terminal", "headline"),
)
Q2N = Metric(
    "q2n", "Q2^n", "Q with all bands as one hypercomplex number: also their relations.",
    best=1.0, direction="more", needs=("reference", "fused"), target=f"{_REFERENCE}:q2n",
    variant="blocks32", bounded=True, tiled=True,
    shown=("terminal",),
)
Q = Metric(
    "q", "Q", "Correlation, contrast and brightness together, block by block, mean over bands.",
    best=1.0, direction="more", needs=("reference", "fused"), target=f"{_REFERENCE}:q",
    variant="blocks32", bounded=True, tiled=True,
)
SCC = Metric(
    "scc", "SCC", "Whether edges lie where they should and are as strong.",
    best=1.0, direction="more", needs=("reference", "fused"), target=f"{_REFERENCE}:scc",
    variant="sobel", bounded=True, tiled=True,
)
PSNR = Metric(
    "psnr", "PSNR", "Squared error against the largest value, on a log scale.",
    best=math.inf, direction="more", needs=("reference", "fused"), target=f"{_REFERENCE}:psnr",
    unit="dB", variant="maximum", digits=2, tiled=True,
)
SSIM = Metric(
    "ssim", "SSIM", "Similarity of structure in small windows.",
    best=1.0, direction="more", needs=("reference", "fused"), target=f"{_REFERENCE}:ssim",
    variant="gauss11", bounded=True, tiled=True,
)
D_LAMBDA = Metric(
    "d_lambda", "D_λ", "Change of the bands' relations to each other; plain upsampling has 0.",
    best=0.0, direction="less", needs=("fused", "upsampled"), target=f"{_REFERENCE}:d_lambda",
    variant="alparone", bounded=True, tiled=True,
)
D_S = Metric(
    "d_s", "D_S", "Change of the bands' likeness to PAN between the scales; a shift dominates it.",
    best=0.0, direction="less", needs=("fused", "pan", "upsampled", "pan_low"), target=f"{_REFERENCE}:d_s",
    variant="alparone", bounded=True, tiled=True,
    shown=("terminal",),
)
QNR = Metric(
    "qnr", "QNR", "(1 − D_λ)(1 − D_S); plain upsampling does too well.",
    best=1.0, direction="more", needs=("d_lambda", "d_s"), target=f"{_REFERENCE}:qnr",
    variant="alparone", bounded=True, tiled=True,
)
D_LAMBDA_K = Metric(
    "d_lambda_k", "D_λ^K", "Spectra at the coarse scale, after the sensor's blur, against the MS.",
    best=0.0, direction="less", needs=("fused_low", "upsampled"), target=f"{_REFERENCE}:d_lambda_k",
    variant="khan", bounded=True, tiled=True,
)
HQNR = Metric(
    "hqnr", "HQNR", "(1 − D_λ^K)(1 − D_S); differences under 0.005 are noise.",
    best=1.0, direction="more", needs=("d_lambda_k", "d_s"), target=f"{_REFERENCE}:hqnr",
    variant="aiazzi", bounded=True, tiled=True,
    shown=("terminal", "card"),
)
D_RHO = Metric(
    "d_rho", "D_ρ", "How unlike PAN the detail is in small windows; a band PAN does not see should be.",
    best=0.0, direction="less", needs=("fused", "pan", "ratio"), target=f"{_REFERENCE}:d_rho",
    variant="scarpa", tiled=True,
    shown=("terminal",),
)
R_ERGAS = Metric(
    "r_ergas", "R-ERGAS", "Relative error of the product, seen by the coarse sensor, against the MS.",
    best=0.0, direction="less", needs=("coarse", "degraded", "ratio"), target=f"{_REFERENCE}:r_ergas",
    variant="wald", digits=3, tiled=True,
    shown=("terminal", "headline"),
)
R_SAM = Metric(
    "r_sam", "R-SAM", "Angle between the spectra of the product, seen by the coarse sensor, and of the MS.",
    best=0.0, direction="less", needs=("coarse", "degraded"), target=f"{_REFERENCE}:r_sam",
    unit="°", variant="mean", digits=3, tiled=True, also=("r_sam_deg",),
)
R_Q2N = Metric(
    "r_q2n", "R-Q2^n", "Q2^n of the product, seen by the coarse sensor, and the MS.",
    best=1.0, direction="more", needs=("coarse", "degraded"), target=f"{_REFERENCE}:r_q2n",
    variant="blocks32", bounded=True, tiled=True,
)
CALIBRATION_CONFIDENCE = Metric(
    "calibration_confidence", "Calibration", "Confidence of shift and blur measured on the pair.",
    best=1.0, direction="more", needs=("record",), target=f"{_CHECKS}:calibration_confidence",
)
MATCH_R2 = Metric(
    "match_r2", "Match", "How much of PAN's detail the bands explain.",
    best=1.0, direction="more", needs=("record",), target=f"{_CHECKS}:match_r2",
)
SHIFT_PX = Metric(
    "shift_px", "Shift", "Between PAN and MS, in PAN pixels; taken into account.",
    best=None, direction="", needs=("record",), target=f"{_CHECKS}:shift_px",
    unit="px",
)
NO_HARM_SHARE = Metric(
    "no_harm_share", "Detail kept", "Least share of the detail that a band was given.",
    best=1.0, direction="more", needs=("record",), target=f"{_CHECKS}:no_harm_share",
)
HOLD_OUT_GAIN = Metric(
    "hold_out_gain", "Gain", "Error less than upsampling's, on what was held out.",
    best=1.0, direction="more", needs=("record",), target=f"{_CHECKS}:hold_out_gain",
)
EDGE_GAIN = Metric(
    "edge_gain", "Edges", "How many times as steep as upsampled.",
    best=None, direction="more", needs=("values",), target=f"{_CHECKS}:edge_gain",
)
SEAMS = Metric(
    "seams", "Seams", "Tile borders that show.",
    best=0.0, direction="less", needs=("values",), target=f"{_CHECKS}:seams",
)
LEVEL_FACTOR = Metric(
    "level_factor", "Level", "Brightness of the worst band over the input's.",
    best=1.0, direction="less", needs=("values",), target=f"{_CHECKS}:level_factor",
)
INDEX_BIAS = Metric(
    "index_bias", "Index bias", "The largest of NDVI, EVI2, NDWI and such, at the input's scale.",
    best=0.0, direction="less", needs=("values",), target=f"{_CHECKS}:index_bias",
)
NODATA_SHARE = Metric(
    "nodata_share", "No data", "Share of the image without data.",
    best=None, direction="", needs=("record",), target=f"{_CHECKS}:nodata_share",
)
VALID_SHARE = Metric(
    "valid_share", "Valid", "Share of the image that has data.",
    best=1.0, direction="more", needs=("record",), target=f"{_CHECKS}:valid_share",
)
SATURATED_SHARE = Metric(
    "saturated_share", "Saturated", "Share of values beyond the type's range.",
    best=0.0, direction="less", needs=("record",), target=f"{_CHECKS}:saturated_share",
)
MOVED_SHARE = Metric(
    "moved_share", "Moved", "Share of values that had to step aside for nodata.",
    best=0.0, direction="less", needs=("record",), target=f"{_CHECKS}:moved_share",
)
CLOUD_SHARE = Metric(
    "cloud_share", "Cloud", "Share of the valid pixels.",
    best=None, direction="", needs=("record", "out"), target=f"{_CHECKS}:cloud_share",
)
# fmt: on

BUILT_IN = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of the above."""
