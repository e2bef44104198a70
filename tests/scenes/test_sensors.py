from __future__ import annotations

import math

import numpy as np
import pytest

from geofuse.errors import ProductError
from geofuse.geometry import gaussian_sigma_px
from geofuse.scenes.sensors import table as sensors
from geofuse.scenes.sensors.table import SATELLITES, SENSORS, quality_flags

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


@pytest.mark.parametrize("key", sorted(SENSORS))
def test_gains_are_those_of_the_literature(key):
    sensor = SENSORS[key]
    gains, pan = GAINS[key]
    assert sensor.key == key
    assert [band.mtf_gain for band in sensor.bands] == gains
    assert (sensor.pan.mtf_gain if sensor.pan else None) == pan
    assert 0.0 < sensor.mtf_gain < 1.0


@pytest.mark.parametrize("key", sorted(SENSORS))
def test_names_are_unique_and_gains_make_filters(key):
    sensor = SENSORS[key]
    names = [sensors.plain(text) for band in sensor.bands for text in (band.name, *band.aliases)]
    assert len(names) == len(set(names))
    assert set(sensor.default) <= {band.name for band in sensor.bands}
    for band in sensor.bands:
        assert sensors.canonical_name(band.name) == band.name
        assert sensors.is_thermal(band.name) == band.thermal == (band.wavelength_nm > 3000.0)
        assert math.isfinite(gaussian_sigma_px(band.mtf_gain, sensor.ratio))
        assert sensors.band_of(sensor, band.name) is band
        for alias in band.aliases:
            assert sensors.aliased(sensor, alias) is band


def test_satellites_lead_to_sensors():
    assert set(SATELLITES.values()) <= set(SENSORS)
    assert SATELLITES["WV03"] == "worldview3"


def test_layout_by_band_count():
    def names(key, count):
        found = sensors.layout(SENSORS[key], count)
        return found and [band.name for band in found]

    assert names("quickbird", 4) == ["blue", "green", "red", "nir"]
    assert names("worldview2", 4) == ["blue", "green", "red", "nir"]
    assert names("worldview2", 8) == ["coastal", "blue", "green", "yellow", "red", "rededge", "nir", "nir2"]
    assert names("worldview2", 3) is None
    assert names("generic", 4) is None
    assert sensors.layout(SENSORS["worldview3"], 4)[3].mtf_gain == 0.335


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
    assert sensors.canonical_name(text) == name


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
    assert quality_flags(np.array([value], np.uint16), kind).tolist() == [flags]


def test_quality_flags_keep_shape_and_type():
    values = np.array([[0, 1, 53248], [61440, 2, 1024]], np.uint16)
    found = quality_flags(values, "landsat-pre")
    assert found.dtype == np.uint8
    assert found.tolist() == [[0, 1, 4], [36, 2, 0]]


def test_unknown_quality_layout_is_refused():
    with pytest.raises(ProductError, match="landsat-c1"):
        quality_flags(np.zeros(1, np.uint16), "landsat-c9")
