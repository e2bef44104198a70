"""Who imports whom: the files of the house, the arrows between them, their floors and circles, and a drawing.

`python tests/imports.py` prints the rooms by floors with their figures; `python tests/imports.py docs/house.svg`
draws them. tests/test_house.py holds its rules against the same arrows.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "geofuse"


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement's module, where it stands."""

    path: Path
    """The file that imports."""
    name: str
    """What is imported: a module, or a name of one, with dots."""
    line: int
    """Where."""
    at_top: bool
    """Whether it happens when the file is loaded: no import in a function, none for type checkers alone."""


@cache
def sources() -> dict[str, Path]:
    """Return the modules of the package by their names; a folder's `__init__` goes by the folder's name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


@cache
def tree_of(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text())


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Return every import of a file, those in functions and for type checkers too."""
    found = []
    tree = tree_of(path)
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
        found += [Import(path, name, node.lineno, node in tree.body) for name in names]
    return tuple(found)


def module_of(name: str) -> str | None:
    """Return the module of the package that an imported name comes from; None for guests."""
    while name and name not in sources():
        name = name.rpartition(".")[0]
    return name or None


@cache
def arrows() -> dict[str, frozenset[str]]:
    """Return for each module those of the package that it imports, anywhere in it."""
    found = {}
    for module, path in sources().items():
        targets = {module_of(one.name) for one in imports_of(path)} - {None, module}
        found[module] = frozenset(str(target) for target in targets)
    return found


def room_of(module: str) -> str:
    """Return the room of a module: the first name below the package, or `__init__`."""
    return module.split(".")[1] if "." in module else "__init__"


def room_arrows() -> dict[str, frozenset[str]]:
    """Return for each room those it imports; the door `__init__`, which only hands on names, is left out."""
    found: dict[str, set[str]] = {}
    for module, targets in arrows().items():
        here = room_of(module)
        found.setdefault(here, set()).update(room_of(target) for target in targets)
    return {
        room: frozenset(targets - {room, "__init__"}) for room, targets in found.items() if room != "__init__"
    }


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the circles of a graph: its strongly connected parts of more than one member (Tarjan 1972)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(here: str) -> None:
        number[here] = low[here] = len(number)
        stack.append(here)
        for there in graph.get(here, ()):
            if there not in number:
                visit(there)
                low[here] = min(low[here], low[there])
            elif there in stack:
                low[here] = min(low[here], number[there])
        if low[here] == number[here]:
            part = stack[stack.index(here) :]
            del stack[stack.index(here) :]
            if len(part) > 1:
                found.append(sorted(part))

    for one in graph:
        if one not in number:
            visit(one)
    return sorted(found)


def floors(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the members of a graph by floors: each stands one above the highest it imports, a circle on one floor."""
    together = {one: circle[0] for circle in circles(graph) for one in circle}
    level: dict[str, int] = {}

    def place(part: str) -> int:
        if part not in level:
            members = [one for one in graph if together.get(one, one) == part]
            below = {together.get(there, there) for one in members for there in graph[one]} - {part}
            level[part] = 1 + max(map(place, below), default=-1)
        return level[part]

    found = {one: place(together.get(one, one)) for one in graph}
    return [
        sorted(one for one, at in found.items() if at == floor) for floor in range(max(found.values()) + 1)
    ]


def lines_by_room() -> dict[str, int]:
    """Return how many lines of Python each room has."""
    found: dict[str, int] = {}
    for module, path in sources().items():
        room = room_of(module)
        found[room] = found.get(room, 0) + len(path.read_text().splitlines())
    return found


def figures() -> str:
    """Return what the arrows come to, in a few lines of text."""
    graph, rooms, lines = arrows(), room_arrows(), lines_by_room()
    total = sum(lines.values())
    biggest = max(lines, key=lambda room: lines[room])
    return "\n".join(
        (
            f"{len(graph)} files, {total:,} lines, {sum(map(len, graph.values()))} arrows between files, "
            f"{len(circles(graph))} circles",
            f"{len(rooms)} rooms on {len(floors(rooms))} floors, {sum(map(len, rooms.values()))} arrows between "
            f"rooms, {len(circles(rooms))} circles; biggest {biggest}: {lines[biggest] / total:.1%} of the lines",
        )
    )


def drawing() -> str:
    """Return the rooms as an SVG: a floor a row, the ground floor at the foot; arrows are imports between rooms."""
    rooms, lines = room_arrows(), lines_by_room()
    rows = floors(rooms)
    wide, tall, width = 132, 96, 1180
    middle: dict[str, tuple[float, float]] = {}
    for floor, row in enumerate(rows):
        for at, room in enumerate(row):
            step = width / len(row)
            middle[room] = (step * (at + 0.5), tall * (len(rows) - floor) - 40.0)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {tall * len(rows) + 50}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for room, targets in sorted(rooms.items()):
        x, y = middle[room]
        for target in sorted(targets):
            to_x, to_y = middle[target]
            out.append(
                f'<path d="M{x:.0f},{y + 17:.0f} L{to_x:.0f},{to_y - 17:.0f}" stroke="#7a8aa0" '
                f'stroke-opacity="0.45" fill="none"><title>{room} imports {target}</title></path>'
            )
    for room, (x, y) in sorted(middle.items()):
        out.append(
            f'<rect x="{x - wide / 2:.0f}" y="{y - 17:.0f}" width="{wide}" height="34" rx="7" fill="#f3f6fa" '
            f'stroke="#2b3a4d"/><text x="{x:.0f}" y="{y - 1:.0f}" text-anchor="middle" font-weight="600">{room}'
            f'</text><text x="{x:.0f}" y="{y + 12:.0f}" text-anchor="middle" font-size="10" fill="#566">'
            f"{lines[room]:,} lines</text>"
        )
    foot = tall * len(rows) + 22
    out += [
        f'<text x="10" y="{foot + 16 * at}" font-size="12" fill="#566">{line}</text>'
        for at, line in enumerate(figures().splitlines())
    ]
    return "\n".join([*out, "</svg>\n"])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(drawing())
    for floor, row in reversed(list(enumerate(floors(room_arrows())))):
        print(f"{floor:2}  {'  '.join(row)}")
    print(figures())
