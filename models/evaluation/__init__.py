"""Metrics of ranked lists and of nearest-neighbour retrieval."""
