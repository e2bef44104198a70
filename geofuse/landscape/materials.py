"""What things are made of: reflectance at the ground per band, and how crops are grown."""

from __future__ import annotations

from dataclasses import dataclass

BANDS = ("blue", "green", "red", "nir", "red_edge", "yellow", "coastal", "nir2")
"""Band order of a truth; four bands are the first four."""

Spectrum = tuple[float, ...]

HAZE = (0.048, 0.030, 0.017, 0.006, 0.012, 0.022, 0.068, 0.005)
"""Light the air adds."""
SKYLIGHT = (0.50, 0.44, 0.39, 0.31, 0.34, 0.41, 0.54, 0.30)
"""Share of the light that reaches a shadow: more of the blue sky's."""

MEADOW = (0.044, 0.080, 0.060, 0.380, 0.200, 0.072, 0.036, 0.385)
LUSH = (0.034, 0.075, 0.041, 0.490, 0.175, 0.058, 0.028, 0.495)
MAIZE = (0.038, 0.072, 0.049, 0.430, 0.180, 0.062, 0.031, 0.440)
CEREAL = (0.090, 0.142, 0.168, 0.330, 0.260, 0.162, 0.066, 0.350)
RAPE = (0.055, 0.145, 0.128, 0.460, 0.280, 0.148, 0.046, 0.470)
STUBBLE = (0.107, 0.153, 0.177, 0.285, 0.240, 0.175, 0.094, 0.305)
SOIL = (0.073, 0.107, 0.130, 0.210, 0.165, 0.118, 0.065, 0.225)
CLAY = (0.066, 0.102, 0.138, 0.245, 0.190, 0.126, 0.061, 0.262)
DARK_SOIL = (0.050, 0.069, 0.082, 0.125, 0.100, 0.076, 0.048, 0.135)
LEAF = (0.030, 0.060, 0.040, 0.420, 0.145, 0.049, 0.026, 0.425)
NEEDLE = (0.025, 0.043, 0.032, 0.255, 0.092, 0.038, 0.022, 0.260)
YELLOWISH = (0.034, 0.085, 0.060, 0.440, 0.200, 0.078, 0.028, 0.445)
DEEP = (0.036, 0.046, 0.029, 0.009, 0.017, 0.037, 0.037, 0.007)
SHALLOW = (0.052, 0.074, 0.056, 0.022, 0.038, 0.067, 0.048, 0.015)
ASPHALT = (0.089, 0.101, 0.104, 0.120, 0.111, 0.102, 0.088, 0.124)
CONCRETE = (0.190, 0.215, 0.230, 0.260, 0.245, 0.224, 0.174, 0.265)
GRAVEL = (0.140, 0.170, 0.195, 0.240, 0.217, 0.184, 0.124, 0.250)
PAINT = (0.340, 0.355, 0.355, 0.350, 0.352, 0.355, 0.325, 0.346)
PANEL = (0.070, 0.060, 0.054, 0.090, 0.064, 0.057, 0.076, 0.100)
POOL = (0.230, 0.280, 0.140, 0.030, 0.070, 0.215, 0.222, 0.020)

ROOFS = (
    (0.085, 0.112, 0.195, 0.270, 0.242, 0.158, 0.078, 0.280),  # red tiles
    (0.092, 0.125, 0.225, 0.295, 0.265, 0.182, 0.084, 0.305),  # new red tiles
    (0.080, 0.098, 0.138, 0.185, 0.164, 0.119, 0.074, 0.195),  # brown tiles
    (0.096, 0.108, 0.112, 0.124, 0.118, 0.110, 0.092, 0.128),  # slate
)
HALLS = (
    (0.360, 0.375, 0.382, 0.385, 0.384, 0.379, 0.345, 0.382),  # white sheet
    (0.215, 0.228, 0.237, 0.250, 0.243, 0.232, 0.207, 0.254),  # gravelled flat roof
    (0.160, 0.145, 0.122, 0.170, 0.138, 0.133, 0.158, 0.178),  # blue sheet
    (0.165, 0.172, 0.178, 0.195, 0.186, 0.175, 0.158, 0.200),  # grey sheet
    (0.080, 0.108, 0.084, 0.125, 0.100, 0.097, 0.076, 0.133),  # green sheet
)
CARS = (
    (0.38, 0.38, 0.38, 0.36, 0.37, 0.38, 0.37, 0.36),
    (0.04, 0.04, 0.04, 0.05, 0.04, 0.04, 0.04, 0.05),
    (0.06, 0.06, 0.20, 0.24, 0.22, 0.13, 0.06, 0.24),
    (0.17, 0.09, 0.06, 0.14, 0.08, 0.07, 0.17, 0.14),
    (0.22, 0.23, 0.24, 0.24, 0.24, 0.23, 0.22, 0.24),
)


@dataclass(frozen=True, slots=True)
class FieldCrop:
    """What grows on a kind of parcel, and how it is worked."""

    plant: Spectrum
    """The crop."""
    between: Spectrum
    """What is seen where it does not cover the ground."""
    cover: tuple[float, float]
    """Least and most share of the ground it covers, from one parcel to the next."""
    chance: float
    """How common it is, against the others."""
    rows: float = 0.0
    """How strongly its rows show in the cover."""
    patchy: float = 0.06
    """How uneven the stand is."""
    lanes: float = 0.0
    """How bare the tractor's lanes are."""


WOODLOT = FieldCrop(MEADOW, SOIL, (0.80, 1.00), 0.07, 0.00, 0.08)
CROPS = (
    WOODLOT,
    FieldCrop(MEADOW, SOIL, (0.84, 1.00), 0.22, 0.01, 0.08),
    FieldCrop(LUSH, SOIL, (0.78, 0.98), 0.14, 0.03, 0.08, 0.22),
    FieldCrop(MAIZE, SOIL, (0.70, 0.95), 0.13, 0.07, 0.08),
    FieldCrop(CEREAL, STUBBLE, (0.40, 0.95), 0.15, 0.04, 0.16, 0.30),
    FieldCrop(RAPE, LUSH, (0.30, 0.80), 0.04, 0.03, 0.12, 0.25),
    FieldCrop(STUBBLE, SOIL, (0.30, 0.85), 0.09, 0.13, 0.14),
    FieldCrop(SOIL, DARK_SOIL, (0.30, 0.90), 0.08, 0.10, 0.20),
    FieldCrop(CLAY, SOIL, (0.30, 0.95), 0.05, 0.10, 0.20),
    FieldCrop(MAIZE, SOIL, (0.22, 0.45), 0.05, 0.14, 0.10),
    FieldCrop(LEAF, STUBBLE, (0.45, 0.55), 0.03, 0.33, 0.06),
    FieldCrop(PANEL, MEADOW, (0.60, 0.64), 0.01, 0.50, 0.00),
)
GARDENS = (
    FieldCrop(MEADOW, SOIL, (0.70, 1.00), 0.42, 0.02, 0.10),
    FieldCrop(LUSH, SOIL, (0.60, 1.00), 0.34, 0.02, 0.10),
    FieldCrop(SOIL, MEADOW, (0.20, 0.70), 0.12, 0.18, 0.12),
    FieldCrop(GRAVEL, MEADOW, (0.20, 0.60), 0.12, 0.00, 0.16),
)
