"""A method: half of PAN's detail, whatever the scene. The protocol's arithmetic is geofuse's own closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geofuse.methods.base import About, Coefficient, Options
from geofuse.methods.sharpen.closed_form import ClosedForm
from geofuse.methods.sharpen.multires import detail_gains

SHARE = 0.5
"""Of PAN's detail that each band gets."""


def _half(collected: Mapping[str, Any], options: Options) -> dict[str, Coefficient]:
    return detail_gains([SHARE] * len(options.names))


SAMPLE_DETAIL = ClosedForm(
    About("sample-detail", "a sample", "none", "half of PAN's detail, whatever the scene"),
    "linear",
    _half,
    low="glp",
)
