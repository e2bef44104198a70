"""Judging: assessment, benchmarks, acceptance, pairs of known truth."""
