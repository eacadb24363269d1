"""Validates raw events and counts them by hour."""
