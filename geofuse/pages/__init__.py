"""HTML and text made of numbers that others made."""
