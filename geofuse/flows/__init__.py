"""Prefect, thin: the stages of `geofuse.line.pipeline` as tasks, schedules, deployments, and what people see."""
