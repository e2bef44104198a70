"""A raster file before its pixels: what it is, by its own bytes, what its header says, and its handle."""
