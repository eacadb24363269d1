"""Spark tasks that read raw events and count them."""
