"""A few questions to Prefect's server without Prefect's client, which would triple what `geofuse up` takes."""

from __future__ import annotations

import base64
import json
import urllib.request
import uuid
from typing import Any, NotRequired, TypedDict

from geofuse.flows.up.place import UpPlaces

ANSWER_SECONDS = 5.0
PAGE = 200
"""Rows of an answer, at most: the server's own limit."""


class ServerRow(TypedDict):
    """What is looked at of a deployment, or of a flow, which has the first two."""

    id: str
    name: str
    flow_id: NotRequired[str]
    entrypoint: NotRequired[str | None]


def ask(place: UpPlaces, path: str, body: object = None, *, seconds: float = ANSWER_SECONDS) -> Any:
    """Return the server's answer; with a `body` it is a POST.

    Raises OSError where there is none, ValueError or LookupError where it is not Prefect's.
    """
    request = urllib.request.Request(f"{place.api}/{path}")
    if place.auth:
        request.add_header("Authorization", f"Basic {base64.b64encode(place.auth.encode()).decode()}")
    if body is not None:
        client = str(uuid.uuid4())
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
        request.add_header("Prefect-Csrf-Client", client)
        request.add_header("Prefect-Csrf-Token", ask(place, f"csrf-token?client={client}")["token"])
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        return json.load(answer)


def ask_all(place: UpPlaces, kind: str) -> list[ServerRow]:
    """Return all deployments, or all flows, of the server."""
    found: list[ServerRow] = []
    while True:
        page = ask(place, f"{kind}/filter", {"limit": PAGE, "offset": len(found)})
        found += page
        if len(page) < PAGE:
            return found
