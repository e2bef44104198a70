"""What Python users call: the verbs of the command line, with keywords; each is a name of `geofuse` itself."""
