"""The catalogue: items, footprints, rights, publishing."""
