"""The table of readers: geofuse's own, then those of installed packages."""

from __future__ import annotations

from geofuse.errors import ProductError
from geofuse.scenes.readers.base import Reader
from geofuse.tables import Row, Table

READERS: Table[Reader] = Table(
    "geofuse.readers",
    (
        Row("landsat", "geofuse.scenes.readers.landsat:READER", "Landsat 8 and 9 Level-1, folder or .tar"),
        Row("pair", "geofuse.scenes.readers.pair:READER", "any PAN and MS, named by hand or in a folder"),
    ),
    noun="reader",
    fault=ProductError,
    wants=("wanted", "last", "match", "open"),
)
