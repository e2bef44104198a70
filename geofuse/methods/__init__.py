"""WHAT: fusion mathematics. Arrays in, arrays out; no CRS, no file, no dask."""
