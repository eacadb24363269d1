"""The report of an experiment: what was served in each arm, and what followed."""
