"""The commands there are: name -> module and one phrase. A module is imported when one of its commands is called."""

from __future__ import annotations

COMMANDS = {
    "fuse": ("fusing", "sharpen a scene into one Cloud Optimized GeoTIFF"),
    "plan": ("fusing", "show what would be done; reads no pixels"),
    "train": ("learning", "train a network from scenes; goes on where it was stopped"),
    "adapt": ("learning", "adapt a network's weights to a scene, by the scene itself"),
    "export": ("exporting", "write a network as ONNX, for runtimes without torch"),
    "calibrate": ("calibrating", "measure shift, MTF gains and PAN's spectral weights from the pair itself"),
    "assess": ("assessing", "measure a product against the scene it came from"),
    "inspect": ("looking", "show what a scene is and how its grids relate"),
    "methods": ("looking", "list the fusion methods"),
    "plugins": ("plugins", "list what installed packages add: readers, sensors, methods, networks, metrics"),
    "verify": ("looking", "check a product: COG, georeferencing, checksums"),
    "demo": ("looking", "simulate a scene with known truth, fuse it, score it"),
    "simulate": (
        "simulating",
        "make a PAN/MS pair whose true fusion is known: from a scene, or from any fine raster",
    ),
    "bench": ("benching", "score and time every method on a scene: a table, pictures, a page"),
    "run": ("running", "run a scene through all stages, by a configuration"),
    "accept": ("running", "decide about a product that waits for a person, or list those that do"),
    "inbox": ("scenes", "run the scenes that have arrived whole"),
    "batch": ("scenes", "run the scenes of a list, by priority"),
    "reprocess": ("scenes", "make the items of a catalogue anew that are out of date"),
    "clean": ("scenes", "remove what retention does not keep"),
    "publish": ("catalog", "put a product into a STAC catalogue"),
    "catalog": ("catalog", "look into a STAC catalogue, and keep it"),
    "serve": ("serving", "serve a catalogue: page, tiles, clips, downloads, STAC, WMTS"),
    "clip": ("clipping", "cut a piece out of a product on its own grid, without resampling"),
    "token": ("serving", "tokens for those who may use a server"),
    "up": ("up", "watch a folder: server, schedule, worker and page on this machine, until Ctrl-C"),
}
"""In the order of `geofuse --help`."""
