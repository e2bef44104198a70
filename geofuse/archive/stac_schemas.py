"""Is a STAC object what STAC says? Answered by the official JSON schemas, which are carried along; no network."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from geofuse.nouns import StacJson

EXTENSIONS = {
    name: f"https://stac-extensions.github.io/{name}/{version}/schema.json"
    for name, version in (
        ("eo", "v1.1.0"),
        ("file", "v2.1.0"),
        ("processing", "v1.1.0"),
        ("projection", "v2.0.0"),
        ("raster", "v1.1.0"),
        ("version", "v1.2.0"),
        ("view", "v1.0.0"),
    )
}
"""The extensions items may name, by their official addresses."""
_PROJJSON = "https://proj.org/schemas/v0.7/projjson.schema.json"
_SPEC = "https://schemas.stacspec.org/v1.1.0"
_CORE = {"Feature": "item", "Collection": "collection", "Catalog": "catalog"}


@cache
def schema_cache() -> dict[str, StacJson]:
    """Return every schema by its address: STAC's and GeoJSON's from pystac, the extensions' from this package.

    The whole of what a validator needs; give it to `pystac.validation` to keep that off the network too.
    """
    from pystac.validation.local_validator import get_local_schema_cache

    folder = files("geofuse.archive").joinpath("schemas")
    held = {
        address: json.loads(folder.joinpath(f"{name}-{address.split('/')[-2]}.json").read_text("utf-8"))
        for name, address in EXTENSIONS.items()
    }
    held[_PROJJSON] = json.loads(folder.joinpath("projjson-v0.7.json").read_text("utf-8"))
    return {**get_local_schema_cache(), **held}


def schema_problems(value: StacJson) -> list[str]:
    """Return what is wrong with a STAC item, collection or catalogue; nothing if it is valid.

    Checked against STAC 1.1.0 and every extension it names; one that is not in `EXTENSIONS` is a problem.
    """
    kind = _CORE.get(str(value.get("type")))
    if kind is None or value.get("stac_version") != "1.1.0":
        return [f"no STAC 1.1.0 object: type {value.get('type')!r}, version {value.get('stac_version')!r}"]
    named = value.get("stac_extensions") or []
    unknown = [str(address) for address in named if address not in EXTENSIONS.values()]
    problems = [f"an extension that is not known: {address}" for address in unknown]
    addresses = [f"{_SPEC}/{kind}-spec/json-schema/{kind}.json", *(a for a in named if str(a) not in unknown)]
    return problems + [problem for address in addresses for problem in _problems(value, address)]


def _problems(value: StacJson, address: str) -> list[str]:
    """Name each fault by the place deepest inside it: of "one of these" the branch that fits best."""
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]

    deepest = [best_match([fault]) for fault in _validator(address).iter_errors(value)]
    places = ["/".join(str(part) for part in fault.absolute_path) or "the object" for fault in deepest]
    return [
        f"{place}: {fault.message:.200} ({address})" for place, fault in zip(places, deepest, strict=True)
    ]


@cache
def _validator(address: str) -> Any:
    from jsonschema import Draft7Validator  # type: ignore[import-untyped]
    from referencing import Registry, Resource

    held = [(place, Resource.from_contents(schema)) for place, schema in schema_cache().items()]
    registry: Registry[Any] = Registry().with_resources(held)
    return Draft7Validator(schema_cache()[address], registry=registry)
