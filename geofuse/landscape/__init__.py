"""A drawn landscape whose every pixel is known: fields, woods, a river, a village, roads. numpy only.

One pixel is about 0.6 m. The scene is laid down in the order of its making: ground, water, roads,
buildings, trees, then light and shadow, then the air. Materials mix and vary in ways of their own, so no
band follows from the others.
"""

from __future__ import annotations

from geofuse.landscape.drawing import make_truth
from geofuse.landscape.materials import BANDS

__all__ = ["BANDS", "make_truth"]
