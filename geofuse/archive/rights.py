"""Who may see a product and what must be said with it: licence, credit line and access class of each sensor."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypedDict

from geofuse.errors import UsageError
from geofuse.scenes.sensors.table import sensor_or_generic

ACCESS = ("open", "view-only", "internal")
"""May be downloaded by all; may be looked at; only for the organisation itself."""
VIEW_ONLY_SCALE = 4
"""What may only be looked at is shown with one pixel for so many of its own, along rows and columns."""
OTHER = "other"
"""STAC's word for terms that have no SPDX identifier, as a work in the public domain of one country and the
Copernicus terms have none; the terms themselves are linked or named."""


class RightsRecord(TypedDict):
    """Rights as JSON values."""

    license: str
    terms: str
    terms_url: str | None
    attribution: str
    access: str
    provider: list[str | None] | None


@dataclass(frozen=True, slots=True)
class Rights:
    """What may be done with a product."""

    license: str
    """SPDX identifier, or "other"."""
    terms: str
    """The terms in a few words."""
    terms_url: str | None
    """Where the terms are; None where they are a contract."""
    attribution: str
    """Credit line; empty if there is none."""
    access: str
    """"open", "view-only" or "internal"."""
    provider: tuple[str, str | None] | None
    """Name and page of who made the inputs; None where unknown."""


_CLASSES = {"open": "open", "commercial": "view-only", "registered": "internal", "unknown": "internal"}
"""Access class by the sensor table's word: what needs a registration may not be shown to others unasked."""


def rights_of(sensor: str) -> Rights:
    """Return a sensor's own rights; those of an unknown sensor are the narrowest.

    >>> rights_of("landsat8").access, rights_of("worldview3").access, rights_of("generic").access
    ('open', 'view-only', 'internal')
    """
    known = sensor_or_generic(sensor)
    name = known.provider or known.attribution.removeprefix("© ")
    return Rights(
        license=OTHER,
        terms=known.licence,
        terms_url=known.terms_url,
        attribution=known.attribution,
        access=_CLASSES[known.access],
        provider=(name, known.provider_url) if name else None,
    )


def with_wishes(
    rights: Rights,
    *,
    access: str | None = None,
    license_id: str | None = None,
    attribution: str | None = None,
) -> Rights:
    """Return the rights with what is not None put in its place; raises UsageError for what cannot be."""
    if access is not None and access not in ACCESS:
        raise UsageError(f"access {access!r}", wanted=" or ".join(ACCESS))
    if license_id is not None and not re.fullmatch(r"[\w.+-]+", license_id, re.ASCII):
        raise UsageError(f"license {license_id!r}", wanted='an SPDX identifier such as CC-BY-4.0, or "other"')
    if license_id not in (None, OTHER, rights.license):
        rights = replace(
            rights,
            license=license_id,
            terms=license_id,
            terms_url=f"https://spdx.org/licenses/{license_id}.html",
        )
    if access is not None:
        rights = replace(rights, access=access)
    return rights if attribution is None else replace(rights, attribution=attribution)


def rights_to_json(rights: Rights) -> RightsRecord:
    """Turn rights into JSON values."""
    return {
        "license": rights.license,
        "terms": rights.terms,
        "terms_url": rights.terms_url,
        "attribution": rights.attribution,
        "access": rights.access,
        "provider": list(rights.provider) if rights.provider else None,
    }


def rights_from_json(value: RightsRecord) -> Rights:
    """Rebuild rights from `rights_to_json`'s values, also after a trip through JSON text."""
    provider = value["provider"]
    return Rights(
        license=value["license"],
        terms=value["terms"],
        terms_url=value["terms_url"],
        attribution=value["attribution"],
        access=value["access"],
        provider=(str(provider[0]), provider[1]) if provider else None,
    )
