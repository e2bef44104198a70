"""The hot loops: numba lives here only. Plain arrays in and out, no GIL, IEEE arithmetic in a fixed order."""
