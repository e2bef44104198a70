"""Pixels on disk: the doors for reading and for writing, and what guards them."""
