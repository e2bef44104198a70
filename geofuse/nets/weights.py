"""Weights on disk: safetensors with a card inside that says what they are for. Never pickle.

Reading a card loads no torch. The card is in the file's own metadata, and beside it as NAME.json for people.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofuse.errors import MethodError, PluginError, WeightsError
from geofuse.files import write_bytes
from geofuse.nets.table import NETWORKS, build
from geofuse.tables import Origin

if TYPE_CHECKING:
    from torch import Tensor

    from geofuse.nets.arch.base import Generator

SHIPPED = Path(__file__).parent / "shipped"
"""Where the package keeps its own."""
FORMAT = 1
SCALINGS = ("scene",)
"""How inputs are scaled: by means and spreads of the scene that is fused."""
MOST_BYTES = 64 * 2**20
RATIO_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Card:
    """What a weights file is for, and where it comes from."""

    name: str
    """Short name."""
    kind: str
    """Network it belongs to, of `geofuse.nets.table`."""
    spec: Mapping[str, Any]
    """The network's own spec; `geofuse.nets.table.build` takes it."""
    ratio: int
    """Fine pixels per coarse pixel it works at; 0: any."""
    halo: int
    """What goes in around what comes out, in pixels of the grid it works on."""
    bands: tuple[str, ...] = ()
    """Bands in their order; empty: any number of any bands."""
    sensors: tuple[str, ...] = ()
    """Sensors it was trained for; empty: any."""
    scaling: str = "scene"
    """Of `SCALINGS`."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Data and licences, losses, scores: JSON values for people."""
    sha256: str = ""
    """Of the weights themselves; written by `save_weights`."""
    origin: Origin | None = None
    """Package and version of the network; None: geofuse's own. Written by `save_weights`."""


def save_weights(path: Path, net: Generator, card: Card) -> str:
    """Write a network with its card to ``path`` and NAME.json; returns the file's SHA-256.

    Both are whole or not there. The same weights and card make the same bytes.
    """
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in sorted(net.state_dict().items())}
    whole = replace(card, sha256=_digest(tensors), origin=NETWORKS.row(card.kind).origin)
    text = json.dumps({"format": FORMAT, **card_values(whole)}, sort_keys=True)
    data = save(tensors, {"card": text})
    write_bytes(path, data)
    write_bytes(
        path.with_suffix(".json"), (json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n").encode()
    )
    return hashlib.sha256(data).hexdigest()


def card_values(card: Card) -> dict[str, object]:
    """Return a card as JSON values; of geofuse's own networks as releases write it that know no others."""
    values = asdict(card)
    if card.origin is None:
        del values["origin"]
    return values


def read_card(path: Path) -> Card:
    """Read a weights file's card; WeightsError in one line where it is none. Loads no torch."""
    _check_bytes(path)
    try:
        from safetensors import safe_open
    except ModuleNotFoundError as error:
        raise no_torch() from error
    try:
        with safe_open(str(path), framework="numpy") as opened:
            text = (opened.metadata() or {}).get("card")
    except Exception as error:  # the library's own faults have no common parent worth naming
        raise _damaged(path, str(error)) from error
    if text is None:
        raise WeightsError(
            "safetensors without a card", wanted="weights made by geofuse train", path=str(path)
        )
    return _card_from(text, path)


def load_weights(path: Path, *, sha256: str = "") -> tuple[Generator, Card]:
    """Load a network, ready for inference, and its card.

    WeightsError where the file is not the one with ``sha256``, its weights are not what the card says, do not fit the
    network, or are not finite.
    """
    import torch
    from safetensors.torch import load

    card = read_card(path)
    data = path.read_bytes()
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsError(
            "not the weights that were planned with", wanted=f"SHA-256 {sha256}", path=str(path)
        )
    try:
        tensors = load(data)
    except Exception as error:
        raise _damaged(path, str(error)) from error
    if _digest(tensors) != card.sha256:
        raise WeightsError(
            "its weights are not those the card was written for", wanted="a whole copy", path=str(path)
        )
    try:
        net = build(card.kind, card.spec, origin=card.origin)
        net.load_state_dict(tensors, strict=True)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(f"its weights do not fit its network ({reason})", path=str(path)) from error
    if net.halo != card.halo or (card.ratio and card.ratio != card.spec.get("ratio")):
        raise WeightsError(
            f"its card says ratio {card.ratio}, halo {card.halo}",
            wanted=f"ratio {card.spec.get('ratio', 0)}, halo {net.halo}, as the network has",
            path=str(path),
        )
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise WeightsError("holds values that are not finite", wanted="finite weights", path=str(path))
    return net.eval().requires_grad_(False), card


def check_contract(
    card: Card, *, kind: str, bands: Sequence[str], ratio: tuple[float, float], path: Path | None = None
) -> None:
    """Refuse weights made for another method, other bands or another ratio (rows, columns): WeightsError."""
    where = str(path or card.name)
    if card.kind != kind:
        raise WeightsError(f"weights of {card.kind}", wanted=f"weights of {kind}", path=where)
    if card.ratio and max(abs(own - card.ratio) for own in ratio) > RATIO_TOLERANCE * card.ratio:
        found = " x ".join(f"{own:g}" for own in dict.fromkeys(ratio))
        raise WeightsError(
            f"made for ratio {card.ratio}, the pair's is {found}",
            wanted=f"weights for {found}"
            if math.isclose(ratio[0], round(ratio[0]))
            else "a closed-form method",
            do="see `geofuse methods`, or train some",
            path=where,
        )
    if not card.bands:
        return
    if len(card.bands) != len(bands):
        raise WeightsError(
            f"made for {len(card.bands)} bands, the pair has {len(bands)}",
            wanted="as many: " + ",".join(card.bands),
            do="choose them with --bands",
            path=where,
        )
    numbered = any(all(name.isdigit() for name in names) for names in (bands, card.bands))
    if not numbered and tuple(bands) != card.bands:
        raise WeightsError(
            f"made for {','.join(card.bands)}, in this order, not {','.join(bands)}",
            wanted="the same bands",
            do=f"say --bands {','.join(card.bands)}",
            path=where,
        )


def shipped() -> dict[str, Path]:
    """Return the package's own weights by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}


def find_weights(
    name: str | None, *, kind: str, bands: Sequence[str], ratio: tuple[float, float], sensor: str = ""
) -> Path:
    """Return the weights file called or at ``name``; None: the shipped one that fits best.

    Those of the same sensor come first, then those for the same bands. WeightsError where there is none.
    """
    own = shipped()
    if name is not None:
        path = own.get(name, Path(name))
        check_contract(read_card(path), kind=kind, bands=bands, ratio=ratio, path=path)
        return path.absolute()
    ranked: list[tuple[bool, bool, str, Path]] = []
    for label, path in own.items():
        card = read_card(path)
        try:
            check_contract(card, kind=kind, bands=bands, ratio=ratio)
        except WeightsError:
            continue
        ranked.append((sensor not in card.sensors, not card.bands, label, path))
    if not ranked:
        there = ", ".join(own) or "none"
        size = " x ".join(f"{value:g}" for value in dict.fromkeys(ratio))
        raise WeightsError(
            f"no shipped weights of {kind} for {len(bands)} bands at ratio {size}",
            wanted=f"one that fits (shipped: {there})",
            do="name one with --network FILE, or choose another --method",
        )
    return min(ranked)[3].absolute()


def no_torch() -> WeightsError:
    """Return the fault of an installation without the neural extra."""
    return WeightsError("networks need torch, which is not installed", do="pip install 'geofuse[neural]'")


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 over names, shapes and values."""
    total = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        total.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        total.update(value.numpy().tobytes())
    return total.hexdigest()


def _check_bytes(path: Path) -> None:
    """Refuse what is no regular file, too large, or of another kind by its first bytes."""
    if not path.is_file():
        known = ", ".join(shipped()) or "none"
        raise WeightsError(
            "no such weights", wanted=f"a file, or one of the shipped: {known}", path=str(path)
        )
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise WeightsError(
            f"{size / 2**20:.0f} MiB", wanted=f"at most {MOST_BYTES // 2**20} MiB", path=str(path)
        )
    with path.open("rb") as file:
        start = file.read(9)
    headed = start[8:9] == b"{"  # a header of 128 bytes more or less than so many 256 begins as a pickle does
    if (start[:1] == b"\x80" and not headed) or start[:4] == b"PK\x03\x04":
        raise WeightsError(
            "a pickle, which may run code, and is not read", wanted="safetensors", path=str(path)
        )
    if len(start) < 9 or start[8:9] != b"{" or int.from_bytes(start[:8], "little") > size - 8:
        raise WeightsError("no safetensors file, or cut off", wanted="safetensors", path=str(path))


def _card_from(text: str, path: Path) -> Card:
    try:
        values = json.loads(text)
        version = values.pop("format")
        if version != FORMAT:
            raise WeightsError(f"weights of format {version}", wanted=f"format {FORMAT}", path=str(path))
        unknown = set(values) - {one.name for one in fields(Card)}
        if unknown:
            raise ValueError(f"unknown {', '.join(sorted(unknown))}")
        card = Card(**{**values, "bands": tuple(values["bands"]), "sensors": tuple(values["sensors"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"its card cannot be read ({error})", wanted="an unedited card", path=str(path)
        ) from error
    if card.scaling not in SCALINGS:
        raise WeightsError(
            f"weights with scaling {card.scaling}",
            wanted=f"scaling {' or '.join(SCALINGS)}",
            path=str(path),
        )
    _check_kind(card, path)
    return card


def _check_kind(card: Card, path: Path) -> None:
    """Refuse weights of a network that is not here: PluginError names its package, WeightsError where none is told."""
    try:
        NETWORKS.row(card.kind, origin=card.origin)
    except MethodError as fault:
        raise WeightsError(
            f"weights of {card.kind}", wanted=f"of {' or '.join(NETWORKS.names())}", path=str(path)
        ) from fault
    except PluginError as fault:
        raise PluginError(fault.found, wanted=fault.wanted, do=fault.do, path=str(path)) from fault


def _damaged(path: Path, reason: str) -> WeightsError:
    return WeightsError(f"damaged ({reason.splitlines()[0]})", wanted="whole safetensors", path=str(path))
