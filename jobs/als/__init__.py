"""Trains ALS factors in Spark tasks."""
