"""`geofuse clip`."""

from __future__ import annotations

import argparse
from typing import Any

from geofuse.commands.common import add_switches, area_options, print_json, progress_bars, stoppable
from geofuse.commands.parsing import add_command, add_options, names, section_of
from geofuse.config.errands import ClipOptions
from geofuse.config.option import options_of

EXAMPLES = """\
  geofuse clip archive/landsat8/ID/ID.json --aoi field.geojson --out field.tif
  geofuse clip ID --catalog archive --bbox -87.45 30.65 -87.40 30.70 --bands red,green,blue --out part.nc
  geofuse clip sharp.tif --aoi field.gpkg --crs EPSG:4326 --out part.png
"""


def add(commands: Any) -> None:
    """Add it."""
    clip = add_command(
        commands,
        "clip",
        _clip,
        examples=EXAMPLES,
    )
    clip.add_argument(
        "item", metavar="ITEM", help="an item's .json, a product's .tif, or an id with --catalog"
    )
    clip.add_argument("--catalog", metavar="DIR", help="where ITEM is an id")
    clip.add_argument("--out", required=True, metavar="FILE", help="its ending says the format, or --format")
    clip.add_argument(
        "--bands", type=names, metavar="LIST", help="red,green,blue or 3,2,1: in this order (all)"
    )
    add_options(clip, options_of(ClipOptions))
    clip.add_argument(
        "--range", metavar="LIST", help="a picture's black,white; or of each band by semicolons"
    )
    clip.add_argument(
        "--licensed", action="store_true", help="you hold the licence of an item that others may only look at"
    )
    add_switches(clip, "overwrite", "no_progress", "json", overwrite="replace FILE")
    area_options(clip, "area (one of them; without one, all of it)", window="in the product's pixels")


def _clip(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from geofuse.clips.clip import Wish, parsed_ranges
    from geofuse.clips.clip_items import form_of, plan_item_clip, write_item_clip

    out, asked = Path(arguments.out), section_of(ClipOptions, arguments, options_of(ClipOptions))
    wish = Wish(
        bbox=arguments.bbox,
        aoi=arguments.aoi,
        window=arguments.window,
        bands=tuple(arguments.bands or ()),
        form=form_of(out, asked.format),
        crs=asked.crs,
        ranges=parsed_ranges(arguments.range) if arguments.range else None,
        gamma=asked.gamma,
    )
    folder = Path(arguments.catalog) if arguments.catalog else None
    cut = plan_item_clip(arguments.item, wish, catalog_folder=folder, licensed=arguments.licensed)
    with stoppable(), progress_bars(arguments.no_progress or arguments.json) as show:
        told = write_item_clip(
            cut, out, lambda done, total: show("clip", done, total, 0), overwrite=arguments.overwrite
        )
    if arguments.json:
        print_json(told)
        return
    size = f"{cut.spec.height} x {cut.spec.width} px, {told['bytes'] / 1e6:.1f} MB"
    what = "resampled" if cut.image.warped else "as in the product"
    print(f"{out}: {', '.join(cut.spec.descriptions)}; {size}, {what}")
    row0, row1, col0, col1 = cut.native
    print(f"rows {row0}..{row1 - 1}, columns {col0}..{col1 - 1} of {cut.image.bands[0].path}")
