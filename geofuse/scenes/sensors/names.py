"""What bands are called: canonical names, and what else means them."""

from __future__ import annotations

import re

_SYNONYMS: dict[str, tuple[str, ...]] = {
    "coastal": ("coastalblue", "coastalaerosol", "ultrablue", "violet"),
    "blue": (),
    "green": (),
    "yellow": (),
    "red": (),
    "rededge": ("rededge1",),
    "rededge2": (),
    "rededge3": (),
    "nir": ("nir1", "nearinfrared", "nearir", "nearinfrared1"),
    "nir2": ("nearinfrared2",),
    "watervapour": ("watervapor",),
    "cirrus": (),
    "swir1": ("swir16", "shortwaveinfrared1"),
    "swir2": ("swir22", "shortwaveinfrared2"),
    "thermal1": ("thermal", "tir", "tirs1", "lwir", "lwir11", "thermalinfrared", "thermalinfrared1"),
    "thermal2": ("tirs2", "lwir12", "thermalinfrared2"),
}
_CANONICAL = {also: name for name, others in _SYNONYMS.items() for also in (name, *others)}


def plain(text: str) -> str:
    """Reduce a band's name to what is compared: no spaces, dashes or underscores, lower case.

    >>> plain("Red Edge")
    'rededge'
    """
    return re.sub(r"[\s_-]+", "", text).casefold()


def canonical_name(text: str | None) -> str | None:
    """Return the canonical band name a description means, or None if it means none.

    >>> canonical_name("Near-Infrared"), canonical_name("layer 1")
    ('nir', None)
    """
    return _CANONICAL.get(plain(text)) if text else None


def is_thermal(name: str) -> bool:
    """Say whether a canonical name is that of an emissive band."""
    return name.startswith("thermal")
