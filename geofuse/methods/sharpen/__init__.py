"""Sharpening: a fine image lends its detail to a coarse one."""
