"""Experiments: which arm a visitor is in, and what it gets. Pure functions, for the endpoint, verbs and jobs."""
