"""What the numbers of an assessment themselves say against being believed."""

from __future__ import annotations

import math

from geofuse.metrics import unsupported_detail
from geofuse.metrics.q2n import means
from geofuse.quality.assessment.bands import bounds_of
from geofuse.quality.assessment.subject import Subject
from geofuse.quality.assessment.sums import Measured
from geofuse.quality.documents import SeamReport

FEW_BLOCKS = 20
LEVEL_FACTOR = 1.5


def notes_of(subject: Subject, seam: SeamReport, found: Measured) -> list[str]:
    """What the numbers themselves say against being believed."""
    shares, bounds = unsupported_detail.shares(found.fine.local["invented"]), bounds_of(found)
    notes = list(subject.record.get("warnings", [])) if subject.record else []
    notes = [note for note in notes if note not in subject.notes]
    if not subject.known:
        notes.append("DN, pedestal unknown: a pedestal lowers ERGAS and SAM and bends every index")
    if subject.observation.origin.startswith("sensor table"):
        notes.append("the observation model is the sensor table's, not measured on this scene")
    if seam["found"]:
        notes.append(f"seams every {seam['spacing_px']} px")
    for name, share, bound in zip(subject.names, shares, bounds, strict=True):
        if share > bound:
            notes.append(
                f"{name}: {share:.0%} of the detail is in neither PAN nor MS, more than reality has one scale down "
                f"(bound {bound:.0%})"
            )
    blocks = found.fine.pairs.count
    if blocks < FEW_BLOCKS:
        notes.append(f"only {blocks} whole blocks of 32 x 32 pixels: block metrics are rough")
    return notes + _level_notes(subject, found)


def _level_notes(subject: Subject, found: Measured) -> list[str]:
    """Say where the product's level is not the MS's: its scale is not what it was taken for."""
    if found.coarse is None:
        return ["no coarse pixel lies wholly on valid pixels of the product: no consistency, no indices"]
    error, apart = found.coarse.error, means(found.coarse.difference)
    notes = []
    for name, total, bias in zip(subject.names, error.reference, apart, strict=True):
        level = total / error.count if error.count else math.nan
        factor = (level + bias) / level if level else math.nan
        if not 1.0 / LEVEL_FACTOR < factor < LEVEL_FACTOR and not math.isnan(factor):
            notes.append(f"{name} is {factor:.3g} times as bright as in the MS: is its scale the scene's?")
    return notes
