"""Products into an object store: made on this machine, or by workers in a shared folder, then uploaded whole.

The rule of a disk holds here too. The companions are uploaded first, under the fingerprint's name; the tif
appears next, at once, when its multipart upload is completed; then the companions get their names. `verify` and
the next run finish what a run that was killed in between left.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from geofuse.config.surroundings import surroundings
from geofuse.errors import ExistsError, UsageError, VerifyError
from geofuse.files import sha256_of, write_faults, write_json
from geofuse.locks import locked
from geofuse.rasters import ledger
from geofuse.rasters.cog import objects
from geofuse.rasters.cog.objects import StoreTarget
from geofuse.run.executors import Executor
from geofuse.run.fuse import fuse_to_cog
from geofuse.run.plans.plan import Plan, fingerprint
from geofuse.run.progress import Progress, silent
from geofuse.run.records.documents import ProductRecord
from geofuse.run.records.product_files import already_there, asset_paths, companions, is_record, verify
from geofuse.version import __version__


def target_from(address: str, work: str | os.PathLike[str] | None) -> StoreTarget | None:
    """Return the place in an object store that an address names; None where it is a file's.

    ``work`` is where parts lie until they are uploaded; the user's cache where not given. UsageError for a folder for
    work that nothing would use.
    """
    if "://" not in address:
        if work is not None:
            wanted = "s3://BUCKET/OUT.tif (gs://, az://)"
            raise UsageError("--work with a product in a folder", wanted=wanted, do="or leave it out")
        return None
    found = surroundings()
    return objects.target_of(
        address, work=Path(work or found.work_folder).absolute(), retry_s=found.store_retry_s
    )


def prepare(target: StoreTarget) -> None:
    """Make the folder of a target's work, and see that the store answers.

    Where a product is there already its record is fetched, so that what was measured for it is not measured
    again. Raises BucketError, StoreError, WriteError.
    """
    shelf = InStore(target)
    shelf.settle()
    record = shelf.record()
    with write_faults(target.local.parent):
        target.local.parent.mkdir(parents=True, exist_ok=True)
    place = ledger.json_path(target.local)
    if record is not None and not place.exists():
        write_json(place, record)


def fuse_to_object(
    plan: Plan, target: StoreTarget, *, runner: Executor, overwrite: bool = False, progress: Progress = silent
) -> ProductRecord:
    """Run a plan into an object store; returns the provenance.

    The same plan again is a no-op; a run that was stopped, or could not upload, goes on. Raises what
    `fuse_to_cog` raises, BucketError and StoreError.
    """
    key = fingerprint(plan, __version__)
    with locked(_lock(target)):
        try:
            record = already_there(InStore(target), key, mask=plan.mask is not None, overwrite=overwrite)
        except ExistsError:
            _tidy(target)
            raise
        if record is None:
            _try_to_write(target)
            record = fuse_to_cog(plan, target.local, runner=runner, overwrite=True, progress=progress)
            _upload(target, record, progress)
        shutil.rmtree(target.local.parent, ignore_errors=True)
    return record


def _lock(target: StoreTarget) -> Path:
    """Return what is locked while this machine makes and uploads the product."""
    return target.local.with_name(f"{target.local.stem}.upload")


def _tidy(target: StoreTarget) -> None:
    """Remove the folder of the work where there is no work in it but the record that was fetched."""
    folder = target.local.parent
    fetched = {ledger.json_path(target.local).name, f".{_lock(target).name}.lock"}
    if {path.name for path in folder.iterdir()} <= fetched:
        shutil.rmtree(folder, ignore_errors=True)


def verify_object(target: StoreTarget) -> ProductRecord:
    """Download a product with its companions and check it as one on a disk; returns its record.

    Raises VerifyError, BucketError, StoreError, WriteError.
    """
    finish_half_object(target)
    folder = target.local.parent
    with write_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=folder, prefix="verify-")
    with scratch as name:
        out = Path(name) / target.local.name
        if not objects.get_file(target, target.key, out):
            raise VerifyError("there is no such product", path=target.uri)
        for path in companions(out, mask=True):
            objects.get_file(target, target.beside(path.name), path)
        try:
            record = verify(out)
        except VerifyError as fault:
            place = target.uri.removesuffix(out.name) + Path(fault.path or out).name
            raise VerifyError(fault.found, wanted=fault.wanted, do=fault.do, path=place) from fault
    if not any(folder.iterdir()):
        folder.rmdir()
    return record


def finish_half_object(target: StoreTarget) -> None:
    """Give companions their names where a run died right after its tif appeared."""
    waiting = [key for key in objects.names_under(target, _staging(target)) if key.endswith(".json")]
    there = objects.head(target, target.key) if waiting else None
    for key in waiting:
        record = objects.get_json(target, key)
        if there is None or record is None or not is_record(record):
            continue
        data = record["assets"]["data"]
        if there == (data["bytes"], data["sha256"]):
            _name_companions(target, record)


class InStore:
    """A product in an object store, with checksums as they were uploaded."""

    def __init__(self, target: StoreTarget) -> None:
        self.target, self.place, self.name = target, target.uri, target.local.name

    def settle(self) -> None:
        """Give companions their names where a run died right after its tif appeared."""
        finish_half_object(self.target)

    def record(self) -> ProductRecord | None:
        """Return its record."""
        record = objects.get_json(self.target, self.target.beside(ledger.json_path(self.target.local).name))
        return record if record is not None and is_record(record) else None

    def has_product(self) -> bool:
        """Whether there is an object of that name."""
        return objects.head(self.target, self.target.key) is not None

    def companions(self, *, mask: bool) -> list[str]:
        """Name what lies beside it."""
        names = [path.name for path in companions(self.target.local, mask=mask)]
        return [name for name in names if objects.head(self.target, self.target.beside(name)) is not None]

    def is_whole(self, record: ProductRecord) -> bool:
        """Whether all assets are there, of the recorded sizes and written with the recorded checksums."""
        sizes = {asset["sha256"]: asset["bytes"] for asset in record["assets"].values()}
        return all(
            objects.head(self.target, self.target.beside(path.name)) == (sizes[sha256], sha256)
            for path, sha256 in asset_paths(self.target.local, record)
        )


def _try_to_write(target: StoreTarget) -> None:
    """Find out before the work whether the store would take it."""
    key = f"{_staging(target)}/started.json"
    objects.put_json(target, key, {"geofuse": __version__})
    objects.remove(target, key)


def _upload(target: StoreTarget, record: ProductRecord, progress: Progress) -> None:
    """Upload a finished product: companions under the fingerprint's name, the tif, then the companions' names."""
    local = target.local
    assets = dict(asset_paths(local, record))
    progress("upload", 0, record["assets"]["data"]["bytes"], 0)
    for path in companions(local, mask="mask" in record["assets"]):
        sha256 = assets.get(path) or sha256_of(path)
        objects.put_file(target, _staged(target, path, record), path, sha256=sha256)

    def show(done: int, size: int) -> None:
        progress("upload", done, size, 0)

    objects.put_file(target, target.key, local, sha256=assets[local], progress=show)
    _name_companions(target, record)


def _name_companions(target: StoreTarget, record: ProductRecord) -> None:
    for path in companions(target.local, mask="mask" in record["assets"]):
        staged = _staged(target, path, record)
        if objects.head(target, staged) is not None:
            objects.rename(target, staged, target.beside(path.name))


def _staging(target: StoreTarget) -> str:
    """Return the folder of the bucket where companions wait."""
    return target.beside(ledger.parts_dir(target.local).name)


def _staged(target: StoreTarget, path: Path, record: ProductRecord) -> str:
    return f"{_staging(target)}/{record['fingerprint']}{path.name.removeprefix(target.local.stem)}"
