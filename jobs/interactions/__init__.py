"""Spark tasks that roll hourly counts up."""
