"""Hold this tree's products against another commit's: same machine, same commands, equal files.

    python tests/golden.py BASE                        every product: about four minutes on two cores
    python tests/golden.py BASE --quick                a choice of them, within 40 s
    python tests/golden.py BASE --only 'odd/*/plain/*' those whose name fits, or holds the words
    python tests/golden.py BASE --list                 the products' names
    python tests/golden.py BASE --base-tree DIR        BASE is checked out in DIR already
    python tests/golden.py BASE --keep DIR             BASE's products stay in DIR/COMMIT..., made once

BASE is a commit, such as 62024d7 (version 0.3). Its files are put into a temporary folder (`git archive`) unless
--base-tree names a checkout of it. Both trees then run `geofuse fuse` for each product in a process of their own that
calls geofuse.cli.main with the words a shell would give. The products are:

    INPUT/METHOD/calibrated|plain/serial|threads       every method of `geofuse methods`, and auto, on each input;
                                                       calibrated by threads, plain in series, slanted in all four ways
    extra/...                                          encodings, areas, weights, shifts, other ways to name a scene

    landsat    a piece of the real Landsat 8 scene in GEOFUSE_DATA (../shared/data beside the checkout): ratio 2
    slanted    0.5 m and 2 m, 11 bit, a slanted border, each band with invalid pixels of its own: ratio 4
    odd        0.498 m and 2.0 m, the grids' corners apart: ratio 4.016
    turned     PAN north-up, MS turned by 7 degrees: read through a warp
    float      float32 with NaN: ratio 3

serial makes one tile of 1024, threads tiles of 512 with three workers, so the two differ in cut, order and memory.

Equal are OUT.tif, OUT.mask.tif and OUT.png byte by byte. Where the bytes of a TIFF differ, its pixels (all bands, all
overviews, bit by bit), mask, nodata, georeference, type, names, colours, scales and blocks are compared; a file that
differs in tags or layout alone is told and counts as equal. Where one tree refuses a command, the other must do so with
the same exit status; another text is told. No expected value is kept anywhere: BASE says what is right.

Exit status: 0 all equal, 1 something differs (listed), 2 a wrong command or no input.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import fnmatch
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
UTM = "EPSG:32632"
X, Y = 500_000.0, 5_400_000.0
METHODS = (
    *("auto", "exp", "brovey", "ihs", "pca", "gs", "gsa", "bt-h", "bdsd-pc", "pracs", "hpf", "sfim", "awlp"),
    *("mtf-glp", "mtf-glp-fs", "mtf-glp-hpm", "mtf-glp-hpm-r", "ridge", "pan-gan", "pan-gan-ms"),
)
QUICK = (
    *("landsat/auto/calibrated/threads", "landsat/pan-gan*/plain/serial", "slanted/auto/calibrated/serial"),
    *(
        "slanted/brovey/*/threads",
        "slanted/ridge/calibrated/threads",
        "slanted/pan-gan-ms/calibrated/threads",
    ),
    *("odd/mtf-glp-hpm-r/*", "odd/gsa/calibrated/*", "turned/ridge/calibrated/threads"),
    *("turned/awlp/plain/serial", "float/auto/calibrated/threads", "extra/*"),
)
CUTS = {
    "serial": ("--scheduler", "serial", "--tile", "1024", "--workers", "1"),
    "threads": ("--scheduler", "threads", "--tile", "512", "--workers", "3"),
}
SUFFIXES = (".tif", ".mask.tif", ".png")


@dataclass(frozen=True, slots=True)
class Case:
    """One product."""

    name: str
    """INPUT/METHOD/calibrated|plain/serial|threads or extra/WHAT; also its place under the products' folder."""
    words: tuple[str, ...]
    """What follows `geofuse fuse`, without --out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one command ended."""

    status: int
    said: str
    """The last lines of both streams."""


# --- inputs -----------------------------------------------------------------------------------------------------------


def landscape(bands: int, side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw correlated bands (bands, side, side), about 100 to 1900: hills, texture, roofs and roads."""
    shared = sum(gaussian_filter(rng.standard_normal((side, side)), s) * s for s in (1.5, 4.0, 16.0))
    planes = np.stack(
        [shared + gaussian_filter(rng.standard_normal((side, side)), 8.0) * 6 for _ in range(bands)]
    )
    for _ in range(60):
        row, col, high, wide = (int(v) for v in (*rng.integers(0, side, 2), *rng.integers(6, 90, 2)))
        planes[:, row : row + high, col : col + wide] += rng.normal(0.0, 1.5, (bands, 1, 1))
    low, top = planes.min(axis=(1, 2), keepdims=True), planes.max(axis=(1, 2), keepdims=True)
    return 100.0 + 1800.0 * (planes - low) / (top - low)


def seen(
    truth: NDArray[np.float64], to_truth: Affine, shape: tuple[int, int], blur: float
) -> NDArray[np.float64]:
    """Observe (bands, side, side) on a grid: to_truth gives the truth's pixel of a (col, row) of the grid."""
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    x, y = (
        to_truth.a * cols + to_truth.b * rows + to_truth.c,
        to_truth.d * cols + to_truth.e * rows + to_truth.f,
    )
    return np.stack([
        map_coordinates(gaussian_filter(band, blur), [y - 0.5, x - 0.5], order=1, mode="nearest") for band in truth
    ])  # fmt: skip


def write(path: Path, planes: NDArray[np.generic], transform: Affine, nodata: float) -> Path:
    """Write (bands, H, W) as a GeoTIFF."""
    bands, height, width = planes.shape
    profile = {"driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": planes.dtype}
    with rasterio.open(path, "w", **profile, nodata=nodata, crs=UTM, transform=transform, tiled=True) as file:
        file.write(planes)
        if bands == 4:
            file.descriptions = ("blue", "green", "red", "nir")
    return path


def inside(shape: tuple[int, int], slant_deg: float, share: float) -> NDArray[np.bool_]:
    """Mark the turned square that holds data."""
    y, x = (np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5) / np.array(shape)[:, None, None] - 0.5
    cos, sin = np.cos(np.radians(slant_deg)), np.sin(np.radians(slant_deg))
    return (np.abs(cos * x + sin * y) < share) & (np.abs(cos * y - sin * x) < share)


def draw(folder: Path, name: str, dtype: str) -> None:
    """Draw the pair `name`: folder/name_pan.tif and folder/name_ms.tif."""
    rng = np.random.default_rng(sorted(("slanted", "odd", "turned", "float")).index(name))
    step = {"slanted": 0.5, "odd": 0.498, "turned": 0.5, "float": 1.0}[name]
    ratio = 3.0 if name == "float" else 4.0
    high, wide = {"slanted": (592, 560), "odd": (540, 548), "turned": (560, 540), "float": (540, 528)}[name]
    truth = landscape(4, 1024, rng)  # on a grid of `step`, its corner 64 px up and left of PAN's
    base = Affine(step, 0, X - 64 * step, 0, -step, Y + 64 * step)
    pan_at = Affine(step, 0, X, 0, -step, Y)
    coarse = step * ratio if name != "odd" else 2.0
    small = (int(high * step / coarse), int(wide * step / coarse))
    ms_at = Affine(coarse, 0, X, 0, -coarse, Y)
    if name == "odd":
        ms_at = Affine(coarse, 0, X + 0.7, 0, -coarse, Y - 1.1)
    if name == "turned":
        ms_at = (
            Affine.translation(X - 12.0, Y + 30.0)
            * Affine.rotation(-7.0)
            * Affine(coarse, 0, 0, 0, -coarse, 0)
        )
        small = (170, 170)
    drift = Affine.translation(0.6, -0.4)  # of a truth's pixel: a misregistration to be found
    pan = seen(truth, ~base * pan_at, (high, wide), 0.5)
    pan = np.tensordot([0.2, 0.3, 0.3, 0.2], pan, axes=1)[None] + rng.normal(0, 3, (1, high, wide))
    ms = seen(truth, drift * ~base * ms_at, small, 0.5 * ratio) + rng.normal(0, 2, (4, *small))
    holes = [np.zeros(small, bool) for _ in range(4)]
    if name in ("slanted", "float"):
        pan[:, ~inside((high, wide), 8.0, 0.46)] = np.nan
        ms[:, ~inside(small, 8.0, 0.46)] = np.nan
        for band, hole in enumerate(holes):  # each band's own
            hole[30 + 9 * band : 34 + 9 * band, 40 + 13 * band : 43 + 15 * band] = True
            ms[band][hole] = np.nan
    none = np.nan if dtype == "float32" else 0.0
    for path, planes, at in ((f"{name}_pan.tif", pan, pan_at), (f"{name}_ms.tif", ms, ms_at)):
        if dtype == "uint16":
            planes = np.where(np.isnan(planes), 0.0, np.clip(np.rint(planes), 1, 2047))
        write(folder / path, planes.astype(dtype), at, none)


def inputs_in(keep: Path) -> Path:
    """Draw the pairs and return their folder, named by their bytes."""
    with tempfile.TemporaryDirectory(dir=keep) as temporary:
        folder = Path(temporary) / "inputs"
        folder.mkdir()
        for name in ("slanted", "odd", "turned", "float"):
            draw(folder, name, "float32" if name == "float" else "uint16")
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.iterdir())))
        place = keep / f"inputs-{digest.hexdigest()[:12]}"
        with contextlib.suppress(OSError):  # there already
            folder.rename(place)
    return place


# --- products ---------------------------------------------------------------------------------------------------------


def cases(drawn: Path, landsat: Path) -> list[Case]:
    """List all products."""
    pairs = {
        name: ("--pan", f"{drawn}/{name}_pan.tif", "--ms", f"{drawn}/{name}_ms.tif")
        for name in ("slanted", "odd", "turned", "float")
    }
    inputs = {"landsat": (str(landsat), "--window", "301", "203", "560", "540"), **pairs}
    found = [
        Case(f"{name}/{method}/{how}/{cut}", (*words, "--method", method, *flags, *CUTS[cut]))
        for name, words in inputs.items()
        for method in METHODS
        for how, flags in (("calibrated", ()), ("plain", ("--no-calibrate",)))
        for cut in CUTS
        if name == "slanted" or (how == "calibrated") == (cut == "threads")
    ]
    brovey, scene, files = (
        ("--method", "brovey", "--no-calibrate"),
        str(landsat),
        sorted(landsat.glob("*_B[2348].TIF")),
    )
    blue, green, red, pan = (str(path) for path in files)
    extras = {
        "weights": (*pairs["slanted"], *brovey, "--weights", "1,2,3,4"),
        "alpha": (*pairs["slanted"], *brovey, "--alpha"),
        "mask": (*pairs["slanted"], *brovey, "--mask"),
        "lerc": (*pairs["slanted"], *brovey, "--compress", "lerc"),
        "none": (*pairs["odd"], *brovey, "--compress", "none"),
        "deflate": (*pairs["odd"], *brovey, "--compress", "deflate", "--level", "6", "--interleave", "band"),
        "lzw": (*pairs["odd"], *brovey, "--compress", "lzw", "--predictor", "none", "--bigtiff"),
        "sparse": (*pairs["slanted"], *brovey, "--sparse"),
        "float-3": (*pairs["float"], *brovey, "--predictor", "3", "--mask"),
        "shift": (*pairs["slanted"], "--method", "gsa", "--shift", "0.37", "-0.21"),
        "rounds": (*pairs["odd"], "--method", "mtf-glp", "--back-projections", "2", "--no-calibrate"),
        "no-rounds": (*pairs["odd"], "--method", "ridge", "--back-projections", "0"),
        "one-band": (*pairs["slanted"], "--method", "ridge", "--bands", "nir"),
        "order": (*pairs["odd"], "--method", "pca", "--bands", "3,1", "--no-calibrate"),
        "window": (*pairs["slanted"], "--method", "gsa", "--window", "101", "103", "333", "287"),
        "nodata": (*pairs["odd"], *brovey, "--nodata", "700"),
        "whole-scene": (scene,),
        "bbox": (scene, "--bands", "red,green,blue", "--bbox", "-87.40", "30.70", "-87.34", "30.74"),
        "files": (
            "--pan",
            pan,
            "--ms",
            red,
            "--ms",
            green,
            "--ms",
            blue,
            "--window",
            "300",
            "200",
            "400",
            "420",
        ),
        "no-network": (*inputs["landsat"], "--method", "pan-gan-ms", "--network", "nothing.safetensors"),
        "no-method": (*pairs["odd"], "--method", "gsaa"),
        "no-overlap": (scene, "--window", "99999", "0", "100", "100"),
    }
    return found + [Case(f"extra/{name}", words) for name, words in extras.items()]


def chosen(all_of_them: list[Case], only: Sequence[str]) -> list[Case]:
    """Return those that fit one of the patterns."""
    if not only:
        return all_of_them
    fits = [p if "*" in p or "?" in p else f"*{p}*" for p in only]
    return [case for case in all_of_them if any(fnmatch.fnmatch(case.name, p) for p in fits)]


def make_here(job: Path) -> None:
    """In a child, under PYTHONPATH=tree: make the products of a job file; answers go to job.answers line by line."""
    wanted = json.loads(job.read_text())
    import geofuse
    from geofuse.cli import main

    if not Path(geofuse.__file__).is_relative_to(wanted["tree"]):
        raise SystemExit(f"geofuse came from {geofuse.__file__}; wanted {wanted['tree']}")
    with job.with_suffix(".answers").open("a") as answers:
        for name, words in wanted["cases"]:
            out = job.parent / "products" / f"{name}.tif"
            out.parent.mkdir(parents=True, exist_ok=True)
            for suffix in (*SUFFIXES, ".json"):
                out.with_suffix(suffix).unlink(missing_ok=True)
            said = io.StringIO()
            try:
                with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                    status = main(["fuse", *words, "--out", str(out), "--no-progress"])
            except SystemExit as stop:
                status = stop.code if isinstance(stop.code, int) else 1
            except Exception as error:  # a crash is an answer, too: the other tree must not have it
                status, error_text = 70, f"{type(error).__name__}: {error}"
                said.write(error_text)
            if status == 130:
                raise SystemExit(status)  # interrupted: nothing was answered
            text = said.getvalue().replace(str(job.parent), "").strip()
            answers.write(json.dumps({"name": name, "status": status, "said": text[-400:]}) + "\n")
            answers.flush()


def answers_in(folder: Path) -> dict[str, Answer]:
    """Read how the commands of a folder ended; a line that was cut off is left out."""
    found: dict[str, Answer] = {}
    path = folder / "job.answers"
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            row = json.loads(line)
            found[row["name"]] = Answer(row["status"], row["said"])
    return found


def make(tree: Path, folder: Path, wanted: list[Case]) -> subprocess.Popen[bytes]:
    """Start a child that makes what the folder lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    there = answers_in(folder)
    missing = [(case.name, case.words) for case in wanted if case.name not in there]
    job = folder / "job.json"
    job.write_text(json.dumps({"tree": str(tree), "cases": missing}))
    command = [sys.executable, "-P", str(Path(__file__).resolve()), "--make", str(job)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(tree)}, cwd=folder)


def wait(children: dict[Path, subprocess.Popen[bytes]], wanted: list[Case]) -> None:
    """Show how far the children are, until they end; a child that crashed ends the run."""
    names = {case.name for case in wanted}
    with tqdm(total=len(names) * len(children), unit="product", disable=None) as bar:
        while True:
            ended = all(child.poll() is not None for child in children.values())
            bar.update(sum(len(names & set(answers_in(folder))) for folder in children) - bar.n)
            if ended:
                break
            time.sleep(0.3)
    for folder, child in children.items():
        if child.returncode:
            lost = [case.name for case in wanted if case.name not in answers_in(folder)]
            raise SystemExit(f"the child in {folder} ended with {child.returncode} at {lost[:1]}")


@contextlib.contextmanager
def base_tree(commit: str, given: Path | None, folder: Path) -> Iterator[Path]:
    """Give a folder with BASE's files."""
    if given is not None:
        there = git("rev-parse", "HEAD", at=given)
        if there != commit:
            raise SystemExit(f"{given} holds {there[:10]}; wanted {commit[:10]}")
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        packed = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as files:
            files.extractall(temporary, filter="data")
        yield Path(temporary)


def git(*words: str, at: Path = ROOT) -> str:
    """Ask git."""
    done = subprocess.run(["git", *words], cwd=at, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


# --- comparing --------------------------------------------------------------------------------------------------------


def planes_of(path: Path) -> dict[str, object]:
    """Read what a raster is: every pixel as bytes, and what gives pixels their place and meaning."""
    with rasterio.open(path) as file:
        levels = file.overviews(1)
        facts: dict[str, object] = {
            key: file.profile.get(key)
            for key in ("driver", "dtype", "width", "height", "count", "compress", "interleave", "blockxsize")
        }
        facts |= {
            "nodata": repr(file.nodata), "crs": file.crs, "transform": file.transform, "overviews": levels,
            "names": file.descriptions, "colours": file.colorinterp, "scales": file.scales, "offsets": file.offsets,
            "pixels": file.read().tobytes(), "mask": file.read_masks().tobytes(), "rpcs": file.tags(ns="RPC"),
        }  # fmt: skip
    for level in range(len(levels)):
        with rasterio.open(path, OVERVIEW_LEVEL=level) as file:
            facts[f"overview {level}"] = file.read().tobytes()
    return facts


def tags_of(path: Path) -> dict[str, str]:
    """Read a raster's tags."""
    with rasterio.open(path) as file:
        return dict(file.tags())


def unlike(one: Path, other: Path) -> tuple[list[str], list[str]]:
    """Compare two files; returns what differs and counts, and what is only told."""
    if one.exists() != other.exists():
        return [f"{one.name}: only {'BASE' if one.exists() else 'this tree'} makes it"], []
    if not one.exists() or one.read_bytes() == other.read_bytes():
        return [], []
    before, after = planes_of(one), planes_of(other)
    wrong = [f"{one.name}: {key}" for key in before if before[key] != after.get(key)]
    if (
        f"{one.name}: pixels" in wrong
        and before["width"] == after["width"]
        and before["count"] == after["count"]
    ):
        wrong.append(_how_far(one, other))
    if wrong or one.suffix == ".png":
        return wrong, []
    old, new = tags_of(one), tags_of(other)
    keys = [f"{k} {old.get(k)!r} -> {new.get(k)!r}" for k in sorted({*old, *new}) if old.get(k) != new.get(k)]
    return [], [f"{one.name}: equal but for {'; '.join(keys) or 'the layout of the file'}"]


def _how_far(one: Path, other: Path) -> str:
    with rasterio.open(one) as before, rasterio.open(other) as after:
        was, now = before.read().astype(np.float64), after.read().astype(np.float64)
    differs = (was != now) & ~(np.isnan(was) & np.isnan(now))
    return f"{differs.sum()} of {was.size} values, by up to {np.nanmax(np.abs(was - now)):g}"


def compare(
    before: Path, after: Path, wanted: list[Case]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Compare all products; returns faults and things told, by product."""
    faults: dict[str, list[str]] = {}
    told: dict[str, list[str]] = {}
    old, new = answers_in(before), answers_in(after)
    for case in wanted:
        was, now = old[case.name], new[case.name]
        wrong: list[str] = []
        notes: list[str] = []
        if was.status != now.status:
            wrong.append(f"exit {was.status} -> {now.status}: {was.said[-200:]!r} -> {now.said[-200:]!r}")
        if was.said != now.said and was.status == now.status:
            notes.append(f"said {was.said!r} -> {now.said!r}")
        for suffix in SUFFIXES if was.status == now.status == 0 else ():
            at = Path("products") / f"{case.name}{suffix}"
            more, less = unlike(before / at, after / at)
            wrong, notes = wrong + more, notes + less
        faults |= {case.name: wrong} if wrong else {}
        told |= {case.name: notes} if notes else {}
    return faults, told


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", metavar="BASE", help="the commit whose products are right")
    parser.add_argument("--base-tree", type=Path, metavar="DIR", help="a checkout of BASE")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="where BASE's products stay for the next run"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATTERN", help="these products; repeatable"
    )
    parser.add_argument("--quick", action="store_true", help="a choice of products")
    parser.add_argument("--list", action="store_true", help="print the products' names and stop")
    parser.add_argument("--told", action="store_true", help="print also what differs without a pixel of it")
    return parser.parse_args()


def main() -> int:
    """Make, compare, tell."""
    asked = arguments()
    commit = git("rev-parse", "--verify", f"{asked.base}^{{commit}}")
    landsat = Path(os.environ.get("GEOFUSE_DATA", ROOT.parent / "shared" / "data")) / "landsat8"
    if not landsat.is_dir():
        print(f"no {landsat}; set GEOFUSE_DATA to the folder of landsat8", file=sys.stderr)
        return 2
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="golden-")))
        keep = asked.keep.resolve() if asked.keep else scratch
        keep.mkdir(parents=True, exist_ok=True)
        drawn = inputs_in(keep)
        wanted = chosen(cases(drawn, landsat.resolve()), [*asked.only, *(QUICK if asked.quick else ())])
        if asked.list or not wanted:
            print(*(case.name for case in wanted), sep="\n")
            return 0 if wanted else 2
        started = time.monotonic()
        before, after = keep / f"{commit[:12]}-{drawn.name}", scratch / "this-tree"
        before.mkdir(exist_ok=True)
        children = {after: make(ROOT, after, wanted)}
        with (before / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be making them
            with (
                contextlib.nullcontext()
                if is_made(before, wanted)
                else base_tree(commit, asked.base_tree, keep) as tree
            ):
                if tree is not None:
                    children[before] = make(tree, before, wanted)
                wait(children, wanted)
        faults, told = compare(before, after, wanted)
        refused = sum(answer.status != 0 for answer in answers_in(after).values())
        report(faults, told, asked.told)
        print(
            f"{len(wanted)} products of {git('describe', '--always', '--dirty')} against {commit[:7]}: "
            f"{len(wanted) - len(faults)} equal ({refused} of them refused by both), {len(faults)} differ; "
            f"{time.monotonic() - started:.0f} s"
        )
        if faults and asked.keep:
            kept = keep / "differs"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(after, kept)
            print(f"this tree's: {kept}/products, BASE's: {before}/products")
    return 1 if faults else 0


def is_made(folder: Path, wanted: list[Case]) -> bool:
    """Tell whether a folder has all of them."""
    return {case.name for case in wanted} <= set(answers_in(folder))


def report(faults: dict[str, list[str]], told: dict[str, list[str]], all_told: bool) -> None:
    """Print what differs."""
    for name, notes in told.items() if all_told else ():
        print(f"told     {name}: {'; '.join(notes)}")
    if told and not all_told:
        print(f"{len(told)} products differ in tags, layout or words alone (--told lists them)")
    for name, wrong in faults.items():
        print(f"DIFFERS  {name}: {'; '.join(wrong)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make_here(Path(sys.argv[2]))
    else:
        sys.exit(main())
