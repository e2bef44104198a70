"""A method, a network and a metric of a package of its own."""
