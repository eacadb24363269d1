"""Reads pictures, trains the vision model data-parallel, and embeds pictures."""
