"""Processes, logs, metrics, traces and the journey log of the endpoint."""
