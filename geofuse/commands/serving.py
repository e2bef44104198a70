"""`geofuse serve`, `geofuse token` and `geofuse clip`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from geofuse.commands.common import Parser, add_command, names, print_json, progress_bars, stoppable
from geofuse.errors import ExistsError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from geofuse.serve.settings import Settings

SERVE_EXAMPLES = """\
  geofuse serve archive
  geofuse serve archive --port 0 --trust-local           # a free port; internal items without a token
  geofuse serve archive --host 0.0.0.0 --public-url https://images.example.org
"""
TOKEN_EXAMPLES = """\
  geofuse token add archive --user alice --days 90       # printed once, kept as a digest
  geofuse token list archive
  geofuse token revoke archive alice
"""
CLIP_EXAMPLES = """\
  geofuse clip archive/landsat8/ID/ID.json --aoi field.geojson --out field.tif
  geofuse clip ID --catalog archive --bbox -87.45 30.65 -87.40 30.70 --bands red,green,blue --out part.nc
  geofuse clip sharp.tif --aoi field.gpkg --crs EPSG:4326 --out part.png
"""
DAYS = 90.0
SUFFIXES = {
    **dict.fromkeys((".tif", ".tiff"), "cog"),
    **dict.fromkeys((".jpg", ".jpeg"), "jpeg"),
    ".png": "png",
    ".nc": "netcdf",
    ".zip": "zarr",
}
"""The format a file's name asks for."""


def add(commands: Any) -> None:
    """Add them."""
    serving = add_command(
        commands,
        "serve",
        _serve,
        text="serve a catalogue: page, tiles, clips, downloads, STAC, WMTS",
        examples=SERVE_EXAMPLES,
    )
    serving.add_argument("catalog", metavar="CATALOG", help="folder that `geofuse publish` filled")
    serving.add_argument(
        "--host", default="127.0.0.1", metavar="H", help="beyond loopback a token is required"
    )
    serving.add_argument("--port", type=int, default=8080, metavar="P", help="0: any free one (8080)")
    serving.add_argument("--title", default="geofuse", metavar="TEXT", help="shown on the page")
    serving.add_argument("--basemap", metavar="URL", help="tiles under the footprints, with {z}, {x} and {y}")
    serving.add_argument("--basemap-credit", default="", metavar="TEXT", help="credit line of the base map")
    serving.add_argument("--tokens", metavar="FILE", help="file of tokens (CATALOG.tokens.json)")
    serving.add_argument("--require-token", action="store_true", help="also on loopback")
    serving.add_argument(
        "--trust-local",
        action="store_true",
        help="internal items without a token, for whoever is on this machine; loopback only",
    )
    serving.add_argument("--public-url", metavar="URL", help="how the server is reached, behind a proxy")
    serving.add_argument("--audit", metavar="FILE", help="log of downloads (CATALOG.audit.jsonl)")
    _add_clip(commands)
    token = commands.add_parser(
        "token",
        help="tokens for those who may use a server",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"examples:\n{TOKEN_EXAMPLES}",
    )
    actions = token.add_subparsers(metavar="ACTION", required=True, parser_class=Parser)
    adding = add_command(actions, "add", _add_token, text="make a token; it is shown once")
    adding.add_argument("--user", required=True, metavar="NAME", help="whom it names in the log")
    adding.add_argument("--days", type=float, default=DAYS, metavar="N", help="until it expires (90)")
    listing = add_command(actions, "list", _list_tokens, text="list users, keys and times; no token is shown")
    revoking = add_command(actions, "revoke", _revoke_token, text="end a token, or all of a user")
    for command in (adding, listing, revoking):
        command.add_argument("catalog", metavar="CATALOG", help="the catalogue served")
        command.add_argument("--tokens", metavar="FILE", help="file of tokens (CATALOG.tokens.json)")
        command.add_argument("--json", action="store_true", help="print one JSON object")
    revoking.add_argument("name", metavar="KEY|USER", help="as `geofuse token list` shows them")


def _add_clip(commands: Any) -> None:
    clip = add_command(
        commands,
        "clip",
        _clip,
        text="cut a piece out of a product on its own grid, without resampling",
        examples=CLIP_EXAMPLES,
    )
    clip.add_argument(
        "item", metavar="ITEM", help="an item's .json, a product's .tif, or an id with --catalog"
    )
    clip.add_argument("--catalog", metavar="DIR", help="where ITEM is an id")
    clip.add_argument("--out", required=True, metavar="FILE", help="its ending says the format, or --format")
    clip.add_argument(
        "--bands", type=names, metavar="LIST", help="red,green,blue or 3,2,1: in this order (all)"
    )
    clip.add_argument(
        "--format", metavar="NAME", help="cog, gtiff, jpeg, png, netcdf or zarr (by FILE's ending)"
    )
    clip.add_argument("--crs", metavar="EPSG:N", help="resampled into this one (the product's own grid)")
    clip.add_argument(
        "--range", metavar="LIST", help="a picture's black,white; or of each band by semicolons"
    )
    clip.add_argument("--gamma", type=float, default=1.0, metavar="G", help="of a picture (1)")
    clip.add_argument("--overwrite", action="store_true", help="replace FILE")
    clip.add_argument(
        "--licensed", action="store_true", help="you hold the licence of an item that others may only look at"
    )
    clip.add_argument("--no-progress", action="store_true", help="no bar")
    clip.add_argument("--json", action="store_true", help="print one JSON object")
    area = clip.add_argument_group("area (one of them; without one, all of it)")
    area.add_argument("--aoi", metavar="AREA.geojson", help="vector file; its bounding window")
    area.add_argument("--bbox", nargs=4, type=float, metavar=("W", "S", "E", "N"), help="degrees")
    area.add_argument(
        "--window",
        nargs=4,
        type=int,
        metavar=("ROW", "COL", "HEIGHT", "WIDTH"),
        help="in the product's pixels",
    )


def _clip(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.clips.clip import FORMATS, Wish, parsed_ranges, plan_clip
    from geofuse.clips.clip_files import write_clip
    from geofuse.clips.clip_items import product_of

    out = Path(arguments.out)
    form = arguments.format or SUFFIXES.get(out.suffix.lower(), "")
    if form not in FORMATS:
        raise UsageError(f"--out {out.name}", wanted=f"one ending in {', '.join(SUFFIXES)}, or --format")
    if out.exists() and not arguments.overwrite:
        raise ExistsError("there is such a file", do="choose another, or --overwrite", path=str(out))
    folder = Path(arguments.catalog) if arguments.catalog else None
    path, bands, credit = product_of(arguments.item, folder, licensed=arguments.licensed)
    wish = Wish(
        bbox=arguments.bbox,
        aoi=arguments.aoi,
        window=arguments.window,
        bands=tuple(arguments.bands or ()),
        form=form,
        crs=arguments.crs,
        ranges=parsed_ranges(arguments.range) if arguments.range else None,
        gamma=arguments.gamma,
    )
    cut = plan_clip(path, bands, wish, credit)
    with stoppable(), progress_bars(arguments.no_progress or arguments.json) as show:
        write_clip(cut, out, lambda done, total: show("clip", done, total, 0))
    row0, row1, col0, col1 = cut.native
    told: dict[str, Any] = {
        "out": str(out),
        "bytes": out.stat().st_size,
        "window": [row0, col0, row1 - row0, col1 - col0],
        "height": cut.spec.height,
        "width": cut.spec.width,
        "bands": list(cut.spec.descriptions),
        "resampled": cut.image.warped,
        "attribution": cut.spec.tags.get("TIFFTAG_COPYRIGHT", ""),
    }
    if arguments.json:
        print_json(told)
        return
    size = f"{cut.spec.height} x {cut.spec.width} px, {told['bytes'] / 1e6:.1f} MB"
    what = "resampled" if cut.image.warped else "as in the product"
    print(f"{out}: {', '.join(cut.spec.descriptions)}; {size}, {what}")
    print(f"rows {row0}..{row1 - 1}, columns {col0}..{col1 - 1} of {path}")


def _serve(arguments: argparse.Namespace) -> None:
    from geofuse.serve.app import serve

    _log_to_stderr()
    serve(_settings(arguments), host=arguments.host, port=arguments.port)


def _settings(arguments: argparse.Namespace) -> Settings:
    from pathlib import Path
    from urllib.parse import urlsplit

    from geofuse.serve.app import LOOPBACK
    from geofuse.serve.settings import Settings

    local = arguments.host in LOOPBACK
    if arguments.trust_local and not local:
        raise UsageError(f"--trust-local with --host {arguments.host}", wanted="a loopback address")
    if not 0 <= arguments.port <= 65535:
        raise UsageError(f"--port {arguments.port}", wanted="0 to 65535")
    public = urlsplit(arguments.public_url) if arguments.public_url else None
    if public is not None and (public.scheme not in ("http", "https") or not public.hostname):
        raise UsageError(f"--public-url {arguments.public_url}", wanted="such as https://images.example.org")
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]") if local else ("*",)
    if public is not None and public.hostname:
        hosts = (*hosts, public.hostname.lower())
    return Settings(
        folder=Path(arguments.catalog),
        title=arguments.title,
        basemap=_basemap(arguments),
        tokens=Path(arguments.tokens) if arguments.tokens else None,
        token_required=arguments.require_token or not local,
        trust_local=arguments.trust_local,
        public_url=arguments.public_url,
        hosts=hosts,
        secure_cookie=public is not None and public.scheme == "https",
        audit=Path(arguments.audit) if arguments.audit else None,
    )


def _basemap(arguments: argparse.Namespace) -> Any:
    from geofuse.serve.settings import Basemap

    url = arguments.basemap
    if url is None:
        return None
    if not url.startswith(("http://", "https://")) or not all(key in url for key in ("{z}", "{x}", "{y}")):
        raise UsageError(f"--basemap {url}", wanted="an http address with {z}, {x} and {y}")
    if any(mark in url for mark in " ;,'\"<>"):
        raise UsageError(f"--basemap {url}", wanted="an address without spaces, quotes or semicolons")
    return Basemap(url, arguments.basemap_credit)


def _log_to_stderr() -> None:
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def _tokens(arguments: argparse.Namespace) -> Path:
    from pathlib import Path

    from geofuse.archive.catalog import checked
    from geofuse.serve.settings import beside

    folder = checked(Path(arguments.catalog))
    return Path(arguments.tokens) if arguments.tokens else beside(folder, ".tokens.json")


def _add_token(arguments: argparse.Namespace) -> None:
    from geofuse.serve.http.tokens import new_token

    text, token = new_token(_tokens(arguments), arguments.user, days=arguments.days)
    if arguments.json:
        print_json({"token": text, "key": token.key, "user": token.user, "expires": token.expires})
    else:
        print(text)


def _list_tokens(arguments: argparse.Namespace) -> None:
    from geofuse.pages.terminal import table
    from geofuse.serve.http.tokens import expired, read_tokens

    known = read_tokens(_tokens(arguments))
    told = [
        {
            "key": token.key,
            "user": token.user,
            "created": token.created,
            "expires": token.expires,
            "expired": expired(token),
        }
        for token in known
    ]
    if arguments.json:
        print_json({"tokens": told})
        return
    rows = [
        (t["key"], t["user"], t["created"], t["expires"], "expired" if t["expired"] else "") for t in told
    ]
    print(table(rows, ["key", "user", "created", "expires", ""]))


def _revoke_token(arguments: argparse.Namespace) -> None:
    from geofuse.serve.http.tokens import revoke

    count = revoke(_tokens(arguments), arguments.name)
    print_json({"revoked": count}) if arguments.json else print(f"{count} revoked")
