"""`geofuse serve` and `geofuse token`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from geofuse.commands.common import add_switches, print_json
from geofuse.commands.parsing import Parser, add_command, refuse
from geofuse.commands.table import COMMANDS
from geofuse.errors import UsageError

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
DAYS = 90.0


def add(commands: Any) -> None:
    """Add them."""
    serving = add_command(
        commands,
        "serve",
        _serve,
        examples=SERVE_EXAMPLES,
    )
    serving.add_argument(
        "catalog", metavar="CATALOG", help="folder that `geofuse publish` fills; it may be new or empty"
    )
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
    token = commands.add_parser(
        "token",
        help=COMMANDS["token"][1],
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
        add_switches(command, "json")
    revoking.add_argument("name", metavar="KEY|USER", help="as `geofuse token list` shows them")


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
        refuse(arguments, ["basemap_credit"], because="without --basemap", wanted="--basemap URL")
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

    from geofuse.archive.catalog import servable
    from geofuse.serve.settings import beside

    folder = servable(Path(arguments.catalog))
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
