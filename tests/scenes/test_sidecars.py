from __future__ import annotations

import os

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning

from geofuse.errors import FormatError
from geofuse.scenes import sidecars
from geofuse.scenes.sidecars import parse_imd, parse_rpb, parse_rpc_text, parse_world, utc

RNG = np.random.default_rng(5)
SCALARS = {
    "LINE_OFF": "2199.5",
    "SAMP_OFF": "3012",
    "LAT_OFF": "-33.4567",
    "LONG_OFF": "+151.2101",
    "HEIGHT_OFF": "100",
    "LINE_SCALE": "2200",
    "SAMP_SCALE": "3013",
    "LAT_SCALE": "0.1234",
    "LONG_SCALE": "0.2345",
    "HEIGHT_SCALE": "500",
}
VECTORS = {
    name: [f"{value:+.9E}" for value in RNG.normal(size=20)]
    for name in ("LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF")
}
RPB_NAMES = {
    "LINE_OFF": "lineOffset",
    "SAMP_OFF": "sampOffset",
    "LAT_OFF": "latOffset",
    "LONG_OFF": "longOffset",
    "HEIGHT_OFF": "heightOffset",
    "LINE_SCALE": "lineScale",
    "SAMP_SCALE": "sampScale",
    "LAT_SCALE": "latScale",
    "LONG_SCALE": "longScale",
    "HEIGHT_SCALE": "heightScale",
    "LINE_NUM_COEFF": "lineNumCoef",
    "LINE_DEN_COEFF": "lineDenCoef",
    "SAMP_NUM_COEFF": "sampNumCoef",
    "SAMP_DEN_COEFF": "sampDenCoef",
}
IMD = """version = "AB";
generationTime = 2012-06-04T04:50:14.000000Z;
bandId = "Multi";
numRows = 4;
BEGIN_GROUP = BAND_B
\tULLon =  151.15;
\tabsCalFactor = 1.260825e-02;
END_GROUP = BAND_B
BEGIN_GROUP = BAND_G
\tabsCalFactor = 9.713071e-03;
END_GROUP = BAND_G
BEGIN_GROUP = IMAGE_1
\tsatId = "WV02";
\tmode = "FullSwath";
\tfirstLineTime = 2010-06-20T19:01:58.123456Z;
\tTLCList = (
\t\t(0, 0.000000),
\t\t(35840, 1.491000) );
\tmeanSunAz = 35.2;
\tmeanSunEl = 28.5;
\tmeanOffNadirViewAngle = 12.5;
\tcloudCover = 0.034;
END_GROUP = IMAGE_1
BEGIN_GROUP = IMAGE_2
\tsatId = "QB02";
\tmeanSunEl = 11.0;
END_GROUP = IMAGE_2
END;
"""


def rpb_text() -> str:
    lines = ['satId = "QB02";', 'bandId = "P";', 'SpecId = "RPC00B";', "BEGIN_GROUP = IMAGE"]
    lines += ["\terrBias =   1.5;", "\terrRand =   0.25;"]
    lines += [f"\t{RPB_NAMES[name]} = {value};" for name, value in SCALARS.items()]
    for name, row in VECTORS.items():
        lines += [
            f"\t{RPB_NAMES[name]} = (",
            *(f"\t\t\t{value}," for value in row[:-1]),
            f"\t\t\t{row[-1]});",
        ]
    return "\n".join([*lines, "END_GROUP = IMAGE", "END;", ""])


def rpc_text() -> str:
    units = {"LINE": "pixels", "SAMP": "pixels", "LAT": "degrees", "LONG": "degrees", "HEIGHT": "meters"}
    lines = [f"{name}: {value} {units[name.split('_')[0]]}" for name, value in SCALARS.items()]
    lines += [f"{name}_{k}:  {value}" for name, row in VECTORS.items() for k, value in enumerate(row, 1)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def image(tmp_path):
    """An image that says nothing of where it lies."""
    path = str(tmp_path / "image.tif")
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": 4, "width": 5}
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(path, "w", **profile) as out:
        out.write(np.ones((1, 4, 5), np.uint8))
    return path


def beside(image: str, suffix: str, text: str) -> str:
    path = os.path.splitext(image)[0] + suffix
    with open(path, "w", encoding="latin-1") as out:
        out.write(text)
    return path


def as_floats(rpcs: dict[str, str]) -> dict[str, list[float]]:
    return {name: [float(part) for part in text.split() if not part.isalpha()] for name, text in rpcs.items()}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("suffix", "text"), [(".RPB", rpb_text()), ("_RPC.TXT", rpc_text())])
def test_rpcs_as_gdal_reads_them(image, suffix, text):
    beside(image, suffix, text)
    ours, warnings = sidecars.rpcs_beside(image)
    with rasterio.open(image) as source:
        theirs = source.tags(ns="RPC")
    assert warnings == ()
    assert as_floats(ours).keys() >= {*SCALARS, *VECTORS}
    assert as_floats(ours) == {name: as_floats(theirs)[name] for name in ours}


def test_rpb_comes_before_rpc_text(image):
    beside(image, "_RPC.TXT", rpc_text())
    beside(image, ".rpb", rpb_text())
    assert sidecars.rpcs_beside(image)[0]["ERR_BIAS"] == "1.5"


@pytest.mark.parametrize("suffix", [".tfw", ".TFW", ".tifw", ".wld"])
def test_world_file_as_gdal_reads_it(image, suffix):
    beside(image, suffix, "0.5\n0.125\n0.25\n-0.75\n500000.25\n5399999.5\n")
    ours, warnings = sidecars.world_beside(image)
    assert warnings == ()
    # the centre of the first pixel is at (500000.25, 5399999.5)
    a, b, c, d, e, f = ours
    assert (a * 0.5 + b * 0.5 + c, d * 0.5 + e * 0.5 + f) == (500000.25, 5399999.5)
    if suffix != ".tifw":  # not one of GDAL's names
        with rasterio.open(image) as source:
            assert tuple(source.transform)[:6] == ours


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_imd_as_gdal_reads_it(image):
    beside(image, ".IMD", IMD)
    beside(image, ".RPB", rpb_text())
    found, warnings = sidecars.imd_beside(image)
    assert warnings == ()
    assert found.satellite == "WV02"
    assert found.acquired == "2010-06-20T19:01:58.123456Z"
    assert (found.sun_azimuth_deg, found.sun_elevation_deg, found.off_nadir_deg) == (35.2, 28.5, 12.5)
    assert found.cloud_cover_percent == pytest.approx(3.4)
    assert found.bands == ("blue", "green")
    with rasterio.open(image) as source:
        theirs = source.tags(ns="IMD")
    assert theirs["IMAGE_1.satId"] == f'"{found.satellite}"'
    assert float(theirs["IMAGE_1.meanSunEl"]) == found.sun_elevation_deg


def test_unknown_values_of_an_imd_are_none():
    found = parse_imd(
        "cloudCover = -999.0;\nmeanSunEl = 99.0;\nearliestAcqTime = 2003-01-02T03:04:05Z;\nEND;"
    )
    assert (found.cloud_cover_percent, found.sun_elevation_deg, found.satellite) == (None, None, None)
    assert found.acquired == "2003-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("suffix", "text", "reader"),
    [
        (".tfw", "", sidecars.world_beside),
        (".tfw", "1\n0\n0\n-1\n5\n", sidecars.world_beside),
        (".tfw", "1\n0\n0\n-1\n5\n6\n7\n", sidecars.world_beside),
        (".tfw", "1\n0\n0\nnan\n5\n6\n", sidecars.world_beside),
        (".tfw", "1\n0\n0\n1e999\n5\n6\n", sidecars.world_beside),
        (".tfw", "1,5\n0\n0\n-1\n5\n6\n", sidecars.world_beside),
        (".tfw", "0\n0\n0\n0\n5\n6\n", sidecars.world_beside),
        (".tfw", "1\n0\n0\n-1\n5\n6\xb2\n", sidecars.world_beside),
        (".tfw", "1\n0\n0\n-1\n5\n6\n" + " " * 70_000, sidecars.world_beside),
        (".RPB", rpb_text().replace("RPC00B", "RPC00A"), sidecars.rpcs_beside),
        (".RPB", rpb_text().replace("lineOffset = 2199.5;", ""), sidecars.rpcs_beside),
        (".RPB", rpb_text().replace("lineOffset = 2199.5;", "lineOffset = 0x10;"), sidecars.rpcs_beside),
        (".RPB", rpb_text().replace("lineOffset", "sampOffset"), sidecars.rpcs_beside),
        (".RPB", rpb_text().replace("\n\t\t\t", "\n\t\t\t1,", 1), sidecars.rpcs_beside),
        (".RPB", rpb_text()[:-40], sidecars.rpcs_beside),
        (".RPB", rpb_text().replace('"QB02"', '"QB02'), sidecars.rpcs_beside),
        (".RPB", rpb_text() + " " * 70_000, sidecars.rpcs_beside),
        ("_RPC.TXT", rpc_text().replace("LINE_OFF:", "LINE_OFF"), sidecars.rpcs_beside),
        ("_RPC.TXT", rpc_text().replace("LINE_NUM_COEFF_20", "LINE_NUM_COEFF_21"), sidecars.rpcs_beside),
        ("_RPC.TXT", rpc_text().replace("LINE_NUM_COEFF_20", "LINE_NUM_COEFF_1"), sidecars.rpcs_beside),
        ("_RPC.TXT", "\n".join(rpc_text().splitlines()[:-1]), sidecars.rpcs_beside),
        (".IMD", IMD.replace('"WV02"', '"../../x"'), sidecars.imd_beside),
        (".IMD", IMD.replace("28.5", "high"), sidecars.imd_beside),
        (".IMD", IMD.replace("2010-06-20T", "2010-06-31T"), sidecars.imd_beside),
        (".IMD", IMD.replace("END;", ""), sidecars.imd_beside),
        (".IMD", "<html>not found</html>", sidecars.imd_beside),
        (".IMD", IMD + " " * (1 << 20), sidecars.imd_beside),
    ],
)
def test_a_malformed_sidecar_is_ignored_with_a_warning(image, suffix, text, reader):
    path = beside(image, suffix, text)
    found, warnings = reader(image)
    assert found is None
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{path}: ")
    assert warnings[0].endswith("; ignored")
    assert len(warnings[0].splitlines()) == 1


def test_a_sidecar_that_is_no_file_is_ignored_at_once(image):
    stem = os.path.splitext(image)[0]
    os.mkfifo(stem + ".tfw")
    os.mkdir(stem + ".RPB")
    os.symlink("nowhere", stem + ".IMD")
    for reader in (sidecars.world_beside, sidecars.rpcs_beside, sidecars.imd_beside):
        found, warnings = reader(image)
        assert found is None
        assert len(warnings) == 1


def test_nothing_lies_beside_a_tar_member(image, tmp_path):
    beside(image, ".tfw", "1\n0\n0\n-1\n5\n6\n")
    assert sidecars.world_beside(f"tar:{tmp_path}/image.tif") == (None, ())
    assert sidecars.world_beside(image)[0] is not None


@pytest.mark.parametrize("text", ["", "2015-08-04", "2015-13-04T00:00:00Z", "2015-08-04T16:19:21", "x" * 99])
def test_a_time_that_is_none_is_refused(text):
    with pytest.raises(FormatError):
        utc(text)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.one_of(
        st.text(max_size=300),
        st.text(alphabet='AEIND_GROUP=();," \n019.-+', max_size=300),
        st.tuples(
            st.sampled_from([rpb_text(), rpc_text(), IMD]), st.integers(0, 4000), st.text(max_size=3)
        ).map(lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]),
    )
)
@pytest.mark.parametrize("parse", [parse_world, parse_rpb, parse_rpc_text, parse_imd])
def test_parsers_answer_or_refuse(parse, text):
    try:
        found = parse(text)
    except FormatError:
        return
    if parse in (parse_rpb, parse_rpc_text):
        assert found.keys() >= {*SCALARS, *VECTORS}
        assert all(len(found[name].split()) == 20 for name in VECTORS)
    elif parse is parse_world:
        assert np.isfinite(found).all()
