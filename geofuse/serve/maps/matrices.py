"""The tile matrix set of our tiles, as OGC API - Tiles describes it, by titiler: no client need know the scheme."""

from __future__ import annotations

import morecantile
from fastapi import APIRouter, Depends
from titiler.core.factory import TMSFactory

from geofuse.serve.http.dependencies import known_only
from geofuse.serve.http.faults import RESPONSES

SCHEME = "WebMercatorQuad"

router = APIRouter(tags=["tiles"], responses=RESPONSES, dependencies=[Depends(known_only)])
router.include_router(
    TMSFactory(supported_tms=morecantile.TileMatrixSets({SCHEME: morecantile.tms.get(SCHEME)})).router
)
