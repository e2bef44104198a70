"""Object stores as places for products: S3, Google Cloud Storage and Azure by obstore, whose only home this is.

An object appears whole or not at all: small ones by one request, large ones by a multipart upload, of which
nothing is seen before its last request. Credentials, endpoint and region are what obstore finds in the
variables AWS_..., GOOGLE_... and AZURE_... .
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from geofuse.errors import BucketError, ReadError, StoreError, UsageError
from geofuse.files import read_faults, write_faults

SCHEMES = ("s3", "gs", "az", "abfs", "abfss")
PIECE_BYTES = 8 << 20
"""Of a multipart upload; S3 takes no less than 5 MiB."""
PIECES_LIMIT = 10_000
"""S3 takes no more pieces of one object."""
AT_ONCE = 4
"""Pieces under way at a time: the memory an upload takes, in pieces."""
RETRY_S = 180.0
"""How long a store may be away."""
DIGEST = "sha256"
"""Metadata of every object written here."""
_ADDRESS = re.compile(r"(?P<root>[a-z0-9]+://[^/?#]+)/(?P<key>[^?#]+)")
_STREAM_BYTES = 4 << 20


@dataclass(frozen=True)
class StoreTarget:
    """A product's place in an object store, and where its work lies meanwhile."""

    uri: str
    """As it was given: s3://bucket/folder/x.tif."""
    root: str
    """Scheme and bucket: s3://bucket."""
    key: str
    """The object's name in the bucket: folder/x.tif."""
    local: Path
    """The product on this machine until it is uploaded, in a folder of its own."""
    retry_s: float = RETRY_S
    """How long the store may be away, seconds."""

    @cached_property
    def store(self) -> Any:
        """Obstore's store of the bucket; BucketError, StoreError."""
        try:
            from obstore.store import from_url
        except ImportError as fault:
            raise UsageError(f"{self.uri} without obstore", do="pip install 'geofuse[objects]'") from fault
        with store_faults(self.uri):
            return from_url(
                self.root,
                retry_config={
                    "max_retries": 1000,
                    "retry_timeout": timedelta(seconds=self.retry_s),
                    "backoff": {
                        "init_backoff": timedelta(seconds=0.2),
                        "max_backoff": timedelta(seconds=5),
                        "base": 2.0,
                    },
                },
            )

    def beside(self, name: str) -> str:
        """Return the key of another object in the product's folder."""
        return self.key.rpartition("/")[0] + "/" * ("/" in self.key) + name


def target_of(uri: str, *, work: Path, retry_s: float = RETRY_S) -> StoreTarget:
    """Read an address such as s3://bucket/folder/x.tif; `work` is where its work lies. Raises UsageError.

    >>> target = target_of("s3://scenes/2024/x.tif", work=Path("w"))
    >>> target.root, target.key, target.beside("x.json"), target.local.name
    ('s3://scenes', '2024/x.tif', '2024/x.json', 'x.tif')
    """
    parts = _ADDRESS.fullmatch(uri)
    if parts is None or parts["root"].partition("://")[0] not in SCHEMES:
        raise UsageError(f"--out {uri}", wanted="s3://, gs:// or az:// with a bucket and a name", path=None)
    key = parts["key"]
    if not key.lower().endswith((".tif", ".tiff")) or any(step in ("", ".", "..") for step in key.split("/")):
        raise UsageError(f"--out {uri}", wanted="a name that ends in .tif, in folders with names")
    folder = work / f"{hashlib.sha256(uri.encode()).hexdigest()[:16]}"
    return StoreTarget(uri, parts["root"], key, folder / key.rpartition("/")[2], retry_s)


def piece_bytes(size: int) -> int:
    """Return the size of the pieces of an object of `size` bytes: at most 10,000 of them.

    >>> piece_bytes(1) // 2**20, piece_bytes(5 * 2**40) // 2**20
    (8, 525)
    """
    return max(PIECE_BYTES, -(-size // (PIECES_LIMIT << 20)) << 20)


def put_file(
    target: StoreTarget,
    key: str,
    path: Path,
    *,
    sha256: str,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Upload a file as one object, which appears when all of it is there; a fault aborts the upload.

    Raises ReadError for the file, StoreError, BucketError.
    """
    import obstore

    with read_faults(path):
        size = path.stat().st_size
    chunk = piece_bytes(size)
    attributes = {"Content-Type": _content_type(key), DIGEST: sha256}
    with store_faults(target.uri):
        if size <= chunk:
            with read_faults(path):
                data = path.read_bytes()
            obstore.put(target.store, key, data, attributes=attributes, use_multipart=False)
        else:
            pieces = _pieces(path, chunk, size, progress)
            obstore.put(
                target.store, key, pieces, attributes=attributes, chunk_size=chunk, max_concurrency=AT_ONCE
            )
    if progress is not None:
        progress(size, size)


def _pieces(
    path: Path, chunk: int, size: int, progress: Callable[[int, int], None] | None
) -> Iterator[bytes]:
    """Yield a file's bytes; whatever is raised here aborts the upload."""
    done = 0
    with read_faults(path), open(path, "rb") as file:
        while data := file.read(chunk):
            yield data
            done += len(data)
            if progress is not None:
                progress(min(done, size - 1), size)
    if done != size:
        raise ReadError(f"{done} bytes where there were {size}", path=str(path))


def put_json(target: StoreTarget, key: str, value: Any) -> None:
    """Write a small JSON object."""
    import obstore

    data = (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
    attributes = {"Content-Type": _content_type(key), DIGEST: hashlib.sha256(data).hexdigest()}
    with store_faults(target.uri):
        obstore.put(target.store, key, data, attributes=attributes, use_multipart=False)


def head(target: StoreTarget, key: str) -> tuple[int, str | None] | None:
    """Return an object's size and the checksum it was written with, if it says so; None where there is none."""
    import obstore

    try:
        with store_faults(target.uri):
            found = obstore.get(target.store, key, options={"head": True})
    except FileNotFoundError:
        return None
    return int(found.meta["size"]), found.attributes.get(DIGEST)


def get_json(target: StoreTarget, key: str) -> dict[str, Any] | None:
    """Read a JSON object; None where it is absent or something else. Raises BucketError where there is no bucket."""
    import obstore

    try:
        with store_faults(target.uri):
            value = json.loads(bytes(obstore.get(target.store, key).bytes()))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def get_file(target: StoreTarget, key: str, path: Path) -> bool:
    """Download an object; says whether there is one. Raises WriteError, StoreError."""
    import obstore

    try:
        with store_faults(target.uri):
            stream = obstore.get(target.store, key).stream(min_chunk_size=_STREAM_BYTES)
            with write_faults(path), open(path, "wb") as file:
                for chunk in stream:
                    file.write(chunk)
    except FileNotFoundError:
        return False
    return True


def names_under(target: StoreTarget, folder: str) -> list[str]:
    """Return the keys of the objects in a folder of the bucket."""
    import obstore

    with store_faults(target.uri):
        return sorted(each["path"] for batch in obstore.list(target.store, folder) for each in batch)


def rename(target: StoreTarget, key: str, to: str) -> None:
    """Give an object another name: a copy in the store appears at once, then the first goes."""
    import obstore

    with store_faults(target.uri):
        obstore.copy(target.store, key, to)
    remove(target, key)


def remove(target: StoreTarget, key: str) -> None:
    """Remove an object; who may write but not delete leaves it there, which does no harm."""
    import obstore

    with suppress(FileNotFoundError, BucketError), store_faults(target.uri):
        obstore.delete(target.store, key)


@contextmanager
def store_faults(uri: str) -> Iterator[None]:
    """Turn the store's faults into BucketError or StoreError, in one line; a missing object goes through."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except FileNotFoundError as fault:
        if not any(sign in str(fault) for sign in _NO_BUCKET):
            raise
        raise _no_bucket(uri) from fault
    except BaseError as fault:
        text = str(fault)
        if any(sign in text for sign in _NO_BUCKET):
            raise _no_bucket(uri) from fault
        if "builder error" in text:
            raise BucketError(
                "the endpoint is no https", do="for plain http set AWS_ALLOW_HTTP=true", path=uri
            ) from fault
        if any(sign in text for sign in _NO_CREDENTIALS):
            raise BucketError(
                "no credentials for this store",
                wanted="variables such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                path=uri,
            ) from fault
        refused = isinstance(fault, PermissionDeniedError | UnauthenticatedError)
        if refused or any(sign in text for sign in _REFUSALS):  # what obstore makes of it differs by request
            raise BucketError(
                f"the store refuses: {_reason(fault)}", wanted="credentials that may write there", path=uri
            ) from fault
        raise StoreError(
            f"the store failed: {_reason(fault)}",
            do="when it answers again, run the same command again: finished work is kept",
            path=uri,
        ) from fault


def _no_bucket(uri: str) -> BucketError:
    return BucketError("there is no such bucket", do="create it, or check the name", path=uri)


_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist")
_NO_CREDENTIALS = (
    *("latest/api/token", "latest/meta-data", "computeMetadata", "metadata/identity"),
    *("MissingAccount", "MissingCredentials"),
)
"""Where obstore looks last, and what it says, when no variable names credentials."""
_REFUSALS = ("401 Unauthorized", "403 Forbidden")
_ATTEMPTS = re.compile(r", max_retries: \d+, retry_timeout: \S+| in [\d.]+\S?s\b")


def _reason(fault: Exception) -> str:
    """Return what obstore says in one line, without its own inner structure."""
    text = _ATTEMPTS.sub("", " ".join(str(fault).partition("Debug source:")[0].split()))
    code = re.search(r"<Code>(\w+)</Code>.*?<Message>(.*?)</Message>", str(fault), re.DOTALL)
    return f"{code[1]}, {code[2]}" if code else text[:300] or type(fault).__name__


def _content_type(key: str) -> str:
    kinds = {".json": "application/json", ".png": "image/png"}
    cog = "image/tiff; application=geotiff; profile=cloud-optimized"
    return kinds.get(key[key.rfind(".") :], cog)
