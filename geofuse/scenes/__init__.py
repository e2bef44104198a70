"""WHERE: georeferencing and files; no fusion mathematics."""
