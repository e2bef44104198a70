"""Open tables: names for what there is of a kind, geofuse's own first, then what installed packages add.

A package adds a row by an entry point, group ``geofuse.methods`` and so on, value ``module:attribute``. Nothing is
imported before it is chosen. A row that is not geofuse's own says which package and version it is from.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, cast

from geofuse.errors import ConfigError, GeofuseError, PluginError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

OWN = "geofuse"
"""The package whose rows are built in."""
GROUPS = ("readers", "methods", "networks", "metrics", "fusions", "sensors")
"""Tables that others may add to: entry points ``geofuse.`` and one of these."""
T = TypeVar("T")


class Origin(TypedDict):
    """Where a row that is not geofuse's own comes from, as records and fingerprints hold it."""

    package: str
    version: str


@dataclass(frozen=True, slots=True)
class Plugin:
    """A row that is not geofuse's own and was chosen, as plans, records and fingerprints hold it."""

    table: str
    """Of `GROUPS`."""
    name: str
    """The row's."""
    package: str
    """The distribution it is from."""
    version: str
    """Of that distribution."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    name: str
    """As it is chosen: on the command line, in a configuration, in a record."""
    target: str
    """"module:attribute"; imported when it is chosen."""
    title: str = ""
    """One phrase; empty where what is loaded says it."""
    needs: str = ""
    """What pip must install for it, such as "geofuse[neural]"; empty: nothing more."""
    package: str = OWN
    """The distribution it is from."""
    version: str = ""
    """Of that distribution; empty for geofuse's own."""

    @property
    def source(self) -> str:
        """Package and version, for people."""
        return f"{self.package} {self.version}".strip()

    @property
    def origin(self) -> Origin | None:
        """Package and version, for records and fingerprints; None for geofuse's own rows, whose version they hold."""
        return None if self.package == OWN else Origin(package=self.package, version=self.version)


@dataclass(frozen=True, slots=True)
class Checked:
    """A row, and what is wrong with it."""

    row: Row
    """The row."""
    fault: GeofuseError | None
    """What choosing it raises; None: it can be chosen."""


class Table(Generic[T]):
    """Rows of one kind: built-ins in their fixed order, then the entry points of ``group``, sorted by name."""

    def __init__(
        self,
        group: str,
        rows: Sequence[Row],
        *,
        noun: str,
        fault: type[GeofuseError] = UsageError,
        wants: Sequence[str] = (),
        test: Callable[[Row, T], object] = lambda row, made: None,
    ) -> None:
        """Name the group, the built-in rows, what one is called, and the fault of a wrong name.

        ``wants`` are attributes that what a row stands for must have; ``test`` raises PluginError where it is off.
        """
        self.group, self.own, self.noun = group, tuple(rows), noun
        self.fault, self.wants, self.test = fault, tuple(wants), test

    def rows(self) -> tuple[Row, ...]:
        """Return all rows; PluginError where a name stands twice."""
        found = self._every()
        twice = _twice(found)
        if twice is not None:
            raise self._taken(*twice)
        return found

    def names(self) -> tuple[str, ...]:
        """Return the names of all rows."""
        return tuple(row.name for row in self.rows())

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.rows())

    def __contains__(self, name: object) -> bool:
        return any(row.name == name for row in self.rows())

    def row(self, name: str, *, origin: Origin | None = None, also: Sequence[str] = ()) -> Row:
        """Return a row; the table's fault where there is none, with the nearest name.

        ``origin`` is the package that had it when it was chosen, which the fault then names; ``also`` are other words
        that would have done.
        """
        rows = self.rows()
        for row in rows:
            if row.name == name:
                return row
        if origin is not None:
            raise PluginError(
                f"there is no {self.noun} {name!r} here: it is from {origin['package']} {origin['version']}, "
                "which is not installed",
                wanted=f"the package {origin['package']}",
                do=f"pip install {origin['package']}=={origin['version']}",
            )
        known = [*also, *(row.name for row in rows)]
        near = get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else "see `geofuse plugins`"
        raise self.fault(f"there is no {self.noun} {name!r}", wanted=f"one of {', '.join(known)}", do=hint)

    def load(self, name: str, *, origin: Origin | None = None) -> T:
        """Import what a row stands for and return it.

        Raises what `row` raises, and PluginError where it cannot be imported or is not what the table holds.
        """
        return self._loaded(self.row(name, origin=origin))

    def check(self) -> tuple[Checked, ...]:
        """Try every row, and return them with their faults: for lists of what is installed."""
        rows = self._every()
        return tuple(self._checked(row, rows) for row in rows)

    def plugin(self, name: str) -> tuple[Plugin, ...]:
        """Return what a plan says of a row: nothing of geofuse's own."""
        row = self.row(name)
        if row.package == OWN:
            return ()
        table = self.group.removeprefix("geofuse.")
        return (Plugin(table=table, name=name, package=row.package, version=row.version),)

    def _every(self) -> tuple[Row, ...]:
        return (*self.own, *_installed(self.group, tuple(sys.path)))

    def _checked(self, row: Row, rows: Iterable[Row]) -> Checked:
        rival = next((other for other in rows if other.name == row.name and other is not row), None)
        if rival is not None:
            return Checked(row, self._taken(rival, row))
        try:
            return Checked(replace(row, title=row.title or _title(self._loaded(row))), None)
        except GeofuseError as fault:
            return Checked(row, fault)

    def _loaded(self, row: Row) -> T:
        made = imported(row, noun=self.noun)
        lacks = [name for name in self.wants if not hasattr(made, name)]
        if lacks:
            raise PluginError(
                f"{self.noun} {row.name!r} of {row.source} is none: {row.target} has no {', '.join(lacks)}",
                wanted=f"a {self.noun} as geofuse's own are",
                do=_cure(row),
            )
        found = cast(T, made)  # as far as can be told without calling it
        self.test(row, found)
        return found

    def _taken(self, first: Row, second: Row) -> PluginError:
        here, there = first.source, second.source
        return PluginError(
            f"{self.noun} {second.name!r} is in {here} and in {there}",
            wanted="a name in one package only",
            do=f"pip uninstall {second.package if second.package != OWN else first.package}",
        )


def imported(row: Row, target: str = "", *, noun: str = "row") -> object:
    """Import a row's target, or another "module:attribute" of its package.

    PluginError names the row, its package, what went wrong and what to install.
    """
    module, _, attribute = (target or row.target).partition(":")
    try:
        made: object = getattr(importlib.import_module(module), attribute)
    except GeofuseError:
        raise
    except Exception as error:  # whatever an installed package raises when it is imported
        if row.needs and isinstance(error, ModuleNotFoundError):
            raise PluginError(
                f"{noun} {row.name!r} needs {error.name}, which is not installed",
                wanted=row.needs,
                do=f"pip install '{row.needs}'",
            ) from error
        reason = str(error).splitlines()[0] if str(error) else "no reason given"
        raise PluginError(
            f"{noun} {row.name!r} of {row.source} cannot be loaded: {type(error).__name__}: {reason}",
            wanted=f"{target or row.target}, importable",
            do=_cure(row),
        ) from error
    return made


def check_plugins(plugins: Iterable[Plugin]) -> None:
    """Refuse to go on with rows whose packages are gone, or here in another version: PluginError names the package."""
    for plugin in plugins:
        rows = _installed(f"geofuse.{plugin.table}", tuple(sys.path))
        here = [row for row in rows if (row.name, row.package) == (plugin.name, plugin.package)]
        if any(row.version == plugin.version for row in here):
            continue
        found = f"{here[0].version} is installed" if here else "which is not installed"
        wanted = f"{plugin.package} {plugin.version}"
        raise PluginError(
            f"{plugin.table.removesuffix('s')} {plugin.name!r} is from {wanted}, {found}",
            wanted=wanted,
            do=f"pip install {plugin.package}=={plugin.version}",
        )


def plugins_in(record: Mapping[str, Any]) -> tuple[Plugin, ...]:
    """Return what a product's record says it was made with besides geofuse's own; ConfigError where it is no record."""
    try:
        return tuple(
            Plugin(**{key: str(value) for key, value in one.items()}) for one in record.get("plugins", ())
        )
    except (AttributeError, TypeError) as error:
        raise ConfigError(
            "its plugins cannot be read", wanted="a product's record as it was written"
        ) from error


def _title(made: object) -> str:
    """Return what a loaded row says of itself, in a phrase."""
    about = getattr(made, "about", made)
    return next(
        (str(told) for name in ("title", "phrase", "wanted") if (told := getattr(about, name, ""))), ""
    )


def _cure(row: Row) -> str:
    return f"pip install --upgrade {row.package}, or pip uninstall {row.package}"


def _twice(rows: Iterable[Row]) -> tuple[Row, Row] | None:
    """Return the first two rows of one name."""
    seen: dict[str, Row] = {}
    for row in rows:
        if row.name in seen:
            return seen[row.name], row
        seen[row.name] = row
    return None


@lru_cache(maxsize=32)
def _installed(group: str, path: tuple[str, ...]) -> tuple[Row, ...]:
    """Return the rows that packages on ``path`` add to a group, by name, then package; each entry point once."""
    found: dict[tuple[str, str], Row] = {}
    for entry in _entry_points(path).get(group, ()):
        package, version = (
            (entry.dist.name, entry.dist.version) if entry.dist else ("a package without a name", "")
        )
        needs = f"{package}[{','.join(entry.extras)}]" if entry.extras else ""
        row = Row(entry.name, f"{entry.module}:{entry.attr}", "", needs, package, version)
        found.setdefault((entry.name, package), row)
    return tuple(found[key] for key in sorted(found))


@lru_cache(maxsize=4)
def _entry_points(path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points of all packages on ``path`` by group: they are looked for once, for all tables."""
    from importlib import metadata

    every = metadata.entry_points()
    return {group: tuple(every.select(group=group)) for group in map("geofuse.{}".format, GROUPS)}
