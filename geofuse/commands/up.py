"""`geofuse up`: everything a scheduled inbox needs, started together."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from geofuse.commands.parsing import add_command, refuse
from geofuse.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geofuse.config import RunConfig

EXAMPLES = """\
  geofuse up --inbox inbox --catalog archive
  geofuse up --inbox inbox --catalog archive --every 1m --metrics-port 9464
  geofuse up --config landsat.yaml --cron "15 * * * *"
  geofuse up --inbox inbox --catalog archive --host 0.0.0.0 --auth-file secret.txt
"""
SECRET_BYTES = 4096
PAGE_PORT = 8080


def add(commands: Any) -> None:
    """Add it."""
    up = add_command(
        commands,
        "up",
        _up,
        examples=EXAMPLES,
    )
    up.add_argument("--inbox", metavar="DIR", help="the folder scenes are dropped into")
    up.add_argument("--catalog", metavar="DIR", help="the catalogue products are published into")
    up.add_argument("--config", metavar="CONFIG.yaml", help="all else that is wanted of a run")
    when = up.add_mutually_exclusive_group()
    when.add_argument("--every", metavar="TIME", help="between two looks: 30s, 10m, 6h (10m)")
    when.add_argument("--cron", metavar="TEXT", help='times of the looks instead, such as "15 * * * *"')
    up.add_argument("--port", type=int, default=4200, metavar="P", help="of the runs' server and UI (4200)")
    up.add_argument("--page-port", type=int, metavar="P", help="of the analysts' page (8080)")
    up.add_argument("--no-page", action="store_true", help="without the analysts' page")
    up.add_argument("--metrics-port", type=int, metavar="P", help="of Prometheus metrics (none)")
    up.add_argument("--host", default="127.0.0.1", metavar="ADDR", help="address to listen at (127.0.0.1)")
    up.add_argument(
        "--auth-file",
        metavar="FILE",
        help="one line USER:PASSWORD; needed for any other address than loopback",
    )
    up.add_argument("--state", metavar="DIR", help="database, logs, ledger (CATALOG.state)")


def _up(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.config import state_folder
    from geofuse.flows.up.place import UpPlaces
    from geofuse.flows.up.running import has_page, missing, run_up

    if arguments.no_page:
        refuse(arguments, ["page_port"], because="with --no-page", wanted="the page")
    config = _config(arguments)
    lacking = missing()
    if lacking:
        raise UsageError(
            f"`geofuse up` needs {lacking}", wanted="the extra `flows`", do="pip install 'geofuse[flows]'"
        )
    place = UpPlaces(
        state=state_folder(config) / "up",
        host=arguments.host,
        port=arguments.port,
        auth=_secret(arguments.auth_file),
        page_port=None if arguments.no_page or not has_page() else arguments.page_port or PAGE_PORT,
        metrics_port=config.events.metrics_port,
    )
    for folder in (config.inbox.folder, config.catalog.folder):
        Path(str(folder)).mkdir(parents=True, exist_ok=True)
    run_up(config, place, say=lambda text: print(text, flush=True))


def _config(arguments: argparse.Namespace) -> RunConfig:
    """Put the options over the configuration file's keys."""
    from pathlib import Path

    from geofuse.config import RunConfig, config_with, load_config
    from geofuse.quality.accept import profile_for

    schedule: dict[str, object] = {"every": arguments.every, "cron": arguments.cron}
    said: dict[str, Mapping[str, object]] = {
        "inbox": {"folder": arguments.inbox},
        "catalog": {"folder": arguments.catalog},
        "state": {"folder": arguments.state},
        "schedule": schedule,
        "events": {"metrics_port": arguments.metrics_port},
    }
    given = {
        name: {key: value for key, value in section.items() if value is not None}
        for name, section in said.items()
    }
    if arguments.every is not None:
        given["schedule"]["cron"] = None
    config = load_config(arguments.config) if arguments.config else RunConfig()
    config = config_with(config, given, Path.cwd())
    profile_for(config.accept.profile, "")
    for name, value in (("--inbox", config.inbox.folder), ("--catalog", config.catalog.folder)):
        if not value:
            raise UsageError(f"no {name}", wanted=f"{name} DIR, or the key in --config")
    return config


def _secret(path: str | None) -> str | None:
    """Read USER:PASSWORD from a file that nobody else may read."""
    from pathlib import Path

    if path is None:
        return None
    try:
        if Path(path).stat().st_mode & 0o077:
            raise UsageError("others can read it", wanted="mode 600", do=f"chmod 600 {path}", path=path)
        with open(path, encoding="utf-8") as stream:
            secret = stream.read(SECRET_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read: {error}", wanted="one line USER:PASSWORD", path=path) from error
    if ":" not in secret or len(secret.splitlines()) != 1:
        raise UsageError("is not one line USER:PASSWORD", wanted="that", path=path)
    return secret
