"""What an option is: described once, for the command line, configurations, the Python functions and the manual.

A section of options is a plain frozen dataclass; a field's annotation says type and choices, `option` says the rest:
the one default, the one help text, the flag, who hears it. Nothing heavy is loaded: pydantic reads the same fields
where a configuration is checked (`geofuse.config.fields`), argparse where words are parsed (`geofuse.commands`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, Protocol, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
TIMES = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
KEY = "geofuse"
"""Of `option`'s facts in a field's metadata."""


@dataclass(frozen=True, slots=True)
class Reads:
    """Marks a type whose values are read from text: "size" (4GiB), "time" (10m), "place" (a path)."""

    kind: str
    """What is read."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """Let pydantic read it the same way, where a configuration is checked."""
        from pydantic import BeforeValidator

        read: Any = {"size": read_size, "time": read_time, "place": placed}[self.kind]
        handle: Any = handler
        return BeforeValidator(read).__get_pydantic_core_schema__(source, handle)


Size = Annotated[int, Reads("size")]
"""Bytes."""
Seconds = Annotated[float, Reads("time")]
"""A duration."""
Place = Annotated[str, Reads("place")]
"""A path."""


class Context(Protocol):
    """What pydantic tells a validator."""

    @property
    def context(self) -> Mapping[str, str | None] | None:
        """Of the configuration: "base", the folder that relative paths are relative to."""
        ...


def read_size(value: object) -> object:
    """Read a size such as 4GiB or 512MB; a plain number is bytes. ValueError for what is none, a minus too."""
    if not isinstance(value, str):
        return value
    from geofuse.files import parse_bytes

    try:
        return parse_bytes(value)
    except ValueError as fault:
        raise ValueError("a size such as 4GiB was wanted") from fault


def read_time(value: object) -> object:
    """Read a time such as 10m, 90s, 1.5h or 7d; a plain number is seconds. ValueError for what is none."""
    if not isinstance(value, str):
        if isinstance(value, int | float) and value < 0:
            raise ValueError("0 or more was wanted")
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", value)
    if match is None:
        raise ValueError("a time such as 90s, 10m, 6h or 7d was wanted")
    return float(match[1]) * TIMES[match[2] or "s"]


def placed(value: object, info: Context) -> object:
    """Make a path absolute: relative ones are relative to the configuration's own folder."""
    base = (info.context or {}).get("base")
    if base is None or not isinstance(value, str) or not value or "://" in value:
        return value
    return os.path.normpath(os.path.join(base, os.path.expanduser(value)))


@dataclass(frozen=True, slots=True)
class Needs:
    """What another option of the same call must be for an option to be heard."""

    option: str
    """Its name."""
    values: tuple[object, ...]
    """Any of these."""


@dataclass(frozen=True, slots=True)
class Switch:
    """A flag that takes no value."""

    flag: str
    """On the command line."""
    value: object
    """What it means."""
    help: str = ""
    """One phrase; empty: the option's own."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option."""

    name: str
    """In Python and in a configuration."""
    section: str
    """Section of a configuration: scene, fuse, encode, work, catalog."""
    kind: str
    """text, place, choice, switch, whole, number, size; names, places; numbers, wholes."""
    default: object
    """What it is where nobody says anything."""
    help: str
    """One phrase, without the default."""
    count: int = 0
    """How many numbers it takes; 0: any number of them."""
    choices: tuple[str, ...] = ()
    """What it may be, where that is a list."""
    unit: str = ""
    """Of its numbers."""
    least: float | None = None
    """Smallest value."""
    flag: str = ""
    """On the command line; empty: none."""
    switches: tuple[Switch, ...] = ()
    """Flags without a value instead."""
    metavar: str | tuple[str, ...] = ""
    """What stands for the value in help texts."""
    shown: str = ""
    """The default in words, where its value does not say it."""
    by_method: bool = False
    """Only methods whose `About.hears` names it hear it."""
    needs: Needs | None = None
    """What else must hold."""

    @property
    def key(self) -> str:
        """Its name in a configuration: section.name."""
        return f"{self.section}.{self.name}"

    @property
    def flags(self) -> tuple[str, ...]:
        """Its flags on the command line."""
        return (
            (self.flag, *(each.flag for each in self.switches))
            if self.flag
            else tuple(each.flag for each in self.switches)
        )

    @property
    def default_words(self) -> str:
        """The default in words; empty where there is none to tell."""
        return self.shown or ("" if self.default in (None, "", (), False, True) else f"{self.default}")


def option(
    default: T,
    text: str,
    flag: str = "",
    metavar: str | tuple[str, ...] = "",
    **facts: Any,
) -> T:
    """Describe a field of a section; `facts` are other fields of `Option`, and pydantic's own such as `pattern`."""
    own = {name: facts.pop(name) for name in tuple(facts) if name in Option.__slots__}
    if own.get("least") is not None:
        facts["ge"] = own["least"]
    own |= {"flag": flag, "metavar": metavar, "help": text}
    return field(default=default, metadata={"description": text, **facts, KEY: own})


@cache
def options_of(section: type) -> tuple[Option, ...]:
    """Return the options of a section, in its order."""
    hints = get_type_hints(section, include_extras=True)
    name: str = section.SECTION  # type: ignore[attr-defined]
    found = []
    for one in fields(section):
        if KEY in one.metadata:
            kind, choices, count = _kind(hints[one.name])
            made = {"kind": kind, "choices": choices, "count": count, **one.metadata[KEY]}
            found.append(Option(name=one.name, section=name, default=one.default, **made))
    return tuple(found)


PLAIN = {str: "text", int: "whole", float: "number", bool: "switch"}
MANY = {str: "names", int: "wholes", float: "numbers"}


def _kind(hint: Any) -> tuple[str, tuple[str, ...], int]:
    """Tell a type's kind, choices and count."""
    inner = [part for part in get_args(hint) if part is not NoneType]
    if NoneType in get_args(hint):
        return _kind(inner[0])
    origin = get_origin(hint)
    if origin is Literal:
        return "choice", tuple(inner), 0
    if origin is Annotated:
        return next(part.kind for part in inner if isinstance(part, Reads)), (), 0
    if origin is tuple:
        kind = "places" if get_origin(inner[0]) is Annotated else MANY[inner[0]]
        return kind, (), 0 if inner[-1] is Ellipsis else len(inner)
    return PLAIN[hint], (), 0


def markdown_row(asked: Option, methods: Sequence[str] = ()) -> str:
    """Return an option as a row of the manual's table; `methods` are those that hear it, where only some do."""
    needs = asked.needs
    heard = ", ".join(methods) or "all"
    if needs is not None:
        values = ", ".join(str(value).lower() if value is True else str(value) for value in needs.values)
        heard = f"{heard}; {needs.option}: {values}" if methods else f"{needs.option}: {values}"
    count = f"{asked.count} " if asked.count else ""
    unit = f", {asked.unit}" if asked.unit and asked.kind not in ("size", "time") else ""
    values = ", ".join(asked.choices) or f"{count}{KINDS[asked.kind]}{unit}"
    flags = ", ".join(f"`{flag}`" for flag in asked.flags) or (
        asked.metavar if isinstance(asked.metavar, str) else ""
    )
    default = asked.default_words or (
        "yes" if asked.default is True else "no" if asked.default is False else "none"
    )
    cells = (f"`{asked.name}`", flags, values, default, heard, asked.help)
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


KINDS = {
    **{"text": "text", "place": "path", "switch": "yes or no", "whole": "whole number", "number": "number"},
    **{"size": "bytes, or such as 4GiB", "time": "seconds, or such as 10m", "choice": ""},
    **{"names": "names", "places": "paths", "numbers": "numbers", "wholes": "whole numbers"},
}
"""What a value of a kind is, in words."""
Words = Callable[["Option", object], str]
"""How a door spells an option with a value; without one (`...`) its name."""


def python_words(asked: Option, value: object = ...) -> str:
    """Spell it as Python does: level, level=3."""
    return asked.name if value is ... else f"{asked.name}={value!r}"


def key_words(asked: Option, value: object = ...) -> str:
    """Spell it as a configuration does: encode.level, encode.level: 3."""
    return (
        asked.key
        if value is ...
        else f"{asked.key}: {str(value).lower() if value in (True, False) else value}"
    )


def flag_words(asked: Option, value: object = ...) -> str:
    """Spell it as the command line does: --level, --level 3, --no-calibrate; what has no flag as a configuration."""
    if not asked.flags:
        return asked.metavar if isinstance(asked.metavar, str) and asked.metavar else key_words(asked, value)
    if asked.flag:
        return asked.flag if value is ... else f"{asked.flag} {value}"
    named = [each.flag for each in asked.switches if value is ... or each.value == value]
    return named[0] if named else f"no {asked.switches[0].flag}"
