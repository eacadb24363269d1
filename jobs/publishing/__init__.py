"""Reads a release's tables and sends them to Redis."""
