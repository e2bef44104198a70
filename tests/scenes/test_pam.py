"""What lies beside a raster is read as GDAL reads it: GDAL itself is the oracle."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from geofuse.errors import FormatError
from geofuse.rasters.pam import mask_beside, pam_beside, parse_pam

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=64).filter(lambda value: value != 0.0)
TEXTS = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=12)
BANDS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={"NoDataValue": NUMBERS, "Scale": NUMBERS, "Offset": NUMBERS, "Description": TEXTS},
    ),
    min_size=1,
    max_size=4,
)


def raster(path: Path, bands: int = 4, dtype: str = "float64", **told: object) -> Path:
    shape = {"width": 8, "height": 6, "count": bands, "dtype": dtype}
    with rasterio.open(
        path, "w", driver="GTiff", transform=Affine(2, 0, 10, 0, -2, 20), **shape, **told
    ) as file:
        file.write(np.ones((bands, 6, 8), dtype))
    return path


def written(bands: list[dict[str, object]]) -> str:
    parts = []
    for number, told in enumerate(bands, 1):
        inner = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in told.items())
        parts.append(f'<PAMRasterBand band="{number}">{inner}</PAMRasterBand>')
    return f"<PAMDataset>{''.join(parts)}</PAMDataset>"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bands=BANDS)
def test_bands_are_as_gdal_reads_them(bands: list[dict[str, object]], tmp_path: Path) -> None:
    path = raster(tmp_path / "x.tif")
    Path(f"{path}.aux.xml").write_text(written(bands))
    pam, warnings = pam_beside(str(path))
    assert pam is not None
    assert warnings == ()
    with rasterio.open(path) as file:
        for number in range(1, len(bands) + 1):
            own = pam.bands[number]
            assert own.nodata == file.nodatavals[number - 1]
            assert (1.0 if own.scale is None else own.scale) == file.scales[number - 1]
            assert (0.0 if own.offset is None else own.offset) == file.offsets[number - 1]
            assert own.description == file.descriptions[number - 1]


def test_a_georeference_is_as_gdal_reads_it(tmp_path: Path) -> None:
    path = raster(tmp_path / "x.tif", crs="EPSG:32633")
    wkt = rasterio.CRS.from_epsg(3857).to_wkt()
    told = f"<SRS>{escape(wkt)}</SRS><GeoTransform> 5.0e2, 1.5, 0.25, 7, 0, -2.5</GeoTransform>"
    Path(f"{path}.aux.xml").write_text(f"<PAMDataset>{told}</PAMDataset>")
    pam, _ = pam_beside(str(path))
    assert pam is not None
    with rasterio.open(path) as file:
        assert pam.transform == tuple(file.transform)[:6]
        assert pam.crs is not None
        assert rasterio.CRS.from_wkt(pam.crs) == file.crs


def test_the_bits_of_a_nodata_go_before_its_text() -> None:
    low = float(np.finfo(np.float32).min)
    bits = struct.pack("<d", low).hex().upper()
    text = (
        f'<PAMDataset><PAMRasterBand band="1"><NoDataValue le_hex_equiv="{bits}">-3.40282e+38</NoDataValue>'
    )
    assert parse_pam(f"{text}</PAMRasterBand></PAMDataset>".encode()).bands[1].nodata == low
    nan = b'<PAMDataset><PAMRasterBand band="1"><NoDataValue>nan</NoDataValue></PAMRasterBand></PAMDataset>'
    found = parse_pam(nan).bands[1].nodata
    assert found is not None
    assert math.isnan(found)


def test_what_others_write_beside_it_is_left_alone() -> None:
    text = """<PAMDataset><Metadata domain="xml:ESRI"><GeodataXform><X>1</X></GeodataXform></Metadata>
      <PAMRasterBand band="2"><Histograms><HistItem><HistMin>0</HistMin></HistItem></Histograms>
        <Metadata><MDI key="STATISTICS_MEAN">7</MDI></Metadata><ColorInterp>NIR</ColorInterp></PAMRasterBand>
    </PAMDataset>"""
    pam = parse_pam(text.encode())
    assert list(pam.bands) == [2]
    assert pam.bands[2].color == "nir"
    assert pam.bands[2].nodata is None


HOSTILE = {
    "an entity": b'<!DOCTYPE x [<!ENTITY a "b">]><PAMDataset>&a;</PAMDataset>',
    "a file": b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><PAMDataset/>',
    "depth": b"<PAMDataset>" + b"<a>" * 5000 + b"</a>" * 5000 + b"</PAMDataset>",
    "half": b"<PAMDataset><PAMRasterBand",
    "nothing": b"",
    "bytes": bytes(range(256)) * 4,
    "another root": b"<VRTDataset/>",
    "a band that is none": b'<PAMDataset><PAMRasterBand band="-1"/></PAMDataset>',
    "an enormous band": b'<PAMDataset><PAMRasterBand band="99999999999"/></PAMDataset>',
    "a number that is none": b'<PAMDataset><PAMRasterBand band="1"><Scale>1e999</Scale></PAMRasterBand></PAMDataset>',
    "five numbers": b"<PAMDataset><GeoTransform>1,2,3,4,5</GeoTransform></PAMDataset>",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_ignored_whole_and_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        parse_pam(HOSTILE[kind])
    path = tmp_path / "x.tif"
    Path(f"{path}.aux.xml").write_bytes(HOSTILE[kind])
    pam, warnings = pam_beside(str(path))
    assert pam is None
    assert len(warnings) == 1
    assert "x.tif.aux.xml" in warnings[0]


def test_too_big_and_none_and_a_pipe(tmp_path: Path) -> None:
    import os

    path = tmp_path / "x.tif"
    assert pam_beside(str(path)) == (None, ())
    assert mask_beside(str(path)) is None
    Path(f"{path}.aux.xml").write_bytes(b"<PAMDataset>" + b" " * (5 << 20) + b"</PAMDataset>")
    assert "too big" in pam_beside(str(path))[1][0]
    Path(f"{path}.aux.xml").unlink()
    os.mkfifo(f"{path}.aux.xml")
    assert len(pam_beside(str(path))[1]) == 1
    Path(f"{path}.msk").touch()
    assert mask_beside(str(path)) == f"{path}.msk"
