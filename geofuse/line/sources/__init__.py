"""Where scenes come from: folders, STAC, downloads."""
