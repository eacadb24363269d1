"""Implicit-feedback ALS: kernels, factors, fold-in."""
