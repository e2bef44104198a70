"""What was made, and of what: the JSON beside a product, its check, and a product opened again from it."""
