"""The house rules as tests: who may import whom, where each guest library lives, how long a file may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "geofuse"
GROUND = {"errors", "files", "geometry", "nouns", "tables", "version"}
LOW = GROUND | {"kernels", "config"}
MIDDLE = LOW | {"rasters", "scenes", "nets", "methods", "metrics", "landscape"}
MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "geometry": set(),
    "nouns": {"errors"},
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
    "clips": MIDDLE | {"run", "archive"},
    "archive": MIDDLE | {"run"},
    "quality": MIDDLE | {"run"},
    "pages": MIDDLE | {"run", "quality"},
    "learn": MIDDLE | {"run", "quality", "pages"},
    "line": MIDDLE | {"run", "quality", "pages", "archive", "learn"},
    "serve": MIDDLE | {"run", "clips", "archive", "pages"},
    "flows": GROUND | {"config", "rasters", "line", "learn", "metrics"},
    "demo": MIDDLE | {"run", "quality"},
    "commands": MIDDLE
    | {"run", "quality", "pages", "archive", "learn", "line", "clips", "serve", "demo", "flows"},
    "cli": {"errors", "version", "commands"},
}
HOMES = {
    "numba": ("kernels/",),
    "torch": ("nets/", "methods/sharpen/fine_network.py", "methods/sharpen/ms_network.py"),
    "rasterio": (
        *(
            "rasters/datasets.py",
            "rasters/pieces.py",
            "rasters/pixels.py",
            "rasters/warping.py",
            "rasters/valid_area.py",
        ),
        *("rasters/cog/", "serve/maps/rasters.py"),
    ),
    "dask": ("run/executors.py", "run/arrays.py"),
    "distributed": ("run/executors.py", "run/arrays.py"),
    "xarray": ("run/arrays.py",),
    "rioxarray": ("run/arrays.py",),
    "geopandas": ("scenes/aoi.py", "archive/footprints.py"),
    "PIL": ("rasters/preview.py",),
    "pydantic": ("config/", "serve/"),
    "yaml": ("config/",),
    "fastapi": ("serve/",),
    "titiler": ("serve/",),
    "morecantile": ("serve/",),
    "h5netcdf": ("clips/clip_files.py",),
    "zarr": ("clips/clip_files.py",),
    "obstore": ("rasters/cog/",),
    "imagecodecs": ("rasters/cog/", "serve/"),
    "prefect": ("flows/",),
    "pickle": (),
}
ENVIRONMENT = ("config/surroundings.py",)
FILES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted((ROOT / "flows").rglob("*.py"))
STARTS_FLOWS = ("commands/up.py",)


def room(path: Path) -> str:
    """Name the room a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield every imported module and whether it is imported at the top of the file at run time."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names = [module, *(f"{module}.{alias.name}" for alias in node.names if module == "geofuse")]
        for name in names:
            yield name, node in tree.body


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_only_what_they_may(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return
    for name, _ in imports(path):
        parts = name.split(".")
        if parts[0] != "geofuse" or len(parts) == 1 or not _is_module(parts[1]):
            continue
        assert parts[1] == here or parts[1] in MAY_IMPORT[here], f"{path} imports {name}"


def _is_module(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_guests_stay_in_their_homes(path: Path) -> None:
    inside = str(path.relative_to(PACKAGE))
    for name, _ in imports(path):
        homes = HOMES.get(name.split(".")[0])
        assert homes is None or inside.startswith(homes), f"{inside} imports {name}"


def test_flows_are_thin_and_only_one_command_starts_them() -> None:
    guests = set(HOMES) - {"prefect"}
    for path in FILES:
        inside = str(path.relative_to(PACKAGE))
        for name, at_top in imports(path):
            if room(path) == "flows":
                assert name.split(".")[0] not in guests, f"{path} imports {name}"
            elif name.startswith("geofuse.flows"):
                assert inside in STARTS_FLOWS, f"{path} imports {name}"
                assert not at_top, f"{path} imports {name} before it is needed"


def test_entry_scripts_only_name_flows() -> None:
    assert not (ROOT / "flows" / "__init__.py").exists(), "scripts, no package"
    for path in SCRIPTS:
        for node in ast.parse(path.read_text()).body:
            assert isinstance(node, (ast.Expr, ast.ImportFrom, ast.Assign)), (
                f"{path} does more than name flows"
            )
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").startswith("geofuse.flows."), path


@pytest.mark.parametrize("path", [*FILES, *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_fit_a_reader(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 500
    assert path.stat().st_size == 0 or ast.get_docstring(ast.parse(text)), "a module says what it is"
    if not str(path).endswith(ENVIRONMENT):
        assert "environ" not in text, "environment is read in config/surroundings.py only"
        assert "getenv" not in text, "environment is read in config/surroundings.py only"


def test_sources_name_no_absolute_path_of_a_machine() -> None:
    files = [
        path for folder in ("geofuse", "tests", "flows", "configs") for path in (ROOT / folder).rglob("*.py")
    ]
    for path in files:
        if path != Path(__file__):
            assert "/work/" not in path.read_text(), path


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
    code = "import geofuse.run.fuse, geofuse.run.planning, geofuse.run.executors, geofuse.scenes.opening"
    heavy = {"torch", "xarray", "dask", "distributed", "prefect", "geopandas", "matplotlib", "pydantic"}
    assert not loaded_after(code) & heavy
