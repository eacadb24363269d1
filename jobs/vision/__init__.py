"""Trains the vision model data-parallel, and embeds pictures."""
