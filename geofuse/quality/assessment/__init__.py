"""The parts of an assessment: its subject, the tasks of its passes, their sums, and what these come to."""
