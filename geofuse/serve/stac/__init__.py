"""The catalogue as a STAC API and as the page reads it."""
