"""Experiments in the endpoint: those in force, and what each request gets."""
