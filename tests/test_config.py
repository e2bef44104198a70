"""Configurations: what is wrong is named at the door, what comes along works, digests tell what matters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geofuse.config import (
    accept_profile,
    config_digest,
    config_from,
    config_to_json,
    configs_folder,
    load_config,
    output_folder,
    state_folder,
)
from geofuse.errors import ConfigError
from geofuse.quality.accept import profile_for
from geofuse.scenes.sensors.table import SENSORS

WRONG = [
    ("fuze: {}", r"unknown key fuze; .*did you mean fuse\?"),
    ("fuse: {metod: gsa}", r"unknown key fuse\.metod; .*did you mean method\?"),
    ("hooks: {on_failure: [{comand: [a]}]}", r"hooks\.on_failure\.0\.comand; .*command\?"),
    ("work: {workers: 0}", r"work\.workers: 0; wanted greater than or equal to 1"),
    ("work: {memory: lots}", r"work\.memory: \"lots\"; wanted a size"),
    ("schedule: {every: soon}", r"schedule\.every: \"soon\"; wanted a time"),
    ("encode: {compress: jpeg}", r"encode\.compress"),
    ("scene: {bbox: [1, 2, 3]}", r"scene\.bbox"),
    ("scene: {bbox: [1, 2, 3, 4], window: [0, 0, 9, 9]}", "several areas"),
    ("scene: {path: a, pan: b}", "path with pan or ms"),
    ("stac: {url: x}", r"stac\.folder is missing"),
    ("output: {name: '{scen}_{key}'}", r"\{scen\}.*did you mean \{scene\}\?"),
    ("output: {name: fixed}", "each scene needs its own name"),
    ("output: {name: '../{scene}'}", "letters, digits"),
    ("hooks: {on_review: [{timeout: 3}]}", "command or webhook"),
    ("fuse: {}\nname: a\nfuse: {}", "line 3: fuse a second time, after line 1"),
    ("fuse:\n  method: a\n  method: b", "line 3: method a second time"),
    ("name: !!python/object/apply:os.getcwd []", "no YAML"),
    ("- a\n- b", "no keys"),
    ("name: [", "no YAML"),
    ("name: 3", "name: 3"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_is_wrong_is_named_with_its_file(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(path)
    assert "run.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_what_is_no_text_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "b.yaml")
    (tmp_path / "c.yaml").write_text("name: " + "a" * (1 << 20))
    with pytest.raises(ConfigError, match="1 MiB"):
        load_config(tmp_path / "c.yaml")


def test_relative_paths_are_of_the_file_and_json_is_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("catalog: {folder: archive}\nscene: {pan: /p.tif, ms: [m.tif]}\nwork: {memory: 4GiB}\n")
    config = load_config(path)
    assert config.catalog.folder == str(tmp_path / "archive")
    assert (config.scene.pan, config.scene.ms) == ("/p.tif", (str(tmp_path / "m.tif"),))
    assert config.work.memory == 4 * 2**30
    assert config_from(json.loads(json.dumps(config_to_json(config)))) == config
    assert state_folder(config) == tmp_path / "archive.state"
    assert output_folder(config) == tmp_path / "archive.state" / "products"
    with pytest.raises(ConfigError, match="no place for products"):
        state_folder(config_from({}))


def test_the_digest_is_of_what_changes_products_and_verdicts_only() -> None:
    plain = config_digest(config_from({}))
    for other in (
        {"work": {"workers": 2, "memory": "1GiB"}},
        {"catalog": {"folder": "x"}, "state": {"folder": "y"}, "inbox": {"settle": 3}},
        {"hooks": {"on_failure": [{"command": ["true"]}]}, "name": "other", "output": {"name": "{key}"}},
    ):
        assert config_digest(config_from(other)) == plain
    for other in (
        {"fuse": {"method": "gsa"}},
        {"scene": {"bands": ["red"]}},
        {"encode": {"compress": "lzw"}},
        {"accept": {"profile": "generic"}},
        {"catalog": {"attribution": "me"}},
    ):
        assert config_digest(config_from(other)) != plain


@pytest.mark.parametrize("path", sorted(configs_folder().glob("*.yaml")), ids=lambda path: path.stem)
def test_what_comes_along_can_be_used_as_it_stands(path: Path) -> None:
    config = load_config(path)
    assert state_folder(config)
    assert config.name == path.stem
    assert accept_profile(config.accept.profile, "landsat9").checks


def test_what_comes_along_is_named_for_short_and_works_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config("landsat")
    assert config == load_config(configs_folder() / "landsat.yaml")
    assert config.catalog.folder == str(tmp_path / "archive")
    (tmp_path / "landsat").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config("landsat")


def test_profiles_by_sensor_by_name_and_by_file(tmp_path: Path) -> None:
    assert accept_profile("auto", "landsat8").profile == "landsat"
    assert accept_profile("auto", "pleiades").profile == "vhr"
    assert accept_profile("auto", "prisma").profile == "generic"
    with pytest.raises(ConfigError, match="did you mean landsat"):
        accept_profile("lansat", "landsat8")
    own = tmp_path / "own.yaml"
    own.write_text("profile: own\nversion: 3\nchecks:\n  r_ergas: {reject_above: 2}\n")
    assert accept_profile(str(own), "landsat8").checks["r_ergas"].reject_above == 2.0
    own.write_text("profile: own\nversion: 3\nchecks:\n  r_egras: {reject_above: 2}\n")
    with pytest.raises(ConfigError, match=r"checks\.r_egras; .*did you mean r_ergas\?"):
        profile_for(str(own), "landsat8")
    own.write_text("profile: own\nversion: 3\nchecks:\n  q2n@blocks8: {reject_below: 0.5}\n")
    with pytest.raises(ConfigError, match=r"checks\.q2n@blocks8; wanted q2n@blocks32"):
        profile_for(str(own), "landsat8")
    own.write_text("profile: own\nversion: 3\nchecks:\n  hqnr@aiazzi: {reject_below: 0.5}\n")
    assert list(profile_for(str(own), "landsat8").checks) == ["hqnr@aiazzi"]
    own.write_text("profile: own\nversion: 3\nchecks:\n  r_ergas: {reject_over: 2}\n")
    with pytest.raises(ConfigError, match=r"did you mean reject_above\?"):
        accept_profile(str(own), "landsat8")


def test_every_check_of_the_profiles_that_come_along_is_measured() -> None:
    for path in (configs_folder() / "accept").glob("*.yaml"):
        profile = profile_for(path.stem, "")
        assert all(limits.why for limits in profile.checks.values()), "a limit says why"
        assert set(profile.sensors) <= set(SENSORS.names())
