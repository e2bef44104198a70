"""Figures of quality: arrays in, numbers out."""
