"""Connections and commands to Redis."""
