from __future__ import annotations

import math

import numpy as np
import pytest

from geofuse.errors import ConfigError, ProductError
from geofuse.geometry import gaussian_sigma_px
from geofuse.rasters.image import Band, Grid, Image, Piece
from geofuse.scenes.quality import flags_of, quality_flags
from geofuse.scenes.readers.landsat import QUALITY_LAYOUTS
from geofuse.scenes.sensors import names as band_names
from geofuse.scenes.sensors import sensor as sensors
from geofuse.scenes.sensors.checking import checked_family
from geofuse.scenes.sensors.families import FOLDER, family_from
from geofuse.scenes.sensors.table import SENSORS, sensor, sensor_of_satellite, sensor_or_generic

GAINS = {
    "quickbird": ([0.34, 0.32, 0.30, 0.22], 0.15),
    "ikonos": ([0.26, 0.28, 0.29, 0.28], 0.17),
    "geoeye1": ([0.23] * 4, 0.16),
    "worldview4": ([0.23] * 4, 0.16),
    "worldview2": ([0.35] * 7 + [0.27], 0.11),
    "worldview3": ([0.325, 0.355, 0.360, 0.350, 0.365, 0.360, 0.335, 0.315], 0.14),
    "pleiades": ([0.3] * 4, 0.15),
    "spot6": ([0.3] * 4, 0.15),
    "gf2": ([0.3] * 4, 0.15),
    "landsat8": ([0.3] * 10, 0.15),
    "landsat9": ([0.3] * 10, 0.15),
    "sentinel2": ([0.32, 0.26, 0.28, 0.24, 0.38, 0.34, 0.34, 0.26, 0.33, 0.26, 0.22, 0.23], None),
    "prisma": ([], 0.2),
    "generic": ([], 0.15),
}


@pytest.mark.parametrize("key", sorted(SENSORS.names()))
def test_gains_are_those_of_the_literature(key):
    known = sensor(key)
    gains, pan = GAINS[key]
    assert (known.key, known.title) == (key, SENSORS.row(key).title)
    assert [band.mtf_gain for band in known.bands] == gains
    assert (known.pan.mtf_gain if known.pan else None) == pan
    assert 0.0 < known.mtf_gain < 1.0


@pytest.mark.parametrize("key", sorted(SENSORS.names()))
def test_names_are_unique_and_gains_make_filters(key):
    known = sensor(key)
    names = [band_names.plain(text) for band in known.bands for text in (band.name, *band.aliases)]
    assert len(names) == len(set(names))
    assert set(known.default) <= {band.name for band in known.bands}
    for band in known.bands:
        assert band_names.canonical_name(band.name) == band.name
        assert band_names.is_thermal(band.name) == band.thermal == (band.wavelength_nm > 3000.0)
        assert math.isfinite(gaussian_sigma_px(band.mtf_gain, known.ratio))
        assert sensors.band_of(known, band.name) is band
        for alias in band.aliases:
            assert sensors.aliased(known, alias) is band


def test_satellites_lead_to_sensors():
    told = {"QB02": "quickbird", "IK01": "ikonos", "IK02": "ikonos", "GE01": "geoeye1"}
    told |= {"WV02": "worldview2", "WV03": "worldview3", "WV04": "worldview4", "XX99": "generic"}
    assert {name: sensor_of_satellite(name).key for name in told} == told


def test_layout_by_band_count():
    def names(key, count):
        found = sensors.layout(sensor(key), count)
        return found and [band.name for band in found]

    assert names("quickbird", 4) == ["blue", "green", "red", "nir"]
    assert names("worldview2", 4) == ["blue", "green", "red", "nir"]
    assert names("worldview2", 8) == ["coastal", "blue", "green", "yellow", "red", "rededge", "nir", "nir2"]
    assert names("worldview2", 3) is None
    assert names("generic", 4) is None
    assert sensors.layout(sensor("worldview3"), 4)[3].mtf_gain == 0.335


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Red Edge", "rededge"),
        ("RED", "red"),
        ("near-infrared", "nir"),
        ("NIR1", "nir"),
        ("nir_2", "nir2"),
        ("Coastal Aerosol", "coastal"),
        ("SWIR 16", "swir1"),
        ("thermal", "thermal1"),
        ("Band 3", None),
        ("", None),
        (None, None),
    ],
)
def test_canonical_name(text, name):
    assert band_names.canonical_name(text) == name


# Each value is worked out by hand from the provider's bit tables.
@pytest.mark.parametrize(
    ("kind", "value", "flags"),
    [
        ("landsat-pre", 0b1, 1),  # designated fill
        ("landsat-pre", 0b10, 2),  # dropped frame
        ("landsat-pre", 0b11 << 4, 0),  # water is no fault
        ("landsat-pre", 0b10 << 10, 0),  # snow, medium confidence
        ("landsat-pre", 0b11 << 10, 16),
        ("landsat-pre", 0b11 << 12, 32),
        ("landsat-pre", 0b01 << 14, 0),  # no cloud, high confidence of that: 20480 with cirrus 01
        ("landsat-pre", 0b10 << 14, 0),
        ("landsat-pre", 0b11 << 14, 4),
        ("landsat-pre", 53248, 4),  # 1101 0000 ...: cloud, no cirrus
        ("landsat-pre", 61440, 4 + 32),
        ("landsat-c1", 0b1, 1),
        ("landsat-c1", 0b10, 0),  # terrain occlusion
        ("landsat-c1", 0b01 << 2, 2),  # one or two bands saturated
        ("landsat-c1", 0b10 << 2, 2),
        ("landsat-c1", 1 << 4, 4),
        ("landsat-c1", 0b10 << 5, 0),
        ("landsat-c1", 0b11 << 5, 4),
        ("landsat-c1", 0b11 << 7, 8),
        ("landsat-c1", 0b11 << 9, 16),
        ("landsat-c1", 0b11 << 11, 32),
        ("landsat-c1", 2720, 0),  # the clear pixel of Collection 1: low confidence throughout
        ("landsat-c1", 2800, 4),  # its cloud pixel: bit 4 and 11 in bits 5-6
        ("landsat-c1", 2976, 8),  # its cloud shadow
        ("landsat-c2", 0b1, 1),
        ("landsat-c2", 1 << 1, 4),  # dilated cloud
        ("landsat-c2", 1 << 2, 32),
        ("landsat-c2", 1 << 3, 4),
        ("landsat-c2", 1 << 4, 8),
        ("landsat-c2", 1 << 5, 16),
        ("landsat-c2", 1 << 6, 0),  # clear
        ("landsat-c2", 1 << 7, 0),  # water
        ("landsat-c2", 0b10 << 8, 0),
        ("landsat-c2", 0b11 << 8, 4),
        ("landsat-c2", 0b11 << 10, 8),
        ("landsat-c2", 0b11 << 12, 16),
        ("landsat-c2", 0b11 << 14, 32),
        ("landsat-c2", 21824, 0),  # the clear land pixel of Collection 2
        ("landsat-c2", 22280, 4),  # its cloud
        ("landsat-c2", 23888, 8),  # its cloud shadow
        ("landsat-c2", 30048, 16),  # its snow
        ("landsat-c2", 54596, 32),  # its cirrus: bit 2, and 11 in bits 14-15; cloud confidence 01
    ],
)
def test_quality_flags_by_hand(kind, value, flags):
    assert quality_flags(np.array([value], np.uint16), QUALITY_LAYOUTS[kind]).tolist() == [flags]


def test_quality_flags_keep_shape_and_type():
    values = np.array([[0, 1, 53248], [61440, 2, 1024]], np.uint16)
    found = quality_flags(values, QUALITY_LAYOUTS["landsat-pre"])
    assert found.dtype == np.uint8
    assert found.tolist() == [[0, 1, 4], [36, 2, 0]]


def test_a_quality_band_without_a_layout_is_refused():
    grid = Grid("", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), 4, 4)
    quality = Image("quality", (Band("quality", (Piece("q.tif"),), "uint16"),), grid, {"q.tif": "GTiff"})
    with pytest.raises(ProductError, match=r"q\.tif: a quality band whose bits nobody explains"):
        flags_of(quality, (0, 4, 0, 4))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_families_that_come_along_pass_the_door(path):
    family = checked_family(path)
    assert all(family[key] == sensor(key) for key in family)
    assert {SENSORS.row(key).target.rpartition(":")[2] for key in family} == {path.stem}


def test_every_sensor_is_in_a_family():
    found = {key for path in FOLDER.glob("*.yaml") for key in checked_family(path)}
    assert found == {row.name for row in SENSORS.own}


GOOD = """
sources: [the maker]
shared: {mtf_gain: 0.3, ratio: 4.0, bits: 11, fill: 0.0, licence: theirs, attribution: "", access: commercial}
sensors:
  mysat:
    title: My satellite
    bands: [{name: blue, wavelength_nm: 480.0, mtf_gain: 0.3}]
    pan: {name: pan, wavelength_nm: 600.0, mtf_gain: 0.15}
    default: [blue]
"""


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("sources: [the maker]\n", "", "sources: Field required"),
        ("ratio: 4.0", "ratio: 0.5", r"shared\.ratio: .*greater than or equal to 1"),
        (
            "wavelength_nm: 480.0",
            "wavelength_nm: 480.0, wavelenth: 1",
            r"sensors\.mysat\.bands\.0\.wavelenth: Extra",
        ),
        ("mtf_gain: 0.15", "mtf_gain: 1.5", r"sensors\.mysat\.pan\.mtf_gain"),
        ("bits: 11", 'bits: "11"', r"shared\.bits: .*valid integer"),
        ("access: commercial", "access: secret", r"shared\.access"),
        ("default: [blue]", "default: [red]", "sensor mysat: no band red, which is a default"),
        ("bits: 11, ", "", "sensor mysat without bits"),
        ("title: My satellite", "title: One\n    title: Two", "title a second time"),
        ("mysat:", "My-Sat:", "sensors.My-Sat"),
        ("bands: [", "bands: [{name: blue, wavelength_nm: 400.0, mtf_gain: 0.2}, ", "band blue twice"),
        (GOOD, "- 1", "no keys"),
        (GOOD, "a: !!python/object/apply:os.system [ls]", "no YAML"),
    ],
)
def test_a_family_that_is_off_is_refused_by_file_and_key(tmp_path, old, new, match):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    assert checked_family(path)["mysat"].bands[0].name == "blue"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError, match=match) as caught:
        checked_family(path)
    assert "mine.yaml" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_a_sensor_says_comes_before_what_its_family_shares():
    family = family_from({"shared": {"bits": 1}, "sensors": {"x": {**BARE, "bits": 12}, "y": BARE}})
    assert (family["x"].bits, family["y"].bits) == (12, 1)


BARE = {
    **{"title": "X", "bands": [], "pan": None, "mtf_gain": 0.3, "ratio": 4.0, "fill": None, "default": []},
    **{"licence": "", "attribution": "", "access": "open"},
}


def test_a_sensor_nobody_knows_is_the_generic_one_or_refused():
    assert sensor_or_generic("never heard of").key == "generic"
    with pytest.raises(ProductError, match=r"no sensor 'worldview5'.*did you mean worldview"):
        sensor("worldview5")


def test_what_gain_and_offset_lead_to_is_said_by_the_sensor():
    found = {name for name in SENSORS.names() if sensor(name).quantity == "reflectance"}
    assert found == {"landsat8", "landsat9", "sentinel2"}
    assert sensor_or_generic("never heard of").quantity == "physical value"
