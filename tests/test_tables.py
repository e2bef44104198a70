"""Open tables: order, names, what is imported when, and what each fault says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from geofuse.errors import MethodError, PluginError
from geofuse.tables import Row, Table

ROWS = (Row("plain", "math:sqrt", "a root"), Row("hungry", "no_such_module_here:X", "", "geofuse[neural]"))


def table(wants: tuple[str, ...] = ()) -> Table[object]:
    return Table("geofuse.methods", ROWS, noun="method", fault=MethodError, wants=wants)


def package(folder: Path, name: str, rows: dict[str, str], group: str = "geofuse.methods") -> None:
    """Lay a distribution into a folder as pip leaves it, with entry points."""
    about = folder / f"{name.replace('-', '_')}-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = "".join(f"{key} = {value}\n" for key, value in rows.items())
    (about / "entry_points.txt").write_text(f"[{group}]\n{lines}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_own_rows_come_first_in_their_order_then_others_sorted(site: Path) -> None:
    package(site, "other-rows", {"zeta": "zeta_module:Z", "alpha": "alpha_module:A"})
    names = table().names()
    assert names[:2] == ("plain", "hungry")
    assert names.index("alpha") < names.index("zeta")
    row = table().row("zeta")
    assert (row.package, row.version, row.target) == ("other-rows", "1.2", "zeta_module:Z")
    assert row.origin == {"package": "other-rows", "version": "1.2"}
    assert table().row("plain").origin is None
    assert "zeta" in table()
    assert "zita" not in table()


def test_nothing_is_imported_before_it_is_chosen(site: Path) -> None:
    (site / "told_when_loaded.py").write_text("ANSWER = 42\n")
    package(site, "lazy-rows", {"answer": "told_when_loaded:ANSWER"})
    assert "answer" in table().names()
    table().row("answer")
    assert "told_when_loaded" not in sys.modules
    assert table().load("answer") == 42
    assert sys.modules.pop("told_when_loaded")


def test_a_name_twice_is_refused_naming_both_packages(site: Path) -> None:
    package(site, "first-rows", {"same": "math:sin"})
    package(site, "second-rows", {"same": "math:cos"})
    with pytest.raises(PluginError, match=r"'same' is in first-rows 1\.2 and in second-rows 1\.2"):
        table().rows()
    faults = {one.row.package: one.fault for one in table().check() if one.row.name == "same"}
    assert all(faults.values())
    assert len(faults) == 2


def test_a_built_in_name_cannot_be_taken(site: Path) -> None:
    package(site, "bold-rows", {"plain": "math:sin"})
    with pytest.raises(
        PluginError, match=r"'plain' is in geofuse and in bold-rows 1\.2.*pip uninstall bold-rows"
    ):
        table().load("plain")


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(MethodError, match=r"no method 'plane'.*did you mean plain\?"):
        table().row("plane")
    with pytest.raises(
        MethodError, match=r"no method 'xyz'; wanted one of auto, plain, hungry.*geofuse plugins"
    ):
        table().row("xyz", also=("auto",))


def test_a_row_that_went_with_its_package_names_it() -> None:
    with pytest.raises(
        PluginError, match=r"it is from gone-rows 3\.1, which is not installed.*gone-rows==3\.1"
    ):
        table().load("went", origin={"package": "gone-rows", "version": "3.1"})


def test_a_broken_entry_point_is_named_with_its_package(site: Path) -> None:
    (site / "broken_rows.py").write_text("raise ValueError('half a file\\nand more')\n")
    package(
        site,
        "broken-rows",
        {
            "broken": "broken_rows:X",
            "missing": "math:no_such",
            "bare": "math",
            "extra": "no_such_lib_x:Y [fast]",
        },
    )
    with pytest.raises(
        PluginError, match=r"'broken' of broken-rows 1\.2 cannot.*ValueError: half a file; wanted"
    ):
        table().load("broken")
    with pytest.raises(PluginError, match=r"'missing' of broken-rows 1\.2 cannot.*AttributeError.*uninstall"):
        table().load("missing")
    with pytest.raises(PluginError, match=r"'bare' of broken-rows 1\.2 cannot be loaded"):
        table().load("bare")
    with pytest.raises(PluginError, match=r"needs no_such_lib_x, .*pip install 'broken-rows\[fast\]'"):
        table().load("extra")
    found = {one.row.name: one.fault for one in table().check() if one.row.package == "broken-rows"}
    assert set(found) == {"broken", "missing", "bare", "extra"}
    assert all(isinstance(fault, PluginError) for fault in found.values())


def test_a_row_that_is_something_else_is_refused(site: Path) -> None:
    package(site, "odd-rows", {"odd": "math:pi"})
    with pytest.raises(PluginError, match=r"'odd' of odd-rows 1\.2 is none: math:pi has no about, halo"):
        table(wants=("about", "halo", "real")).load("odd")


def test_what_is_to_be_installed_is_said() -> None:
    with pytest.raises(
        PluginError, match=r"'hungry' needs no_such_module_here.*pip install 'geofuse\[neural\]'"
    ):
        table().load("hungry")
