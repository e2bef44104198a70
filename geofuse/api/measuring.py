"""One metric of arrays: `geofuse.measure`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray


class MetricImages(TypedDict, total=False):
    """What metrics are measured on: each is told those of its row's needs."""

    fused: NDArray[Any]
    """The product (B, H, W), on the fine grid as the next five."""
    reference: NDArray[Any]
    """What it should be (B, H, W)."""
    pan: NDArray[Any]
    """The guide (1, H, W)."""
    upsampled: NDArray[Any]
    """The coarse image on the fine grid (B, H, W)."""
    pan_low: NDArray[Any]
    """The guide at the coarse scale and back (1, H, W)."""
    fused_low: NDArray[Any]
    """The product as the sensor's MTF leaves it, not decimated (B, H, W)."""
    coarse: NDArray[Any]
    """The coarse image itself (B, h, w)."""
    degraded: NDArray[Any]
    """The product as the coarse sensor sees it (B, h, w)."""


def measure(
    name: str,
    *,
    ratio: float | None = None,
    valid: NDArray[np.bool_] | None = None,
    **images: Unpack[MetricImages],
) -> float:
    """Measure a metric of `list_metrics` on arrays, one that packages add too; NaN where nothing can be measured.

    ``name`` is its key, or its name and variant as ``q2n@blocks32``. ``valid`` (H, W) marks the pixels that count, all
    where not given; ``ratio`` is fine pixels per coarse pixel. One made of others, as QNR, takes the images of theirs.
    Raises UsageError for images it lacks, or does not hear, and for shapes that do not belong together.

    >>> import geofuse, numpy as np
    >>> truth = np.arange(128.0).reshape(2, 8, 8) + 100.0
    >>> round(geofuse.measure("ergas", fused=truth + 1.0, reference=truth, ratio=4.0), 3)
    0.162
    """
    import numpy as np

    from geofuse.errors import UsageError
    from geofuse.metrics.metric import COARSE, FINE
    from geofuse.metrics.table import find
    from geofuse.quality.measuring import Views, derived, is_derived, measured

    metric = find(name)
    if metric.of_product:
        raise UsageError(
            f"{metric.key} of arrays", wanted="a product: geofuse.assess reads it off its record"
        )
    parts = [find(part) for part in metric.needs] if is_derived(metric) else [metric]
    needed = list(dict.fromkeys(need for part in parts for need in part.needs))
    given = {key: np.asarray(image) for key, image in images.items()}
    heard = [need for need in needed if need in FINE | COARSE]
    if set(given) != set(heard) or (ratio is None) == ("ratio" in needed):
        told = [*given, *(["ratio"] if ratio is not None else [])]
        raise UsageError(f"{metric.key} of {', '.join(told) or 'nothing'}", wanted=" and ".join(needed))
    first = given[heard[0]]
    seen = np.ones(first.shape[-2:], bool) if valid is None else np.asarray(valid, bool)
    for key, image in given.items():
        if image.ndim != 3 or image.shape[1:] != seen.shape:
            raise UsageError(
                f"{key} of shape {image.shape}",
                wanted=f"(bands, {seen.shape[0]}, {seen.shape[1]}) as the others",
            )
    views = Views(given, seen, ratio or 1.0)
    if not is_derived(metric):
        return measured(metric, views)
    return derived(metric, {part.key: measured(part, views) for part in parts})
