"""Map tiles and how they are drawn."""
