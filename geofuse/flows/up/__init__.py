"""`geofuse up`: server, worker, schedule, metrics and page as children of one process."""
