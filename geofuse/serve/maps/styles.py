"""For QGIS: an item's look as a style (.qml), and the item as a layer with that look (.qlr)."""

from __future__ import annotations

from functools import partial
from typing import Annotated
from urllib.parse import urlencode
from xml.etree import ElementTree

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from geofuse.errors import MissingError
from geofuse.serve.http.access import Grant
from geofuse.serve.http.dependencies import Door, TheDoor, TheRow, known_only, root_of
from geofuse.serve.http.faults import RESPONSES
from geofuse.serve.maps.rasters import Raster, mask_of, raster_at
from geofuse.serve.maps.rendering import Rendering, band_names, look_of, presets_of
from geofuse.serve.stac.archive import IndexRow
from geofuse.serve.stac.item_views import zooms

QML_TYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
QLR_TYPE = "<!DOCTYPE qgis-layer-definition>\n"
STRETCH = "StretchToMinimumMaximum"
router = APIRouter(
    prefix="/api/items/{id}", tags=["gis"], responses=RESPONSES, dependencies=[Depends(known_only)]
)
Style = Annotated[str | None, Query(max_length=40, description="true, cir, ...: the looks an item has")]


@router.get("/style.qml", response_class=Response)
async def qml(door: TheDoor, found: TheRow, style: Style = None) -> Response:
    """A style for the COG, with the stretch of the page."""
    row, _ = found
    top = ElementTree.Element("qgis", {"version": "3.22.0", "styleCategories": "Symbology"})
    raster, look = await door.aside(_look, door, row, style)
    top.append(_pipe(row, raster, look))
    _add(top, "blendMode", "0")
    return _file(QML_TYPE, top, f"{row.id}.qml")


@router.get("/layer.qlr", response_class=Response)
async def qlr(request: Request, door: TheDoor, found: TheRow, style: Style = None) -> Response:
    """A layer to drop on QGIS: the COG itself where it may be fetched without a token, else its tiles."""
    row, grant = found
    raster, look = await door.aside(_look, door, row, style)
    root = root_of(request, door.settings)
    top = await door.aside(partial(_definition, door, row, grant, raster, look, root=root, style=style))
    return _file(QLR_TYPE, top, f"{row.id}.qlr")


def _look(door: Door, row: IndexRow, style: str | None) -> tuple[Raster, Rendering]:
    raster = raster_at(door.archive.asset_path(row, "data"))
    looks = {look["id"]: look["bands"] for look in presets_of(band_names(row))}
    if style is not None and style not in looks:
        raise MissingError("no such style", wanted=" or ".join(looks))
    bands = looks[style] if style else next(iter(looks.values()))
    return raster, look_of(row, raster, mask=mask_of(door.archive, row), bands=",".join(bands))


def _definition(
    door: Door, row: IndexRow, grant: Grant, raster: Raster, look: Rendering, *, root: str, style: str | None
) -> ElementTree.Element:
    title = f"{row.title} ({row.id})"
    whole = grant.download and row.access == "open" and not door.settings.token_required
    if whole:
        provider, source = "gdal", f"/vsicurl/{root}/api/items/{row.id}/download/data"
    else:
        first, last = zooms(row, raster, grant)
        address = f"{root}/xyz/{row.id}/{{z}}/{{x}}/{{y}}.png" + (f"?style={style}" if style else "")
        provider = "wms"
        source = urlencode({"type": "xyz", "url": address, "zmin": first, "zmax": last}, safe=":/{}")
    name = f"{row.id}_{row.version}".replace("-", "_")
    top = ElementTree.Element("qlr")
    group = _add(top, "layer-tree-group", expanded="1", checked="Qt::Checked", name="")
    told = {"id": name, "name": title, "providerKey": provider, "source": source}
    _add(group, "layer-tree-layer", expanded="1", checked="Qt::Checked", **told)
    layer = _add(_add(top, "maplayers"), "maplayer", type="raster", hasScaleBasedVisibilityFlag="0")
    for key, text in (("id", name), ("datasource", source), ("layername", title), ("provider", provider)):
        _add(layer, key, text)
    crs = raster.facts.grid.crs if whole else "EPSG:3857"
    system = _add(_add(layer, "srs"), "spatialrefsys")
    _add(system, "authid" if crs.startswith("EPSG:") else "wkt", crs)
    if whole:
        layer.append(_pipe(row, raster, look))
    return top


def _pipe(row: IndexRow, raster: Raster, look: Rendering) -> ElementTree.Element:
    """Return QGIS's rendering pipe for a look; nodata stays transparent by the file's own tag."""
    pipe = ElementTree.Element("pipe")
    if len(set(look.bands)) == 1:
        renderer = _add(pipe, "rasterrenderer", type="singlebandgray", gradient="BlackToWhite")
        renderer.set("grayBand", str(look.bands[0] + 1))
        names: tuple[str, ...] = ("contrastEnhancement",)
    else:
        renderer = _add(pipe, "rasterrenderer", type="multibandcolor")
        names = ("redContrastEnhancement", "greenContrastEnhancement", "blueContrastEnhancement")
        for colour, band in zip(("red", "green", "blue"), look.bands, strict=True):
            renderer.set(f"{colour}Band", str(band + 1))
    for key, value in (("opacity", "1"), ("alphaBand", "-1"), ("nodataColor", "")):
        renderer.set(key, value)
    _add(renderer, "rasterTransparency")
    for name, band, span in zip(names, look.bands, look.ranges, strict=False):
        # QGIS shows what the file's scale and offset make of the numbers
        scale, offset = raster.facts.scales[band], raster.facts.offsets[band]
        low, high = sorted(value * scale + offset for value in span)
        curve = _add(renderer, name)
        for key, text in (("minValue", repr(low)), ("maxValue", repr(high)), ("algorithm", STRETCH)):
            _add(curve, key, text)
    _add(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    return pipe


def _add(parent: ElementTree.Element, tag: str, text: str | None = None, **told: str) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, tag, told)
    child.text = text
    return child


def _file(kind: str, top: ElementTree.Element, name: str) -> Response:
    ElementTree.indent(top)
    text = kind + ElementTree.tostring(top, encoding="unicode")
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "private, no-cache"}
    return Response(text, media_type="application/xml", headers=headers)
