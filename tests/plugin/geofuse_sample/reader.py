"""A reader: a folder of ID_fine.tif and ID_coarse.tif, of a satellite that samplesat.yaml describes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from geofuse.errors import ProductError
from geofuse.scenes.readers.base import Listing, Match
from geofuse.scenes.readers.pair import open_pair
from geofuse.scenes.scene import Given, Scene

NAME = "sample"
SENSOR_FILE = Path(__file__).with_name("samplesat.yaml")
_FILE = re.compile(r"(\w+)_(fine|coarse)\.tif", re.ASCII)


@dataclass(frozen=True, slots=True)
class SampleReader:
    """Deliveries of a satellite that there is not."""

    wanted: str = "ID_fine.tif and ID_coarse.tif"
    """Which files make one."""
    last: bool = False
    """Its names are its own."""

    def match(self, listing: Listing) -> Match | None:
        """Take what is named so, whole or not."""
        files = tuple(entry for entry in listing.entries if _FILE.fullmatch(entry.name))
        given = (Given("", listing.where),) if listing.where else ()
        return Match(NAME, listing.where, files, given) if files else None

    def open(self, match: Match) -> Scene:
        """Open both images as any pair, then say whose they are."""
        found = {(part := _FILE.fullmatch(entry.name)) and part[2]: entry for entry in match.files}
        if set(found) != {"fine", "coarse"} or len(match.files) != 2:
            raise ProductError(f"{len(match.files)} files", wanted=self.wanted, path=match.where)
        scene = open_pair(found["fine"].path, [found["coarse"].path])
        name = found["fine"].name.removesuffix("_fine.tif")
        return replace(scene, scene_id=name, sensor="samplesat", reader=NAME, source=match.given)


SAMPLE = SampleReader()
