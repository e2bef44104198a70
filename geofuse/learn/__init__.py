"""Training networks and adapting them to a scene."""
