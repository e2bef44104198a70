"""Request: what is wanted of a scene, made of the options' sections by one constructor for every door.

What is not heard is refused here: an option that neither the method nor the other options make use of would
otherwise stand in records and fingerprints as if it had been used.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, cast

from geofuse.config.option import Option, Words, key_words, python_words, read_size
from geofuse.config.sections import (
    Compress,
    EncodeOptions,
    FuseOptions,
    Interleave,
    Predictor,
    SceneOptions,
    Validity,
    WorkOptions,
    every_option,
)
from geofuse.errors import UsageError
from geofuse.methods import table

if TYPE_CHECKING:
    from geofuse.config.fields import RunConfig

T = TypeVar("T", SceneOptions, FuseOptions, EncodeOptions, WorkOptions)
TYPES: dict[str, tuple[type, ...]] = {
    "whole": (int,),
    "size": (int,),
    "number": (int, float),
    "switch": (bool,),
}


class BandsKeywords(TypedDict, total=False):
    """Which bands of the files."""

    bands: Sequence[str] | None
    nodata: float | None


class AreaKeywords(BandsKeywords, total=False):
    """Which bands of which area; one area at most."""

    bbox: Sequence[float] | None
    aoi: str | os.PathLike[str] | None
    window: Sequence[int] | None


class MeasureKeywords(AreaKeywords, total=False):
    """What measuring a pair hears."""

    force: bool


class MethodKeywords(AreaKeywords, total=False):
    """What is fused, and how."""

    method: str
    weights: Sequence[float] | None
    calibrate: bool
    shift_px: Sequence[float] | None
    back_projections: int | None
    force: bool
    network: str | os.PathLike[str] | None
    device: str


class WorkKeywords(TypedDict, total=False):
    """With what it is done; changes nothing of the product."""

    workers: int | None
    tile_px: int | None
    memory: int | str | None


class EncodeKeywords(TypedDict, total=False):
    """How the product is encoded."""

    compress: Compress
    level: int | None
    max_error: float
    predictor: Predictor
    interleave: Interleave
    validity: Validity
    sparse: bool
    bigtiff: bool
    attribution: str | None


class LazyKeywords(MethodKeywords, WorkKeywords, total=False):
    """What `geofuse.fuse` hears: nothing is encoded."""


class PlanKeywords(MethodKeywords, WorkKeywords, EncodeKeywords, total=False):
    """What `geofuse.plan` hears."""


class RequestKeywords(PlanKeywords, total=False):
    """What `geofuse.fuse_to` hears: all that can be said of a product."""

    adapt: bool
    scheduler: str


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted of a scene; `make_request` checks it."""

    scene: SceneOptions = field(default_factory=SceneOptions)
    """Which bands, which area; the files stand in the Scene."""
    fuse: FuseOptions = field(default_factory=FuseOptions)
    """How it is fused."""
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    """How the product is encoded."""
    work: WorkOptions = field(default_factory=WorkOptions)
    """Who does the work."""
    attribution: str | None = None
    """Credit line in the product's tags, instead of the scene's own."""


def make_request(**values: Unpack[RequestKeywords]) -> Request:
    """Make a request of options by name; UsageError for a value that cannot be, or an option nobody hears."""
    return request_from(cast("Mapping[str, object]", values))


def request_for(keywords: type, values: Mapping[str, object], **more: object) -> Request:
    """Make a request of what a function was told that hears the keywords of a TypedDict only."""
    known_only(keywords, values)
    return request_from({**values, **more})


def known_only(keywords: type, values: Mapping[str, object]) -> None:
    """Refuse a keyword that is not one of a TypedDict's, naming the nearest."""
    known = sorted(keywords.__annotations__)
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, 1, 0.5)
            do = f"did you mean {near[0]}?" if near else ""
            raise UsageError(f"unknown option {name!r}", wanted="one of " + ", ".join(known), do=do)


def request_from(values: Mapping[str, object], words: Words = python_words) -> Request:
    """Make a request of what a door was told; the others have their defaults. `words` spells options in errors.

    >>> request_from({"method": "gsa", "level": 3}).encode.level
    3
    """
    return checked(changed(Request(), values, words), words)


def request_of(config: RunConfig) -> Request:
    """Return what a configuration asks for; UsageError for an option nobody hears."""
    asked = Request(config.scene, config.fuse, config.encode, config.work, config.catalog.attribution)
    return checked(asked, key_words)


def changed(request: Request, values: Mapping[str, object], words: Words = python_words) -> Request:
    """Return the request with other values, each one checked by itself."""
    known = every_option()
    new: dict[str, dict[str, object]] = {}
    for name, value in values.items():
        if name == "attribution":
            request = replace(request, attribution=None if value is None else str(value))
            continue
        if name not in known:
            raise UsageError(f"unknown option {name!r}", wanted="one of " + ", ".join(known))
        new.setdefault(known[name].section, {})[name] = _settled(known[name], value, words)
    return replace(
        request,
        scene=_with(request.scene, new.get("scene", {})),
        fuse=_with(request.fuse, new.get("fuse", {})),
        encode=_with(request.encode, new.get("encode", {})),
        work=_with(request.work, new.get("work", {})),
    )


def _with(section: T, values: Mapping[str, object]) -> T:
    made: T = replace(cast("Any", section), **values)
    return made


def _settled(option: Option, value: object, words: Words) -> object:
    """Return a value as its section holds it; UsageError where it cannot be."""
    if value is None and option.default is None:
        return None
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if option.kind == "size":
        value = _read(option, value, words)
    if option.kind in ("names", "places", "numbers", "wholes"):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise UsageError(words(option, value), wanted="a list")
        return _many(option, value, words)
    if option.kind in TYPES and type(value) not in TYPES[option.kind]:
        raise UsageError(
            words(option, value),
            wanted={"switch": "True or False", "number": "a number"}.get(option.kind, "a whole number"),
        )
    if option.kind in ("text", "place", "choice") and not isinstance(value, str):
        raise UsageError(words(option, value), wanted="text")
    if option.choices and value not in option.choices:
        raise UsageError(words(option, value), wanted=", ".join(option.choices))
    if option.least is not None and isinstance(value, int | float) and not option.least <= value < math.inf:
        raise UsageError(words(option, value), wanted=f"{option.least:g} or more")
    return value


def _read(option: Option, value: object, words: Words) -> object:
    try:
        found = read_size(value)
    except ValueError as fault:
        raise UsageError(words(option, value), wanted="a size such as 4GiB") from fault
    if isinstance(found, int) and found <= 0:
        raise UsageError(words(option, value), wanted="a size such as 4GiB")
    return found


def _many(option: Option, value: Sequence[object], words: Words) -> tuple[object, ...]:
    """Return a list as a tuple of what it may hold."""
    if option.count and len(value) != option.count:
        raise UsageError(words(option, list(value)), wanted=f"{option.count} numbers")
    if option.kind in ("names", "places"):
        return tuple(str(each) for each in value)
    wanted = (int,) if option.kind == "wholes" else (int, float)
    if not all(isinstance(each, wanted) and math.isfinite(each) for each in value):
        raise UsageError(words(option, list(value)), wanted="finite numbers")
    kind = int if option.kind == "wholes" else float
    return tuple(kind(cast("float", each)) for each in value)


def checked(request: Request, words: Words = python_words) -> Request:
    """Return the request; UsageError, naming who would hear it, where an option is said that nobody hears.

    With method "auto" an option must be heard by all that it chooses from: it could come to one that does not.
    """
    names = deciding(request.fuse)
    hears = frozenset.intersection(*(table.get(name).about.hears for name in names))
    known = every_option()
    for option in known.values():
        value = value_of(request, option)
        if value == option.default:
            continue
        if option.by_method and option.name not in hears:
            raise UsageError(
                f"{words(option, ...)} with {words(known['method'], request.fuse.method)}",
                wanted=f"method {' or '.join(who_hears(option.name))}, which hears it",
                do="or leave it out",
            )
        if option.needs is not None:
            other = known[option.needs.option]
            held = value_of(request, other)
            if held not in option.needs.values:
                raise UsageError(
                    f"{words(option, ...)} with {words(other, held)}",
                    wanted=" or ".join(words(other, each) for each in option.needs.values),
                    do="or leave it out",
                )
    if request.work.tls is not None and not request.work.scheduler.startswith("tls://"):
        raise UsageError(f"work.tls with work.scheduler: {request.work.scheduler}", wanted="tls://HOST:PORT")
    return request


def value_of(request: Request, option: Option) -> object:
    """Return what a request says of an option."""
    found: object = getattr(getattr(request, option.section), option.name)
    return found


def deciding(fuse: FuseOptions) -> tuple[str, ...]:
    """Return the methods that may come to fuse: the one asked for, or those that "auto" chooses from."""
    if fuse.method != "auto":
        return (fuse.method,)
    if fuse.adapt:
        return who_hears("adapt")
    return table.CANDIDATES if fuse.calibrate else (table.AUTO,)


def who_hears(name: str) -> tuple[str, ...]:
    """Return the methods that hear an option."""
    return tuple(each.about.name for each in table.usable() if name in each.about.hears)


def selection(request: Request) -> dict[str, object]:
    """Return what a request says of bands and area, as JSON values."""
    apart = ("path", "pan", "ms")
    return {
        each.name: getattr(request.scene, each.name)
        for each in fields(request.scene)
        if each.name not in apart
    }
