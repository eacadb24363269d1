"""Columns as numbers: hashes, codes, sort orders, category paths."""
