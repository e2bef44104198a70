"""Unattended work: stages, batches, records, cleaning."""
