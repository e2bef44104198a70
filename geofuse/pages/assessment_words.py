"""What the assessment's page says of each number: name, unit, best value, direction, one short phrase."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

DOWN, UP = "lower is better", "higher is better"

WORDS = {
    "sam": (
        "SAM",
        "\N{DEGREE SIGN}",
        "0",
        DOWN,
        "Mean angle between spectra: colour, whatever the brightness.",
    ),
    "ergas": ("ERGAS", "", "0", DOWN, "Relative error over all bands, scaled by the ratio."),
    "q": (
        "Q",
        "",
        "1",
        UP,
        "Correlation, contrast and brightness together, block by block, mean over bands.",
    ),
    "q2n": (
        "Q2<sup>n</sup>",
        "",
        "1",
        UP,
        "The same with all bands as one hypercomplex number: also their relations.",
    ),
    "scc": ("SCC", "", "1", UP, "Whether edges lie where they should and are as strong."),
    "psnr": (
        "PSNR",
        "\N{NO-BREAK SPACE}dB",
        "\N{INFINITY}",
        UP,
        "Squared error against the largest value, on a log scale.",
    ),
    "ssim": ("SSIM", "", "1", UP, "Similarity of structure in small windows."),
    "d_lambda": (
        "D<sub>\u03bb</sub>",
        "",
        "0",
        DOWN,
        "Change of the bands' relations to each other; plain upsampling has 0.",
    ),
    "d_s": (
        "D<sub>S</sub>",
        "",
        "0",
        DOWN,
        "Change of the bands' likeness to PAN between the scales; a shift dominates it.",
    ),
    "qnr": (
        "QNR",
        "",
        "1",
        UP,
        "(1 \u2212 D<sub>\u03bb</sub>)(1 \u2212 D<sub>S</sub>); plain upsampling does too well.",
    ),
    "d_lambda_k": (
        "D<sub>\u03bb</sub><sup>K</sup>",
        "",
        "0",
        DOWN,
        "Spectra at the coarse scale, after the sensor's blur, against the MS.",
    ),
    "hqnr": (
        "HQNR",
        "",
        "1",
        UP,
        "(1 \u2212 D<sub>\u03bb</sub><sup>K</sup>)(1 \u2212 D<sub>S</sub>); differences under 0.005 are noise.",
    ),
    "d_rho": (
        "D<sub>\u03c1</sub>",
        "",
        "0",
        DOWN,
        "How unlike PAN the detail is in small windows; a band PAN does not see should be unlike.",
    ),
    "r_sam": (
        "R-SAM",
        "\N{DEGREE SIGN}",
        "0",
        DOWN,
        "Angle between the spectra of the product, seen by the coarse sensor, and of the MS.",
    ),
    "r_ergas": (
        "R-ERGAS",
        "",
        "0",
        DOWN,
        "Relative error of the product, seen by the coarse sensor, against the MS.",
    ),
    "r_q2n": ("R-Q2<sup>n</sup>", "", "1", UP, "Q2<sup>n</sup> of the same two images."),
}
"""Per metric: label, unit, best value, direction, phrase."""

GROUPS = (
    ("Against the reference", ("sam", "ergas", "q", "q2n", "scc", "psnr", "ssim")),
    ("Consistency with the MS", ("r_sam", "r_ergas", "r_q2n")),
    ("At full resolution, without a reference", ("d_lambda", "d_s", "qnr", "d_lambda_k", "hqnr", "d_rho")),
)

WARNING = (
    "R-ERGAS, R-SAM and D<sub>\u03bb</sub><sup>K</sup> favour back-projection by construction: it minimises what they "
    "measure. HQNR alone ranks wrongly; a product that is not registered can beat one that is. Compare products by "
    "several of them, best against a reference one scale down."
)
UNITS = "The DN of zero reflectance is unknown, and an arbitrary pedestal changes relative errors, angles and indices."

MAPS = {
    "ergas": ("ERGAS, local", "", "Error against the reference, relative to the image's mean."),
    "sam": ("SAM, local", "\N{DEGREE SIGN}", "Spectral angle against the reference."),
    "q2n": ("1 \u2212 Q2<sup>n</sup>", "", "Against the reference, blocks of 32 px."),
    "r_ergas": ("R-ERGAS, local", "", "Residual at the coarse scale: product degraded, less MS."),
    "q2n_k": (
        "1 \u2212 Q2<sup>n</sup> at the coarse scale",
        "",
        "Product after the sensor's blur against the upsampled MS.",
    ),
    "d_rho": ("D<sub>\u03c1</sub>, local", "", "How unlike PAN the detail is, mean over bands."),
    "invented": (
        "Unsupported detail",
        "",
        "Share of the detail's energy that neither PAN nor the MS shows, mean over bands.",
    ),
}
"""Per map: title, unit, words; in the order shown."""

OBSERVED = {
    "mean": "mean",
    "rmse_percent": "RMSE, %",
    "bias": "bias",
    "q": "Q",
    "r_rmse_percent": "R-RMSE, %",
    "r_bias": "R-bias",
    "q_pan": "Q with PAN",
    "d_rho": "D<sub>\u03c1</sub>",
    "detail_correlation": "detail corr. with PAN",
    "energy_gain": "gradient energy \u00d7",
    "unsupported": "unsupported detail",
    "unsupported_bound": "its bound",
    "injection": "share injected",
}
"""Columns of the table of bands."""


def _of(*path: str) -> Callable[[Mapping[str, Any]], Any]:
    def pick(values: Mapping[str, Any]) -> Any:
        found: Any = values
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    return pick


def _invented(values: Mapping[str, Any]) -> str | None:
    worst = (values.get("invented") or {}).get("worst")
    return None if worst is None else "beyond bound" if worst > 1.0 else "none"


def _seam(values: Mapping[str, Any]) -> str | None:
    seam = values["seam"]
    return None if seam["z"] is None else "found" if seam["found"] else "none"


TILES = (
    ("ERGAS", _of("ergas"), "", "relative error against the reference; 0 is perfect"),
    ("SAM", _of("sam"), "\N{DEGREE SIGN}", "spectral angle against the reference; 0 is perfect"),
    ("R-ERGAS", _of("r_ergas"), "", "error against the MS itself, at its scale; 0 is consistent"),
    (
        "NDVI, RMSE",
        _of("indices", "ndvi", "rmse"),
        "",
        "what fusion changed in NDVI at the scale of the MS; 0 is best",
    ),
    (
        "Edges",
        _of("sharpness", "edge_gain"),
        "\N{THIN SPACE}\u00d7",
        "steeper than upsampled MS; 1 is nothing gained",
    ),
    (
        "Invented detail",
        _invented,
        "",
        "more detail that neither PAN nor the MS shows than reality has one scale down",
    ),
    ("Seams", _seam, "", "steps across tile borders that stand out from those beside them"),
)
"""The headline: name, value of the assessment's, unit, phrase."""
