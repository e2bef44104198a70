"""From a folder, an archive or rasters to a Scene: every reader is asked whether it knows the files. Headers only."""

from __future__ import annotations

from collections.abc import Sequence

from geofuse.errors import ProductError, UsageError
from geofuse.scenes.readers import pair
from geofuse.scenes.readers.base import Listing, Match, listed
from geofuse.scenes.readers.pair import open_pair
from geofuse.scenes.readers.table import READERS
from geofuse.scenes.scene import Given, Scene
from geofuse.tables import Origin

__all__ = ["delivery_in", "given_of", "match_files", "open_given", "open_match", "open_pair", "open_scene"]

SHOWN = 3
"""So many names of files are told where nobody knows them."""


def open_scene(path: str, *, reader: str | None = None) -> Scene:
    """Open the scene in a folder, or in an uncompressed .tar in place, by the reader that knows its files.

    Raises ProductError where no reader does or the scene is not whole, FormatError for anything else than a
    folder or a tar.
    """
    return open_given((Given("", path),), reader=reader)


def given_of(
    path: str | None = None, pan: str | Sequence[str] | None = None, ms: Sequence[str] = ()
) -> tuple[Given, ...]:
    """Return what names a scene: a folder or archive, or PAN and MS; UsageError for neither and for both."""
    tiles = (pan,) if isinstance(pan, str) else tuple(pan or ())
    if path and not (tiles or ms):
        return (Given("", path),)
    if tiles and ms and not path:
        return (*(Given("pan", one) for one in tiles), *(Given("ms", one) for one in ms))
    if path:
        raise UsageError("SCENE together with --pan or --ms", wanted="SCENE, or --pan with --ms")
    if tiles or ms:
        raise UsageError("one of --pan and --ms", wanted="both")
    raise UsageError("no scene", wanted="SCENE, or --pan with --ms", do="see `geofuse fuse --help`")


def open_given(given: Sequence[Given], *, reader: str | None = None, origin: Origin | None = None) -> Scene:
    """Open what was named: a folder or archive, or files with their roles.

    With `reader` only that one is asked, as a record says; `origin` is the package that had it then.
    """
    whole = next((one.path for one in given if not one.role), None)
    if whole is None:
        name = reader or pair.NAME
        match = Match(name, "", pair.named(given).files, tuple(given))
        return READERS.load(name, origin=origin).open(match)
    match = match_files(listed(whole), reader=reader, origin=origin)
    return open_match(match)


def open_match(match: Match) -> Scene:
    """Make the scene of files that a reader knows."""
    return READERS.load(match.reader).open(match)


def match_files(listing: Listing, *, reader: str | None = None, origin: Origin | None = None) -> Match:
    """Return what the one reader that knows the files makes of them; those that go by little are asked last.

    With `reader` it alone is asked. Raises ProductError, listing the readers there are, where none knows them, and
    where several do.
    """
    if reader is not None:
        one = READERS.load(reader, origin=origin)
        known = one.match(listing)
        if known is None:
            raise _unknown(listing, [f"{reader}: {one.wanted}"])
        return known
    for last in (False, True):
        found = _asked(listing, last=last)
        if found is not None:
            return found
    readers = {name: READERS.load(name) for name in READERS.names()}
    raise _unknown(listing, [f"{name}: {reader.wanted}" for name, reader in readers.items()])


def delivery_in(listing: Listing) -> Match | None:
    """Return what a reader that goes by a delivery's own names makes of the files, None where none knows them."""
    return _asked(listing, last=False)


def _asked(listing: Listing, *, last: bool) -> Match | None:
    """Ask the readers that are asked first, or last; ProductError where several know the files."""
    readers = [READERS.load(name) for name in READERS.names()]
    found = [match for reader in readers if reader.last == last and (match := reader.match(listing))]
    if len(found) > 1:
        names = ", ".join(match.reader for match in found)
        do = 'open_scene(path, reader="NAME") asks one alone'
        raise ProductError(f"files that {len(found)} readers know: {names}", do=do, path=listing.where)
    return found[0] if found else None


def _unknown(listing: Listing, wanted: Sequence[str]) -> ProductError:
    names = [entry.name for entry in listing.entries]
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "") if names else "no files"
    return ProductError(
        f"no delivery that a reader knows ({shown})",
        wanted="; or ".join(wanted),
        do="name single rasters as PAN and MS, or install a package with a reader (`geofuse plugins`)",
        path=listing.where or None,
    )
