"""The analysts' door: page, tiles, values, clips, downloads. One process; only reads the catalogue."""
