"""Source distribution, wheel and editable install: whole, and at work where a folder has its own `flows/`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from geofuse.landscape.camera import Camera, make_truth
from geofuse.quality.simulated_pair import SimulatedPair, write_pair
from geofuse.version import __version__

pytest.importorskip("hatchling", reason="the extra `test` is not installed")
ROOT = Path(__file__).resolve().parents[1]
BUILDS = ("hatchling", "editables", "packaging", "pathspec", "pluggy", "trove_classifiers")
"""What a build imports: neither Node nor npm."""
ADDRESS = re.compile(r"running on (http://[0-9a-z.:]+)")


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has what builds, and no Node: neither in a wheel nor on the path."""
    venv = tmp_path_factory.mktemp("builder") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    own = Path(sysconfig.get_paths()["purelib"])
    there = next(venv.glob("lib/python*/site-packages"))
    for name in BUILDS:
        (there / name).symlink_to(own / name)
    return venv / "bin" / "python"


def alone(venv: Path) -> dict[str, str]:
    """Return an environment whose path has this venv's programs, and nothing that could be npm."""
    return {"PATH": str(venv / "bin"), "HOME": str(venv), "LANG": "C.UTF-8", "npm_config_offline": "true"}


def built(python: Path, source: Path, kind: str, folder: Path) -> Path:
    """Build an sdist or a wheel from a source tree; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    code = f"import hatchling.build as b; print(b.build_{kind}({str(folder)!r}))"
    done = subprocess.run(
        [python, "-c", code], cwd=source, env=alone(python.parents[1]), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="session")
def source(builder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    if not (ROOT / "geofuse" / "serve" / "static" / "index.html").is_file():
        pytest.skip("the page is not built: python hatch_build.py")
    with tarfile.open(built(builder, ROOT, "sdist", folder)) as archive:
        archive.extractall(folder, filter="data")
    (found,) = [path for path in folder.iterdir() if path.is_dir()]
    return found


@pytest.fixture(scope="session")
def wheel(builder: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel made from the source distribution, without npm."""
    return built(builder, source, "wheel", tmp_path_factory.mktemp("wheel"))


def files(folder: Path) -> set[str]:
    """Return the names of the files of a source tree that are no leftovers."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in found if "__pycache__" not in name and not name.endswith(".pyc")}


def test_the_source_distribution_has_the_sources_and_the_built_page(source: Path) -> None:
    names = files(source)
    assert {
        "hatch_build.py",
        "prefect.yaml",
        "Makefile",
        "web/package-lock.json",
        "web/src/main.tsx",
    } <= names
    assert {f"geofuse/{name}" for name in files(ROOT / "geofuse")} <= names
    assert {f"{top}/{name}" for top in ("configs", "flows") for name in files(ROOT / top)} <= names
    assert not [name for name in names if "node_modules" in name]


def test_a_wheel_made_from_it_without_npm_is_whole(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        page = archive.read("geofuse/serve/static/index.html").decode()
    assert {name.partition("/")[0] for name in names} == {"geofuse", f"geofuse-{__version__}.dist-info"}
    wanted = {f"geofuse/{name}" for name in files(ROOT / "geofuse")}
    wanted |= {f"geofuse/configs/{name}" for name in files(ROOT / "configs")}
    wanted |= {f"geofuse/flows/production/flows/{name}" for name in files(ROOT / "flows")}
    wanted.add("geofuse/flows/production/prefect.yaml")
    here = {name for name in names if name.startswith("geofuse/")}
    assert sorted(wanted ^ here) == []
    for ending in (".js", ".css", ".woff2", "licences.md"):
        assert [name for name in names if name.startswith("geofuse/serve/static/") and name.endswith(ending)]
    assert "<script>" not in page
    assert "http" not in page.replace("http-equiv", "")


def installed(builder: Path, kind: str, what: Path, folder: Path) -> Path:
    """Install into a fresh environment that sees this one's libraries, and not this one's geofuse; returns its bin."""
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    there = next(venv.glob("lib/python*/site-packages"))
    for name in BUILDS:
        (there / name).symlink_to(Path(sysconfig.get_paths()["purelib"]) / name)
    python = venv / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    options = [
        "--no-build-isolation",
        "--no-index",
        *(["--editable"] if kind == "editable" else []),
        str(what),
    ]
    done = subprocess.run([*command, *options], env=alone(venv), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in BUILDS:
        (there / name).unlink()
    paths = {sysconfig.get_paths()[name] for name in ("purelib", "platlib")}
    (there / "libraries.pth").write_text("\n".join(sorted(paths)) + "\n")
    return venv / "bin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a user of Prefect has it: with a package `flows` of its own."""
    own = tmp_path / "work" / "flows"
    own.mkdir(parents=True)
    (own / "__init__.py").write_text("raise RuntimeError('somebody else\\'s flows')\n")
    return own.parent


def said(programs: Path, folder: Path, *words: str) -> str:
    """Run the installed command in a folder; returns what it says."""
    command = [str(programs / "geofuse"), *words]
    done = subprocess.run(command, cwd=folder, env=surroundings(programs), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def surroundings(programs: Path) -> dict[str, str]:
    """Return the environment of an installed command."""
    cache = {name: os.environ[name] for name in ("NUMBA_CACHE_DIR",) if name in os.environ}
    return {**alone(programs.parent), **cache}


def test_the_wheel_runs_where_the_user_has_flows(
    builder: Path, wheel: Path, tmp_path: Path, folder: Path
) -> None:
    programs = installed(builder, "wheel", wheel, tmp_path)
    assert said(programs, folder, "--version").split() == ["geofuse", __version__]
    assert "brovey" in said(programs, folder, "methods")
    where = [programs / "python", "-c", "import geofuse; print(geofuse.__file__)"]
    found = subprocess.run(where, cwd=folder, env=surroundings(programs), capture_output=True, text=True)
    assert found.stdout.startswith(str(programs.parent))


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> SimulatedPair:
    """A tiny pair."""
    camera = Camera((0.3,) * 4, (0.15, 0.3, 0.3, 0.2), ratio=4.0, noise_sigma=1.0)
    truth = make_truth(256, rng=np.random.default_rng(5))
    return write_pair(tmp_path_factory.mktemp("tiny"), truth, camera, slant_deg=0.0, seed=5)


@contextmanager
def served(programs: Path, folder: Path, catalog: str) -> Iterator[str]:
    """Serve a catalogue with the installed command; gives the address."""
    command = [str(programs / "geofuse"), "serve", catalog, "--port", "0", "--trust-local"]
    process = subprocess.Popen(
        command, cwd=folder, env=surroundings(programs), stderr=subprocess.PIPE, text=True
    )
    watch = threading.Timer(120.0, process.kill)
    watch.start()
    try:
        assert process.stderr is not None
        heard: list[str] = []
        for line in process.stderr:
            heard.append(line)
            if found := ADDRESS.search(line):
                yield found[1]
                return
        raise AssertionError("".join(heard))
    finally:
        watch.cancel()
        process.terminate()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist", "editable"])
def test_each_install_fuses_publishes_and_serves(
    builder: Path, source: Path, wheel: Path, tmp_path: Path, folder: Path, pair: SimulatedPair, kind: str
) -> None:
    programs = installed(builder, kind, {"wheel": wheel, "sdist": source, "editable": ROOT}[kind], tmp_path)
    assert said(programs, folder, "--version").split() == ["geofuse", __version__]
    for name in ("pan", "ms"):
        shutil.copy(getattr(pair, name), folder / f"{name}.tif")
    inputs = ["--pan", "pan.tif", "--ms", "ms.tif"]
    said(programs, folder, "fuse", *inputs, "--out", "sharp.tif")
    said(programs, folder, "fuse", *inputs, "--method", "pan-gan-ms", "--out", "net.tif")
    about = ["--acquired", "2024-05-12T10:00:00Z"]
    said(programs, folder, "publish", "sharp.tif", "--catalog", "archive", *about)
    with served(programs, folder, "archive") as address:
        with urllib.request.urlopen(f"{address}/", timeout=30) as answer:
            assert "<!doctype html>" in answer.read().decode().lower()
        with urllib.request.urlopen(f"{address}/stac/search", timeout=30) as answer:
            assert b"pan-fused" in answer.read()
    laid = ["-m", "geofuse.flows.deploy", "files", str(folder / "production")]
    subprocess.run([programs / "python", *laid], cwd=folder, env=surroundings(programs), check=True)
    assert (folder / "production" / "prefect.yaml").read_bytes() == (ROOT / "prefect.yaml").read_bytes()
    assert len(list((folder / "production" / "flows").glob("*.py"))) == len(
        list((ROOT / "flows").glob("*.py"))
    )
