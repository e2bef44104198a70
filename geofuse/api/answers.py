"""What the verbs answer: JSON values that show themselves shortly, a product, a plan. Nothing heavy is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from geofuse.showing import html, line

if TYPE_CHECKING:
    from geofuse.run.plans.plan import Plan


@dataclass(frozen=True, slots=True, repr=False)
class Report(Mapping[str, Any]):
    """JSON values, as the command line's --json prints them: a mapping that shows itself shortly."""

    title: str
    """What it is."""
    facts: Mapping[str, Any]
    """The values themselves."""

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.facts)

    def __len__(self) -> int:
        return len(self.facts)

    def __repr__(self) -> str:
        return line("Report", self.title, f"{len(self.facts)} values: {', '.join(list(self.facts)[:6])}")

    def _repr_html_(self) -> str:
        return html(self.title, [(name, _told(value)) for name, value in self.facts.items()])


@dataclass(frozen=True, slots=True, repr=False)
class Planned(Mapping[str, Any]):
    """What would be done: the plan, and what `geofuse plan --json` prints of it. No pixel was read."""

    plan: Plan
    """The plan itself."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Its figures: grid, tiles, halo, memory, bytes, notes."""

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.facts)

    def __len__(self) -> int:
        return len(self.facts)

    def __repr__(self) -> str:
        grid = self.facts["grid"]
        size = f"{grid['height']} x {grid['width']} px"
        tiles = f"{self.facts['tiles']} tiles of {self.facts['tile_px']} px"
        return line("Planned", self.facts["scene"], self.facts["method"], size, tiles)

    def _repr_html_(self) -> str:
        return html(f"plan for {self.facts['scene']}", [(k, _told(v)) for k, v in self.facts.items()])


@dataclass(frozen=True, slots=True, repr=False)
class Product:
    """A product that was made, or verified."""

    address: str
    """Its file, or its address in an object store."""
    record: Mapping[str, Any]
    """What OUT.json holds: inputs, method, observation, parameters, grid, counts, checksums, warnings."""

    @property
    def sha256(self) -> str:
        """Checksum of the data file."""
        return str(self.record["assets"]["data"]["sha256"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator should know."""
        return tuple(self.record["warnings"])

    def __repr__(self) -> str:
        grid, method = self.record["grid"], self.record["method"]["name"]
        return line("Product", self.address, method, f"{grid['height']} x {grid['width']} px")

    def _repr_html_(self) -> str:
        record, grid = self.record, self.record["grid"]
        rows: list[tuple[str, object]] = [
            ("scene", record["scene"]["id"]),
            ("bands", record["parameters"]["bands"]),
            ("method", record["method"]["name"]),
            ("size", f"{grid['height']} x {grid['width']} px"),
            ("ratio", grid["ratio"]),
            ("bytes", record["assets"]["data"]["bytes"]),
            ("sha256", self.sha256),
            ("warnings", list(self.warnings)),
        ]
        return html(self.address, rows)


def _told(value: Any) -> object:
    """Return a value for a table: of what has parts the names or the number."""
    if isinstance(value, Mapping):
        return ", ".join(map(str, value))
    if isinstance(value, list | tuple) and any(isinstance(each, Mapping | list | tuple) for each in value):
        return f"{len(value)} of them"
    return value
