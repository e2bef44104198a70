"""Nouns as JSON and back: one strict way for every frozen dataclass of the house."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from geofuse.errors import UsageError

T = TypeVar("T")
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""What JSON text can say."""
Foreign = dict[str, Any]
"""A JSON object whose form others define and extend, and so may hold anything: it is passed on, never made up here."""
GeoJson = Foreign
"""An object of RFC 7946: a geometry, a feature, a collection of them."""
StacJson = Foreign
"""An item, asset, collection or catalogue (STAC 1.0 and its extensions), or what OGC API makes of them."""


def to_json(noun: object) -> Json:
    """Turn a noun, or what its fields hold, into JSON values: a dataclass to an object, a tuple to a list.

    Raises UsageError for what JSON has no word for.
    """
    if noun is None or isinstance(noun, (bool, int, float, str)):
        return noun
    if is_dataclass(noun) and not isinstance(noun, type):
        return {field.name: to_json(getattr(noun, field.name)) for field in fields(noun)}
    if isinstance(noun, Mapping):
        return {str(key): to_json(value) for key, value in noun.items()}
    if isinstance(noun, (tuple, list)):
        return [to_json(value) for value in noun]
    raise UsageError(f"a {type(noun).__name__}", wanted="a noun of JSON values")


def from_json(kind: type[T], value: object) -> T:
    """Rebuild a noun of type `kind` from `to_json`'s values, also after a trip through JSON text.

    Every field is checked against its annotation: dataclasses, tuples, mappings, unions and plain values.
    A field with a default may be absent. Raises UsageError, naming the place, for one that is unknown, missing
    or of another type.
    """
    return cast(T, _built(kind, value, kind.__name__))


def _built(kind: Any, value: object, where: str) -> object:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any or kind is object:
        return value
    if origin is Literal and value in inner:
        return value
    if origin in (Union, types.UnionType):
        return _any_of(inner, value, where)
    if is_dataclass(kind):
        return _noun(cast(type, kind), value, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        return _tuple(inner, value, where)
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _built(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    plain = origin is None and isinstance(kind, type)
    if plain and (type(value) is kind or (kind is float and type(value) is int)):
        return value
    raise UsageError(f"{where}: {_shown(value)}", wanted=getattr(kind, "__name__", str(kind)))


def _any_of(kinds: tuple[Any, ...], value: object, where: str) -> object:
    faults = []
    for kind in kinds:
        try:
            return _built(kind, value, where)
        except UsageError as fault:
            faults.append(fault)
    # the fault that lies deepest says most
    raise max(faults, key=lambda fault: len(fault.found.partition(": ")[0]))


def _tuple(
    kinds: tuple[Any, ...], values: list[object] | tuple[object, ...], where: str
) -> tuple[object, ...]:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(values)
    if len(kinds) != len(values):
        raise UsageError(f"{where}: {len(values)} values", wanted=str(len(kinds)))
    return tuple(
        _built(kind, value, f"{where}[{at}]")
        for at, (kind, value) in enumerate(zip(kinds, values, strict=True))
    )


def _noun(kind: type, value: object, where: str) -> object:
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: {_shown(value)}", wanted=f"the fields of a {kind.__name__}")
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(set(map(str, value)) - set(known))
    if unknown:
        raise UsageError(f"{where}: unknown field {unknown[0]}", wanted=f"those of a {kind.__name__}")
    types_of = _hints(kind)
    made = {}
    for name, field in known.items():
        if name in value:
            made[name] = _built(types_of[name], value[name], f"{where}.{name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise UsageError(f"{where}: no field {name}", wanted=f"those of a {kind.__name__}")
    return kind(**made)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
