"""Reading: YAML by the safe loader, checked; what is wrong is named by file and key, with the nearest that is known."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from geofuse.config.fields import AcceptProfile, RunConfig
from geofuse.errors import ConfigError

YAML_BYTES = 1 << 20


def load_config(path: str | Path) -> RunConfig:
    """Read a run's configuration; raises ConfigError naming the file, the key and what was wanted.

    Those that come along may be named without folder and suffix; their relative paths are relative to the
    working folder, those of any other file to its own.
    """
    place = Path(path).absolute()
    own = configs_folder() / f"{path}.yaml"
    if not place.exists() and Path(path).name == str(path) and own.is_file():
        place = own
    base = Path.cwd() if place.parent.resolve() == configs_folder().resolve() else place.parent
    return config_from(read_yaml(place), base, where=str(path))


def config_from(values: Mapping[str, Any], base: Path | None = None, *, where: str = "") -> RunConfig:
    """Check a configuration that was read already; `base` is what relative paths are relative to."""
    config: RunConfig = _checked(RunConfig, values, base, where)
    scene = config.scene
    if scene.path and (scene.pan or scene.ms):
        raise ConfigError("scene: path with pan or ms", wanted="one of both", path=where or None)
    if len([area for area in (scene.bbox, scene.aoi, scene.window) if area]) > 1:
        raise ConfigError("scene: several areas", wanted="one of bbox, aoi, window", path=where or None)
    for hook in (*config.hooks.on_failure, *config.hooks.on_review):
        if bool(hook.command) == bool(hook.webhook):
            raise ConfigError("hooks: a hook", wanted="command or webhook, one of both", path=where or None)
    _check_template(config.output.name, where)
    return config


def config_with(
    config: RunConfig | None,
    sections: Mapping[str, Mapping[str, object]],
    base: Path | None = None,
    *,
    where: str = "",
) -> RunConfig:
    """Return a configuration with other values in some sections, checked; None: with those alone."""
    values: dict[str, object] = dict(config_to_json(config)) if config else {}
    for name, section in sections.items():
        before = values.get(name)
        values[name] = {**(before if isinstance(before, dict) else {}), **section}
    return config_from(values, base, where=where)


def config_to_json(config: RunConfig) -> dict[str, Any]:
    """Turn a configuration into JSON values; `config_from` is the way back."""
    found: dict[str, Any] = _adapter(RunConfig).dump_python(config, mode="json")
    return found


def config_digest(config: RunConfig) -> str:
    """Return what identifies a configuration's products and verdicts: not workers, places, hooks or schedule."""
    value = config_to_json(config)
    scene = {name: value["scene"][name] for name in ("bands", "nodata", "bbox", "window")}
    if config.scene.aoi:
        scene["aoi"] = hashlib.sha256(Path(config.scene.aoi).read_bytes()).hexdigest()
    rights = {name: value["catalog"][name] for name in ("access", "license", "attribution", "acquired")}
    network = config.fuse.network
    if network and Path(network).is_file():
        scene["network"] = hashlib.sha256(Path(network).read_bytes()).hexdigest()
    told = [scene, value["fuse"], value["encode"], value["assess"]["enabled"], value["accept"], rights]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def state_folder(config: RunConfig) -> Path:
    """Return where ledger and records are; raises ConfigError where nothing says."""
    if config.state.folder:
        return Path(config.state.folder)
    if config.catalog.folder:
        place = Path(config.catalog.folder)
        return place.with_name(f"{place.name}.state")
    if config.output.folder:
        return Path(config.output.folder) / ".state"
    raise ConfigError("no place for products", wanted="catalog.folder, output.folder or both")


def output_folder(config: RunConfig) -> Path:
    """Return where products are made."""
    return Path(config.output.folder) if config.output.folder else state_folder(config) / "products"


def accept_profile(name: str, sensor: str) -> AcceptProfile:
    """Return the profile of that name or file; "auto" is the sensor's own, else the generic one.

    Whether its checks are numbers that can be measured is for `geofuse.quality.accept.profile_for` to say.
    """
    folder = configs_folder() / "accept"
    if name.endswith((".yaml", ".yml")):
        return _profile(Path(name))
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name == "auto":
        found = [profile for profile in map(_profile, known.values()) if sensor in profile.sensors]
        return found[0] if found else _profile(known["generic"])
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        do = f"did you mean {near[0]}?" if near else ""
        raise ConfigError(f"no acceptance profile {name!r}", wanted=", ".join(known), do=do)
    return _profile(known[name])


def configs_folder() -> Path:
    """Return the folder of the configurations that come along."""
    here = Path(__file__).resolve().parents[1]
    inside = here / "configs"
    return inside if inside.is_dir() else here.parent / "configs"


def _profile(path: Path) -> AcceptProfile:
    found: AcceptProfile = _checked(
        AcceptProfile, read_yaml(path.absolute()), path.absolute().parent, str(path)
    )
    return found


def _unknown(key: str, name: str, known: Sequence[str], *, where: str) -> ConfigError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return ConfigError(
        f"unknown key {key}",
        wanted=", ".join(known),
        do=f"did you mean {near[0]}?" if near else "",
        path=where or None,
    )


TEMPLATE_NAMES = ("scene", "sensor", "date", "method", "config", "key")
"""What a template of product names may hold in braces."""


def _check_template(template: str, where: str) -> None:
    named = re.findall(r"\{([^{}]*)\}", template)
    plain = re.sub(r"\{[^{}]*\}", "", template)
    if "scene" not in named and "key" not in named:
        raise ConfigError(
            f"output.name {template!r}",
            wanted="{scene} or {key} in it: each scene needs its own name",
            path=where or None,
        )
    for name in named:
        if name not in TEMPLATE_NAMES:
            near = difflib.get_close_matches(name, TEMPLATE_NAMES, n=1)
            raise ConfigError(
                f"output.name: {{{name}}}",
                wanted=", ".join(f"{{{known}}}" for known in TEMPLATE_NAMES),
                do=f"did you mean {{{near[0]}}}?" if near else "",
                path=where or None,
            )
    if not re.fullmatch(r"[\w.+-]*", plain, re.ASCII) or template.startswith("."):
        raise ConfigError(
            f"output.name {template!r}", wanted="letters, digits, . + - _ and {names}", path=where or None
        )


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """The safe loader, that refuses a key given twice."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if key.value in seen:
            raise ConfigError(
                f"line {key.start_mark.line + 1}: {key.value} a second time, after line {seen[key.value]}",
                wanted="each key once",
            )
        seen[key.value] = key.start_mark.line + 1
    found: dict[Any, Any] = loader.construct_mapping(node, deep=True)
    return found


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file's keys by the safe loader; ConfigError for a key given twice, 1 MiB and more, no YAML."""
    try:
        if path.stat().st_size > YAML_BYTES:
            raise ConfigError("more than 1 MiB", wanted="a configuration", path=str(path))
        found = yaml.load(path.read_text("utf-8"), Loader=_Loader)
    except FileNotFoundError as fault:
        raise ConfigError("no such file", wanted="a configuration in YAML", path=str(path)) from fault
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"cannot be read: {fault}", path=str(path)) from fault
    except ConfigError as fault:
        raise ConfigError(fault.found, wanted=fault.wanted, path=str(path)) from fault
    except (yaml.YAMLError, RecursionError) as fault:
        raise ConfigError(f"no YAML: {' '.join(str(fault).split())[:200]}", path=str(path)) from fault
    if not isinstance(found, dict):
        raise ConfigError("no keys", wanted="a configuration: keys and values", path=str(path))
    return found


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _checked(kind: Any, values: Mapping[str, Any], base: Path | None, where: str) -> Any:
    try:
        return _adapter(kind).validate_python(dict(values), context={"base": str(base) if base else None})
    except ValidationError as fault:
        raise _fault(kind, fault, where) from fault


def _fault(kind: Any, fault: ValidationError, where: str) -> ConfigError:
    """Say the first thing that is wrong, and how many more there are."""
    errors = fault.errors(include_url=False, include_context=False)
    first = next((error for error in errors if error["type"] == "unexpected_keyword_argument"), errors[0])
    place = [str(part) for part in first["loc"]]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    key = ".".join(place)
    if first["type"] == "unexpected_keyword_argument":
        return _unknown(key + more, place[-1], list(_known(kind, place[:-1])), where=where)
    if first["type"] == "missing":
        return ConfigError(f"{key} is missing{more}", path=where or None)
    text = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    shown = json.dumps(first["input"], default=str)[:60]
    return ConfigError(f"{key}: {shown}{more}", wanted=text, path=where or None)


def _known(kind: Any, place: list[str]) -> Iterator[str]:
    """Yield the keys that may stand at a place."""
    for part in place:
        if not part.isdigit():
            hint = get_type_hints(kind).get(part) if is_dataclass(kind) else None
            kind = next(_inside(hint), kind)
    if is_dataclass(kind):
        yield from (each.name for each in fields(kind))


def _inside(hint: Any) -> Iterator[Any]:
    """Yield the configuration classes in a type."""
    if is_dataclass(hint):
        yield hint
    for inner in get_args(hint):
        yield from _inside(inner)
