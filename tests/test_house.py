"""The house rules as tests: who may import whom, where each guest library lives, how large things may be.

Each test collects its faults and shows them all; the arrows it looks at are those of tests/imports.py.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from imports import (
    PACKAGE,
    ROOT,
    arrows,
    circles,
    imports_of,
    lines_by_room,
    room_arrows,
    room_of,
    sources,
    tree_of,
)

GROUND = {
    "errors",
    "files",
    "fusions",
    "geometry",
    "internal",
    "locks",
    "nouns",
    "showing",
    "tables",
    "version",
}
LOW = GROUND | {"kernels", "config"}
MIDDLE = LOW | {"rasters", "scenes", "nets", "methods", "metrics", "landscape"}
UPPER = MIDDLE | {"run", "quality", "pages", "archive", "learn", "clips"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "locks": {"errors", "files"},
    "internal": {"errors", "version"},
    "geometry": set(),
    "nouns": {"errors"},
    "showing": set(),
    "fusions": {"errors", "tables"},
    "tables": {"errors"},
    "version": set(),
    "kernels": {"geometry"},
    "config": GROUND,
    "nets": GROUND,
    "rasters": LOW,
    "scenes": LOW | {"rasters"},
    "methods": LOW | {"nets"},
    "landscape": GROUND | {"methods"},
    "metrics": LOW | {"methods"},
    "run": MIDDLE,
    "archive": MIDDLE | {"run"},
    "clips": MIDDLE | {"run", "archive"},
    "quality": MIDDLE | {"run"},
    "pages": MIDDLE | {"run", "quality"},
    "learn": MIDDLE | {"run", "quality", "pages"},
    "line": UPPER - {"clips"},
    "serve": MIDDLE | {"run", "clips", "archive", "pages"},
    "flows": GROUND | {"config", "rasters", "line", "learn", "metrics"},
    "demo": MIDDLE | {"run", "quality"},
    "api": UPPER | {"demo"},
    "commands": UPPER | {"api", "line", "serve", "flows", "demo"},
    "cli": {"errors", "internal", "version", "commands"},
}
"""Room by room: what it may import. The door `__init__` hands on names of any room, when they are asked for."""

FREE = {"numpy"}
HOMES: dict[str, tuple[str, ...]] = {
    "PIL": ("rasters/preview.py",),
    "affine": ("run/arrays.py",),
    "dask": ("run/arrays.py", "run/executors.py"),
    "defusedxml": ("serve/orders/area_files.py",),
    "distributed": ("run/executors.py",),
    "fastapi": ("serve/",),
    "geopandas": ("archive/footprints.py", "scenes/aoi.py"),
    "h11": ("serve/http/protocol.py",),
    "h5netcdf": ("clips/clip_files.py",),
    "httpx": ("flows/", "line/sources/web.py"),
    "imagecodecs": ("rasters/cog/", "serve/maps/painting.py"),
    "jsonschema": ("archive/stac_schemas.py",),
    "morecantile": ("serve/maps/matrices.py",),
    "numba": ("kernels/jit.py",),
    "numcodecs": ("clips/clip_files.py",),
    "obstore": ("rasters/cog/objects.py",),
    "onnx": ("nets/export.py",),
    "prefect": ("flows/",),
    "prometheus_client": ("flows/metrics.py",),
    "psutil": ("flows/", "run/plans/memory.py"),
    "pydantic": ("config/", "scenes/sensors/checking.py", "serve/"),
    "pyogrio": ("scenes/aoi.py",),
    "pyproj": ("archive/stac_item.py", "clips/", "scenes/", "serve/"),
    "pystac": ("archive/", "line/sources/"),
    "pystac_client": ("line/sources/stac_search.py",),
    "rasterio": ("rasters/", "serve/maps/rasters.py"),
    "referencing": ("archive/stac_schemas.py",),
    "rioxarray": ("run/arrays.py",),
    "safetensors": ("nets/",),
    "scipy": ("methods/", "metrics/", "nets/training/draws.py", "quality/scoring.py", "run/sampling.py"),
    "shapely": (
        *("archive/footprints.py", "line/sources/stac_search.py", "rasters/valid_area.py", "scenes/aoi.py"),
        "serve/",
    ),
    "starlette": ("flows/server.py", "serve/"),
    "titiler": ("serve/maps/matrices.py",),
    "torch": ("nets/",),
    "tqdm": ("commands/",),
    "uvicorn": ("serve/",),
    "xarray": ("run/arrays.py",),
    "yaml": ("config/reading.py", "scenes/sensors/families.py"),
    "zarr": ("clips/clip_files.py",),
    "zstandard": ("rasters/cog/zstd.py",),
}
"""Where each library may be imported: files, and folders in which more than one file does. Every import has a home."""

MOST_LINES, MOST_FILES, MOST_SHARE = 500, 15, 0.15
TABLES = {"commands", "methods/sharpen", "nets/arch", "scenes/readers", "scenes/sensors"}
"""Folders of rows: one file a row, as many as there are."""
MOST_POSITIONAL, MOST_ARGUMENTS = 5, 8
ROUTES = {"get", "post", "put", "delete", "head", "api_route"}
ENVIRONMENT = "config/surroundings.py"
GATED = ("rasters", "scenes", "archive", "run", "quality", "clips", "line", "learn", "pages")
"""Rooms whose branches the tests cover to 95 %, as the Makefile says."""


def inside(path: Path) -> str:
    """Return a file's place in the package."""
    return str(path.relative_to(PACKAGE))


def shown(faults: list[str]) -> str:
    """Return faults one a line."""
    return "\n" + "\n".join(faults)


def test_imports_go_downwards_and_never_in_a_circle() -> None:
    faults = [f"circle between files: {' <-> '.join(circle)}" for circle in circles(arrows())]
    faults += [f"circle between rooms: {' <-> '.join(circle)}" for circle in circles(room_arrows())]
    for module, targets in arrows().items():
        here = room_of(module)
        if here != "__init__":
            faults += [
                f"{module} imports {target}"
                for target in sorted(targets)
                if room_of(target) not in MAY_IMPORT.get(here, set()) | {here}
            ]
        faults += [
            f"{module}:{one.line}: relative import"
            for one in imports_of(sources()[module])
            if one.name.startswith(".")
        ]
        faults += [
            f"{module}:{one.line}: only commands/up.py starts flows, when it is asked to"
            for one in imports_of(sources()[module])
            if one.name.startswith("geofuse.flows") and here != "flows"
            if inside(one.path) != "commands/up.py" or one.at_top
        ]
    faults += [f"no such room: {room}" for room in set(MAY_IMPORT) - set(lines_by_room())]
    for path in sorted(
        (ROOT / "flows").rglob("*.py")
    ):  # the scheduler's entry scripts: no package, they name flows
        body = tree_of(path).body
        plain = all(isinstance(node, (ast.Expr, ast.ImportFrom, ast.Assign)) for node in body)
        own = all(
            (node.module or "").startswith("geofuse.flows.")
            for node in body
            if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        )
        if path.name == "__init__.py" or not plain or not own:
            faults.append(f"flows/{path.name} does more than name flows")
    assert not faults, shown(faults)


def test_guests_have_homes_that_are_used() -> None:
    seen: dict[str, set[str]] = {}
    for path in sources().values():
        for one in imports_of(path):
            guest = one.name.split(".")[0]
            if guest not in {"geofuse", ""} | FREE and guest not in sys.stdlib_module_names:
                seen.setdefault(guest, set()).add(inside(path))
            elif guest in {"pickle", "marshal", "shelve"}:
                seen.setdefault(guest, set()).add(inside(path))  # they run what they read: no home
    faults = [
        f"{place} imports {guest}"
        for guest, places in sorted(seen.items())
        for place in sorted(places)
        if not place.startswith(HOMES.get(guest, ("nowhere",)))
    ]
    for guest, homes in HOMES.items():
        for home in homes:
            users = {place for place in seen.get(guest, ()) if place.startswith(home)}
            if not users:
                faults.append(f"{guest} does not live in {home}")
            elif home.endswith("/") and len(users) == 1:
                faults.append(f"{guest} lives in {users.pop()} alone, not in all of {home}")
    assert not faults, shown(faults)


def test_things_have_a_readable_size() -> None:
    faults = []
    for path in [*sources().values(), *sorted((ROOT / "flows").rglob("*.py"))]:
        text, place = path.read_text(), str(path.relative_to(ROOT))
        if (lines := len(text.splitlines())) > MOST_LINES:
            faults.append(f"{place}: {lines} lines; at most {MOST_LINES}")
        if text and not ast.get_docstring(tree_of(path)):
            faults.append(f"{place} does not say what it is")
        if re.search("environ|getenv", text) and not place.endswith(ENVIRONMENT):
            faults.append(f"{place} reads the environment; only {ENVIRONMENT} does")
    for folder in sorted({path.parent for path in sources().values()}):
        place = inside(folder)
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        if len(files) > MOST_FILES and place not in TABLES:
            faults.append(f"{place}/: {len(files)} files; at most {MOST_FILES}")
    total = sum(lines_by_room().values())
    faults += [
        f"room {room}: {lines / total:.1%} of the lines; at most {MOST_SHARE:.0%}"
        for room, lines in lines_by_room().items()
        if lines > MOST_SHARE * total
    ]
    for path in sources().values():
        if inside(path).startswith(("kernels/", "__init__")):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not is_route(node):
                positional, every = arguments(node)
                if positional > MOST_POSITIONAL or every > MOST_ARGUMENTS:
                    faults.append(
                        f"{inside(path)}:{node.lineno} {node.name}: {positional} positional arguments, {every} in all"
                    )
    gate = (ROOT / "Makefile").read_text()
    faults += [f"the coverage gate leaves out {room}" for room in GATED if f"geofuse/{room}/*" not in gate]
    assert not faults, shown(faults)


def is_route(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function is a route of the server: its arguments are those of its query."""
    called = [one.func for one in node.decorator_list if isinstance(one, ast.Call)]
    return any(isinstance(one, ast.Attribute) and one.attr in ROUTES for one in called)


def arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[int, int]:
    """Return how many positional arguments a function takes, and how many in all, without self or cls."""
    given = node.args
    places = [one.arg for one in (*given.posonlyargs, *given.args)]
    positional = len(places) - (places[:1] in (["self"], ["cls"]))
    return positional, positional + len(given.kwonlyargs)


def nouns(path: Path) -> Iterator[str]:
    """Yield the nouns a file declares: public classes, and names for types."""
    for node in tree_of(path).body:
        if isinstance(node, ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        else:
            continue
        if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name):
            yield name


def test_a_noun_is_declared_once() -> None:
    declared: dict[str, list[str]] = {}
    for path in sources().values():
        for name in nouns(path):
            declared.setdefault(name, []).append(inside(path))
    faults = [f"{name}: {', '.join(places)}" for name, places in sorted(declared.items()) if len(places) > 1]
    assert not faults, shown(faults)


def test_sources_name_no_absolute_path_of_a_machine() -> None:
    folders = ("geofuse", "tests", "flows", "configs")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    faults = [str(path) for path in paths if path != Path(__file__) and "/work/" in path.read_text()]
    assert not faults, shown(faults)


HEAVY = (
    "numpy",
    "numba",
    "rasterio",
    "dask",
    "xarray",
    "torch",
    "scipy",
    "prefect",
    "tqdm",
    "pydantic",
    "geopandas",
)


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules a fresh interpreter holds after running code."""
    script = f"{code}\nimport sys; print('\\n'.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    ["import geofuse", "import geofuse.cli", "import geofuse.cli as c; c.build_parser().format_help()"],
)
def test_the_door_is_light(code: str) -> None:
    assert not loaded_after(code) & set(HEAVY)


def test_the_closed_form_path_is_light() -> None:
    code = (
        "import geofuse.run.fuse, geofuse.run.plans.planning, geofuse.run.executors, geofuse.scenes.opening"
    )
    heavy = {"torch", "xarray", "dask", "distributed", "prefect", "geopandas", "matplotlib", "pydantic"}
    assert not loaded_after(code) & heavy
