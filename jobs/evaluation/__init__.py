"""Measures lists and embeddings, and writes the report."""
