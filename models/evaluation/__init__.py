"""Metrics of ranked lists and of retrieval."""
