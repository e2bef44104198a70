"""The networks themselves: one family a file. Their facts are in `geofuse.nets.table`."""
