"""Prefect, thin: the stages of `geofuse.run.pipeline` as tasks, schedules, deployments, and what people see of them."""
