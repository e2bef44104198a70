"""What was delivered, one module a family."""
