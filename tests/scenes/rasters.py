"""Small rasters and deliveries for the tests of scenes."""

from __future__ import annotations

import tarfile
import warnings
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

UTM32 = "EPSG:32632"
LANDSAT_PARTS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "B10", "B11")


def write(
    path,
    *,
    shape=(8, 8),
    bands=1,
    dtype="uint16",
    crs=UTM32,
    transform=None,
    descriptions=(),
    value=7,
    **more,
) -> str:
    """Write a constant GeoTIFF; without a transform it has none."""
    profile = {"driver": "GTiff", "height": shape[0], "width": shape[1], "count": bands, "dtype": dtype}
    if transform is not None:
        profile["transform"] = transform
    Path(path).unlink(missing_ok=True)  # GDAL would take an old file's MTL.txt with it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile, crs=crs, **more) as out:
            out.write(np.full((bands, *shape), value, dtype))
            for number, text in enumerate(descriptions, 1):
                out.set_band_description(number, text)
    return str(path)


def north_up(x, y, step, step_y=None) -> Affine:
    """Return the transform of an image whose upper-left corner is at (x, y)."""
    return Affine(step, 0.0, x, 0.0, -(step if step_y is None else step_y), y)


def pair(folder, *, pan=None, ms=None, pan_shape=(40, 48), ms_shape=(10, 12), crs=UTM32, ms_crs=None, **more):
    """Write a PAN and a four-band MS with the transforms given; 0.5 m and 2 m on one corner by default."""
    pan = north_up(500000.0, 5400000.0, 0.5) if pan is None else pan
    ms = north_up(500000.0, 5400000.0, 2.0) if ms is None else ms
    fine = write(Path(folder) / "pan.tif", shape=pan_shape, crs=crs, transform=pan)
    coarse = write(Path(folder) / "ms.tif", shape=ms_shape, bands=4, crs=ms_crs or crs, transform=ms, **more)
    return fine, coarse


def mtl_collection1(scene_id, parts=LANDSAT_PARTS) -> str:
    """Return metadata as Collection 1 has it."""
    numbers = [part[1:] for part in parts]
    lines = ["GROUP = L1_METADATA_FILE", "  GROUP = METADATA_FILE_INFO"]
    lines += [f'    LANDSAT_PRODUCT_ID = "{scene_id}"', "    COLLECTION_NUMBER = 01"]
    lines += ["  END_GROUP = METADATA_FILE_INFO", "  GROUP = PRODUCT_METADATA", '    DATA_TYPE = "L1TP"']
    lines += ['    SPACECRAFT_ID = "LANDSAT_8"', "    WRS_PATH = 20", "    WRS_ROW = 39"]
    lines += ["    DATE_ACQUIRED = 2017-07-01", '    SCENE_CENTER_TIME = "16:20:12.5000000Z"']
    lines += [f'    FILE_NAME_BAND_{n} = "{scene_id}_B{n}.TIF"' for n in numbers]
    lines += [f'    FILE_NAME_BAND_QUALITY = "{scene_id}_BQA.TIF"', "  END_GROUP = PRODUCT_METADATA"]
    lines += ["  GROUP = IMAGE_ATTRIBUTES", "    CLOUD_COVER = 1.50", "    SUN_AZIMUTH = 110.5"]
    lines += ["    SUN_ELEVATION = 65.25", "  END_GROUP = IMAGE_ATTRIBUTES"]
    lines += ["  GROUP = RADIOMETRIC_RESCALING"]
    lines += [f"    REFLECTANCE_MULT_BAND_{n} = 2.0000E-05" for n in numbers if int(n) < 10]
    lines += [f"    REFLECTANCE_ADD_BAND_{n} = -0.100000" for n in numbers if int(n) < 10]
    lines += [f"    QUANTIZE_CAL_MAX_BAND_{n} = 65534" for n in numbers]
    return "\n".join(
        [*lines, "  END_GROUP = RADIOMETRIC_RESCALING", "END_GROUP = L1_METADATA_FILE", "END", ""]
    )


def mtl_collection2(scene_id, parts=LANDSAT_PARTS) -> str:
    """Return metadata as Collection 2 has it."""
    numbers = [part[1:] for part in parts]
    lines = ["GROUP = LANDSAT_METADATA_FILE", "  GROUP = PRODUCT_CONTENTS"]
    lines += [f'    LANDSAT_PRODUCT_ID = "{scene_id}"', '    PROCESSING_LEVEL = "L1TP"']
    lines += ["    COLLECTION_NUMBER = 02"]
    lines += [f'    FILE_NAME_BAND_{n} = "{scene_id}_B{n}.TIF"' for n in numbers]
    lines += [f'    FILE_NAME_QUALITY_L1_PIXEL = "{scene_id}_QA_PIXEL.TIF"', "  END_GROUP = PRODUCT_CONTENTS"]
    lines += ["  GROUP = IMAGE_ATTRIBUTES", '    SPACECRAFT_ID = "LANDSAT_9"', "    WRS_PATH = 193"]
    lines += ["    WRS_ROW = 27", "    DATE_ACQUIRED = 2022-06-18", '    SCENE_CENTER_TIME = "10:02:05.25Z"']
    lines += ["    CLOUD_COVER = 0.02", "    SUN_AZIMUTH = 150.1", "    SUN_ELEVATION = 60.1"]
    lines += ["  END_GROUP = IMAGE_ATTRIBUTES", "  GROUP = LEVEL1_RADIOMETRIC_RESCALING"]
    lines += [f"    REFLECTANCE_MULT_BAND_{n} = 2.0000E-05" for n in numbers if int(n) < 10]
    lines += [f"    REFLECTANCE_ADD_BAND_{n} = -0.100000" for n in numbers if int(n) < 10]
    lines += ["  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING"]
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""])


def landsat_folder(folder, scene_id, *, parts=LANDSAT_PARTS, quality="BQA", mtl=None, suffix=".TIF") -> Path:
    """Write a small Landsat delivery with Landsat's true geometry: PAN half a PAN pixel outside its MS."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    ms, pan = north_up(600000.0, 5300000.0, 30.0), north_up(599992.5, 5300007.5, 15.0)
    for part in (*parts, *([quality] if quality else [])):
        shape, transform = ((13, 17), pan) if part == "B8" else ((6, 8), ms)
        write(folder / f"{scene_id}_{part}{suffix}", shape=shape, transform=transform)
    text = mtl if mtl is not None else mtl_collection1(scene_id)
    (folder / f"{scene_id}_MTL.txt").write_text(text)
    return folder


def tar_of(folder, path, *, prefix="") -> str:
    """Pack a folder's files into an uncompressed tar."""
    with tarfile.open(path, "w") as archive:
        for file in sorted(Path(folder).iterdir()):
            archive.add(file, arcname=prefix + file.name)
    return str(path)
