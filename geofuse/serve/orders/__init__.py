"""Downloads: whole products and pieces."""
