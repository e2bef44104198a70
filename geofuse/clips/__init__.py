"""Pieces of products."""
