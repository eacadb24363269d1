"""Larder: recommendations precomputed by Spark and served from Redis."""
