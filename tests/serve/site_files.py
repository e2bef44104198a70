"""Items made large, for tests that need size and not content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def sparse_item(folder: Path, item_id: str, size: int) -> str:
    """Let an item's product be a file of so many bytes, nearly all of them zero; returns its SHA-256."""
    (item_path,) = folder.glob(f"*/{item_id}/{item_id}.json")
    item = json.loads(item_path.read_text())
    path = item_path.parent / item["assets"]["data"]["href"]
    with path.open("r+b") as file:
        file.truncate(size)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(1 << 22):
            digest.update(data)
    item["assets"]["data"]["file:checksum"] = f"1220{digest.hexdigest()}"
    item["assets"]["data"]["file:size"] = size
    item_path.write_text(json.dumps(item))
    return digest.hexdigest()
