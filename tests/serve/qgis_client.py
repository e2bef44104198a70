"""What QGIS sees: run by the system's Python, which has PyQGIS; reads a JSON job on stdin, prints JSON findings.

Each layer is opened as an analyst would open it, and rendered over one extent of EPSG:3857 with nothing set by hand.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsLayerDefinition,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor, QImage

WMTS = "contextualWMSLegend=0&crs=EPSG:3857&dpiMode=7&format=image/png&layers={item}&styles={style}"


def opened(job: dict[str, Any], kind: str) -> Any:
    """Open one kind of layer of a job."""
    if kind == "cog":
        return QgsRasterLayer(job["cog"], "cog")
    if kind == "cog with style":
        layer = QgsRasterLayer(job["cog"], "styled")
        told, good = layer.loadNamedStyle(job["qml"])
        assert good, told
        return layer
    if kind == "xyz":
        return QgsRasterLayer(f"type=xyz&url={job['xyz']}&zmin=0&zmax={job['max_zoom']}", "xyz", "wms")
    if kind == "wmts":
        chosen = WMTS.format(item=job["item"], style=job["style"])
        return QgsRasterLayer(
            f"{chosen}&tileMatrixSet=WebMercatorQuad&url={job['capabilities']}", "wmts", "wms"
        )
    if kind == "footprints":
        return QgsVectorLayer(f"{job['gpkg']}|layername=footprints", "footprints", "ogr")
    if kind == "qlr":
        QgsLayerDefinition.loadLayerDefinition(
            job["qlr"], QgsProject.instance(), QgsProject.instance().layerTreeRoot()
        )
        return next(iter(QgsProject.instance().mapLayers().values()))
    raise ValueError(kind)


def rendered(layer: Any, job: dict[str, Any]) -> QImage:
    """Render a layer over the job's extent on white."""
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    settings.setExtent(QgsRectangle(*job["extent"]))
    settings.setOutputSize(QSize(*job["size"]))
    settings.setBackgroundColor(QColor(255, 0, 255))
    work = QgsMapRendererSequentialJob(settings)
    work.start()
    work.waitForFinished()
    return work.renderedImage()


def facts(layer: Any) -> dict[str, Any]:
    """Say what QGIS knows of a layer."""
    found: dict[str, Any] = {"valid": layer.isValid(), "crs": layer.crs().authid(), "name": layer.name()}
    if isinstance(layer, QgsVectorLayer):
        return {**found, "features": layer.featureCount(), "fields": [f.name() for f in layer.fields()]}
    provider = layer.dataProvider()
    found |= {"bands": layer.bandCount(), "provider": provider.name(), "renderer": layer.renderer().type()}
    if provider.name() == "gdal":
        found["nodata"] = [
            provider.sourceNoDataValue(band) if provider.sourceHasNoDataValue(band) else None
            for band in range(1, layer.bandCount() + 1)
        ]
        found["band names"] = [layer.bandName(band) for band in range(1, layer.bandCount() + 1)]
    if found["renderer"] == "multibandcolor":
        shown = layer.renderer()
        found["shown"] = [shown.redBand(), shown.greenBand(), shown.blueBand()]
        curves = (
            shown.redContrastEnhancement(),
            shown.greenContrastEnhancement(),
            shown.blueContrastEnhancement(),
        )
        found["stretch"] = [[curve.minimumValue(), curve.maximumValue()] for curve in curves if curve]
    return found


def main() -> None:
    """Do a job."""
    job = json.load(sys.stdin)
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    found = {}
    for kind in job["kinds"]:
        layer = opened(job, kind)
        found[kind] = facts(layer)
        if layer.isValid():
            picture = f"{job['folder']}/{kind.replace(' ', '_')}.png"
            rendered(layer, job).save(picture)
            found[kind]["picture"] = picture
    print(json.dumps(found))
    sys.stdout.flush()
    QgsProject.instance().clear()


if __name__ == "__main__":
    main()
