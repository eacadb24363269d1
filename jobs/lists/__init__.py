"""Reads what lists are made from: catalogue, exclusions, weights, rules."""
