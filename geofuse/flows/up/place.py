"""Where `geofuse up` listens and keeps its state; what Prefect is told about it."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from geofuse.errors import UsageError


@dataclass(frozen=True, slots=True)
class UpPlaces:
    """Where everything listens and lies."""

    state: Path
    """Prefect's home and database, the settings of the worker, logs."""
    host: str = "127.0.0.1"
    """Address the server listens at."""
    port: int = 4200
    """Its port."""
    auth: str | None = None
    """USER:PASSWORD that server and clients share."""
    page_port: int | None = None
    """Port of the analysts' page; None: no page."""
    metrics_port: int | None = None
    """Port of the metrics; None: none."""

    @property
    def api(self) -> str:
        """The server's address for clients on this machine."""
        return f"http://{reachable(self.host)}:{self.port}/api"


def checked_place(place: UpPlaces) -> UpPlaces:
    """Refuse a server that anybody could reach and nobody guards; raises UsageError with the reason."""
    if not is_loopback(place.host) and not place.auth:
        raise UsageError(
            f"--host {place.host} opens the server to other machines, and it has no authentication: whoever "
            "reaches it could run flows with any parameters",
            wanted="--auth-file with USER:PASSWORD, or loopback",
            do="write one line USER:PASSWORD to a file only you can read and give it as --auth-file",
        )
    if place.auth and ":" not in place.auth:
        raise UsageError("the authentication has no colon", wanted="USER:PASSWORD")
    for port in (place.port, place.page_port, place.metrics_port):
        if port and not _free(place.host, port):
            raise UsageError(
                f"port {port} of {place.host} is taken",
                wanted="a free one",
                do="choose another, or stop what has it",
            )
    return place


def is_loopback(host: str) -> bool:
    """Say whether an address is this machine's alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def reachable(host: str) -> str:
    """Return the address that clients on this machine use for one the server listens at."""
    plain = host.strip("[]")
    if plain in ("0.0.0.0", "::"):
        return "127.0.0.1" if plain == "0.0.0.0" else "[::1]"
    return f"[{plain}]" if ":" in plain else plain


def _free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError:
            return False
    return True


def prefect_settings(place: UpPlaces) -> dict[str, str]:
    """Return Prefect's settings for a place: embedded, silent to the world, patient with a server that is away."""
    values = {
        "PREFECT_HOME": str(place.state / "prefect"),
        "PREFECT_PROFILES_PATH": str(place.state / "prefect" / "profiles.toml"),
        "PREFECT_API_URL": place.api,
        "PREFECT_UI_API_URL": "/api",
        "PREFECT_SERVER_API_HOST": place.host,
        "PREFECT_SERVER_API_PORT": str(place.port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "geofuse",
        "PREFECT_CLIENT_MAX_RETRIES": "6",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_RUNNER_POLL_FREQUENCY": "5",
        "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
        "PREFECT_CLI_COLORS": "false",
    }
    if place.auth:
        values |= {"PREFECT_SERVER_API_AUTH_STRING": place.auth, "PREFECT_API_AUTH_STRING": place.auth}
    return values
