"""Networks: torch lives here, and in the method that runs them."""
