"""The page's sources and how they become part of the package: pins, the hook, its one line when there is no network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"
sys.path.insert(0, str(ROOT))

import hatch_build  # noqa: E402


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with the page's sources and no packages."""
    shutil.copytree(WEB, tmp_path / "web", ignore=shutil.ignore_patterns("node_modules", "dist"))
    return tmp_path


def built(tree: Path) -> Path:
    """Put a page there as if it had been built from these sources."""
    static = tree / "geofuse" / "serve" / "static"
    static.mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html>")
    (static / hatch_build.STAMP).write_text(hatch_build.fingerprint(tree / "web"))
    return static


def test_every_package_is_pinned_by_its_hash_and_no_address_is_kept() -> None:
    packages = json.loads((WEB / "package.json").read_text())
    for version in (packages["dependencies"] | packages["devDependencies"]).values():
        assert version[0].isdigit(), version
    lock = json.loads((WEB / "package-lock.json").read_text())
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert name == "" or package["integrity"].startswith("sha512-"), name


def test_no_built_file_is_kept() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not [
        name for name in kept.split() if "static/" in name or "node_modules" in name or "dist/" in name
    ]


def test_the_pages_arithmetic() -> None:
    """Addresses, stretches, histograms, dates: run by Node as they stand."""
    node, _ = hatch_build._node()
    tests = sorted(str(path) for path in (WEB / "test").glob("*.test.ts"))
    assert len(tests) >= 3
    done = subprocess.run([str(node), "--test", *tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "fail 0" in done.stdout


def test_unchanged_sources_are_not_built_again(tree: Path) -> None:
    built(tree)
    assert hatch_build.build_page(tree) is False


def test_any_changed_source_is_seen(tree: Path) -> None:
    before = hatch_build.fingerprint(tree / "web")
    source = tree / "web" / "src" / "stretch.ts"
    source.write_text(source.read_text() + "\n// more\n")
    changed = hatch_build.fingerprint(tree / "web")
    source.rename(source.with_name("other.ts"))
    assert len({before, changed, hatch_build.fingerprint(tree / "web")}) == 3


def test_without_a_registry_it_is_one_line_and_what_was_built_stays(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tree / "cache"))
    monkeypatch.setenv("npm_config_offline", "false")
    with pytest.raises(hatch_build.PageError, match="out of reach") as fault:
        hatch_build.build_page(tree)
    assert "\n" not in str(fault.value)
    static = built(tree)
    (static / hatch_build.STAMP).write_text("of older sources")
    said: list[str] = []
    assert hatch_build.build_page(tree, say=said.append) is False
    assert "the page built before stays" in said[-1]
    assert (static / "index.html").is_file()


def test_without_sources_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(hatch_build.PageError, match="wanted a source tree"):
        hatch_build.build_page(tmp_path)


@pytest.mark.slow
def test_the_types_of_the_page_hold(tree: Path) -> None:
    node, npm = hatch_build._node()
    web = tree / "web"
    environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(
        [*npm, "ci", "--no-audit", "--no-fund"], cwd=web, env=environment, check=True, capture_output=True
    )
    done = subprocess.run(
        [*npm, "run", "check"], cwd=web, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
