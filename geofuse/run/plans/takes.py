"""What a method can be given: checked before a pixel is read."""

from __future__ import annotations

from geofuse.errors import MethodError
from geofuse.methods import table
from geofuse.methods.base import About, Takes


def check_takes(about: About, guide_bands: int, *, targets: int) -> None:
    """Refuse more, or less, than the method can be given, naming those that take it."""

    def fits(takes: Takes) -> bool:
        pairs = ((guide_bands, takes.guide_bands), (targets, takes.targets))
        return all(least <= count <= (most or count) for count, (least, most) in pairs)

    if fits(about.takes):
        return
    others = [each.about.name for each in table.usable() if fits(each.about.takes)]
    raise MethodError(
        f"{about.name} with guides of {guide_bands} bands and {targets} groups of bands to sharpen",
        wanted=f"what it takes: guides of {_count(about.takes.guide_bands)}, groups {_count(about.takes.targets)}",
        do=f"choose {' or '.join(others)}" if others else "no method that is installed takes it",
    )


def _count(limits: tuple[int, int | None]) -> str:
    least, most = limits
    return str(least) if most == least else f"{least} or more" if most is None else f"{least} to {most}"
