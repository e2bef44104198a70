"""Run BASE's README line by line in both trees: every command gives what it gave.

    python tests/readme_commands.py BASE [--base-tree DIR] [--only WORD] [--keep DIR]

The commands are those of BASE's README (`geofuse ...` in its blocks, in their order, comments cut off), run in a folder
that has what they name: the Landsat scene of GEOFUSE_DATA, drawn pairs, an area, lists and configurations. Each tree
runs them in one process, by geofuse.cli.main. What needs a server, a bucket, a cluster's address or an hour is left
out, and told. Exit status and text are compared after times, paths and digests are made alike; whether the difference
is meant is for a reader to say. Exit status 1 where something differs.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LANDSAT = "LC80200392015216LGN00"
LEFT_OUT = ("serve ", "up ", "train ", "s3://", "tcp://", "token ", "--host", "cluster-gpu")
ALIKE = (
    (re.compile(r"\b[0-9a-f]{8,64}\b"), "HEX"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(Z|\+00:00)?"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? (CPU )?(ms|s|min|h|MiB|GiB|GB)\b"), "SOME"),
    (re.compile(r'"(cpu_s|seconds|wall_s|bytes|disk_free_bytes|disk_needed_bytes)": [\d.]+'), '"SOME": 0'),
)
AREA = {
    "type": "Polygon",
    "coordinates": [[[-87.45, 30.66], [-87.40, 30.66], [-87.40, 30.70], [-87.45, 30.70], [-87.45, 30.66]]],
}
FILES = {
    "field.geojson": json.dumps(AREA),
    "night.yaml": "name: night\nfuse: {metod: gsa}\ncatalog: {folder: night}\n",
    "new.yaml": "name: new\nfuse: {method: gsa}\ncatalog: {folder: archive}\n",
    "scenes.csv": f"scene,priority\n{LANDSAT},1\n",
}


def commands(readme: str) -> list[list[str]]:
    """Return the words of the README's commands, without `geofuse`."""
    found = []
    for line in readme.splitlines():
        match = re.match(r"    (?:\$ )?geofuse ([a-z].*?)(?:\s+#.*)?$", line)
        if match and match[1] not in ("up",):
            found.append(shlex.split(match[1]))
    return found


def fill(folder: Path, landsat: Path, tree: Path) -> None:
    """Put what the commands name into a folder."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import golden

    shutil.copytree(landsat, folder / LANDSAT)
    golden.draw(folder, "odd", "uint16")
    golden.draw(folder, "slanted", "uint16")
    (folder / "slanted_pan.tif").rename(folder / "PAN.tif")
    (folder / "slanted_ms.tif").rename(folder / "MS.tif")
    other, mirrored = folder / "odd_ms.tif", folder / "OTHER.tif"
    with golden.rasterio.open(folder / "MS.tif") as file, golden.rasterio.open(other) as strange:
        planes = strange.read(out_shape=file.read().shape)[:, ::-1, ::-1]
        golden.write(mirrored, planes, file.transform, 0.0)
    truth = golden.landscape(4, 512, golden.np.random.default_rng(5)).astype("uint16")
    golden.write(folder / "AERIAL.tif", truth, golden.Affine(0.5, 0, golden.X, 0, -0.5, golden.Y), 0.0)
    for band in ("B8", "B4", "B3", "B2"):
        shutil.copy(landsat / f"{LANDSAT}_{band}.TIF", folder / f"{band}.TIF")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    shutil.copytree(tree / "configs", folder / "configs")


def run_here(folder: Path) -> None:
    """In a child, under PYTHONPATH=tree: run the commands of a folder; answers go to answers.json."""
    from geofuse.cli import main

    answers = []
    for words in json.loads((folder / "commands.json").read_text()):
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                status = main(words)
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        except Exception as error:  # a crash is an answer, too
            status = 70
            said.write(f"{type(error).__name__}: {error}")
        answers.append((status, said.getvalue().replace(str(folder), "")))
        print(f"{status} geofuse {shlex.join(words)}", flush=True)
    (folder / "answers.json").write_text(json.dumps(answers))


def alike(text: str) -> list[str]:
    """Return the lines of an answer without what differs from run to run."""
    for pattern, word in ALIKE:
        text = pattern.sub(word, text)
    return [line.rstrip() for line in re.split(r"[\n\r]", text) if line.strip()]


def is_answered(folder: Path, runs: list[list[str]]) -> bool:
    """Tell whether a folder that was kept has the answers to these commands."""
    known = folder / "commands.json", folder / "answers.json"
    return all(path.exists() for path in known) and json.loads(known[0].read_text()) == runs


def main() -> int:
    """Run both, compare, tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", metavar="BASE", help="the commit whose README and answers are right")
    parser.add_argument("--base-tree", type=Path, required=True, metavar="DIR", help="a checkout of BASE")
    parser.add_argument("--only", default="", metavar="WORD", help="commands with that word")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="where both folders stay, BASE's for the next time"
    )
    asked = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    data = Path(os.environ.get("GEOFUSE_DATA", here.parent / "shared" / "data")) / "landsat8"
    found = commands((asked.base_tree / "README.md").read_text())
    wanted = [words for words in found if asked.only in shlex.join(words)]
    runs = [words for words in wanted if not any(part in f"{shlex.join(words)} " for part in LEFT_OUT)]
    for words in wanted:
        if words not in runs:
            print(f"left out   geofuse {shlex.join(words)}")
    with tempfile.TemporaryDirectory(prefix="readme-") as scratch:
        answers = []
        for name, tree in (("before", asked.base_tree.resolve()), ("after", here)):
            folder = (asked.keep or Path(scratch)).resolve() / name
            if name == "after" or not is_answered(folder, runs):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                fill(folder, data, asked.base_tree)
                (folder / "commands.json").write_text(json.dumps(runs))
                command = [sys.executable, "-P", str(Path(__file__).resolve()), "--run", str(folder)]
                around = {**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "110"}
                subprocess.run(command, env=around, cwd=folder, check=True, stdout=sys.stderr)
            answers.append(json.loads((folder / "answers.json").read_text()))
    differ = 0
    for words, (was, told), (now, tells) in zip(runs, *answers, strict=True):
        lines = list(difflib.unified_diff(alike(told), alike(tells), "before", "after", lineterm="", n=0))
        if was != now or lines:
            differ += 1
            print(f"DIFFERS    geofuse {shlex.join(words)}: exit {was} -> {now}")
            print(*(f"           {line[:300]}" for line in lines[2:] if line[:2] != "@@"), sep="\n")
    print(f"{len(runs)} commands, {len(runs) - differ} as before, {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run_here(Path(sys.argv[2]))
    else:
        sys.exit(main())
