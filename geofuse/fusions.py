"""Which kinds of fusion there are, and what each takes: roles, how many, at which ratios, with or without a CRS.

Ground floor: scenes are related, and methods chosen, by what a fusion says here.
"""

from __future__ import annotations

from dataclasses import dataclass

from geofuse.tables import Row, Table


@dataclass(frozen=True, slots=True)
class Taken:
    """Images of one role that a fusion takes."""

    role: str
    """As a scene's images are called: pan, ms, ..."""
    least: int = 1
    """Fewest."""
    most: int | None = 1
    """Most; None: any number."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """A kind of fusion."""

    name: str
    """As the table has it."""
    title: str
    """One phrase."""
    guides: Taken
    """Images whose detail is taken."""
    targets: Taken
    """Images that get it."""
    ratios: tuple[float, float]
    """Smallest and largest ratio of their pixels."""
    needs_crs: bool = True
    """Whether images without a coordinate system are refused; else their transforms alone relate them."""


SHARPEN = Fusion(
    "sharpen",
    "one fine band's detail into the bands of a coarse image",
    guides=Taken("pan"),
    targets=Taken("ms"),
    ratios=(1.0, 8.0),
)
FUSIONS: Table[Fusion] = Table(
    "geofuse.fusions",
    (Row(SHARPEN.name, "geofuse.fusions:SHARPEN", SHARPEN.title),),
    noun="fusion",
    wants=tuple(Fusion.__dataclass_fields__),
)
"""All kinds there are."""
